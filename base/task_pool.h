// TaskPool runs tasks on a fixed number of threads, first come, first served,
// with a bounded queue. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace vigie {

class TaskPool {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  TaskPool(int64_t threads, int64_t queued_max);
  ~TaskPool();  // as Stop does
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // False if the queue is full; `task` is then still the caller's.
  bool TrySubmit(Task& task);

  // Runs what is queued, then joins. Afterwards every task is refused.
  void Stop();

  int64_t running() const;
  int64_t queued() const;

 private:
  void Work();

  const int64_t queued_max_;
  const int64_t threads_count_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace vigie

#include "base/task_pool.h"

#include <utility>

namespace vigie {

TaskPool::TaskPool(int64_t threads, int64_t queued_max)
    : queued_max_(queued_max), threads_count_(threads) {
  threads_.reserve(threads);
  for (int64_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

TaskPool::~TaskPool() { Stop(); }

void TaskPool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool TaskPool::TrySubmit(Task& task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    // A free thread will take the task at once, so it is not one that waits.
    const int64_t idle = threads_count_ - running_;
    const int64_t waiting = static_cast<int64_t>(queue_.size()) - idle;
    if (waiting >= queued_max_) return false;
    queue_.push_back(std::move(task));
  }
  changed_.NotifyOne();
  return true;
}

int64_t TaskPool::running() const {
  MutexLock lock(mutex_);
  return running_;
}

int64_t TaskPool::queued() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(queue_.size());
}

void TaskPool::Work() {
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) changed_.Wait(mutex_);
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
    }
    std::move(task)();
    task = nullptr;  // what it holds is let go before it counts as done
    MutexLock lock(mutex_);
    --running_;
  }
}

}  // namespace vigie

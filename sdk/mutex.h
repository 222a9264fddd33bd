// std::mutex with clang's thread-safety annotations, for the SDK's sources
// alone: it may not include base, and installs neither.
#pragma once

#include <mutex>

#if defined(__clang__)
#define VIGIE_SDK_THREAD(x) __attribute__((x))
#else
#define VIGIE_SDK_THREAD(x)
#endif
#define VIGIE_SDK_GUARDED_BY(x) VIGIE_SDK_THREAD(guarded_by(x))
#define VIGIE_SDK_REQUIRES(x) VIGIE_SDK_THREAD(exclusive_locks_required(x))

namespace vigie::sdk {

class VIGIE_SDK_THREAD(lockable) Mutex {
 public:
  void Lock() VIGIE_SDK_THREAD(exclusive_lock_function()) { mutex_.lock(); }
  void Unlock() VIGIE_SDK_THREAD(unlock_function()) { mutex_.unlock(); }
  // For waiting: only while it is held.
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class VIGIE_SDK_THREAD(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex)
      VIGIE_SDK_THREAD(exclusive_lock_function(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() VIGIE_SDK_THREAD(unlock_function()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace vigie::sdk

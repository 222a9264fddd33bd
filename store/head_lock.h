// HeadLock guards the head: readers share it, the writer and the publishing
// step of a seal hold it alone. Who waits to write is not overtaken by readers
// that come later: glibc's shared lock would let a stream of queries keep the
// writer out for good.
#pragma once

#include "base/mutex.h"

namespace vigie::store {

class ABSL_LOCKABLE HeadLock {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    turnstile_.Lock();
    lock_.Lock();
    turnstile_.Unlock();
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    lock_.Unlock();
  }
  void ReaderLock() ABSL_SHARED_LOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    turnstile_.Lock();
    lock_.ReaderLock();
    turnstile_.Unlock();
  }
  void ReaderUnlock() ABSL_UNLOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    lock_.ReaderUnlock();
  }

 private:
  Mutex turnstile_;  // guards nothing: it is the queue
  SharedMutex lock_;
};

class ABSL_SCOPED_LOCKABLE HeadReaderLock {
 public:
  explicit HeadReaderLock(HeadLock& lock) ABSL_SHARED_LOCK_FUNCTION(lock)
      : lock_(lock) {
    lock_.ReaderLock();
  }
  ~HeadReaderLock() ABSL_UNLOCK_FUNCTION() { lock_.ReaderUnlock(); }
  HeadReaderLock(const HeadReaderLock&) = delete;
  HeadReaderLock& operator=(const HeadReaderLock&) = delete;

 private:
  HeadLock& lock_;
};

class ABSL_SCOPED_LOCKABLE HeadWriterLock {
 public:
  explicit HeadWriterLock(HeadLock& lock) ABSL_EXCLUSIVE_LOCK_FUNCTION(lock)
      : lock_(lock) {
    lock_.Lock();
  }
  ~HeadWriterLock() ABSL_UNLOCK_FUNCTION() { lock_.Unlock(); }
  HeadWriterLock(const HeadWriterLock&) = delete;
  HeadWriterLock& operator=(const HeadWriterLock&) = delete;

 private:
  HeadLock& lock_;
};

}  // namespace vigie::store

#include "sdk/otlp/exporter.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sdk/mutex.h"
#include "sdk/otlp/backoff.h"
#include "sdk/otlp/client.h"
#include "sdk/otlp/encode.h"
#include "sdk/otlp/self_metrics.h"
#include "sdk/otlp/send_queue.h"

namespace vigie::sdk {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kEventsApartNs = 1'000'000'000;

void PrintEvent(std::string_view event) {
  std::fprintf(stderr, "vigie-sdk: %.*s\n", static_cast<int>(event.size()),
               event.data());
}

absl::Status FaultOf(const ExporterOptions& options) {
  const auto positive = [](absl::Duration d) {
    return d > absl::ZeroDuration() && d < absl::Hours(24 * 365);
  };
  if (!positive(options.interval) || !positive(options.try_timeout) ||
      !positive(options.request_age_max) || !positive(options.backoff_min) ||
      !positive(options.backoff_max)) {
    return absl::InvalidArgumentError(
        "exporter: a span of time is not positive, or over a year");
  }
  if (options.request_points_max == 0 ||
      options.queue_points_max < options.request_points_max) {
    return absl::InvalidArgumentError(
        "exporter: the queue is smaller than a request, or a request empty");
  }
  if (options.endpoint.key.empty() != options.endpoint.certificate.empty()) {
    return absl::InvalidArgumentError(
        "exporter: a key without its certificate, or the reverse");
  }
  return absl::OkStatus();
}

// Threads of ours take no signals: those are the program's.
template <class Body>
std::thread StartThread(Body body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread out(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return out;
}

uint64_t DroppedOf(const Exporter::Counts& counts) {
  uint64_t out = 0;
  for (const uint64_t n : counts.dropped) out += n;
  return out;
}

}  // namespace

class Exporter::Impl {
 public:
  explicit Impl(ExporterOptions options)
      : options_(std::move(options)),
        clock_(*options_.clock),
        pid_(::getpid()),
        client_(options_.endpoint),
        backoff_(options_.backoff_min, options_.backoff_max),
        self_(options_),
        queue_(options_.queue_points_max) {
    if (options_.disabled) return;
    sender_ = StartThread([this] { SendLoop(); });
    collector_ = StartThread([this] { CollectLoop(); });
  }

  // Threads do not come along into a forked child.
  bool is_elsewhere() const { return ::getpid() != pid_; }
  const ExporterOptions& options() const { return options_; }

  void Add(std::shared_ptr<Source> source) {
    MutexLock lock(collect_mutex_);
    sources_.push_back(std::move(source));
  }
  void Remove(const Source& source) {
    MutexLock lock(collect_mutex_);
    std::erase_if(sources_, [&](const auto& s) { return s.get() == &source; });
  }
  Counts counts() {
    MutexLock lock(mutex_);
    return queue_.counts();
  }

  absl::Status Flush(absl::Duration timeout) {
    if (options_.disabled) return absl::OkStatus();
    {
      MutexLock lock(mutex_);
      if (closing_) return absl::FailedPreconditionError("exporter: shut down");
    }
    return CollectAndWait(timeout);
  }

  absl::Status Shutdown(absl::Duration timeout) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(closing_, true)) {
        return absl::FailedPreconditionError("exporter: shut down");
      }
      timer_.notify_all();
    }
    if (options_.disabled) return absl::OkStatus();
    collector_.join();
    const absl::Status status = CollectAndWait(timeout);
    {
      MutexLock lock(mutex_);
      stop_ = true;
      work_.notify_all();
    }
    client_.Cancel();
    sender_.join();
    MutexLock lock(mutex_);
    queue_.DropAll(DropReason::kShutdown);
    return status;
  }

 private:
  void WaitUntil(std::condition_variable& changed, int64_t until_ns)
      VIGIE_SDK_REQUIRES(mutex_) {
    std::unique_lock<std::mutex> lock(mutex_.native(), std::adopt_lock);
    clock_.WaitUntil(lock, changed, until_ns);
    lock.release();
  }
  void Wait(std::condition_variable& changed) VIGIE_SDK_REQUIRES(mutex_) {
    std::unique_lock<std::mutex> lock(mutex_.native(), std::adopt_lock);
    changed.wait(lock);
    lock.release();
  }

  void CollectLoop();
  void Collect();
  int64_t NextTime() VIGIE_SDK_REQUIRES(collect_mutex_);
  absl::Status CollectAndWait(absl::Duration timeout);

  void SendLoop();
  void Send(const SendQueue::Entry& entry);
  bool WaitForRetry(const SendQueue::Entry& entry, RetryAdvice advice);
  void Drop(DropReason why, const SendQueue::Entry& entry,
            std::string_view cause);
  void Tell(const std::string& event);

  const ExporterOptions options_;
  const Clock& clock_;
  const pid_t pid_;
  OtlpClient client_;
  Backoff backoff_;          // the sender's
  bool has_failed_ = false;  // the sender's: the last try
  std::atomic<int64_t> quiet_until_ns_{INT64_MIN};

  Mutex collect_mutex_;  // one collection at a time; before mutex_
  std::vector<std::shared_ptr<Source>> sources_
      VIGIE_SDK_GUARDED_BY(collect_mutex_);
  SelfMetrics self_;  // ObserveTry() apart, under collect_mutex_
  int64_t last_time_ns_ VIGIE_SDK_GUARDED_BY(collect_mutex_) = 0;

  Mutex mutex_;  // never held over a call, a collection or an event
  SendQueue queue_ VIGIE_SDK_GUARDED_BY(mutex_);
  uint64_t flushes_ VIGIE_SDK_GUARDED_BY(mutex_) = 0;  // begun so far
  bool closing_ VIGIE_SDK_GUARDED_BY(mutex_) = false;  // no more collections
  bool stop_ VIGIE_SDK_GUARDED_BY(mutex_) = false;     // no more tries
  std::condition_variable timer_;                      // closing_
  std::condition_variable work_;     // queue_, flushes_, stop_
  std::condition_variable settled_;  // queue_

  std::thread sender_;
  std::thread collector_;
};

void Exporter::Impl::CollectLoop() {
  const int64_t interval_ns = absl::ToInt64Nanoseconds(options_.interval);
  int64_t next_ns = clock_.SteadyNs() + interval_ns;
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!closing_ && clock_.SteadyNs() < next_ns) {
        WaitUntil(timer_, next_ns);
      }
      if (closing_) return;
    }
    Collect();
    // What is missed is not made up for.
    next_ns = std::max(next_ns + interval_ns, clock_.SteadyNs());
  }
}

int64_t Exporter::Impl::NextTime() {
  int64_t now_ns = clock_.UnixNs();
  // Servers keep milliseconds, and one value for each.
  const int64_t later_ns = last_time_ns_ + kNsPerMs;
  if (now_ns < later_ns &&
      later_ns - now_ns < absl::ToInt64Nanoseconds(options_.interval)) {
    now_ns = later_ns;
  }
  last_time_ns_ = now_ns;
  return now_ns;
}

void Exporter::Impl::Collect() {
  std::vector<OtlpRequest> requests;
  std::string fault;
  {
    MutexLock lock(collect_mutex_);
    self_.Add(counts());
    const int64_t time_ns = NextTime();
    std::vector<Collection> collections;
    for (const auto& source : sources_) {
      try {
        collections.push_back(source->Collect(time_ns));
      } catch (const std::exception& e) {  // a hook's; threads must not end
        fault = std::string("a source cannot be collected: ") + e.what();
      }
    }
    collections.push_back(self_.Collect(time_ns));
    requests = EncodeRequests(collections, options_.request_points_max);
    const int64_t now_ns = clock_.SteadyNs();
    size_t dropped = 0;
    MutexLock queue_lock(mutex_);
    for (OtlpRequest& request : requests) {
      dropped += queue_.Push(std::move(request), now_ns);
    }
    if (dropped > 0) {
      fault = std::to_string(dropped) + " points dropped (queue_full)";
    }
    work_.notify_all();
    settled_.notify_all();
  }
  if (!fault.empty()) Tell(fault);
}

absl::Status Exporter::Impl::CollectAndWait(absl::Duration timeout) {
  const int64_t deadline_ns =
      clock_.SteadyNs() +
      absl::ToInt64Nanoseconds(std::min(timeout, absl::Hours(24 * 365)));
  const uint64_t dropped_before = DroppedOf(counts());
  Collect();
  MutexLock lock(mutex_);
  const uint64_t last = queue_.last_id();
  ++flushes_;
  work_.notify_all();
  while (!queue_.SettledTo(last) && clock_.SteadyNs() < deadline_ns && !stop_) {
    WaitUntil(settled_, deadline_ns);
  }
  if (!queue_.SettledTo(last)) {
    return absl::DeadlineExceededError(
        "exporter: " + std::to_string(queue_.counts().queued) +
        " points are not acknowledged yet");
  }
  const uint64_t dropped = DroppedOf(queue_.counts()) - dropped_before;
  if (dropped == 0) return absl::OkStatus();
  return absl::DataLossError("exporter: " + std::to_string(dropped) +
                             " points were dropped");
}

void Exporter::Impl::SendLoop() {
  for (;;) {
    std::optional<SendQueue::Entry> entry;
    {
      MutexLock lock(mutex_);
      while (!stop_ && queue_.empty()) Wait(work_);
      if (stop_) return;
      entry = queue_.Begin();
    }
    Send(*entry);
  }
}

// Until it is settled, or the exporter stops.
void Exporter::Impl::Send(const SendQueue::Entry& entry) {
  for (;;) {
    const int64_t begin_ns = clock_.SteadyNs();
    const auto outcome = client_.Export(
        entry.request->body,
        {.timeout = options_.try_timeout, .compress = options_.compress});
    self_.ObserveTry(clock_.SteadyNs() - begin_ns);
    if (outcome.ok()) {
      backoff_.Reset();
      if (outcome->points_rejected > 0) {
        Tell(std::to_string(outcome->points_rejected) +
             " points refused by the server: " + outcome->message);
      } else if (!outcome->message.empty()) {
        Tell("the server warns: " + outcome->message);
      } else if (has_failed_) {
        Tell("sending works again");
      }
      has_failed_ = false;
      MutexLock lock(mutex_);
      queue_.Sent(static_cast<uint64_t>(
          std::max<int64_t>(0, outcome->points_rejected)));
      settled_.notify_all();
      return;
    }
    {
      MutexLock lock(mutex_);
      if (stop_) return;
    }
    const absl::Status& status = outcome.status();
    const RetryAdvice advice = AdviceOf(status);
    if (!advice.retryable) {
      return Drop(DropReason::kPermanent, entry, status.ToString());
    }
    if (!std::exchange(has_failed_, true)) {
      Tell("cannot send to " + options_.endpoint.address +
           ", trying on: " + status.ToString());
    }
    if (!WaitForRetry(entry, advice)) {
      return Drop(DropReason::kExpired, entry, status.ToString());
    }
    MutexLock lock(mutex_);
    if (stop_) return;
    ++queue_.counts().retries;
  }
}

// False if it would be too old by then.
bool Exporter::Impl::WaitForRetry(const SendQueue::Entry& entry,
                                  RetryAdvice advice) {
  const absl::Duration delay = std::max(backoff_.Next(), advice.delay_min);
  const int64_t expires_ns =
      entry.born_ns + absl::ToInt64Nanoseconds(options_.request_age_max);
  const int64_t until_ns = clock_.SteadyNs() + absl::ToInt64Nanoseconds(delay);
  MutexLock lock(mutex_);
  if (until_ns > expires_ns) return false;
  const uint64_t flushes = flushes_;
  const bool server_asks = advice.delay_min > absl::ZeroDuration();
  while (!stop_ && clock_.SteadyNs() < until_ns &&
         (server_asks || flushes_ == flushes)) {
    WaitUntil(work_, until_ns);
  }
  return true;
}

void Exporter::Impl::Drop(DropReason why, const SendQueue::Entry& entry,
                          std::string_view cause) {
  std::string event = std::to_string(entry.request->points) +
                      " points dropped (" + NameOf(why) + "): ";
  Tell(event += cause);  // before it is settled: who flushes has been told
  MutexLock lock(mutex_);
  queue_.Drop(why);
  settled_.notify_all();
}

void Exporter::Impl::Tell(const std::string& event) {
  if (options_.on_event) return options_.on_event(event);
  const int64_t now_ns = clock_.SteadyNs();
  if (now_ns < quiet_until_ns_.load(std::memory_order_relaxed)) return;
  quiet_until_ns_.store(now_ns + kEventsApartNs, std::memory_order_relaxed);
  PrintEvent(event);
}

absl::StatusOr<std::unique_ptr<Exporter>> Exporter::FromEnvironment(
    std::shared_ptr<Source> source) {
  auto options = ExporterOptionsFromEnvironment();
  if (!options.ok()) return options.status();
  auto exporter = Start(*std::move(options));
  if (exporter.ok()) (*exporter)->Add(std::move(source));
  return exporter;
}

absl::StatusOr<std::unique_ptr<Exporter>> Exporter::Start(
    ExporterOptions options) {
  if (absl::Status fault = FaultOf(options); !fault.ok()) return fault;
  return std::unique_ptr<Exporter>(
      new Exporter(std::make_unique<Impl>(std::move(options))));
}

Exporter::Exporter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Exporter::~Exporter() {
  if (impl_->is_elsewhere()) {
    impl_.release();  // its threads cannot be joined, its locks may be held
    return;
  }
  Shutdown().IgnoreError();
}

void Exporter::Add(std::shared_ptr<Source> source) {
  if (source != nullptr && !impl_->is_elsewhere()) {
    impl_->Add(std::move(source));
  }
}
void Exporter::Remove(const Source& source) {
  if (!impl_->is_elsewhere()) impl_->Remove(source);
}

absl::Status Exporter::Flush(absl::Duration timeout) {
  if (impl_->is_elsewhere()) {
    return absl::FailedPreconditionError("exporter: made before fork()");
  }
  return impl_->Flush(timeout);
}
absl::Status Exporter::Flush() { return Flush(impl_->options().flush_timeout); }

absl::Status Exporter::Shutdown(absl::Duration timeout) {
  if (impl_->is_elsewhere()) {
    return absl::FailedPreconditionError("exporter: made before fork()");
  }
  return impl_->Shutdown(timeout);
}
absl::Status Exporter::Shutdown() {
  return Shutdown(impl_->options().flush_timeout);
}

Exporter::Counts Exporter::counts() const {
  return impl_->is_elsewhere() ? Counts() : impl_->counts();
}

}  // namespace vigie::sdk

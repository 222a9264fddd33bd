#include "alerting/dispatcher.h"

#include <algorithm>
#include <deque>
#include <stop_token>
#include <thread>
#include <utility>

#include "alerting/dispatch_metrics.h"
#include "alerting/dispatch_state.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

constexpr int64_t kWriteAgainNs = 1'000'000'000;

}  // namespace

struct Dispatcher::Impl {
  Impl(store::Records& r, IntegrationFactory f, const Clock& c,
       prometheus::Registry& registry, const DispatcherOptions& o)
      : records(r),
        factory(std::move(f)),
        clock(c),
        options(o),
        metrics(registry) {}

  Moment Now() const { return {clock.NowMs(), clock.MonotonicNs()}; }

  // --- threads ---

  void RunTimer() {
    while (true) {
      int64_t until_ns = 0;
      std::stop_token wake_token;
      {
        MutexLock lock(mutex);
        if (stopping) return;
        const Moment now = Now();
        SettleAgain(now);
        state->Tick(now);
        StartWorkers(now);
        until_ns = state->NextNs();
        // What is ready waits for a worker, who wakes us.
        if (until_ns <= now.mono_ns) until_ns = now.mono_ns + kWriteAgainNs;
        if (!unsettled.empty()) {
          until_ns = std::min(until_ns, now.mono_ns + kWriteAgainNs);
        }
        wake = std::stop_source();
        wake_token = wake.get_token();
      }
      clock.SleepUntil(until_ns, wake_token);
    }
  }

  void StartWorkers(Moment now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const int ready = state->ReadyLanes(now);
    while (idle_workers < ready &&
           workers.size() < static_cast<size_t>(options.threads_max)) {
      ++idle_workers;
      workers.emplace_back([this] { RunWorker(); });
    }
    if (ready > 0) work_ready.NotifyAll();
  }

  void RunWorker() {
    mutex.Lock();
    while (!stopping) {
      std::optional<Attempt> attempt = state->NextAttempt(Now());
      if (!attempt) {
        work_ready.Wait(mutex);
        continue;
      }
      --idle_workers;
      mutex.Unlock();
      DeliveryOutcome outcome = attempt->integration->Deliver(
          attempt->notification, stop.get_token());
      mutex.Lock();
      ++idle_workers;
      Settle(*std::move(attempt), std::move(outcome));
      wake.request_stop();
    }
    mutex.Unlock();
  }

  // --- ends of attempts ---

  struct Ended {
    Attempt attempt;
    DeliveryOutcome outcome;
  };

  // The receiver has answered, so the answer is written down or kept until it
  // is: to ask again would tell it twice.
  void Settle(Attempt attempt, DeliveryOutcome outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const absl::Status status = state->Finish(attempt, outcome, Now());
    if (status.ok()) return;
    spdlog::warn("alerts: end of notification {}: {}", attempt.notification.id,
                 MessageOf(status));
    unsettled.push_back({std::move(attempt), std::move(outcome)});
  }

  void SettleAgain(Moment now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    while (!unsettled.empty()) {
      const Ended& first = unsettled.front();
      if (!state->Finish(first.attempt, first.outcome, now).ok()) return;
      unsettled.pop_front();
    }
  }

  void Stop() {
    {
      MutexLock lock(mutex);
      stopping = true;
      stop.request_stop();
      wake.request_stop();
      work_ready.NotifyAll();
    }
    if (timer.joinable()) timer.join();
    // Only the timer starts workers.
    for (std::thread& worker : workers) {
      if (worker.joinable()) worker.join();
    }
    MutexLock lock(mutex);
    SettleAgain(Now());
  }

  store::Records& records;
  const IntegrationFactory factory;
  const Clock& clock;
  const DispatcherOptions options;
  DispatchMetrics metrics;
  std::stop_source stop;  // of attempts
  // Held across writes to records: one step at a time, and in memory is what
  // is on disk. Never held across an attempt.
  mutable Mutex mutex;
  CondVar work_ready;
  std::unique_ptr<DispatchState> state ABSL_GUARDED_BY(mutex);
  // Bounded by the number of integrations: each waits for its own.
  std::deque<Ended> unsettled ABSL_GUARDED_BY(mutex);
  std::stop_source wake ABSL_GUARDED_BY(mutex);
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  int idle_workers ABSL_GUARDED_BY(mutex) = 0;
  std::vector<std::thread> workers;  // the timer's, then Stop's
  std::thread timer;
};

Dispatcher::Dispatcher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Dispatcher::~Dispatcher() { Stop(); }

absl::StatusOr<std::unique_ptr<Dispatcher>> Dispatcher::Start(
    store::Records& records, IntegrationFactory factory, const Clock& clock,
    prometheus::Registry& registry, std::string external_url,
    std::shared_ptr<const RoutingConfig> config,
    const DispatcherOptions& options) {
  auto impl = std::make_unique<Impl>(records, std::move(factory), clock,
                                     registry, options);
  VIGIE_ASSIGN_OR_RETURN(Integrations integrations, impl->factory(*config));
  auto state = DispatchState::Restore(
      records, impl->metrics, options, std::move(external_url),
      std::move(config), std::move(integrations), impl->Now());
  if (!state.ok()) return Prefixed("dispatcher", state.status());
  {
    MutexLock lock(impl->mutex);
    impl->state = *std::move(state);
  }
  impl->timer = std::thread([one = impl.get()] { one->RunTimer(); });
  return std::unique_ptr<Dispatcher>(new Dispatcher(std::move(impl)));
}

absl::Status Dispatcher::Take(const std::vector<Alert>& alerts) {
  MutexLock lock(impl_->mutex);
  absl::Status status = impl_->state->Take(alerts, impl_->Now());
  impl_->wake.request_stop();
  return status;
}

absl::Status Dispatcher::Apply(std::shared_ptr<const RoutingConfig> config) {
  VIGIE_ASSIGN_OR_RETURN(Integrations integrations, impl_->factory(*config));
  MutexLock lock(impl_->mutex);
  VIGIE_RETURN_IF_ERROR(impl_->state->Apply(
      std::move(config), std::move(integrations), impl_->Now()));
  impl_->wake.request_stop();
  return absl::OkStatus();
}

void Dispatcher::SetExternalUrl(std::string external_url) {
  MutexLock lock(impl_->mutex);
  impl_->state->set_external_url(std::move(external_url));
}

void Dispatcher::Stop() { impl_->Stop(); }

std::vector<Alert> Dispatcher::Alerts() const {
  MutexLock lock(impl_->mutex);
  return impl_->state->Alerts();
}

absl::StatusOr<std::vector<LedgerEntry>> Dispatcher::Ledger(
    int64_t limit) const {
  uint64_t next = 0;
  {
    MutexLock lock(impl_->mutex);
    next = impl_->state->next_sequence();
  }
  return alerting::Ledger::Read(impl_->records, limit, next);
}

}  // namespace vigie::alerting

#include "alerting/rule_runner.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <algorithm>
#include <map>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

#include "alerting/alert_state.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

constexpr int64_t kIdleSleepNs = 3'600'000'000'000;
// Woken this much before its time by the wall clock, a group runs all the same.
constexpr int64_t kEarlyMaxMs = 100;

using GroupKey = std::pair<std::string, std::string>;  // file, name

// The largest time up to `to_ms` that is `offset_ms` into its interval.
int64_t GridAtOrBefore(int64_t to_ms, int64_t interval_ms, int64_t offset_ms) {
  int64_t into = (to_ms - offset_ms) % interval_ms;
  if (into < 0) into += interval_ms;
  return to_ms - into;
}

// Where in its interval a group runs, so that groups spread over it; the same
// in every process.
int64_t OffsetMs(const GroupKey& key, int64_t interval_ms) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : key.first + ";" + key.second) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  hash ^= hash >> 32;
  return static_cast<int64_t>(hash % static_cast<uint64_t>(interval_ms));
}

template <class Builder>
auto& Registered(Builder builder, prometheus::Registry& registry,
                 const std::string& name, const std::string& help) {
  return builder.Name(name).Help(help).Register(registry);
}

// What is measured of one group.
struct GroupMetrics {
  prometheus::Counter* evaluations;
  prometheus::Counter* failures;
  prometheus::Counter* iterations;
  prometheus::Counter* missed;
  prometheus::Histogram* duration;
  prometheus::Gauge* last_duration;
  prometheus::Gauge* last_evaluation;
  prometheus::Gauge* interval;
};

class RuleMetrics {
 public:
  explicit RuleMetrics(prometheus::Registry& registry)
      : evaluations_(Registered(prometheus::BuildCounter(), registry,
                                "vigie_rule_evaluations_total",
                                "Evaluations of rules.")),
        failures_(Registered(prometheus::BuildCounter(), registry,
                             "vigie_rule_evaluation_failures_total",
                             "Evaluations of rules that failed.")),
        iterations_(Registered(prometheus::BuildCounter(), registry,
                               "vigie_rule_group_iterations_total",
                               "Evaluations of the group that were due, "
                               "whether they took place or not.")),
        missed_(Registered(prometheus::BuildCounter(), registry,
                           "vigie_rule_group_iterations_missed_total",
                           "Evaluations of the group left out because the one "
                           "before took too long or no thread was free.")),
        duration_(Registered(prometheus::BuildHistogram(), registry,
                             "vigie_rule_group_duration_seconds",
                             "How long evaluations of the group took.")),
        last_duration_(Registered(prometheus::BuildGauge(), registry,
                                  "vigie_rule_group_last_duration_seconds",
                                  "How long the last evaluation took.")),
        last_evaluation_(
            Registered(prometheus::BuildGauge(), registry,
                       "vigie_rule_group_last_evaluation_timestamp_seconds",
                       "When the last evaluation began.")),
        interval_(Registered(prometheus::BuildGauge(), registry,
                             "vigie_rule_group_interval_seconds",
                             "The interval of the group.")) {}

  GroupMetrics Add(const GroupKey& key) {
    const prometheus::Labels labels = {
        {"rule_group", key.first + ";" + key.second}};
    return {&evaluations_.Add(labels),
            &failures_.Add(labels),
            &iterations_.Add(labels),
            &missed_.Add(labels),
            &duration_.Add(labels,
                           prometheus::Histogram::BucketBoundaries{
                               0.001, 0.01, 0.1, 1, 10, 60}),
            &last_duration_.Add(labels),
            &last_evaluation_.Add(labels),
            &interval_.Add(labels)};
  }
  void Remove(const GroupMetrics& metrics) {
    evaluations_.Remove(metrics.evaluations);
    failures_.Remove(metrics.failures);
    iterations_.Remove(metrics.iterations);
    missed_.Remove(metrics.missed);
    duration_.Remove(metrics.duration);
    last_duration_.Remove(metrics.last_duration);
    last_evaluation_.Remove(metrics.last_evaluation);
    interval_.Remove(metrics.interval);
  }

 private:
  prometheus::Family<prometheus::Counter>& evaluations_;
  prometheus::Family<prometheus::Counter>& failures_;
  prometheus::Family<prometheus::Counter>& iterations_;
  prometheus::Family<prometheus::Counter>& missed_;
  prometheus::Family<prometheus::Histogram>& duration_;
  prometheus::Family<prometheus::Gauge>& last_duration_;
  prometheus::Family<prometheus::Gauge>& last_evaluation_;
  prometheus::Family<prometheus::Gauge>& interval_;
};

// One group and its place in the schedule. The runner's mutex guards it, the
// group itself excepted, which belongs to whoever has set `busy`.
struct Entry {
  GroupKey key;
  RuleGroupSpec spec;
  int64_t interval_ms = 0;
  std::shared_ptr<RuleGroup> group;
  GroupMetrics metrics{};
  RuleGroupTotals counted;
  bool leaves = false;  // it is gone from the configuration, not yet retired
  bool busy = false;
  int64_t next_ms = 0;  // the evaluation that is due
  int64_t last_ms = 0;  // the one before; 0: none
  int64_t due_ns = 0;
};
using EntryPtr = std::shared_ptr<Entry>;

}  // namespace

struct RuleRunner::Impl {
  Impl(const RuleContext& shared, const Clock& given,
       prometheus::Registry& registry)
      : context(shared),
        clock(given),
        metrics(registry),
        failure_log(given, absl::Seconds(10)) {}

  ~Impl() { Stop(); }

  // --- schedule ---

  void Schedule(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const int64_t interval = entry->interval_ms;
    const int64_t now_ms = clock.NowMs();
    // The slot that ended the last evaluation, or has begun now, is over.
    const int64_t base_ms = entry->last_ms == 0 ? now_ms : entry->last_ms;
    const int64_t offset = OffsetMs(entry->key, interval);
    entry->next_ms = GridAtOrBefore(base_ms, interval, offset) + interval;
    if (entry->next_ms > now_ms + interval) {  // the wall clock went back
      entry->next_ms = GridAtOrBefore(now_ms, interval, offset) + interval;
    }
    entry->due_ns = clock.MonotonicNs() + (entry->next_ms - now_ms) * 1'000'000;
    const auto at = due.emplace(entry->due_ns, entry);
    if (at == due.begin()) Wake();
  }

  void Unschedule(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto [from, to] = due.equal_range(entry->due_ns);
    const auto at = std::find_if(
        from, to, [&](const auto& pair) { return pair.second == entry; });
    if (at != to) due.erase(at);
  }

  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::stop_source sleeping;
    std::swap(wake, sleeping);
    sleeping.request_stop();
  }

  void RunWorker() {
    mutex.Lock();
    while (!stopping) {
      const int64_t now_ns = clock.MonotonicNs();
      if (due.empty() || due.begin()->first > now_ns) {
        const int64_t until_ns =
            due.empty() ? now_ns + kIdleSleepNs : due.begin()->first;
        const std::stop_token token = wake.get_token();
        mutex.Unlock();
        clock.SleepUntil(until_ns, token);
        mutex.Lock();
        continue;
      }
      const EntryPtr entry = std::move(due.begin()->second);
      due.erase(due.begin());
      entry->busy = true;
      mutex.Unlock();
      const bool stays = Run(entry);
      mutex.Lock();
      entry->busy = false;
      if (!stays) {
        leaving.erase(entry->key);
      } else if (!stopping) {
        Schedule(entry);
      }
      idle.NotifyAll();
    }
    mutex.Unlock();
  }

  // False once a group that leaves has left.
  bool Run(const EntryPtr& entry) {
    const int64_t now_ms = clock.NowMs();
    const int64_t interval = entry->interval_ms;
    const int64_t slot_ms =
        GridAtOrBefore(now_ms + std::min(kEarlyMaxMs, interval / 10), interval,
                       OffsetMs(entry->key, interval));
    if (entry->leaves) return !Retire(entry, now_ms);
    if (slot_ms == entry->last_ms) return true;
    int64_t missed = 0;
    if (slot_ms > entry->next_ms)
      missed = (slot_ms - entry->next_ms) / interval;
    const int64_t began_ns = clock.MonotonicNs();
    const absl::Status status =
        entry->group->Evaluate(slot_ms, stop.get_token());
    if (stop.stop_requested()) return true;
    entry->last_ms = slot_ms;
    const double seconds =
        static_cast<double>(clock.MonotonicNs() - began_ns) / 1e9;
    const RuleGroupTotals totals = entry->group->totals();
    const GroupMetrics& of = entry->metrics;
    of.evaluations->Increment(
        static_cast<double>(totals.evaluations - entry->counted.evaluations));
    of.failures->Increment(
        static_cast<double>(totals.failures - entry->counted.failures));
    entry->counted = totals;
    of.iterations->Increment(static_cast<double>(missed + 1));
    of.missed->Increment(static_cast<double>(missed));
    of.duration->Observe(seconds);
    of.last_duration->Set(seconds);
    of.last_evaluation->Set(static_cast<double>(now_ms) / 1e3);
    if (!status.ok()) Warn(entry->key, status);
    return true;
  }

  void Warn(const GroupKey& key, const absl::Status& status) {
    if (uint64_t held; failure_log.Pass(&held)) {
      spdlog::warn("rules: {};{}: {} ({} similar lines left out)", key.first,
                   key.second, MessageOf(status), held);
    }
  }

  bool Retire(const EntryPtr& entry, int64_t now_ms) {
    const absl::Status status = entry->group->Retire(now_ms);
    if (!status.ok()) Warn(entry->key, status);
    return status.ok();
  }

  // --- configuration ---

  RuleContext ContextNow() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(applying) {
    return {.engine = context.engine,
            .appender = context.appender,
            .records = context.records,
            .sink = context.sink,
            .external_labels = external_labels,
            .external_url = external_url,
            .clock = &clock};
  }

  // Takes the entry out of the schedule once nobody is at work on it; it
  // belongs to the caller until he schedules it.
  void Hold(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    while (entry->busy) idle.Wait(mutex);
    Unschedule(entry);
    entry->busy = true;
  }

  // The entry of that key, in the configuration or on its way out; held.
  EntryPtr HoldIfThere(const GroupKey& key) {
    MutexLock lock(mutex);
    for (auto* map : {&entries, &leaving}) {
      // It may leave for good while we wait for it.
      for (auto it = map->find(key); it != map->end(); it = map->find(key)) {
        const EntryPtr entry = it->second;
        Hold(entry);
        if (map->contains(key)) return entry;
        entry->busy = false;
      }
    }
    return nullptr;
  }

  absl::Status Start(RuleGroupSpec spec, int64_t interval_ms, bool changed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(applying) {
    const GroupKey key = {spec.file, spec.name};
    {
      MutexLock lock(mutex);
      const auto found = entries.find(key);
      if (!changed && found != entries.end() && found->second->spec == spec &&
          found->second->interval_ms == interval_ms) {
        return absl::OkStatus();
      }
    }
    absl::Status status;
    auto group = std::make_shared<RuleGroup>(spec, interval_ms, ContextNow());
    EntryPtr entry = HoldIfThere(key);
    if (entry == nullptr) {
      status = group->Restore(clock.NowMs());
      entry = std::make_shared<Entry>();
      entry->key = key;
      entry->leaves = true;
      entry->busy = true;
    } else {
      group->TakeOver(*entry->group);
    }
    if (entry->leaves) entry->metrics = metrics.Add(key);
    entry->metrics.interval->Set(static_cast<double>(interval_ms) / 1e3);
    MutexLock lock(mutex);
    leaving.erase(key);
    entry->leaves = false;
    // Status readers may hold the old one for a moment.
    entry->group = std::move(group);
    entry->counted = {};
    entry->spec = std::move(spec);
    if (entry->interval_ms != interval_ms) entry->last_ms = 0;
    entry->interval_ms = interval_ms;
    entry->busy = false;
    entries[key] = entry;
    Schedule(entry);
    return status;
  }

  void End(const GroupKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(applying) {
    const EntryPtr entry = HoldIfThere(key);
    if (entry == nullptr) return;
    metrics.Remove(entry->metrics);
    {
      MutexLock lock(mutex);
      entries.erase(key);
    }
    EndGroup(entry);
  }

  // At once, or as soon as store and sink take it.
  void EndGroup(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(applying) {
    entry->leaves = true;
    const bool gone = Retire(entry, clock.NowMs());
    MutexLock lock(mutex);
    entry->busy = false;
    if (gone) return;
    leaving[entry->key] = entry;
    Schedule(entry);
  }

  // What an earlier process knew of groups that are gone since.
  absl::Status EndOrphans(const std::set<GroupKey>& wanted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(applying) {
    if (context.records == nullptr) return absl::OkStatus();
    std::set<GroupKey> orphans;
    absl::Status first;
    VIGIE_RETURN_IF_ERROR(context.records->Scan(
        Tenant{}, kAlertStateTable, "", "",
        [&](std::string_view bytes, std::string_view) {
          const auto key = DecodeAlertKey(bytes);
          if (!key.ok()) {
            first.Update(key.status());
          } else if (!wanted.contains({key->file, key->group})) {
            orphans.emplace(key->file, key->group);
          }
          return true;
        }));
    for (const GroupKey& key : orphans) {
      auto entry = std::make_shared<Entry>();
      entry->key = key;
      entry->interval_ms = kOrphanIntervalMs;
      entry->busy = true;
      RuleGroupSpec spec;
      spec.file = key.first;
      spec.name = key.second;
      entry->group = std::make_shared<RuleGroup>(
          std::move(spec), kOrphanIntervalMs, ContextNow());
      first.Update(entry->group->Restore(clock.NowMs()));
      EndGroup(entry);
    }
    return first;
  }

  absl::Status Apply(std::vector<RuleGroupSpec> groups,
                     const RuleRunnerOptions& options,
                     std::vector<std::pair<std::string, std::string>> labels,
                     std::string url) {
    MutexLock apply(applying);
    const bool changed = labels != external_labels || url != external_url;
    external_labels = std::move(labels);
    external_url = std::move(url);
    std::set<GroupKey> wanted;
    for (const RuleGroupSpec& spec : groups)
      wanted.emplace(spec.file, spec.name);
    std::vector<GroupKey> gone;
    {
      MutexLock lock(mutex);
      if (stopping) return absl::UnavailableError("rules: stopped");
      for (const auto& [key, entry] : entries) {
        if (!wanted.contains(key)) gone.push_back(key);
      }
    }
    for (const GroupKey& key : gone) End(key);
    absl::Status first;
    if (!orphans_ended) first = EndOrphans(wanted);
    orphans_ended = true;
    for (RuleGroupSpec& spec : groups) {
      const int64_t interval_ms =
          spec.interval_ms > 0
              ? spec.interval_ms
              : std::max<int64_t>(options.evaluation_interval_ms, 1);
      first.Update(Start(std::move(spec), interval_ms, changed));
    }
    MutexLock lock(mutex);
    while (!stopping && static_cast<int>(threads.size()) < options.threads) {
      threads.emplace_back([this] { RunWorker(); });
    }
    return first;
  }

  void Stop() {
    std::vector<std::thread> ending;
    {
      MutexLock lock(mutex);
      stopping = true;
      stop.request_stop();
      Wake();
      ending.swap(threads);
    }
    for (std::thread& thread : ending) thread.join();
  }

  std::vector<RuleGroupStatus> Groups() const {
    std::vector<std::shared_ptr<RuleGroup>> groups;
    {
      MutexLock lock(mutex);
      for (const auto& [key, entry] : entries) groups.push_back(entry->group);
    }
    std::vector<RuleGroupStatus> out;
    for (const auto& group : groups) out.push_back(group->Status());
    return out;
  }

  static constexpr int64_t kOrphanIntervalMs = 60'000;

  const RuleContext context;
  const Clock& clock;
  RuleMetrics metrics;
  LogRateLimiter failure_log;
  std::stop_source stop;  // ends evaluations under way

  Mutex applying;  // one Apply at a time; before `mutex`
  std::vector<std::pair<std::string, std::string>> external_labels
      ABSL_GUARDED_BY(applying);
  std::string external_url ABSL_GUARDED_BY(applying);
  bool orphans_ended ABSL_GUARDED_BY(applying) = false;

  mutable Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::map<GroupKey, EntryPtr> entries ABSL_GUARDED_BY(mutex);
  std::map<GroupKey, EntryPtr> leaving ABSL_GUARDED_BY(mutex);
  // Entries that nobody is busy with, by monotonic time.
  std::multimap<int64_t, EntryPtr> due ABSL_GUARDED_BY(mutex);
  CondVar idle;                                  // an entry is no longer busy
  std::stop_source wake ABSL_GUARDED_BY(mutex);  // ends sleeps
  std::vector<std::thread> threads ABSL_GUARDED_BY(mutex);
};

RuleRunner::RuleRunner(const RuleContext& context, const Clock& clock,
                       prometheus::Registry& registry)
    : impl_(std::make_unique<Impl>(context, clock, registry)) {}

RuleRunner::~RuleRunner() = default;

absl::Status RuleRunner::Apply(
    std::vector<RuleGroupSpec> groups, const RuleRunnerOptions& options,
    std::vector<std::pair<std::string, std::string>> external_labels,
    std::string external_url) {
  return impl_->Apply(std::move(groups), options, std::move(external_labels),
                      std::move(external_url));
}

void RuleRunner::Stop() { impl_->Stop(); }

std::vector<RuleGroupStatus> RuleRunner::Groups() const {
  return impl_->Groups();
}

}  // namespace vigie::alerting

#include "alerting/rule_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <set>
#include <tuple>

#include "alerting/alert_state.h"
#include "alerting/rule_evaluation.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

// How long nobody may have looked for a pending alert to go on.
constexpr int64_t kOutageToleranceMs = 3600'000;
// An alert that fires is told again this often, as in Prometheus.
constexpr int64_t kResendDelayMs = 60'000;

// The state of one rule. The group's mutex guards it.
struct RuleProgress {
  std::string id;
  std::string health = "unknown";
  std::string last_error = {};
  int64_t last_evaluation_ms = 0;
  int64_t evaluation_ns = 0;
  std::map<Labels, TrackedAlert> alerts = {};
  std::set<Labels> series = {};  // written at the last evaluation
};

// Alerts whose rule, or whose external labels, are gone: by the labels they
// were told with, until the sink knows that they have ended.
struct LeavingAlerts {
  std::map<Labels, TrackedAlert> alerts;
  std::vector<std::string> obsolete_keys;  // of records they had before
};

std::future<store::AppendOutcome> Submit(store::Appender& appender,
                                         store::AppendBatch batch) {
  auto promise = std::make_shared<std::promise<store::AppendOutcome>>();
  auto future = promise->get_future();
  appender.Append(std::move(batch), [promise](store::AppendOutcome outcome) {
    promise->set_value(std::move(outcome));
  });
  return future;
}

void AddFloat(const Labels& labels, Sample sample, store::AppendBatch* batch) {
  const auto series = static_cast<uint32_t>(batch->series.size());
  batch->series.push_back({labels, {}});
  batch->floats.push_back({.series = series, .sample = sample});
}

}  // namespace

struct RuleGroup::Impl {
  Impl(RuleGroupSpec spec_given, int64_t interval, const RuleContext& shared)
      : spec(std::move(spec_given)), interval_ms(interval), context(shared) {
    std::map<std::string, uint64_t> ordinals;
    for (const RuleSpec& rule : spec.rules) {
      const uint64_t ordinal = ordinals[RuleId(rule, 0)]++;
      progress.push_back({.id = RuleId(rule, ordinal)});
      urls.push_back(GeneratorUrl(context, rule));
    }
  }

  int64_t NowNs() const {
    return context.clock == nullptr ? 0 : context.clock->MonotonicNs();
  }
  int64_t SampleTime(int64_t time_ms) const {
    return time_ms - spec.query_offset_ms.value_or(0);
  }
  bool heard() const { return context.sink != nullptr; }

  std::string RecordKey(std::string rule_id, Labels labels) const {
    return EncodeAlertKey(
        {spec.file, spec.name, std::move(rule_id), std::move(labels)});
  }

  // --- what is durable ---

  // Adds what differs from the records.
  void AddChanges(const std::string& rule_id,
                  const std::map<Labels, TrackedAlert>& alerts,
                  store::RecordBatch* batch) const {
    for (const auto& [labels, alert] : alerts) {
      if (alert.durable()) continue;
      const std::string key = RecordKey(rule_id, labels);
      if (alert.gone) {
        batch->Delete(tenant, kAlertStateTable, key);
      } else {
        batch->Put(tenant, kAlertStateTable, key, EncodeAlertRecord(alert));
      }
    }
  }

  static void NoteStored(std::map<Labels, TrackedAlert>* alerts) {
    for (auto it = alerts->begin(); it != alerts->end();) {
      TrackedAlert& alert = it->second;
      if (alert.gone) {
        it = alerts->erase(it);
      } else {
        alert.stored = alert.times;
        ++it;
      }
    }
  }

  // Without records everything counts as durable.
  absl::Status Write(const store::RecordBatch& batch) const {
    if (context.records == nullptr || batch.changes().empty()) {
      return absl::OkStatus();
    }
    return context.records->Write(batch);
  }

  absl::Status PersistRule(size_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    store::RecordBatch batch;
    {
      MutexLock lock(mutex);
      AddChanges(progress[i].id, progress[i].alerts, &batch);
    }
    VIGIE_RETURN_IF_ERROR(Write(batch));
    MutexLock lock(mutex);
    NoteStored(&progress[i].alerts);
    return absl::OkStatus();
  }

  absl::Status PersistLeaving() ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    store::RecordBatch batch;
    {
      MutexLock lock(mutex);
      for (const std::string& key : leaving.obsolete_keys) {
        batch.Delete(tenant, kAlertStateTable, key);
      }
      AddChanges(NoRuleId(), leaving.alerts, &batch);
    }
    VIGIE_RETURN_IF_ERROR(Write(batch));
    MutexLock lock(mutex);
    leaving.obsolete_keys.clear();
    NoteStored(&leaving.alerts);
    return absl::OkStatus();
  }

  // --- samples ---

  // Writes the samples, marks those series as stale that a rule gave before
  // and gives no more, and waits until all is visible. The two batches share
  // a sync; they are apart because another rule may go on with a series, and
  // then it is no fault that the mark is refused.
  absl::Status WriteSamples(store::AppendBatch samples,
                            std::vector<Labels> ended, int64_t time_ms,
                            bool* marked) const {
    *marked = true;
    std::future<store::AppendOutcome> written, stale;
    if (!samples.series.empty()) {
      samples.group = spec.file + ";" + spec.name;
      written = Submit(context.appender, std::move(samples));
    }
    if (!ended.empty()) {
      store::AppendBatch marks;
      marks.group = spec.file + ";" + spec.name;
      for (const Labels& labels : ended) {
        AddFloat(labels, {time_ms, StaleMarker()}, &marks);
      }
      stale = Submit(context.appender, std::move(marks));
    }
    absl::Status status;
    if (stale.valid()) {
      const store::AppendOutcome outcome = stale.get();
      *marked = outcome.status.ok();
      status = outcome.status;
    }
    if (written.valid()) {
      const store::AppendOutcome outcome = written.get();
      status.Update(outcome.status);
      for (const store::Refusal& refusal : outcome.refusals) {
        status.Update(absl::Status(
            store::RefusalCode(refusal.reason),
            fmt::format("{} samples refused: {}: {}", refusal.count,
                        store::RefusalName(refusal.reason), refusal.example)));
      }
      if (!outcome.status.ok()) *marked = false;
    }
    return status;
  }

  // As WriteSamples, for the rule that gave them.
  absl::Status WriteRule(size_t i, store::AppendBatch samples, int64_t time_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    std::set<Labels> series;
    for (const store::BatchSeries& one : samples.series) {
      series.insert(one.labels);
    }
    std::vector<Labels> ended;
    {
      MutexLock lock(mutex);
      std::set_difference(progress[i].series.begin(), progress[i].series.end(),
                          series.begin(), series.end(),
                          std::back_inserter(ended));
    }
    bool marked;
    const absl::Status status =
        WriteSamples(std::move(samples), ended, time_ms, &marked);
    MutexLock lock(mutex);
    if (marked) progress[i].series.clear();
    progress[i].series.merge(series);
    return status;
  }

  // The series of rules that are gone, unless another rule goes on with them.
  absl::Status EndStaleSeries(int64_t time_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    std::vector<Labels> ended;
    {
      MutexLock lock(mutex);
      for (const Labels& labels : stale_series) {
        const bool goes_on = std::any_of(progress.begin(), progress.end(),
                                         [&](const RuleProgress& rule) {
                                           return rule.series.contains(labels);
                                         });
        if (!goes_on) ended.push_back(labels);
      }
    }
    bool marked;
    VIGIE_RETURN_IF_ERROR(WriteSamples({}, std::move(ended), time_ms, &marked));
    MutexLock lock(mutex);
    stale_series.clear();
    return absl::OkStatus();
  }

  // --- one evaluation ---

  absl::Status EvaluateRecording(size_t i, query::Vector vector,
                                 int64_t sample_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    VIGIE_ASSIGN_OR_RETURN(
        const query::Vector samples,
        RecordedSamples(spec.rules[i], std::move(vector), spec.limit));
    store::AppendBatch batch;
    for (const query::VectorElement& element : samples) {
      if (element.histogram.empty()) {
        AddFloat(element.labels, {sample_ms, element.sample.value}, &batch);
        continue;
      }
      const auto series = static_cast<uint32_t>(batch.series.size());
      batch.series.push_back({element.labels, {}});
      batch.float_histograms.push_back({.series = series,
                                        .time_ms = sample_ms,
                                        .histogram = element.histogram[0]});
    }
    return WriteRule(i, std::move(batch), sample_ms);
  }

  // The state as of now, in memory. Gives the samples that say so.
  absl::StatusOr<store::AppendBatch> AdvanceRule(size_t i,
                                                 AlertElements elements,
                                                 int64_t time_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    const RuleSpec& rule = spec.rules[i];
    const int64_t sample_ms = SampleTime(time_ms);
    store::AppendBatch batch;
    int64_t active = 0;
    MutexLock lock(mutex);
    std::map<Labels, TrackedAlert>& alerts = progress[i].alerts;
    for (auto& [labels, element] : elements) {
      TrackedAlert& alert =
          alerts.try_emplace(labels, TrackedAlert{.gone = true}).first->second;
      Begin(time_ms, &alert);
      alert.value = element.value;
      alert.annotations = std::move(element.annotations);
      alert.told_labels = WithExternalLabels(context, labels);
      alert.generator_url = urls[i];
    }
    for (auto& [labels, alert] : alerts) {
      if (alert.gone) continue;
      if (!Advance(elements.contains(labels), time_ms, rule, heard(), &alert)) {
        continue;
      }
      ++active;
      AddFloat(StateSeries(labels, alert.times.state), {sample_ms, 1}, &batch);
      // Whole seconds, as in Prometheus.
      AddFloat(
          ForStateSeries(labels),
          {sample_ms, static_cast<double>(alert.times.active_at_ms / 1000)},
          &batch);
    }
    if (spec.limit <= 0 || active <= spec.limit) return batch;
    // What was there before ends; what this evaluation found never was.
    for (auto& [labels, alert] : alerts) {
      if (!alert.stored.has_value()) alert.gone = true;
      if (alert.gone) continue;
      alert.times = *alert.stored;
      End(time_ms, heard(), &alert);
    }
    return absl::FailedPreconditionError(
        fmt::format("exceeded limit of {} with {} alerts", spec.limit, active));
  }

  absl::Status EvaluateAlerting(size_t i, const query::Vector& vector,
                                int64_t time_ms, const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    VIGIE_ASSIGN_OR_RETURN(
        AlertElements elements,
        ExpandAlerts(context, templates, spec.rules[i], vector, time_ms, stop));
    // A template that was cut short would make another alert.
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    absl::StatusOr<store::AppendBatch> batch =
        AdvanceRule(i, std::move(elements), time_ms);
    // Nothing may rest on a state that a crash could take back.
    VIGIE_RETURN_IF_ERROR(PersistRule(i));
    VIGIE_RETURN_IF_ERROR(batch.status());
    return WriteRule(i, *std::move(batch), SampleTime(time_ms));
  }

  absl::Status EvaluateRule(size_t i, int64_t time_ms,
                            const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    const int64_t sample_ms = SampleTime(time_ms);
    VIGIE_ASSIGN_OR_RETURN(
        query::Vector vector,
        RunExpression(context, spec.rules[i].expr, sample_ms, stop));
    if (spec.rules[i].kind == RuleSpec::Kind::kRecording) {
      return EvaluateRecording(i, std::move(vector), sample_ms);
    }
    return EvaluateAlerting(i, vector, time_ms, stop);
  }

  absl::Status RunRule(size_t i, int64_t time_ms, const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    const int64_t began_ns = NowNs();
    const int64_t began_ms =
        context.clock == nullptr ? time_ms : context.clock->NowMs();
    const absl::Status status = EvaluateRule(i, time_ms, stop);
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    MutexLock lock(mutex);
    RuleProgress& rule = progress[i];
    rule.health = status.ok() ? "ok" : "err";
    rule.last_error = std::string(MessageOf(status));
    rule.last_evaluation_ms = began_ms;
    rule.evaluation_ns = NowNs() - began_ns;
    ++totals.evaluations;
    if (!status.ok()) ++totals.failures;
    return status.ok() ? status : Prefixed(spec.rules[i].name, status);
  }

  absl::Status Evaluate(int64_t time_ms, const std::stop_token& stop) {
    MutexLock evaluation(evaluating);
    const int64_t began_ns = NowNs();
    const int64_t began_ms =
        context.clock == nullptr ? time_ms : context.clock->NowMs();
    absl::Status first = EndLeaving(time_ms);
    for (size_t i = 0; i < spec.rules.size(); ++i) {
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      first.Update(RunRule(i, time_ms, stop));
    }
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    first.Update(EndStaleSeries(SampleTime(time_ms)));
    first.Update(Tell(time_ms));
    MutexLock lock(mutex);
    last_evaluation_ms = began_ms;
    last_time_ms = time_ms;
    evaluation_ns = NowNs() - began_ns;
    return first;
  }

  // --- telling ---

  bool Due(const TrackedAlert& alert, int64_t time_ms) const {
    if (alert.gone || !alert.durable() || !alert.times.has_word()) return false;
    if (alert.unheard()) return true;
    return alert.times.state == AlertState::kFiring &&
           alert.told_at_ms + kResendDelayMs < time_ms;
  }

  // Runs `visit` on alerts of leaving ones first, then of the rules: where
  // both have the same labels the rule has the last word.
  template <class Visit>
  void ForEachAlert(const Visit& visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (auto& [labels, alert] : leaving.alerts) visit(alert);
    for (RuleProgress& rule : progress) {
      for (auto& [labels, alert] : rule.alerts) visit(alert);
    }
  }

  absl::Status Tell(int64_t time_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    if (!heard()) return absl::OkStatus();
    std::map<Labels, Alert> due;
    {
      MutexLock lock(mutex);
      ForEachAlert([&](const TrackedAlert& alert) {
        if (!Due(alert, time_ms)) return;
        due.insert_or_assign(alert.told_labels,
                             Alert{.labels = alert.told_labels,
                                   .annotations = alert.annotations,
                                   .starts_at_ms = alert.times.fired_at_ms,
                                   .ends_at_ms = alert.times.resolved_at_ms,
                                   .generator_url = alert.generator_url});
      });
    }
    if (due.empty()) return absl::OkStatus();
    std::vector<Alert> alerts;
    for (auto& [labels, alert] : due) alerts.push_back(std::move(alert));
    VIGIE_RETURN_IF_ERROR(context.sink->Take(alerts));
    MutexLock lock(mutex);
    ForEachAlert([&](TrackedAlert& alert) {
      if (!Due(alert, time_ms)) return;
      alert.told = alert.times;
      alert.told_at_ms = time_ms;
    });
    return absl::OkStatus();
  }

  // --- what is gone ---

  // Lets go of an alert that has no rule any more, under the labels it was
  // told with. What nobody was told of is forgotten.
  void Leave(std::string key, TrackedAlert alert)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (alert.stored.has_value()) {
      leaving.obsolete_keys.push_back(std::move(key));
    }
    if (!heard() || alert.gone) return;
    if (alert.times.state != AlertState::kFiring && !alert.unheard()) return;
    // It fires until the next evaluation says when it ended.
    alert.stored.reset();
    leaving.alerts.insert_or_assign(alert.told_labels, std::move(alert));
  }

  // Takes an alert of a rule that stays.
  void Adopt(size_t i, const Labels& labels, TrackedAlert alert)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Labels told_labels = WithExternalLabels(context, labels);
    if (alert.times.has_word() && told_labels != alert.told_labels) {
      // To those outside, another alert: the one they know ends.
      TrackedAlert old = alert;
      old.stored.reset();
      Leave("", std::move(old));
      alert.told.reset();
      if (alert.times.state != AlertState::kFiring) {
        alert.times.fired_at_ms = alert.times.resolved_at_ms = 0;
        alert.gone = alert.times.state == AlertState::kInactive;
      }
    }
    alert.told_labels = std::move(told_labels);
    alert.generator_url = urls[i];
    progress[i].alerts.insert_or_assign(labels, std::move(alert));
  }

  // At the beginning of an evaluation: those that leave end now; those whose
  // end is known go.
  absl::Status EndLeaving(int64_t time_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    {
      MutexLock lock(mutex);
      if (leaving.alerts.empty() && leaving.obsolete_keys.empty()) {
        return absl::OkStatus();
      }
      for (auto& [labels, alert] : leaving.alerts) {
        End(time_ms, true, &alert);
        if (!heard() || !alert.unheard()) alert.gone = true;
      }
    }
    return PersistLeaving();
  }

  absl::Status Retire(int64_t time_ms) {
    MutexLock evaluation(evaluating);
    int64_t sample_ms;
    {
      MutexLock lock(mutex);
      for (RuleProgress& rule : progress) {
        for (auto& [labels, alert] : rule.alerts) {
          Leave(RecordKey(rule.id, labels), std::move(alert));
        }
        rule.alerts.clear();
        stale_series.merge(rule.series);
        rule.series.clear();
      }
      sample_ms = SampleTime(std::max(time_ms, last_time_ms + 1));
    }
    VIGIE_RETURN_IF_ERROR(EndLeaving(time_ms));
    absl::Status first = EndStaleSeries(sample_ms);
    first.Update(Tell(time_ms));
    first.Update(EndLeaving(time_ms));
    return first;
  }

  // --- taking over ---

  void TakeOver(Impl& from) {
    MutexLock evaluation(evaluating);
    MutexLock others(from.evaluating);
    MutexLock lock(mutex);
    MutexLock others_state(from.mutex);
    std::map<std::string, size_t> by_id;
    for (size_t i = 0; i < progress.size(); ++i) by_id[progress[i].id] = i;
    for (auto& [labels, alert] : from.leaving.alerts) {
      leaving.alerts.insert_or_assign(labels, std::move(alert));
    }
    leaving.obsolete_keys = std::move(from.leaving.obsolete_keys);
    stale_series = std::move(from.stale_series);
    for (RuleProgress& old : from.progress) {
      const RuleSpec& old_spec =
          from.spec.rules[static_cast<size_t>(&old - from.progress.data())];
      const auto found = by_id.find(old.id);
      if (found == by_id.end() ||
          spec.rules[found->second].kind != old_spec.kind) {
        for (auto& [labels, alert] : old.alerts) {
          Leave(RecordKey(old.id, labels), std::move(alert));
        }
        stale_series.merge(old.series);
      } else {
        RuleProgress& rule = progress[found->second];
        rule.series = std::move(old.series);
        for (auto& [labels, alert] : old.alerts) {
          Adopt(found->second, labels, std::move(alert));
        }
        if (spec.rules[found->second].expr == old_spec.expr) {
          rule.health = old.health;
          rule.last_error = old.last_error;
          rule.last_evaluation_ms = old.last_evaluation_ms;
          rule.evaluation_ns = old.evaluation_ns;
        }
      }
      old.alerts.clear();
      old.series.clear();
    }
    last_evaluation_ms = from.last_evaluation_ms;
    last_time_ms = from.last_time_ms;
    evaluation_ns = from.evaluation_ns;
    from.leaving = {};
    from.stale_series.clear();
  }

  absl::Status Restore(int64_t now_ms) {
    if (context.records == nullptr) return absl::OkStatus();
    MutexLock evaluation(evaluating);
    absl::Status first;
    const std::string prefix = GroupKeyPrefix(spec.file, spec.name);
    std::vector<std::pair<AlertKey, TrackedAlert>> found;
    VIGIE_RETURN_IF_ERROR(context.records->Scan(
        tenant, kAlertStateTable, prefix, AfterPrefix(prefix),
        [&](std::string_view bytes, std::string_view record) {
          auto key = DecodeAlertKey(bytes);
          auto alert = DecodeAlertRecord(record);
          absl::Status status = key.status();
          status.Update(alert.status());
          if (status.ok()) {
            found.emplace_back(*std::move(key), *std::move(alert));
          } else {
            first.Update(Prefixed(
                fmt::format("alert state of {};{}{}", spec.file, spec.name,
                            key.ok() ? key->labels.ToString() : ""),
                status));
          }
          return true;
        }));
    {
      MutexLock lock(mutex);
      for (auto& [key, alert] : found) TakeRecord(key, std::move(alert));
    }
    for (size_t i = 0; i < spec.rules.size(); ++i) BeginAnew(i, now_ms);
    return first;
  }

  // The series that the process before may have left, to be marked as stale.
  // Which of them it wrote last cannot be known: it may have died before.
  static std::set<Labels> SeriesBefore(const Labels& alert,
                                       const AlertTimes& times) {
    std::set<Labels> series = {ForStateSeries(alert)};
    if (times.state == AlertState::kPending ||
        times.fired_at_ms != times.active_at_ms) {
      series.insert(StateSeries(alert, AlertState::kPending));
    }
    if (times.has_word()) {
      series.insert(StateSeries(alert, AlertState::kFiring));
    }
    return series;
  }

  void TakeRecord(const AlertKey& key, TrackedAlert alert)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (key.rule_id == NoRuleId()) {
      leaving.alerts.insert_or_assign(key.labels, std::move(alert));
      return;
    }
    const auto rule = std::find_if(
        progress.begin(), progress.end(),
        [&](const RuleProgress& one) { return one.id == key.rule_id; });
    const auto i = static_cast<size_t>(rule - progress.begin());
    std::set<Labels> series = SeriesBefore(key.labels, alert.times);
    if (rule == progress.end() ||
        spec.rules[i].kind != RuleSpec::Kind::kAlerting) {
      Leave(EncodeAlertKey(key), std::move(alert));
      stale_series.merge(series);
      return;
    }
    rule->series.merge(series);
    Adopt(i, key.labels, std::move(alert));
  }

  // Pending alerts that nobody could see for too long begin anew.
  void BeginAnew(size_t i, int64_t now_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evaluating) {
    const int64_t oldest_ms = now_ms - kOutageToleranceMs - interval_ms;
    std::set<Labels> doubtful;
    {
      MutexLock lock(mutex);
      for (const auto& [labels, alert] : progress[i].alerts) {
        if (alert.times.state == AlertState::kPending &&
            alert.times.active_at_ms < oldest_ms) {
          doubtful.insert(labels);
        }
      }
    }
    if (doubtful.empty()) return;
    // Each evaluation left a sample, so the store knows when the last one was.
    query::InstantQuery query;
    query.query = fmt::format("timestamp(ALERTS_FOR_STATE{{alertname={}}})",
                              Quoted(spec.rules[i].name));
    query.time_ms = now_ms;
    query.lookback_ms = now_ms - SampleTime(oldest_ms);
    const auto seen = context.engine.Run(query);
    // Rather too early than too late, if it cannot be told.
    if (!seen.ok()) return;
    if (const auto* vector = std::get_if<query::Vector>(&seen->value)) {
      for (const auto& element : *vector) doubtful.erase(element.labels);
    }
    MutexLock lock(mutex);
    for (const Labels& labels : doubtful) {
      End(now_ms, heard(), &progress[i].alerts.at(labels));
    }
  }

  RuleGroupStatus Status() const {
    MutexLock lock(mutex);
    RuleGroupStatus out{.spec = spec,
                        .interval_ms = interval_ms,
                        .last_evaluation_ms = last_evaluation_ms,
                        .evaluation_ns = evaluation_ns,
                        .rules = {}};
    for (size_t i = 0; i < progress.size(); ++i) {
      const RuleProgress& rule = progress[i];
      RuleStatus status{.spec = spec.rules[i],
                        .health = rule.health,
                        .last_error = rule.last_error,
                        .last_evaluation_ms = rule.last_evaluation_ms,
                        .evaluation_ns = rule.evaluation_ns,
                        .alerts = {}};
      for (const auto& [labels, alert] : rule.alerts) {
        const AlertTimes& times = alert.times;
        if (alert.gone || times.state == AlertState::kInactive) continue;
        status.state = std::max(status.state, times.state);
        const bool firing = times.state == AlertState::kFiring;
        status.alerts.push_back(
            {.state = times.state,
             .labels = labels,
             .annotations = alert.annotations,
             .value = alert.value,
             .active_at_ms = times.active_at_ms,
             .fired_at_ms = firing ? times.fired_at_ms : 0,
             .keep_firing_since_ms = times.keep_firing_since_ms});
      }
      out.rules.push_back(std::move(status));
    }
    return out;
  }

  const RuleGroupSpec spec;
  const int64_t interval_ms;
  const RuleContext context;
  const Tenant tenant;
  const TemplateSet templates{TemplateDialect::kRules};
  std::vector<std::string> urls;  // by rule

  Mutex evaluating;     // held through an evaluation; before `mutex`
  mutable Mutex mutex;  // never held across the store, the engine or the sink
  std::vector<RuleProgress> progress ABSL_GUARDED_BY(mutex);  // by rule
  LeavingAlerts leaving ABSL_GUARDED_BY(mutex);
  std::set<Labels> stale_series ABSL_GUARDED_BY(mutex);
  int64_t last_evaluation_ms ABSL_GUARDED_BY(mutex) = 0;
  int64_t last_time_ms ABSL_GUARDED_BY(mutex) = 0;
  int64_t evaluation_ns ABSL_GUARDED_BY(mutex) = 0;
  RuleGroupTotals totals ABSL_GUARDED_BY(mutex);
};

RuleGroup::RuleGroup(RuleGroupSpec spec, int64_t interval_ms,
                     const RuleContext& context)
    : impl_(std::make_unique<Impl>(std::move(spec), interval_ms, context)) {}

RuleGroup::~RuleGroup() = default;

absl::Status RuleGroup::Restore(int64_t now_ms) {
  return impl_->Restore(now_ms);
}

void RuleGroup::TakeOver(RuleGroup& from) { impl_->TakeOver(*from.impl_); }

absl::Status RuleGroup::Evaluate(int64_t time_ms, std::stop_token stop) {
  return impl_->Evaluate(time_ms, stop);
}

absl::Status RuleGroup::Retire(int64_t time_ms) {
  return impl_->Retire(time_ms);
}

RuleGroupStatus RuleGroup::Status() const { return impl_->Status(); }

RuleGroupTotals RuleGroup::totals() const {
  MutexLock lock(impl_->mutex);
  return impl_->totals;
}

}  // namespace vigie::alerting

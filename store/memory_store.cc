#include "store/memory_store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <condition_variable>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "base/mutex.h"
#include "base/status_macros.h"
#include "store/histogram_rules.h"
#include "store/label_rules.h"
#include "store/sample_changes.h"

namespace vigie::store {
namespace {

struct Point {
  std::variant<double, IntegerHistogram, FloatHistogram> value;
  int64_t start_ms = 0;
};
using SeriesKey = std::pair<Tenant, Labels>;
std::optional<HistogramFault> FaultOf(const Point& point) {
  switch (point.value.index()) {
    case 1:
      return FindHistogramFault(std::get<1>(point.value));
    case 2:
      return FindHistogramFault(std::get<2>(point.value));
    default:
      return std::nullopt;
  }
}
// What the delta increments of a series have come to.
struct DeltaState {
  int64_t start_ms = 0;  // of the first interval
  int64_t end_ms = 0;    // of the last
  double total = 0;
};
struct StoredSeries {
  uint64_t id = 0;
  std::map<int64_t, Point> points;
  std::vector<Exemplar> exemplars;
  std::optional<DeltaState> delta;
};
struct SelectedSeries {
  Labels labels;
  std::vector<std::pair<int64_t, Point>> points;
};

class Iterator final : public SampleIterator {
 public:
  explicit Iterator(const SelectedSeries& series) : series_(series) {}

  absl::StatusOr<bool> Next(SampleBatch* batch) override {
    *batch = {};
    const auto& points = series_.points;
    if (at_ == points.size()) return false;
    const size_t kind = points[at_].second.value.index();
    batch->kind = static_cast<SampleKind>(kind);
    bool starts = false;
    for (; at_ < points.size() && points[at_].second.value.index() == kind &&
           batch->times_ms.size() < kBatchSamplesMax;
         ++at_) {
      const auto& [time_ms, point] = points[at_];
      batch->times_ms.push_back(time_ms);
      batch->starts_ms.push_back(point.start_ms);
      starts = starts || point.start_ms != 0;
      if (kind == 0) {
        batch->values.push_back(std::get<0>(point.value));
      } else if (kind == 1) {
        batch->integer_histograms.push_back(std::get<1>(point.value));
      } else {
        batch->float_histograms.push_back(std::get<2>(point.value));
      }
    }
    if (!starts) batch->starts_ms.clear();
    return true;
  }

 private:
  const SelectedSeries& series_;
  size_t at_ = 0;
};

class Snapshot final : public SeriesSnapshot {
 public:
  explicit Snapshot(ByteAccount* account) : account_(account) {}
  ~Snapshot() override { account_->Release(charged_); }

  absl::Status Add(SelectedSeries series) {
    int64_t bytes = static_cast<int64_t>(series.labels.bytes().size()) + 64;
    for (const auto& [time_ms, point] : series.points) bytes += BytesOf(point);
    if (absl::Status status = account_->Charge(bytes); !status.ok()) {
      return status;
    }
    charged_ += bytes;
    series_.push_back(std::move(series));
    return absl::OkStatus();
  }

  size_t size() const override { return series_.size(); }
  const Labels& labels(size_t series) const override {
    return series_[series].labels;
  }
  std::unique_ptr<SampleIterator> Samples(size_t series) const override {
    return std::make_unique<Iterator>(series_[series]);
  }
  const std::vector<std::string>& warnings() const override {
    return warnings_;
  }

 private:
  template <class Histogram>
  static int64_t HistogramBytes(const Histogram& h) {
    return 128 + 8 * static_cast<int64_t>(
                         h.positive_spans.size() + h.negative_spans.size() +
                         h.positive_buckets.size() + h.negative_buckets.size() +
                         h.custom_values.size());
  }
  static int64_t BytesOf(const Point& point) {
    switch (point.value.index()) {
      case 0:
        return 16;
      case 1:
        return HistogramBytes(std::get<1>(point.value));
      default:
        return HistogramBytes(std::get<2>(point.value));
    }
  }

  ByteAccount* const account_;
  int64_t charged_ = 0;
  std::vector<SelectedSeries> series_;
  std::vector<std::string> warnings_;
};

// Bit equality: sums and float counts may be NaN.
uint64_t Bits(double value) { return std::bit_cast<uint64_t>(value); }
uint64_t Bits(uint64_t value) { return value; }
template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return Bits(x) == Bits(y); });
}
template <class Count>
bool SameBits(const BasicHistogram<Count>& a, const BasicHistogram<Count>& b) {
  return a.reset_hint == b.reset_hint && a.schema == b.schema &&
         Bits(a.zero_threshold) == Bits(b.zero_threshold) &&
         Bits(a.zero_count) == Bits(b.zero_count) &&
         Bits(a.count) == Bits(b.count) && Bits(a.sum) == Bits(b.sum) &&
         a.positive_spans == b.positive_spans &&
         a.negative_spans == b.negative_spans &&
         SameBits(a.positive_buckets, b.positive_buckets) &&
         SameBits(a.negative_buckets, b.negative_buckets) &&
         SameBits(a.custom_values, b.custom_values);
}
bool SamePoint(const Point& a, const Point& b) {
  if (a.value.index() != b.value.index()) return false;
  if (a.value.index() == 0) {
    return Bits(std::get<0>(a.value)) == Bits(std::get<0>(b.value));
  }
  return a.value.index() == 1
             ? SameBits(std::get<1>(a.value), std::get<1>(b.value))
             : SameBits(std::get<2>(a.value), std::get<2>(b.value));
}

void Refuse(RefusalReason reason, const std::string& example,
            AppendOutcome* outcome) {
  for (Refusal& refusal : outcome->refusals) {
    if (refusal.reason == reason) {
      ++refusal.count;
      return;
    }
  }
  outcome->refusals.push_back({reason, 1, example});
}

bool MatchesAny(const std::vector<std::vector<Matcher>>& selectors,
                const Labels& labels) {
  return selectors.empty() ||
         std::any_of(selectors.begin(), selectors.end(),
                     [&](const auto& s) { return MatchesAll(s, labels); });
}

NameList Limited(const std::set<std::string>& names, uint64_t limit) {
  NameList list{{names.begin(), names.end()}, false, {}};
  if (limit > 0 && list.names.size() > limit) {
    list.names.resize(limit);
    list.truncated = true;
  }
  return list;
}

std::vector<NamedCount> Largest(const std::map<std::string, uint64_t>& counts,
                                uint64_t limit) {
  std::vector<NamedCount> out;
  for (const auto& [name, count] : counts) out.push_back({name, count});
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.count > b.count;
  });
  if (limit > 0 && out.size() > limit) out.resize(limit);
  return out;
}

}  // namespace

struct MemoryStore::Impl {
  // A series of a batch: stored, or refused.
  struct Resolved {
    StoredSeries* stored = nullptr;
    const Labels* labels = nullptr;
    LabelFault fault;
  };

  Resolved Resolve(const AppendBatch& batch, uint32_t number)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const BatchSeries& series = batch.series[number];
    if (series.ref.id == 0) return ResolveLabels(batch.tenant, series.labels);
    auto it = by_id.find(series.ref.id);
    if (it != by_id.end() && it->second->first.first == batch.tenant) {
      return {&it->second->second, &it->second->first.second, {}};
    }
    if (batch.label_source != nullptr) {
      return ResolveLabels(batch.tenant, batch.label_source->LabelsOf(number));
    }
    return {nullptr,
            nullptr,
            {RefusalReason::kUnknownReference,
             "reference " + std::to_string(series.ref.id)}};
  }

  Resolved ResolveLabels(const Tenant& tenant, const Labels& labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (auto fault = FindLabelFault(labels)) {
      return {nullptr, nullptr, *std::move(fault)};
    }
    auto [it, added] = all.try_emplace({tenant, labels});
    if (added) {
      it->second.id = ++last_id;
      by_id[last_id] = it;
    }
    return {&it->second, &it->first.second, {}};
  }

  void Apply(const AppendBatch& batch, AppendOutcome* outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::vector<Resolved> resolved;
    ChangedMinutes changed;
    for (uint32_t i = 0; i < batch.series.size(); ++i) {
      const Resolved& one = resolved.emplace_back(Resolve(batch, i));
      outcome->refs.push_back({one.stored == nullptr ? 0 : one.stored->id});
    }

    // Null, and counted as refused, if the series is.
    const auto series_of = [&](uint32_t series) -> StoredSeries* {
      const Resolved& one = resolved.at(series);
      if (one.stored == nullptr) {
        Refuse(one.fault.reason, one.fault.message, outcome);
      }
      return one.stored;
    };
    const auto refuse = [&](uint32_t series, RefusalReason reason,
                            const std::string& why) {
      Refuse(reason, resolved[series].labels->ToString() + ": " + why, outcome);
    };
    const auto add = [&](uint32_t series, int64_t time_ms, Point point,
                         uint64_t* accepted) {
      StoredSeries* stored = series_of(series);
      if (stored == nullptr) return false;
      if (const auto fault = FaultOf(point)) {
        refuse(series, fault->reason, fault->message);
        return false;
      }
      auto [it, added] = stored->points.try_emplace(time_ms, point);
      if (!added && !SamePoint(it->second, point)) {
        refuse(series, RefusalReason::kDuplicateTime,
               "another value at " + std::to_string(time_ms));
        return false;
      }
      ++*accepted;
      changed.Add(time_ms);
      return true;
    };
    // An interval is added up once: what ends at or before the last end has
    // been counted already.
    const auto add_delta = [&](const DeltaPoint& p) {
      StoredSeries* stored = series_of(p.series);
      if (stored == nullptr) return;
      const bool open = p.start_ms == 0;  // goes on from the one before
      if (!std::isfinite(p.increment) || (!open && p.start_ms >= p.end_ms)) {
        refuse(p.series, RefusalReason::kInvalidSample, "an empty interval");
        return;
      }
      DeltaState next{p.start_ms, p.end_ms, p.increment};
      if (const auto& last = stored->delta; last.has_value()) {
        if (p.end_ms <= last->end_ms) {
          ++outcome->deltas_accepted;
          return;
        }
        if (!open && p.start_ms < last->end_ms) {
          refuse(p.series, RefusalReason::kOverlappingDelta,
                 "a delta from " + std::to_string(p.start_ms) +
                     " overlaps one until " + std::to_string(last->end_ms));
          return;
        }
        next.start_ms = last->start_ms;
        next.total += last->total;
      }
      if (add(p.series, p.end_ms, {next.total, next.start_ms},
              &outcome->deltas_accepted)) {
        stored->delta = next;
      }
    };
    for (const auto& p : batch.floats) {
      add(p.series, p.sample.time_ms, {p.sample.value, p.start_ms},
          &outcome->floats_accepted);
    }
    for (const auto& p : batch.integer_histograms) {
      add(p.series, p.time_ms, {p.histogram, p.start_ms},
          &outcome->histograms_accepted);
    }
    for (const auto& p : batch.float_histograms) {
      add(p.series, p.time_ms, {p.histogram, p.start_ms},
          &outcome->histograms_accepted);
    }
    for (const auto& p : batch.deltas) add_delta(p);
    for (const auto& p : batch.exemplars) {
      StoredSeries* stored = series_of(p.series);
      if (stored == nullptr) continue;
      stored->exemplars.push_back(p.exemplar);
      ++outcome->exemplars_accepted;
    }
    for (const auto& p : batch.metadata) {
      metadata[{batch.tenant, p.metric}] = p.metadata;
      ++outcome->metadata_accepted;
    }
    changes.Note(batch.tenant.name, changed);
  }

  template <class Visitor>
  void Visit(const Tenant& tenant, const TimeRange& range,
             const std::vector<std::vector<Matcher>>& selectors,
             Visitor visit) const {
    MutexLock lock(mutex);
    for (const auto& [key, series] : all) {
      if (key.first != tenant || !MatchesAny(selectors, key.second)) continue;
      auto it = series.points.lower_bound(range.min_ms);
      if (it == series.points.end() || it->first > range.max_ms) continue;
      visit(key.second, series);
    }
  }

  mutable Mutex mutex;
  mutable CondVar batch_given;
  std::map<SeriesKey, StoredSeries> all ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, std::map<SeriesKey, StoredSeries>::iterator> by_id
      ABSL_GUARDED_BY(mutex);
  std::map<std::pair<Tenant, std::string>, Metadata> metadata
      ABSL_GUARDED_BY(mutex);
  uint64_t last_id ABSL_GUARDED_BY(mutex) = 0;
  SampleChanges changes;
  absl::Status refuse_with ABSL_GUARDED_BY(mutex);
  bool held ABSL_GUARDED_BY(mutex) = false;
  std::vector<std::pair<AppendBatch, AppendCompletion>> waiting
      ABSL_GUARDED_BY(mutex);
  uint64_t batches ABSL_GUARDED_BY(mutex) = 0;
};

MemoryStore::MemoryStore() : impl_(std::make_unique<Impl>()) {}
MemoryStore::~MemoryStore() = default;

void MemoryStore::RefuseWith(absl::Status status) {
  MutexLock lock(impl_->mutex);
  impl_->refuse_with = std::move(status);
}

void MemoryStore::Hold() {
  MutexLock lock(impl_->mutex);
  impl_->held = true;
}

void MemoryStore::Release() {
  std::vector<std::pair<AppendBatch, AppendCompletion>> waiting;
  {
    MutexLock lock(impl_->mutex);
    impl_->held = false;
    waiting.swap(impl_->waiting);
  }
  for (auto& [batch, done] : waiting) Append(std::move(batch), std::move(done));
}

void MemoryStore::ForgetReferences() {
  MutexLock lock(impl_->mutex);
  impl_->by_id.clear();
  for (auto it = impl_->all.begin(); it != impl_->all.end(); ++it) {
    it->second.id = ++impl_->last_id;
    impl_->by_id[impl_->last_id] = it;
  }
}

uint64_t MemoryStore::batches() const {
  MutexLock lock(impl_->mutex);
  return impl_->batches;
}

void MemoryStore::AwaitBatches(uint64_t count) const {
  MutexLock lock(impl_->mutex);
  while (impl_->batches < count) impl_->batch_given.Wait(impl_->mutex);
}

void MemoryStore::Append(AppendBatch batch, AppendCompletion done) {
  AppendOutcome outcome;
  {
    MutexLock lock(impl_->mutex);
    ++impl_->batches;
    impl_->batch_given.NotifyAll();
    if (impl_->held) {
      impl_->waiting.emplace_back(std::move(batch), std::move(done));
      return;
    }
    if (impl_->refuse_with.ok()) {
      impl_->Apply(batch, &outcome);
    } else {
      outcome.status = impl_->refuse_with;
    }
  }
  std::move(done)(std::move(outcome));
}

absl::StatusOr<std::unique_ptr<SeriesSnapshot>> MemoryStore::Select(
    const SelectRequest& request, const ReadContext& context) const {
  if (context.stop.stop_requested()) {
    return absl::CancelledError("select: cancelled");
  }
  auto snapshot = std::make_unique<Snapshot>(context.account);
  MutexLock lock(impl_->mutex);
  for (const auto& [key, series] : impl_->all) {
    if (key.first != request.tenant ||
        !MatchesAll(request.matchers, key.second)) {
      continue;
    }
    SelectedSeries selected{key.second, {}};
    for (auto it = series.points.lower_bound(request.range.min_ms);
         it != series.points.end() && it->first <= request.range.max_ms; ++it) {
      selected.points.emplace_back(it->first, it->second);
    }
    if (selected.points.empty()) continue;
    if (absl::Status status = snapshot->Add(std::move(selected));
        !status.ok()) {
      return status;
    }
  }
  return snapshot;
}

absl::StatusOr<NameList> MemoryStore::LabelNames(
    const Tenant& tenant, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
    const ReadContext&) const {
  std::set<std::string> names;
  impl_->Visit(tenant, range, selectors,
               [&](const Labels& labels, const auto&) {
                 for (const LabelView& label : labels)
                   names.emplace(label.name);
               });
  return Limited(names, limit);
}

absl::StatusOr<NameList> MemoryStore::LabelValues(
    const Tenant& tenant, std::string_view label, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
    const ReadContext&) const {
  std::set<std::string> values;
  impl_->Visit(tenant, range, selectors,
               [&](const Labels& labels, const auto&) {
                 if (labels.Has(label)) values.emplace(labels.Get(label));
               });
  return Limited(values, limit);
}

absl::StatusOr<std::vector<Labels>> MemoryStore::Series(
    const Tenant& tenant, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
    const ReadContext&, bool* truncated) const {
  std::vector<Labels> found;
  impl_->Visit(
      tenant, range, selectors,
      [&](const Labels& labels, const auto&) { found.push_back(labels); });
  *truncated = limit > 0 && found.size() > limit;
  if (*truncated) found.resize(limit);
  return found;
}

absl::StatusOr<std::vector<ExemplarSeries>> MemoryStore::Exemplars(
    const Tenant& tenant, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors,
    const ReadContext&) const {
  std::vector<ExemplarSeries> found;
  MutexLock lock(impl_->mutex);
  for (const auto& [key, series] : impl_->all) {
    if (key.first != tenant || !MatchesAny(selectors, key.second)) continue;
    ExemplarSeries one{key.second, {}};
    for (const Exemplar& exemplar : series.exemplars) {
      if (range.Contains(exemplar.time_ms)) one.exemplars.push_back(exemplar);
    }
    std::stable_sort(one.exemplars.begin(), one.exemplars.end(),
                     [](const Exemplar& a, const Exemplar& b) {
                       return a.time_ms < b.time_ms;
                     });
    if (!one.exemplars.empty()) found.push_back(std::move(one));
  }
  return found;
}

absl::StatusOr<std::vector<MetricMetadata>> MemoryStore::ListMetadata(
    const Tenant& tenant, std::string_view metric, const ReadContext&) const {
  std::vector<MetricMetadata> found;
  MutexLock lock(impl_->mutex);
  for (const auto& [key, metadata] : impl_->metadata) {
    if (key.first != tenant) continue;
    if (!metric.empty() && key.second != metric) continue;
    found.push_back({key.second, metadata});
  }
  return found;
}

absl::StatusOr<Cardinality> MemoryStore::CountCardinality(
    const Tenant& tenant, uint64_t limit, const ReadContext&) const {
  Cardinality result;
  std::map<std::string, uint64_t> metrics, pairs;
  std::map<std::string, std::set<std::string>> values;
  impl_->Visit(tenant, {}, {}, [&](const Labels& labels, const auto&) {
    ++result.series;
    ++metrics[std::string(labels.metric_name())];
    for (const LabelView& label : labels) {
      const std::string name(label.name), value(label.value);
      ++pairs[name + "=" + value];
      values[name].insert(value);
    }
  });
  result.label_pairs = pairs.size();
  std::map<std::string, uint64_t> counts;
  for (const auto& [name, set] : values) counts[name] = set.size();
  result.series_by_metric = Largest(metrics, limit);
  result.values_by_label = Largest(counts, limit);
  result.series_by_pair = Largest(pairs, limit);
  return result;
}

std::optional<uint64_t> MemoryStore::ChangeVersion(const Tenant& tenant) const {
  return impl_->changes.Version(tenant.name);
}

TimeRange MemoryStore::UnchangedSince(const Tenant& tenant, uint64_t version,
                                      const TimeRange& range) const {
  return impl_->changes.UnchangedSince(tenant.name, version, range);
}

}  // namespace vigie::store

#include "store/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "base/status_macros.h"
#include "store/selection.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

constexpr size_t kStopStride = 1024;

// Charges that end with the call.
class ScopedCharge {
 public:
  explicit ScopedCharge(ByteAccount* account) : account_(account) {}
  ~ScopedCharge() { account_->Release(bytes_); }
  ScopedCharge(const ScopedCharge&) = delete;
  ScopedCharge& operator=(const ScopedCharge&) = delete;

  absl::Status Add(size_t bytes) {
    VIGIE_RETURN_IF_ERROR(account_->Charge(static_cast<int64_t>(bytes)));
    bytes_ += static_cast<int64_t>(bytes);
    return absl::OkStatus();
  }

 private:
  ByteAccount* const account_;
  int64_t bytes_ = 0;
};

absl::Status CheckStop(const ReadContext& context, size_t* steps) {
  if (++*steps % kStopStride == 0 && context.stop.stop_requested()) {
    return absl::CancelledError("select: cancelled");
  }
  return absl::OkStatus();
}

// What a string in a set or list takes beside its bytes.
constexpr size_t kNameBytes = 64;

NameList Sorted(std::vector<std::string> names, uint64_t limit) {
  NameList list;
  std::sort(names.begin(), names.end());
  list.truncated = limit > 0 && names.size() > limit;
  if (list.truncated) names.resize(limit);
  list.names = std::move(names);
  return list;
}

std::vector<NamedCount> Largest(std::vector<NamedCount> counts,
                                uint64_t limit) {
  auto before = [](const NamedCount& a, const NamedCount& b) {
    return a.count != b.count ? a.count > b.count : a.name < b.name;
  };
  if (limit > 0 && counts.size() > limit) {
    std::partial_sort(counts.begin(),
                      counts.begin() + static_cast<std::ptrdiff_t>(limit),
                      counts.end(), before);
    counts.resize(limit);
  } else {
    std::sort(counts.begin(), counts.end(), before);
  }
  return counts;
}

int64_t BytesOf(const SampleRuns& runs) {
  int64_t bytes = 0;
  for (const SampleColumns& run : runs) bytes += run.bytes();
  return bytes;
}

}  // namespace

namespace {

// The values of `label`, looking of each at only as many series as it takes to
// find one that may have samples in `range`.
absl::Status ValuesIn(const Head& head, const Tenant& tenant,
                      std::string_view label, const TimeRange& range,
                      const ReadContext& context, ScopedCharge* charged,
                      std::vector<std::string>* found) {
  absl::Status status;
  size_t steps = 0;
  head.index().VisitValues(tenant.name, label,
                           [&](std::string_view value, const Postings& series) {
                             SeriesIndex::IdList ids;
                             series.AppendIds(&ids);
                             for (const uint64_t id : ids) {
                               status = CheckStop(context, &steps);
                               if (!status.ok()) return false;
                               if (!MayHaveSamples(*head.Find(id), range))
                                 continue;
                               status = charged->Add(value.size() + kNameBytes);
                               if (!status.ok()) return false;
                               found->emplace_back(value);
                               break;
                             }
                             return true;
                           });
  return status;
}

}  // namespace

bool MayHaveSamples(const MemSeries& series, const TimeRange& range) {
  return series.newest_ms != MemSeries::kNoSamples &&
         range.Overlaps({series.first_ms, series.newest_ms});
}

absl::StatusOr<std::unique_ptr<SeriesSnapshot>> Reader::Select(
    const SelectRequest& request, const ReadContext& context) const {
  auto selection = std::make_shared<Selection>();
  selection->tenant = request.tenant.name;
  selection->range = request.range;
  selection->account = context.account;
  selection->stop = context.stop;
  selection->metrics = &metrics_;
  auto charge = [&](size_t bytes) -> absl::Status {
    VIGIE_RETURN_IF_ERROR(context.account->Charge(static_cast<int64_t>(bytes)));
    selection->charged += static_cast<int64_t>(bytes);
    return absl::OkStatus();
  };
  if (context.stop.stop_requested()) {
    return absl::CancelledError("select: cancelled");
  }
  {
    HeadReaderLock lock(lock_);
    selection->blocks = blocks_.TakeSnapshot();
    if (!request.range.empty()) {
      const SeriesIndex& index = head_.index();
      VIGIE_ASSIGN_OR_RETURN(
          const SeriesIndex::IdList ids,
          index.Match(request.tenant.name, request.matchers, context.stop));
      ScopedCharge candidates(context.account);
      VIGIE_RETURN_IF_ERROR(candidates.Add(ids.size() * sizeof(ids[0])));
      size_t steps = 0;
      for (const uint64_t id : ids) {
        VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
        const MemSeries& series = *head_.Find(id);
        if (!MayHaveSamples(series, request.range)) continue;
        SelectedSeries selected;
        selected.labels = index.LabelsOf(id);
        selected.metric_hash = index.MetricHashOf(id);
        selected.ids.push_back({id, NearestDayOf(series.first_ms),
                                NearestDayOf(series.newest_ms)});
        selected.head_id = id;
        head_.Read(id, request.range, &selected.head);
        VIGIE_RETURN_IF_ERROR(
            charge(sizeof(selected) + sizeof(SelectedId) +
                   selected.labels.bytes().size() +
                   static_cast<size_t>(BytesOf(selected.head))));
        selection->series.push_back(std::move(selected));
      }
    }
  }
  std::sort(selection->series.begin(), selection->series.end(),
            [](const SelectedSeries& a, const SelectedSeries& b) {
              return a.labels < b.labels;
            });
  return SnapshotOf(std::move(selection));
}

absl::StatusOr<SeriesIndex::IdList> Reader::MatchAny(
    const Tenant& tenant, const std::vector<std::vector<Matcher>>& selectors,
    const ReadContext& context) const {
  if (selectors.empty()) return head_.index().All(tenant.name);
  SeriesIndex::IdList all;
  for (const std::vector<Matcher>& matchers : selectors) {
    VIGIE_ASSIGN_OR_RETURN(
        const SeriesIndex::IdList ids,
        head_.index().Match(tenant.name, matchers, context.stop));
    SeriesIndex::IdList merged;
    std::set_union(all.begin(), all.end(), ids.begin(), ids.end(),
                   std::back_inserter(merged));
    all = std::move(merged);
  }
  return all;
}

absl::StatusOr<NameList> Reader::LabelNames(
    const Tenant& tenant, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
    const ReadContext& context) const {
  HeadReaderLock lock(lock_);
  VIGIE_ASSIGN_OR_RETURN(const SeriesIndex::IdList ids,
                         MatchAny(tenant, selectors, context));
  absl::flat_hash_set<std::string> names;
  ScopedCharge charged(context.account);
  size_t steps = 0;
  for (const uint64_t id : ids) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    if (!MayHaveSamples(*head_.Find(id), range)) continue;
    const Labels labels = head_.index().LabelsOf(id);
    for (const LabelView& label : labels) {
      if (names.emplace(label.name).second) {
        VIGIE_RETURN_IF_ERROR(charged.Add(label.name.size() + kNameBytes));
      }
    }
  }
  return Sorted({names.begin(), names.end()}, limit);
}

absl::StatusOr<NameList> Reader::LabelValues(
    const Tenant& tenant, std::string_view label, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
    const ReadContext& context) const {
  HeadReaderLock lock(lock_);
  const SeriesIndex& index = head_.index();
  ScopedCharge charged(context.account);
  std::vector<std::string> found;
  size_t steps = 0;
  if (selectors.empty()) {
    const absl::Status status =
        ValuesIn(head_, tenant, label, range, context, &charged, &found);
    VIGIE_RETURN_IF_ERROR(status);
    return Sorted(std::move(found), limit);
  }
  VIGIE_ASSIGN_OR_RETURN(const SeriesIndex::IdList ids,
                         MatchAny(tenant, selectors, context));
  absl::flat_hash_set<std::string> values;
  for (const uint64_t id : ids) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    if (!MayHaveSamples(*head_.Find(id), range)) continue;
    const Labels labels = index.LabelsOf(id);
    const std::string_view value = labels.Get(label);
    if (value.empty()) continue;
    if (values.emplace(value).second) {
      VIGIE_RETURN_IF_ERROR(charged.Add(value.size() + kNameBytes));
    }
  }
  return Sorted({values.begin(), values.end()}, limit);
}

absl::StatusOr<std::vector<Labels>> Reader::Series(
    const Tenant& tenant, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
    const ReadContext& context, bool* truncated) const {
  std::vector<Labels> found;
  ScopedCharge charged(context.account);
  {
    HeadReaderLock lock(lock_);
    VIGIE_ASSIGN_OR_RETURN(const SeriesIndex::IdList ids,
                           MatchAny(tenant, selectors, context));
    size_t steps = 0;
    for (const uint64_t id : ids) {
      VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
      if (!MayHaveSamples(*head_.Find(id), range)) continue;
      Labels labels = head_.index().LabelsOf(id);
      VIGIE_RETURN_IF_ERROR(charged.Add(labels.bytes().size() + kNameBytes));
      found.push_back(std::move(labels));
    }
  }
  std::sort(found.begin(), found.end());
  *truncated = limit > 0 && found.size() > limit;
  if (*truncated) found.resize(limit);
  return found;
}

absl::StatusOr<std::vector<ExemplarSeries>> Reader::Exemplars(
    const Tenant& tenant, const TimeRange& range,
    const std::vector<std::vector<Matcher>>& selectors,
    const ReadContext& context) const {
  std::vector<ExemplarSeries> found;
  ScopedCharge charged(context.account);
  HeadReaderLock lock(lock_);
  VIGIE_ASSIGN_OR_RETURN(const SeriesIndex::IdList ids,
                         MatchAny(tenant, selectors, context));
  size_t steps = 0;
  for (const uint64_t id : ids) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    const std::vector<Exemplar>* exemplars = head_.ExemplarsOf(id);
    if (exemplars == nullptr) continue;
    ExemplarSeries one;
    for (const Exemplar& exemplar : *exemplars) {
      if (!range.Contains(exemplar.time_ms)) continue;
      VIGIE_RETURN_IF_ERROR(
          charged.Add(sizeof(exemplar) + exemplar.labels.bytes().size()));
      one.exemplars.push_back(exemplar);
    }
    if (one.exemplars.empty()) continue;
    std::stable_sort(one.exemplars.begin(), one.exemplars.end(),
                     [](const Exemplar& a, const Exemplar& b) {
                       return a.time_ms < b.time_ms;
                     });
    one.series = head_.index().LabelsOf(id);
    found.push_back(std::move(one));
  }
  std::sort(found.begin(), found.end(),
            [](const ExemplarSeries& a, const ExemplarSeries& b) {
              return a.series < b.series;
            });
  return found;
}

absl::StatusOr<std::vector<MetricMetadata>> Reader::ListMetadata(
    const Tenant& tenant, std::string_view metric,
    const ReadContext& context) const {
  std::vector<MetricMetadata> found;
  ScopedCharge charged(context.account);
  HeadReaderLock lock(lock_);
  const auto entries = head_.metadata().find(tenant.name);
  if (entries == head_.metadata().end()) return found;
  auto add = [&](const std::string& name,
                 const MetadataEntry& entry) -> absl::Status {
    VIGIE_RETURN_IF_ERROR(charged.Add(name.size() + sizeof(MetricMetadata) +
                                      entry.metadata.help.size()));
    found.push_back({name, entry.metadata});
    return absl::OkStatus();
  };
  if (!metric.empty()) {
    const auto it = entries->second.find(metric);
    if (it != entries->second.end()) {
      VIGIE_RETURN_IF_ERROR(add(it->first, it->second));
    }
    return found;
  }
  for (const auto& [name, entry] : entries->second) {
    VIGIE_RETURN_IF_ERROR(add(name, entry));
  }
  std::sort(found.begin(), found.end(),
            [](const MetricMetadata& a, const MetricMetadata& b) {
              return a.metric < b.metric;
            });
  return found;
}

absl::StatusOr<Cardinality> Reader::CountCardinality(
    const Tenant& tenant, uint64_t limit, const ReadContext& context) const {
  Cardinality result;
  ScopedCharge charged(context.account);
  HeadReaderLock lock(lock_);
  const SeriesIndex& index = head_.index();
  result.series = index.CountOf(tenant.name);
  std::vector<NamedCount> metrics, labels, pairs;
  size_t steps = 0;
  for (const std::string_view name : index.Names(tenant.name)) {
    uint64_t values = 0;
    absl::Status status;
    index.VisitValues(
        tenant.name, name, [&](std::string_view value, const Postings& series) {
          ++values;
          status = CheckStop(context, &steps);
          if (status.ok()) {
            status = charged.Add(name.size() + value.size() + kNameBytes);
          }
          if (!status.ok()) return false;
          pairs.push_back({fmt::format("{}={}", name, value), series.size()});
          if (name == kMetricName) {
            metrics.push_back({std::string(value), series.size()});
          }
          return true;
        });
    VIGIE_RETURN_IF_ERROR(status);
    labels.push_back({std::string(name), values});
  }
  result.label_pairs = pairs.size();
  result.series_by_metric = Largest(std::move(metrics), limit);
  result.values_by_label = Largest(std::move(labels), limit);
  result.series_by_pair = Largest(std::move(pairs), limit);
  return result;
}

}  // namespace vigie::store

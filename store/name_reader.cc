// The part of Reader that lists names: of labels, values, series, and what is
// told about them.
#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/cardinality.h"
#include "store/day_index.h"
#include "store/label_order.h"
#include "store/left_series.h"
#include "store/read_charge.h"
#include "store/reader.h"
#include "store/text_order.h"

namespace vigie::store {
namespace {

// What a string in a set or list takes beside its bytes.
constexpr size_t kNameBytes = 64;
// Charged at once: an account is shared.
constexpr size_t kChargeBytes = 16 << 10;

// How many steps ahead memory is asked for.
constexpr size_t kPrefetch = 8;

// Names as they are found. Those of the head are told apart already; once
// names may come again, a set tells.
class FoundNames {
 public:
  explicit FoundNames(ByteAccount* account) : charge_(account) {}

  absl::Status Add(std::string_view name) {
    if (may_repeat_ && !set_.emplace(name).second) return absl::OkStatus();
    if (!may_repeat_) names_.emplace_back(name);
    pending_ += name.size() + kNameBytes;
    if (pending_ < kChargeBytes) return absl::OkStatus();
    return charge_.Add(std::exchange(pending_, 0));
  }
  void MayRepeat() {
    if (std::exchange(may_repeat_, true)) return;
    set_.insert(std::make_move_iterator(names_.begin()),
                std::make_move_iterator(names_.end()));
    names_.clear();
  }

  absl::StatusOr<NameList> Sorted(uint64_t limit,
                                  std::vector<std::string> warnings) {
    VIGIE_RETURN_IF_ERROR(charge_.Add(std::exchange(pending_, 0)));
    NameList list;
    list.warnings = std::move(warnings);
    if (may_repeat_) names_.assign(set_.begin(), set_.end());
    std::vector<uint32_t> order = OrderOfTexts({names_.begin(), names_.end()});
    list.truncated = limit > 0 && order.size() > limit;
    if (list.truncated) order.resize(limit);
    list.names.reserve(order.size());
    for (const uint32_t i : order) list.names.push_back(std::move(names_[i]));
    return list;
  }

 private:
  ScopedCharge charge_;
  size_t pending_ = 0;
  bool may_repeat_ = false;
  std::vector<std::string> names_;
  absl::flat_hash_set<std::string> set_;
};

// Whether any of `series` may have samples in `range`: as many are looked at
// as it takes to find one.
bool AnyMayHaveSamples(SeriesCursor* head, const Postings& series,
                       const TimeRange& range, const ReadContext& context,
                       size_t* steps, absl::Status* status) {
  bool found = false;
  series.VisitRuns([&](uint64_t first, uint64_t last) {
    for (uint64_t id = first; id <= last && !found && status->ok(); ++id) {
      *status = CheckStop(context, steps);
      found = MayHaveSamples(*head->Find(id), range);
    }
    return !found && status->ok();
  });
  return found && status->ok();
}

// The values of `label` in the head.
absl::Status ValuesIn(const Head& head, const Tenant& tenant,
                      std::string_view label, const TimeRange& range,
                      const ReadContext& context, FoundNames* values) {
  struct Value {
    uint64_t first_id;
    std::string_view text;
    const Postings* series;
  };
  std::vector<Value> found;
  head.index().VisitValues(tenant.name, label,
                           [&](std::string_view text, const Postings& series) {
                             found.push_back({series.First(), text, &series});
                             return true;
                           });
  // As their series lie in memory.
  std::sort(found.begin(), found.end(), [](const Value& a, const Value& b) {
    return a.first_id < b.first_id;
  });
  absl::Status status;
  size_t steps = 0;
  SeriesCursor cursor = head.Series();
  for (size_t i = 0; i < found.size() && status.ok(); ++i) {
    if (i + kPrefetch < found.size()) {
      cursor.Prefetch(found[i + kPrefetch].first_id);
    }
    if (AnyMayHaveSamples(&cursor, *found[i].series, range, context, &steps,
                          &status)) {
      status = values->Add(found[i].text);
    }
  }
  return status;
}

// The label names in the head.
absl::Status NamesIn(const Head& head, const Tenant& tenant,
                     const TimeRange& range, const ReadContext& context,
                     FoundNames* names) {
  absl::Status status;
  size_t steps = 0;
  SeriesCursor cursor = head.Series();
  for (const std::string_view name : head.index().Names(tenant.name)) {
    bool found = false;
    head.index().VisitValues(
        tenant.name, name, [&](std::string_view, const Postings& series) {
          found = AnyMayHaveSamples(&cursor, series, range, context, &steps,
                                    &status);
          return !found && status.ok();
        });
    VIGIE_RETURN_IF_ERROR(status);
    if (found) VIGIE_RETURN_IF_ERROR(names->Add(name));
  }
  return absl::OkStatus();
}

// What a damaged day has is left out, with a warning that names the day.
absl::Status EachDay(
    const BlockSnapshot& blocks, const std::vector<int32_t>& days,
    std::vector<std::string>* warnings,
    absl::FunctionRef<absl::Status(const DayIndex& index, int32_t day)> visit) {
  const DayIndex index(blocks.index());
  for (const int32_t day : days) {
    const absl::Status status = visit(index, day);
    if (absl::IsDataLoss(status)) {
      warnings->emplace_back(MessageOf(OfDay(day, status)));
    } else if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Reader::VisitPairs(
    const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
    std::string_view label, const ReadContext& context,
    std::vector<std::string>* warnings, absl::FunctionRef<void()> repeats,
    absl::FunctionRef<absl::Status(LabelView)> visit) const {
  if (range.empty()) return absl::OkStatus();
  ScopedCharge charge(context.account);
  std::unique_ptr<BlockSnapshot> blocks;
  std::vector<int32_t> days;
  IdRuns known;
  {
    HeadReaderLock lock(lock_);
    blocks = blocks_.TakeSnapshot();
    days = DaysLeft(*blocks, range);
    VIGIE_ASSIGN_OR_RETURN(
        const SeriesIndex::IdList ids,
        MatchSampled(tenant, range, selectors, context, &charge,
                     days.empty() ? nullptr : &known));
    VIGIE_RETURN_IF_ERROR(head_.index().VisitPairsOf(
        ids, context.stop, [&](const LabelView& pair) {
          return label.empty() || pair.name == label ? visit(pair)
                                                     : absl::OkStatus();
        }));
  }
  if (!days.empty()) repeats();
  const LeftSeries left(blocks->index(), tenant.name, selectors,
                        std::move(known), context);
  for (const int32_t day : days) {
    const absl::Status status = left.VisitPairs(day, label, visit);
    if (absl::IsDataLoss(status)) {
      warnings->emplace_back(MessageOf(status));
    } else if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<NameList> Reader::LabelNames(const Tenant& tenant,
                                            const TimeRange& range,
                                            const Selectors& selectors,
                                            uint64_t limit,
                                            const ReadContext& context) const {
  FoundNames names(context.account);
  std::vector<std::string> warnings;
  if (!selectors.empty()) {
    names.MayRepeat();  // a name has many pairs
    VIGIE_RETURN_IF_ERROR(VisitPairs(
        tenant, range, selectors, "", context, &warnings, [] {},
        [&](const LabelView& pair) { return names.Add(pair.name); }));
  } else {
    std::unique_ptr<BlockSnapshot> blocks;
    std::vector<int32_t> days;
    {
      HeadReaderLock lock(lock_);
      blocks = blocks_.TakeSnapshot();
      days = DaysLeft(*blocks, range);
      VIGIE_RETURN_IF_ERROR(NamesIn(head_, tenant, range, context, &names));
    }
    if (!days.empty()) names.MayRepeat();
    VIGIE_RETURN_IF_ERROR(EachDay(
        *blocks, days, &warnings,
        [&](const DayIndex& index, int32_t day) -> absl::Status {
          VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                                 index.Names(day, tenant.name, context));
          for (const std::string& name : found) {
            VIGIE_RETURN_IF_ERROR(names.Add(name));
          }
          return absl::OkStatus();
        }));
  }
  return names.Sorted(limit, std::move(warnings));
}

absl::StatusOr<NameList> Reader::LabelValues(const Tenant& tenant,
                                             std::string_view label,
                                             const TimeRange& range,
                                             const Selectors& selectors,
                                             uint64_t limit,
                                             const ReadContext& context) const {
  FoundNames values(context.account);
  std::vector<std::string> warnings;
  if (label.empty()) return NameList();
  if (!selectors.empty()) {
    VIGIE_RETURN_IF_ERROR(VisitPairs(
        tenant, range, selectors, label, context, &warnings,
        [&] { values.MayRepeat(); },
        [&](const LabelView& pair) { return values.Add(pair.value); }));
  } else {
    std::unique_ptr<BlockSnapshot> blocks;
    std::vector<int32_t> days;
    {
      HeadReaderLock lock(lock_);
      blocks = blocks_.TakeSnapshot();
      days = DaysLeft(*blocks, range);
      VIGIE_RETURN_IF_ERROR(
          ValuesIn(head_, tenant, label, range, context, &values));
    }
    if (!days.empty()) values.MayRepeat();
    VIGIE_RETURN_IF_ERROR(EachDay(
        *blocks, days, &warnings, [&](const DayIndex& index, int32_t day) {
          return index.VisitPairs(
              day, tenant.name, label, context,
              [&](std::string_view, std::string_view value, const IdRuns&) {
                return values.Add(value);
              });
        }));
  }
  return values.Sorted(limit, std::move(warnings));
}

absl::StatusOr<std::vector<Labels>> Reader::Series(
    const Tenant& tenant, const TimeRange& range, const Selectors& selectors,
    uint64_t limit, const ReadContext& context, bool* truncated) const {
  ScopedCharge charge(context.account);
  LabelOrder order;
  std::vector<Labels> found;
  std::vector<std::string> warnings;
  std::vector<uint32_t> pairs;
  const auto keep = [&](Labels labels) {
    const size_t bytes = labels.bytes().size() + 2 * kNameBytes;
    found.push_back(std::move(labels));
    return charge.Add(bytes);
  };
  VIGIE_RETURN_IF_ERROR(VisitSeries(
      tenant, range, selectors, context, &warnings,
      [&](const SeriesIndex& index, uint64_t id) {
        order.Add(index, id);
        return keep(index.LabelsOf(id));
      },
      [&](Labels labels) {
        order.Add(labels);
        return keep(std::move(labels));
      }));
  // This answer has no place to say that something is missing.
  if (!warnings.empty()) return absl::DataLossError(warnings[0]);
  std::vector<Labels> sorted;
  uint32_t last = 0;
  *truncated = false;
  for (const uint32_t i : order.Sort()) {
    if (!sorted.empty() && order.SameLabels(last, i)) continue;
    *truncated = limit > 0 && sorted.size() >= limit;
    if (*truncated) break;
    sorted.push_back(std::move(found[i]));
    last = i;
  }
  return sorted;
}

absl::StatusOr<Cardinality> Reader::CountCardinality(
    const Tenant& tenant, uint64_t limit, const ReadContext& context) const {
  std::unique_ptr<BlockSnapshot> blocks;
  Cardinality result;
  IdRuns known;
  {
    HeadReaderLock lock(lock_);
    blocks = blocks_.TakeSnapshot();
    VIGIE_ASSIGN_OR_RETURN(
        result, CountSeries(head_.index(), tenant.name, limit, context));
    for (const uint64_t id : head_.index().All(tenant.name)) known.Add(id);
  }
  const std::vector<int32_t> days =
      blocks->Days({std::numeric_limits<int64_t>::min(),
                    std::numeric_limits<int64_t>::max()});
  if (days.empty()) return result;
  const absl::Status status =
      CountGrowth(DayIndex(blocks->index()), days.back(), tenant.name, known,
                  limit, context, &result);
  if (absl::IsDataLoss(status)) {
    spdlog::warn("store: cardinality: {}",
                 MessageOf(OfDay(days.back(), status)));
  } else if (!status.ok()) {
    return status;
  }
  return result;
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

}  // namespace vigie::store

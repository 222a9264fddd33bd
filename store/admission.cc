#include "store/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/strings.h"
#include "store/held_samples.h"
#include "store/histogram_rules.h"
#include "store/retention.h"
#include "store/windows.h"

namespace vigie::store {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};

// A series of the batch.
struct Slot {
  SeriesPage* page = nullptr;  // null: a new one, or refused
  uint64_t id = 0;             // of a new one: once defined
  int64_t newest_ms = MemSeries::kNoSamples;
  uint32_t accepted = 0;     // samples of this batch
  uint32_t same_as = kNone;  // the slot that stands for it
  uint32_t fresh = kNone;    // which of the new ones
  uint32_t fault = kNone;    // refused, with all that is of it
  uint32_t delta = kNone;    // which of the increments' states
};

struct Fresh {
  Labels* labels = nullptr;
  SeriesIdentity identity;
};

bool SameValue(const SampleColumns& held, size_t i, double value) {
  return held.kind == SampleKind::kFloat &&
         std::bit_cast<uint64_t>(held.values[i]) ==
             std::bit_cast<uint64_t>(value);
}
template <class Histogram>
bool SameValue(const SampleColumns& held, size_t i, const Histogram& value) {
  SampleColumns one;
  one.PushBack(held.times_ms[i], value, 0);
  return SameValue(held, i, one, 0);
}

std::string Shown(double value) { return fmt::format("{}", value); }
template <class Histogram>
std::string Shown(const Histogram& value) {
  return fmt::format("a histogram of {}", value.count);
}

}  // namespace

struct Admission::Scratch {
  std::vector<Slot> slots;  // one for each series of the batch
  std::vector<Fresh> fresh;
  std::vector<LabelFault> faults;
  std::deque<Labels> asked_labels;  // of batch.label_source
  absl::flat_hash_map<SeriesIdentity, uint32_t> new_slots;
  absl::flat_hash_map<uint64_t, uint32_t> known_slots;  // by id
  std::vector<std::optional<DeltaState>> deltas;

  HeldSamples held;

  void Clear() {
    slots.clear();
    fresh.clear();
    faults.clear();
    asked_labels.clear();
    if (!new_slots.empty()) new_slots.clear();
    if (!known_slots.empty()) known_slots.clear();
    deltas.clear();
    held.Clear();
  }
};

class Admission::Deciding {
 public:
  Deciding(Admission& admission, AppendBatch& batch, const Head& head,
           int64_t now_ms)
      : admission_(admission),
        options_(admission.options_),
        s_(*admission.scratch_),
        held_(s_.held),
        batch_(batch),
        head_(head),
        tenant_(head.TenantNumber(batch.tenant.name)),
        now_ms_(now_ms),
        max_ms_(std::min(now_ms + options_.future_window_ms, kTimeMaxMs)),
        min_ms_(std::max(OldestKeptMs(options_, batch.tenant.name, now_ms),
                         kTimeMinMs)) {
    s_.Clear();
    decision_.record.decided_ms = now_ms;
    decision_.record.tenant = batch.tenant.name;
  }

  // False if the batch must wait for the next group.
  bool Resolve() {
    s_.slots.resize(batch_.series.size());
    SeriesPage* page = nullptr;
    for (uint32_t i = 0; i < batch_.series.size(); ++i) {
      const uint64_t id = batch_.series[i].ref.id;
      if (id != 0) {
        if (page == nullptr || PageOf(page->first_id) != PageOf(id)) {
          page = head_.FindPage(id);
        }
        if (page != nullptr && (page->used & BitOf(id)) != 0 &&
            (page->tenant == tenant_ ||
             head_.index().TenantOf(id) == batch_.tenant.name)) {
          if (!ResolveKnown(i, page, id)) return false;
          continue;
        }
      }
      if (!ResolveOther(i)) return false;
    }
    return true;
  }

  void DecideFloats() {
    BatchRecord::Columns<double>& floats = decision_.record.floats;
    const size_t size = batch_.floats.size();
    floats.ids.reserve(size);
    floats.times_ms.reserve(size);
    floats.values.reserve(size);
    for (const FloatPoint& point : batch_.floats) {
      Slot* slot = SlotOf(point.series);
      if (slot == nullptr) continue;
      decision_.outcome.floats_accepted +=
          Decide(point.sample.time_ms, point.start_ms, point.sample.value, slot,
                 &floats);
    }
  }

  void DecideHistograms() {
    for (IntegerHistogramPoint& point : batch_.integer_histograms) {
      DecideHistogram(&point, &decision_.record.integer_histograms);
    }
    for (FloatHistogramPoint& point : batch_.float_histograms) {
      DecideHistogram(&point, &decision_.record.float_histograms);
    }
  }

  void DecideDeltas() {
    // In order of time, whatever the order in which they came.
    auto before = [](const DeltaPoint& a, const DeltaPoint& b) {
      return a.end_ms < b.end_ms;
    };
    std::stable_sort(batch_.deltas.begin(), batch_.deltas.end(), before);
    for (const DeltaPoint& point : batch_.deltas) {
      Slot* slot = SlotOf(point.series);
      if (slot != nullptr) DecideDelta(point, slot);
    }
  }

  void DecideExemplars() {
    for (const ExemplarPoint& point : batch_.exemplars) {
      Slot* slot = SlotOf(point.series);
      if (slot != nullptr) DecideExemplar(point.exemplar, slot);
    }
  }

  void DecideMetadata() {
    const auto known = head_.metadata().find(batch_.tenant.name);
    size_t entries = head_.metadata_entries();
    for (const MetadataPoint& point : batch_.metadata) {
      const MetadataEntry* entry = nullptr;
      if (known != head_.metadata().end()) {
        const auto it = known->second.find(point.metric);
        if (it != known->second.end()) entry = &it->second;
      }
      if (auto fault = FindMetadataFault(point.metric, point.metadata)) {
        Refuse(fault->reason, [&] { return fault->message; });
        continue;
      }
      if (entry == nullptr && entries >= kMetadataMax) {
        Refuse(RefusalReason::kLimit, [&] {
          return fmt::format("{}: metadata of {} metrics is held, no more",
                             point.metric, kMetadataMax);
        });
        continue;
      }
      ++decision_.outcome.metadata_accepted;
      if (entry != nullptr && entry->metadata == point.metadata &&
          now_ms_ - entry->seen_ms < kMetadataRefreshMs) {
        continue;
      }
      if (entry == nullptr) ++entries;
      decision_.record.metadata.push_back({point.metric, point.metadata});
    }
  }

  Decision Finish() && {
    for (size_t i = 0; i < defined_.size(); ++i) {
      decision_.record.definitions[i].labels = std::move(*defined_[i]);
    }
    decision_.outcome.refs.reserve(s_.slots.size());
    for (const Slot& slot : s_.slots) {
      decision_.outcome.refs.push_back(
          {slot.same_as == kNone ? slot.id : s_.slots[slot.same_as].id});
    }
    return std::move(decision_);
  }

 private:
  // By labels, or by a reference that means nothing.
  bool ResolveOther(uint32_t number) {
    BatchSeries& series = batch_.series[number];
    if (series.ref.id == 0) return ResolveLabels(number, &series.labels);
    if (batch_.label_source == nullptr) {
      AddFault(number,
               {RefusalReason::kUnknownReference,
                fmt::format("reference {}: no such series, send its labels",
                            series.ref.id)});
      return true;
    }
    return ResolveLabels(number, &s_.asked_labels.emplace_back(
                                     batch_.label_source->LabelsOf(number)));
  }

  // `*labels` live as long as the batch is decided.
  bool ResolveLabels(uint32_t number, Labels* labels) {
    const SeriesIdentity identity =
        head_.Identity(batch_.tenant.name, labels->bytes());
    if (const uint64_t known = head_.index().Find(identity)) {
      if (head_.index().Is(known, batch_.tenant.name, *labels)) {
        return ResolveKnown(number, head_.FindPage(known), known);
      }
      AddCollision(number, *labels, head_.index().LabelsOf(known));
      return true;
    }
    if (admission_.group_new_.contains(identity)) return false;
    if (auto it = s_.new_slots.find(identity); it != s_.new_slots.end()) {
      const Labels& other = *s_.fresh[s_.slots[it->second].fresh].labels;
      if (other == *labels) {
        s_.slots[number].same_as = it->second;
      } else {
        AddCollision(number, *labels, other);
      }
      return true;
    }
    if (auto fault = FindLabelFault(*labels)) {
      AddFault(number, *std::move(fault));
      return true;
    }
    if (head_.index().size() + admission_.group_new_.size() +
            s_.new_slots.size() >=
        kSeriesMax) {
      AddFault(number, {RefusalReason::kLimit,
                        fmt::format("{}: {} series are held, no more",
                                    labels->ToString(), kSeriesMax)});
      return true;
    }
    s_.new_slots.emplace(identity, number);
    s_.slots[number].fresh = static_cast<uint32_t>(s_.fresh.size());
    s_.fresh.push_back({labels, identity});
    return true;
  }

  bool ResolveKnown(uint32_t number, SeriesPage* page, uint64_t id) {
    if (page->batch != admission_.batch_) {
      page->in_group = page->batch >= admission_.group_first_batch_
                           ? page->in_group | page->in_batch
                           : 0;
      page->in_batch = 0;
      page->batch = admission_.batch_;
    }
    const uint64_t bit = BitOf(id);
    if ((page->in_group & bit) != 0) return false;
    if ((page->in_batch & bit) != 0) {
      s_.slots[number].same_as = SlotOfKnown(number, id);
      return true;
    }
    page->in_batch |= bit;
    Slot& slot = s_.slots[number];
    slot.page = page;
    slot.id = id;
    slot.newest_ms = page->series[vigie::store::SlotOf(id)].newest_ms;
    return true;
  }

  // The slot before `number` that stands for the series.
  uint32_t SlotOfKnown(uint32_t number, uint64_t id) {
    for (; known_slots_end_ < number; ++known_slots_end_) {
      const Slot& slot = s_.slots[known_slots_end_];
      if (slot.page != nullptr) {
        s_.known_slots.emplace(slot.id, known_slots_end_);
      }
    }
    return s_.known_slots.at(id);
  }

  std::string Named(const Slot& slot) const {
    return (slot.page != nullptr ? head_.index().LabelsOf(slot.id)
                                 : *s_.fresh[slot.fresh].labels)
        .ToString();
  }

  // Not to be met in practice; mixing the two up would be a wrong number.
  void AddCollision(uint32_t number, const Labels& labels,
                    const Labels& other) {
    AddFault(number, {RefusalReason::kLimit,
                      fmt::format("{}: its hash is that of {}",
                                  labels.ToString(), other.ToString())});
  }

  void AddFault(uint32_t number, LabelFault fault) {
    s_.slots[number].fault = static_cast<uint32_t>(s_.faults.size());
    s_.faults.push_back(std::move(fault));
  }

  // Null, and counted as refused, if the series is.
  Slot* SlotOf(uint32_t series) {
    if (series >= s_.slots.size()) {
      Refuse(RefusalReason::kInvalidLabels, [&] {
        return fmt::format("point of series {} in a batch of {}", series,
                           s_.slots.size());
      });
      return nullptr;
    }
    Slot* slot = &s_.slots[series];
    if (slot->same_as != kNone) slot = &s_.slots[slot->same_as];
    if (slot->fault != kNone) {
      const LabelFault& fault = s_.faults[slot->fault];
      Refuse(fault.reason, [&] { return fault.message; });
      return nullptr;
    }
    return slot;
  }

  template <class Example>
  void Refuse(RefusalReason reason, Example example) {
    for (Refusal& refusal : decision_.outcome.refusals) {
      if (refusal.reason == reason) {
        ++refusal.count;
        return;
      }
    }
    decision_.outcome.refusals.push_back({reason, 1, example()});
  }

  // False, and counted as refused, outside what the store takes at all.
  bool TakesTime(int64_t time_ms, const Slot& slot) {
    if (time_ms > max_ms_) {
      Refuse(RefusalReason::kTooFarInFuture, [&] {
        return fmt::format(
            "{}: time {} ms is more than {} ms ahead of the clock", Named(slot),
            time_ms, options_.future_window_ms);
      });
      return false;
    }
    if (time_ms < min_ms_) {
      Refuse(RefusalReason::kOutOfRetention, [&] {
        return fmt::format("{}: time {} ms is older than retention, {} ms",
                           Named(slot), time_ms, now_ms_ - min_ms_);
      });
      return false;
    }
    return true;
  }

  // 1 if the sample is accepted, be it that it is held already.
  template <class Value>
  uint64_t Decide(int64_t time_ms, int64_t start_ms, Value value, Slot* slot,
                  BatchRecord::Columns<Value>* columns) {
    if (!TakesTime(time_ms, *slot)) return 0;
    if (time_ms <= slot->newest_ms) {
      if (!TakesLateTime(time_ms, *slot)) return 0;
      size_t i = 0;
      if (const SampleColumns* held =
              held_.Find(head_, slot->page != nullptr, slot->id, slot->accepted,
                         time_ms, decision_.record, &i)) {
        if (SameValue(*held, i, value)) return 1;
        Refuse(RefusalReason::kDuplicateTime, [&] {
          return fmt::format(
              "{}: time {} ms has {}, not {}", Named(*slot), time_ms,
              held->kind == SampleKind::kFloat ? Shown(held->values[i])
                                               : "another histogram",
              Shown(value));
        });
        return 0;
      }
    }
    Accept(time_ms, start_ms, std::move(value), slot, columns);
    return 1;
  }

  bool TakesLateTime(int64_t time_ms, const Slot& slot) {
    if (time_ms >= slot.newest_ms - options_.out_of_order_window_ms) {
      return true;
    }
    Refuse(RefusalReason::kTooOld, [&] {
      return fmt::format(
          "{}: time {} ms is more than {} ms behind the newest, {}",
          Named(slot), time_ms, options_.out_of_order_window_ms,
          slot.newest_ms);
    });
    return false;
  }

  void Define(Slot* slot) {
    if (slot->id != 0) return;
    const Fresh& fresh = s_.fresh[slot->fresh];
    slot->id = admission_.next_series_id_++;
    decision_.record.definitions.push_back({slot->id, {}});
    decision_.identities.push_back(fresh.identity);
    defined_.push_back(fresh.labels);
    admission_.group_new_.insert(fresh.identity);
  }

  template <class Value>
  void Accept(int64_t time_ms, int64_t start_ms, Value value, Slot* slot,
              BatchRecord::Columns<Value>* columns) {
    Define(slot);
    ++slot->accepted;
    slot->newest_ms = std::max(slot->newest_ms, time_ms);
    held_.Note(slot->id, time_ms, columns->size(), columns);
    columns->Add(slot->id, time_ms, start_ms, std::move(value));
  }

  template <class Point, class Histogram>
  void DecideHistogram(Point* point, BatchRecord::Columns<Histogram>* columns) {
    Slot* slot = SlotOf(point->series);
    if (slot == nullptr) return;
    if (auto fault = FindHistogramFault(point->histogram)) {
      Refuse(fault->reason, [&] {
        return fmt::format("{}: histogram: {}", Named(*slot), fault->message);
      });
      return;
    }
    decision_.outcome.histograms_accepted +=
        Decide(point->time_ms, point->start_ms, std::move(point->histogram),
               slot, columns);
  }

  std::optional<DeltaState>& DeltaOf(Slot* slot) {
    if (slot->delta == kNone) {
      slot->delta = static_cast<uint32_t>(s_.deltas.size());
      s_.deltas.emplace_back();
      if (slot->page != nullptr) {
        const auto it = slot->page->deltas.find(
            static_cast<uint8_t>(vigie::store::SlotOf(slot->id)));
        if (it != slot->page->deltas.end()) s_.deltas.back() = it->second;
      }
    }
    return s_.deltas[slot->delta];
  }

  void DecideDelta(const DeltaPoint& point, Slot* slot) {
    const bool open = point.start_ms == 0;  // goes on from the one before
    if (!std::isfinite(point.increment) ||
        (!open && point.start_ms >= point.end_ms)) {
      Refuse(RefusalReason::kInvalidSample, [&] {
        return fmt::format("{}: increment of {} in ({}, {}] ms", Named(*slot),
                           point.increment, point.start_ms, point.end_ms);
      });
      return;
    }
    std::optional<DeltaState>& state = DeltaOf(slot);
    if (state.has_value() && point.end_ms <= state->end_ms) {
      ++decision_.outcome.deltas_accepted;  // counted before
      return;
    }
    if (state.has_value() && !open && point.start_ms < state->end_ms) {
      Refuse(RefusalReason::kOverlappingDelta, [&] {
        return fmt::format("{}: increment in ({}, {}] ms, counted up to {}",
                           Named(*slot), point.start_ms, point.end_ms,
                           state->end_ms);
      });
      return;
    }
    if (!TakesTime(point.end_ms, *slot)) return;
    // The series may have been forgotten, and this been counted before.
    if (!state.has_value() && point.end_ms < now_ms_ - kDeltaIdleMs) {
      Refuse(RefusalReason::kTooOld, [&] {
        return fmt::format(
            "{}: increment up to {} ms, more than {} ms ago, of a series that "
            "is not counted",
            Named(*slot), point.end_ms, kDeltaIdleMs);
      });
      return;
    }
    if (point.end_ms <= slot->newest_ms) {
      if (!TakesLateTime(point.end_ms, *slot)) return;
      size_t i = 0;
      if (held_.Find(head_, slot->page != nullptr, slot->id, slot->accepted,
                     point.end_ms, decision_.record, &i) != nullptr) {
        Refuse(RefusalReason::kDuplicateTime, [&] {
          return fmt::format("{}: time {} ms has a sample that is no sum",
                             Named(*slot), point.end_ms);
        });
        return;
      }
    }
    const DeltaState sum =
        state.has_value()
            ? DeltaState{point.end_ms, state->value + point.increment,
                         state->start_ms}
            : DeltaState{point.end_ms, point.increment, point.start_ms};
    state = sum;
    Accept(sum.end_ms, sum.start_ms, sum.value, slot, &decision_.record.deltas);
    ++decision_.outcome.deltas_accepted;
  }

  void DecideExemplar(const Exemplar& exemplar, Slot* slot) {
    if (!TakesTime(exemplar.time_ms, *slot)) return;
    if (auto fault = FindExemplarFault(exemplar)) {
      Refuse(fault->reason, [&] {
        return fmt::format("{}: exemplar: {}", Named(*slot), fault->message);
      });
      return;
    }
    ++decision_.outcome.exemplars_accepted;
    if (slot->page != nullptr) {
      const std::vector<Exemplar>* ring = head_.ExemplarsOf(slot->id);
      if (ring != nullptr &&
          std::find(ring->begin(), ring->end(), exemplar) != ring->end()) {
        return;
      }
    }
    Define(slot);
    decision_.record.exemplars.push_back({slot->id, exemplar});
  }

  Admission& admission_;
  const StoreOptions& options_;
  Scratch& s_;
  HeldSamples& held_;
  AppendBatch& batch_;
  const Head& head_;
  const uint32_t tenant_;
  const int64_t now_ms_;
  const int64_t max_ms_;
  const int64_t min_ms_;
  Decision decision_;
  std::vector<Labels*> defined_;  // as the record's definitions
  uint32_t known_slots_end_ = 0;
};

Admission::Admission(const StoreOptions& options)
    : options_(options), scratch_(std::make_unique<Scratch>()) {}
Admission::~Admission() = default;

void Admission::NewGroup(uint64_t next_series_id) {
  next_series_id_ = std::max(next_series_id_, next_series_id);
  group_first_batch_ = batch_ + 1;
  group_new_.clear();
}

std::optional<Admission::Decision> Admission::Decide(AppendBatch* batch,
                                                     const Head& head,
                                                     int64_t now_ms) {
  ++batch_;
  Deciding deciding(*this, *batch, head, now_ms);
  if (!deciding.Resolve()) return std::nullopt;
  deciding.DecideFloats();
  deciding.DecideHistograms();
  deciding.DecideDeltas();
  deciding.DecideExemplars();
  deciding.DecideMetadata();
  return std::move(deciding).Finish();
}

}  // namespace vigie::store

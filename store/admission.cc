#include "store/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <utility>

#include "base/strings.h"

namespace vigie::store {

struct Admission::Slot {
  MemSeries* known = nullptr;      // null: a new series
  const Labels* labels = nullptr;  // of a new one, of the batch
  SeriesIdentity identity;
  uint64_t id = 0;                  // of a new one: once defined
  std::optional<LabelFault> fault;  // refused, with all that is of it
  int64_t newest_ms = MemSeries::kNoSamples;
  uint32_t first = kEnd;  // accepted floats, as a chain
  uint32_t last = kEnd;
  uint32_t count = 0;
  bool indexed = false;  // its chain is in Deciding::times_

  static constexpr uint32_t kEnd = ~uint32_t{0};
};

class Admission::Deciding {
 public:
  Deciding(Admission& admission, const AppendBatch& batch, const Head& head,
           int64_t now_ms)
      : admission_(admission),
        options_(admission.options_),
        batch_(batch),
        head_(head),
        now_ms_(now_ms) {
    decision_.record.decided_ms = now_ms;
    decision_.record.tenant = batch.tenant.name;
  }

  // False if the batch must wait for the next group.
  bool Resolve() {
    slots_.reserve(batch_.series.size());
    slot_of_.reserve(batch_.series.size());
    for (uint32_t i = 0; i < batch_.series.size(); ++i) {
      if (!ResolveOne(i)) return false;
    }
    return true;
  }

  void DecideFloats() {
    accepted_.reserve(batch_.floats.size());
    for (const FloatPoint& point : batch_.floats) {
      Slot* slot = SlotOf(point.series);
      if (slot != nullptr) DecideFloat(point, slot);
    }
  }

  void RefuseKinds() {
    for (const auto& point : batch_.integer_histograms) {
      RefuseKind(point.series, "native histograms are not stored yet");
    }
    for (const auto& point : batch_.float_histograms) {
      RefuseKind(point.series, "native histograms are not stored yet");
    }
    for (const auto& point : batch_.deltas) {
      RefuseKind(point.series, "delta sums are not stored yet");
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
      if (point.metric.empty() || !IsValidUtf8(point.metric) ||
          !IsValidUtf8(point.metadata.help) ||
          !IsValidUtf8(point.metadata.unit)) {
        Refuse(RefusalReason::kInvalidLabels, [&] {
          return std::string("metadata: an empty metric name or no UTF-8");
        });
        continue;
      }
      if (point.metric.size() > kLabelValueBytesMax ||
          point.metadata.help.size() + point.metadata.unit.size() >
              kMetadataTextBytesMax) {
        Refuse(RefusalReason::kLimit, [&] {
          return fmt::format("{}: metadata of more than {} bytes",
                             point.metric.substr(0, 200),
                             kMetadataTextBytesMax);
        });
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
    BatchRecord& record = decision_.record;
    record.floats.reserve(accepted_.size());
    for (const Slot& slot : slots_) {
      if (slot.count == 0) continue;
      BatchRecord::Run run{slot.id, static_cast<uint32_t>(record.floats.size()),
                           0};
      for (uint32_t i = slot.first; i != Slot::kEnd; i = accepted_[i].next) {
        record.floats.push_back(accepted_[i].point);
      }
      run.end = static_cast<uint32_t>(record.floats.size());
      record.runs.push_back(run);
    }
    decision_.outcome.refs.reserve(slot_of_.size());
    for (const uint32_t slot : slot_of_) {
      decision_.outcome.refs.push_back({slots_[slot].id});
    }
    return std::move(decision_);
  }

 private:
  struct Accepted {
    BatchRecord::Float point;
    uint32_t next = Slot::kEnd;
  };

  bool ResolveOne(uint32_t number) {
    const BatchSeries& series = batch_.series[number];
    if (series.ref.id == 0) return ResolveLabels(series.labels);
    MemSeries* known = head_.Find(series.ref.id);
    if (known != nullptr &&
        head_.index().TenantOf(known->id) == batch_.tenant.name) {
      return ResolveKnown(known);
    }
    if (batch_.label_source == nullptr) {
      AddFaulty({RefusalReason::kUnknownReference,
                 fmt::format("reference {}: no such series, send its labels",
                             series.ref.id)});
      return true;
    }
    return ResolveLabels(
        asked_labels_.emplace_back(batch_.label_source->LabelsOf(number)));
  }

  // `labels` live as long as this.
  bool ResolveLabels(const Labels& labels) {
    const SeriesIdentity identity =
        head_.Identity(batch_.tenant.name, labels.bytes());
    if (const uint64_t known = head_.index().Find(identity)) {
      if (head_.index().Is(known, batch_.tenant.name, labels)) {
        return ResolveKnown(head_.Find(known));
      }
      AddCollision(labels, head_.index().LabelsOf(known));
      return true;
    }
    if (admission_.group_new_.contains(identity)) return false;
    if (auto it = new_.find(identity); it != new_.end()) {
      if (*slots_[it->second].labels == labels) {
        slot_of_.push_back(it->second);
      } else {
        AddCollision(labels, *slots_[it->second].labels);
      }
      return true;
    }
    if (auto fault = FindLabelFault(labels)) {
      AddFaulty(*std::move(fault));
      return true;
    }
    if (head_.index().size() + admission_.group_new_.size() + new_.size() >=
        kSeriesMax) {
      AddFaulty(
          {RefusalReason::kLimit, fmt::format("{}: {} series are held, no more",
                                              labels.ToString(), kSeriesMax)});
      return true;
    }
    const auto slot = static_cast<uint32_t>(slots_.size());
    new_.emplace(identity, slot);
    slot_of_.push_back(slot);
    Slot& added = slots_.emplace_back();
    added.labels = &labels;
    added.identity = identity;
    return true;
  }

  bool ResolveKnown(MemSeries* known) {
    if (known->batch == admission_.batch_) {
      slot_of_.push_back(known->slot);
      return true;
    }
    if (known->batch >= admission_.group_first_batch_) return false;
    known->batch = admission_.batch_;
    known->slot = static_cast<uint32_t>(slots_.size());
    slot_of_.push_back(known->slot);
    Slot& slot = slots_.emplace_back();
    slot.known = known;
    slot.id = known->id;
    slot.newest_ms = known->newest_ms;
    return true;
  }

  std::string Named(const Slot& slot) const {
    return (slot.known != nullptr ? head_.index().LabelsOf(slot.known->id)
                                  : *slot.labels)
        .ToString();
  }

  // Not to be met in practice; mixing the two up would be a wrong number.
  void AddCollision(const Labels& labels, const Labels& other) {
    AddFaulty({RefusalReason::kLimit,
               fmt::format("{}: its hash is that of {}", labels.ToString(),
                           other.ToString())});
  }

  void AddFaulty(LabelFault fault) {
    slot_of_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back().fault = std::move(fault);
  }

  // Null, and counted as refused, if the series is.
  Slot* SlotOf(uint32_t series) {
    if (series >= slot_of_.size()) {
      Refuse(RefusalReason::kInvalidLabels, [&] {
        return fmt::format("point of series {} in a batch of {}", series,
                           slot_of_.size());
      });
      return nullptr;
    }
    Slot& slot = slots_[slot_of_[series]];
    if (slot.fault.has_value()) {
      Refuse(slot.fault->reason, [&] { return slot.fault->message; });
      return nullptr;
    }
    return &slot;
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

  void RefuseKind(uint32_t series, std::string_view why) {
    const Slot* slot = SlotOf(series);
    if (slot == nullptr) return;
    Refuse(RefusalReason::kUnsupportedKind,
           [&] { return fmt::format("{}: {}", Named(*slot), why); });
  }

  // False, and counted as refused, outside what the store takes at all.
  bool TakesTime(int64_t time_ms, const Slot& slot) {
    if (time_ms > now_ms_ + options_.future_window_ms || time_ms > kTimeMaxMs) {
      Refuse(RefusalReason::kTooFarInFuture, [&] {
        return fmt::format(
            "{}: time {} ms is more than {} ms ahead of the clock", Named(slot),
            time_ms, options_.future_window_ms);
      });
      return false;
    }
    if (time_ms < kTimeMinMs || (options_.retention_ms > 0 &&
                                 time_ms < now_ms_ - options_.retention_ms)) {
      Refuse(RefusalReason::kOutOfRetention, [&] {
        return fmt::format("{}: time {} ms is older than retention, {} ms",
                           Named(slot), time_ms, options_.retention_ms);
      });
      return false;
    }
    return true;
  }

  void DecideFloat(const FloatPoint& point, Slot* slot) {
    const int64_t time_ms = point.sample.time_ms;
    if (!TakesTime(time_ms, *slot)) return;
    if (slot->newest_ms != MemSeries::kNoSamples) {
      if (time_ms < slot->newest_ms - options_.out_of_order_window_ms) {
        Refuse(RefusalReason::kTooOld, [&] {
          return fmt::format(
              "{}: time {} ms is more than {} ms behind the newest, {}",
              Named(*slot), time_ms, options_.out_of_order_window_ms,
              slot->newest_ms);
        });
        return;
      }
      if (time_ms <= slot->newest_ms) {
        if (const double* held = FindHeld(time_ms, slot)) {
          if (std::bit_cast<uint64_t>(*held) ==
              std::bit_cast<uint64_t>(point.sample.value)) {
            ++decision_.outcome.floats_accepted;
          } else {
            Refuse(RefusalReason::kDuplicateTime, [&] {
              return fmt::format("{}: time {} ms has the value {}, not {}",
                                 Named(*slot), time_ms, *held,
                                 point.sample.value);
            });
          }
          return;
        }
      }
    }
    Accept(point, slot);
  }

  // What the head or this batch has at `time_ms`.
  const double* FindHeld(int64_t time_ms, Slot* slot) {
    if (slot->known != nullptr) {
      const MemSeries& series = *slot->known;
      if (const double* held = series.open.Find(time_ms)) return held;
      if (series.sealing != nullptr) {
        if (const double* held = series.sealing->Find(time_ms)) return held;
      }
    }
    // A batch in order never comes here with a chain, so it pays no table.
    const auto number = static_cast<uint32_t>(slot - slots_.data());
    if (!slot->indexed) {
      slot->indexed = true;
      for (uint32_t i = slot->first; i != Slot::kEnd; i = accepted_[i].next) {
        times_.emplace(std::pair(number, accepted_[i].point.sample.time_ms), i);
      }
    }
    const auto it = times_.find(std::pair(number, time_ms));
    return it == times_.end() ? nullptr
                              : &accepted_[it->second].point.sample.value;
  }

  void Define(Slot* slot) {
    if (slot->id != 0) return;
    slot->id = admission_.next_series_id_++;
    decision_.record.definitions.push_back({slot->id, *slot->labels});
    admission_.group_new_.insert(slot->identity);
  }

  void Accept(const FloatPoint& point, Slot* slot) {
    Define(slot);
    const auto at = static_cast<uint32_t>(accepted_.size());
    accepted_.push_back({{point.sample, point.start_ms}, Slot::kEnd});
    if (slot->first == Slot::kEnd) {
      slot->first = at;
    } else {
      accepted_[slot->last].next = at;
    }
    slot->last = at;
    ++slot->count;
    slot->newest_ms = std::max(slot->newest_ms, point.sample.time_ms);
    if (slot->indexed) {
      times_.emplace(std::pair(static_cast<uint32_t>(slot - slots_.data()),
                               point.sample.time_ms),
                     at);
    }
    ++decision_.outcome.floats_accepted;
  }

  void DecideExemplar(const Exemplar& exemplar, Slot* slot) {
    if (!TakesTime(exemplar.time_ms, *slot)) return;
    size_t characters = 0;
    for (const LabelView& label : exemplar.labels) {
      if (!IsValidUtf8(label.name) || !IsValidUtf8(label.value)) {
        Refuse(RefusalReason::kInvalidLabels, [&] {
          return fmt::format("{}: exemplar: a label is not UTF-8",
                             Named(*slot));
        });
        return;
      }
      for (const char c : label.name) characters += (c & 0xC0) != 0x80;
      for (const char c : label.value) characters += (c & 0xC0) != 0x80;
    }
    if (characters > kExemplarLabelCharactersMax) {
      Refuse(RefusalReason::kLimit, [&] {
        return fmt::format("{}: exemplar: labels of {} characters, at most {}",
                           Named(*slot), characters,
                           kExemplarLabelCharactersMax);
      });
      return;
    }
    ++decision_.outcome.exemplars_accepted;
    if (slot->known != nullptr) {
      const auto& ring = slot->known->exemplars;
      if (std::find(ring.begin(), ring.end(), exemplar) != ring.end()) return;
    }
    Define(slot);
    decision_.record.exemplars.push_back({slot->id, exemplar});
  }

  Admission& admission_;
  const StoreOptions& options_;
  const AppendBatch& batch_;
  const Head& head_;
  const int64_t now_ms_;
  Decision decision_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> slot_of_;    // by index in the batch
  std::deque<Labels> asked_labels_;  // of batch_.label_source
  absl::flat_hash_map<SeriesIdentity, uint32_t> new_;
  std::vector<Accepted> accepted_;
  absl::flat_hash_map<std::pair<uint32_t, int64_t>, uint32_t> times_;
};

void Admission::NewGroup(uint64_t next_series_id) {
  next_series_id_ = std::max(next_series_id_, next_series_id);
  group_first_batch_ = batch_ + 1;
  group_new_.clear();
}

std::optional<Admission::Decision> Admission::Decide(const AppendBatch& batch,
                                                     const Head& head,
                                                     int64_t now_ms) {
  ++batch_;
  Deciding deciding(*this, batch, head, now_ms);
  if (!deciding.Resolve()) return std::nullopt;
  deciding.DecideFloats();
  deciding.RefuseKinds();
  deciding.DecideExemplars();
  deciding.DecideMetadata();
  return std::move(deciding).Finish();
}

}  // namespace vigie::store

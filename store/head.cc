#include "store/head.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/status_macros.h"
#include "store/day_rows.h"
#include "store/id_runs.h"

namespace vigie::store {
namespace {

// Of a series that spans more days, the days are not told apart.
constexpr int32_t kDaysListed = 1000;

// A head is larger than the caches, and between two batches of the same series
// all others are touched. So what a sample will touch is fetched before it is
// its turn: its series first, and then where that says that its samples are,
// which is anywhere in memory.
constexpr size_t kSeriesAhead = 24;
constexpr size_t kSamplesAhead = 8;

// The page of one id after another, which are mostly on the same.
class PageCursor {
 public:
  PageCursor(const PageTable& pages, uint64_t of, uint64_t index)
      : pages_(pages), of_(of), index_(index) {}

  // Null if there is none, or if it is of another share.
  SeriesPage* At(uint64_t id) {
    if (PageOf(id) != number_) {
      number_ = PageOf(id);
      page_ = of_ > 1 && number_ % of_ != index_ ? nullptr : pages_.Find(id);
    }
    return page_;
  }

 private:
  const PageTable& pages_;
  const uint64_t of_, index_;
  uint64_t number_ = ~uint64_t{0};
  SeriesPage* page_ = nullptr;
};

void PrefetchSeries(const SeriesPage* page, size_t slot) {
  if (page == nullptr) return;
  __builtin_prefetch(&page->series[slot], 1);
  if (page->open != nullptr) page->open->chunks[slot].Prefetch();
}
void PrefetchSamples(const SeriesPage* page, size_t slot) {
  if (page == nullptr || page->open == nullptr) return;
  page->open->chunks[slot].PrefetchSamples();
}

absl::Status UnknownSeries(uint64_t id) {
  return absl::DataLossError(
      fmt::format("series {}: used but defined nowhere", id));
}

// Eight buckets take about as much as a float in its worst form.
uint64_t WeightOf(double) { return 1; }
template <class Histogram>
uint64_t WeightOf(const Histogram& value) {
  return 1 + (value.positive_buckets.size() + value.negative_buckets.size() +
              value.positive_spans.size() + value.negative_spans.size() +
              value.custom_values.size()) /
                 8;
}

LateSample Late(int64_t start_ms, double value) { return {start_ms, value}; }
template <class Histogram>
LateSample Late(int64_t start_ms, const Histogram& value) {
  return {start_ms, std::make_unique<const Histogram>(value)};
}

}  // namespace

uint32_t Head::TenantNumber(std::string_view tenant) const {
  const auto it = tenants_.find(tenant);
  return it == tenants_.end() ? SeriesPage::kTenantsDiffer - 1 : it->second;
}

SeriesPage& Head::AddSeries(uint64_t id, const SeriesIdentity& identity,
                            std::string_view tenant, const Labels& labels) {
  index_.Add(id, identity, tenant, labels);
  RaiseNextSeriesId(id + 1);
  auto number = tenants_.find(tenant);
  if (number == tenants_.end()) {
    number = tenants_
                 .try_emplace(std::string(tenant),
                              static_cast<uint32_t>(tenants_.size()))
                 .first;
  }
  SeriesPage& page = pages_.FindOrMake(id);
  if (page.used == 0) {
    page.epoch = epoch_;
    page.tenant = number->second;
  } else if (page.tenant != number->second) {
    page.tenant = SeriesPage::kTenantsDiffer;
  }
  page.used |= BitOf(id);
  page.series[SlotOf(id)] = {};
  return page;
}

void Head::MarkDirty(SeriesPage* page, uint64_t bits) {
  if (page->epoch != epoch_) Freeze(page);
  if (page->dirty == 0) dirty_pages_.push_back(page);
  page->dirty |= bits;
}

absl::Status Head::LoadSeries(uint64_t id, std::string_view tenant,
                              const Labels& labels) {
  const SeriesIdentity identity = Identity(tenant, labels.bytes());
  if (Find(id) != nullptr) {
    return absl::DataLossError(fmt::format("series {}: there twice", id));
  }
  VIGIE_RETURN_IF_ERROR(MakeRoom(id, identity));
  AddSeries(id, identity, tenant, labels).stored |= BitOf(id);
  return absl::OkStatus();
}

absl::Status Head::LoadState(uint64_t id, const SeriesState& state) {
  if (Find(id) == nullptr) return UnknownSeries(id);
  SeriesPage& page = *pages_.Find(id);
  page.series[SlotOf(id)] = {state.first_ms, state.newest_ms,
                             state.last_day_indexed};
  // It was before this process: of these days nothing is known.
  if (state.newest_ms != SeriesState::kNoSamples) {
    blocks_newest_ms_ = std::max(blocks_newest_ms_, state.newest_ms);
    ForgetDaysUntil(DayOf(state.newest_ms));
  }
  if (state.delta.has_value()) {
    page.deltas[static_cast<uint8_t>(SlotOf(id))] = *state.delta;
  }
  return absl::OkStatus();
}

absl::Status Head::LoadExemplars(uint64_t id, std::vector<Exemplar> exemplars) {
  if (Find(id) == nullptr) return UnknownSeries(id);
  pages_.Find(id)->exemplars[static_cast<uint8_t>(SlotOf(id))] =
      std::move(exemplars);
  return absl::OkStatus();
}

void Head::LoadMetadata(std::string_view tenant, std::string_view metric,
                        MetadataEntry entry) {
  auto of_tenant = metadata_.find(tenant);
  if (of_tenant == metadata_.end()) {
    of_tenant = metadata_.try_emplace(std::string(tenant)).first;
  }
  metadata_dirty_ = metadata_dirty_ || entry.dirty;
  const auto [it, added] =
      of_tenant->second.insert_or_assign(std::string(metric), std::move(entry));
  if (added) ++metadata_entries_;
}

template <class Value, class Note>
absl::Status Head::ApplyColumns(const BatchRecord::Columns<Value>& samples,
                                Share* share, Note note) {
  SeriesPage* page = nullptr;
  uint64_t page_number = 0;
  PageCursor series_ahead(pages_, share->of, share->index);
  PageCursor samples_ahead(pages_, share->of, share->index);
  for (size_t i = 0; i < samples.size(); ++i) {
    const uint64_t id = samples.ids[i];
    if (i + kSeriesAhead < samples.size()) {
      const uint64_t soon = samples.ids[i + kSeriesAhead];
      PrefetchSeries(series_ahead.At(soon), SlotOf(soon));
    }
    if (i + kSamplesAhead < samples.size()) {
      const uint64_t soon = samples.ids[i + kSamplesAhead];
      PrefetchSamples(samples_ahead.At(soon), SlotOf(soon));
    }
    if (page == nullptr || page_number != PageOf(id)) {
      page_number = PageOf(id);
      if (share->of > 1 && page_number % share->of != share->index) {
        page = nullptr;
        continue;
      }
      page = pages_.Find(id);
      if (page == nullptr) return UnknownSeries(id);
      if (page->epoch != epoch_) Freeze(page);
      if (page->open == nullptr) page->open = std::make_unique<OpenPage>();
    }
    const uint64_t bit = BitOf(id);
    if ((page->used & bit) == 0) return UnknownSeries(id);
    if (page->dirty == 0) share->dirtied.push_back(page);
    page->dirty |= bit;
    const size_t slot = SlotOf(id);
    const int64_t time_ms = samples.times_ms[i];
    MemSeries& series = page->series[slot];
    if (series.newest_ms == MemSeries::kNoSamples ||
        time_ms < series.first_ms) {
      series.first_ms = time_ms;
    }
    series.newest_ms = std::max(series.newest_ms, time_ms);
    OpenPage& open = *page->open;
    open.oldest_ms = std::min(open.oldest_ms, time_ms);
    OpenChunk& chunk = open.chunks[slot];
    if (chunk.empty() || time_ms > chunk.last_time_ms()) {
      chunk.Append(time_ms, samples.start_ms(i), samples.values[i]);
      ++share->samples;
    } else {
      LateSamples& late = open.late[static_cast<uint8_t>(slot)];
      if (late.try_emplace(time_ms,
                           Late(samples.start_ms(i), samples.values[i]))
              .second) {
        ++share->samples;
      }
    }
    share->weight += WeightOf(samples.values[i]);
    note(page, i);
  }
  return absl::OkStatus();
}

absl::Status Head::Apply(LogPosition position, const BatchRecord& record,
                         const std::vector<SeriesIdentity>& identities) {
  for (size_t i = 0; i < record.definitions.size(); ++i) {
    const auto& [id, labels] = record.definitions[i];
    AddSeries(id, identities[i], record.tenant, labels);
  }
  Share share;
  VIGIE_RETURN_IF_ERROR(ApplySamples(record, &share));
  Join(&share);
  return ApplyRest(position, record);
}

absl::Status Head::Define(const BatchRecord& record,
                          const std::vector<SeriesIdentity>& identities) {
  for (const SeriesIdentity& identity : identities) index_.Prefetch(identity);
  for (size_t i = 0; i < record.definitions.size(); ++i) {
    const auto& [id, labels] = record.definitions[i];
    if (Find(id) != nullptr) {
      if (index_.Is(id, record.tenant, labels)) continue;
      return absl::DataLossError(
          fmt::format("series {}: defined twice, not alike", id));
    }
    VIGIE_RETURN_IF_ERROR(MakeRoom(id, identities[i]));
    AddSeries(id, identities[i], record.tenant, labels);
  }
  return absl::OkStatus();
}

absl::Status Head::ApplySamples(const BatchRecord& record, Share* share) {
  const auto nothing = [](SeriesPage*, size_t) {};
  VIGIE_RETURN_IF_ERROR(ApplyColumns(record.floats, share, nothing));
  VIGIE_RETURN_IF_ERROR(
      ApplyColumns(record.deltas, share, [&](SeriesPage* page, size_t i) {
        page->deltas[static_cast<uint8_t>(SlotOf(record.deltas.ids[i]))] = {
            record.deltas.times_ms[i], record.deltas.values[i],
            record.deltas.start_ms(i)};
      }));
  VIGIE_RETURN_IF_ERROR(
      ApplyColumns(record.integer_histograms, share, nothing));
  return ApplyColumns(record.float_histograms, share, nothing);
}

void Head::Join(Share* share) {
  dirty_pages_.insert(dirty_pages_.end(), share->dirtied.begin(),
                      share->dirtied.end());
  samples_ += share->samples;
  weight_ += share->weight;
  share->dirtied.clear();
  share->samples = share->weight = 0;
}

absl::Status Head::ApplyRest(LogPosition position, const BatchRecord& record) {
  for (const auto& [id, exemplar] : record.exemplars) {
    if (Find(id) == nullptr) return UnknownSeries(id);
    SeriesPage* page = pages_.Find(id);
    auto& ring = page->exemplars[static_cast<uint8_t>(SlotOf(id))];
    if (std::find(ring.begin(), ring.end(), exemplar) != ring.end()) continue;
    if (ring.size() >= kExemplarsMax) ring.erase(ring.begin());
    ring.push_back(exemplar);
    MarkDirty(page, BitOf(id));
    page->exemplars_dirty |= BitOf(id);
  }
  for (const auto& [metric, metadata] : record.metadata) {
    LoadMetadata(record.tenant, metric,
                 {metadata, record.decided_ms, /*dirty=*/true});
  }
  applied_end_ = position + 1;
  return absl::OkStatus();
}

void Head::Read(uint64_t id, const TimeRange& range, SampleRuns* runs) const {
  const SeriesPage* const found = pages_.Find(id);
  if (found == nullptr) return;
  const SeriesPage& page = *found;
  const size_t slot = SlotOf(id);
  if (page.frozen != nullptr && page.frozen->epoch > published_epoch_ &&
      page.frozen->open != nullptr) {
    page.frozen->open->Read(slot, range, runs);
  }
  if (page.open != nullptr) page.open->Read(slot, range, runs);
}

std::optional<Sample> Head::ReadNewest(uint64_t id,
                                       const TimeRange& range) const {
  const SeriesPage& page = *pages_.Find(id);
  const size_t slot = SlotOf(id);
  const int64_t newest_ms = page.series[slot].newest_ms;
  // What was sealed, or is being sealed, may have a sample of that time, which
  // then counts.
  if (page.open == nullptr || newest_ms <= blocks_newest_ms_ ||
      (page.frozen != nullptr && page.frozen->epoch > published_epoch_) ||
      newest_ms < range.min_ms || newest_ms > range.max_ms) {
    return std::nullopt;
  }
  const OpenChunk& chunk = page.open->chunks[slot];
  if (chunk.empty() || chunk.last_time_ms() != newest_ms ||
      chunk.last_kind() != SampleKind::kFloat || chunk.last_start_ms() != 0) {
    return std::nullopt;
  }
  return Sample{newest_ms, chunk.last_value()};
}

const std::vector<Exemplar>* Head::ExemplarsOf(uint64_t id) const {
  const SeriesPage& page = *pages_.Find(id);
  const auto it = page.exemplars.find(static_cast<uint8_t>(SlotOf(id)));
  return it == page.exemplars.end() ? nullptr : &it->second;
}

std::vector<uint64_t> Head::DropBefore(int64_t time_ms) {
  std::vector<uint64_t> ids;
  pages_.ForEach([&](SeriesPage& page) {
    for (size_t slot = 0; slot < kPageSeries; ++slot) {
      const uint64_t bit = uint64_t{1} << slot;
      if ((page.used & bit) == 0) continue;
      MemSeries& series = page.series[slot];
      if (series.newest_ms >= time_ms) {
        series.first_ms = std::max(series.first_ms, time_ms);
      } else if ((page.dirty & bit) == 0 && page.frozen == nullptr) {
        ids.push_back(page.first_id + slot);
      }
    }
  });
  return ids;
}

void Head::Remove(const std::vector<uint64_t>& ids) {
  index_.Remove(ids);
  for (const uint64_t id : ids) {
    SeriesPage* page = pages_.Find(id);
    if (page == nullptr) continue;
    page->used &= ~BitOf(id);
    page->stored &= ~BitOf(id);
    const auto slot = static_cast<uint8_t>(SlotOf(id));
    if (!page->exemplars.empty()) page->exemplars.erase(slot);
    if (!page->deltas.empty()) page->deltas.erase(slot);
    if (page->used == 0 && page->dirty == 0) pages_.Erase(*page);
  }
}

void Head::NoteDaysOf(const MemSeries& series) {
  if (series.newest_ms == MemSeries::kNoSamples) return;
  const int32_t first = DayOf(series.first_ms);
  const int32_t newest = DayOf(series.newest_ms);
  if (int64_t{newest} - first > kDaysListed) ForgetDaysUntil(newest);
  for (int32_t day = first; day <= newest && newest > unknown_until_day_;
       ++day) {
    days_left_.insert(day);
  }
}

// A day that is not dropped yet may still have samples of them.
void Head::Forget(const std::vector<uint64_t>& ids) {
  for (const uint64_t id : ids) {
    if (const MemSeries* series = Find(id)) NoteDaysOf(*series);
  }
  Remove(ids);
}

absl::Status Head::MakeRoom(uint64_t id, const SeriesIdentity& identity) {
  if (id == 0 || id > kSeriesIdMax) {
    return absl::DataLossError(fmt::format("series {}: no such number", id));
  }
  const uint64_t other = index_.Find(identity);
  if (other == 0) return absl::OkStatus();
  if (other > id || (pages_.Find(other)->dirty & BitOf(other)) != 0) {
    return absl::DataLossError(
        fmt::format("series {}: series {} has its labels", id, other));
  }
  gone_.push_back(other);
  Remove({other});
  return absl::OkStatus();
}

void Head::CollectIdle(const SeriesPage& page, const IdleBefore& before,
                       std::vector<uint64_t>* ids) {
  if (page.frozen != nullptr) return;
  for (uint64_t bits = page.used & page.stored & ~page.dirty; bits != 0;
       bits &= bits - 1) {
    const auto slot = static_cast<size_t>(__builtin_ctzll(bits));
    if (page.series[slot].newest_ms >= before.newest_ms) continue;
    if (!page.deltas.empty()) {
      const auto delta = page.deltas.find(static_cast<uint8_t>(slot));
      if (delta != page.deltas.end() &&
          delta->second.end_ms >= before.delta_ms) {
        continue;
      }
    }
    ids->push_back(page.first_id + slot);
  }
}

size_t Head::Leave(const std::vector<uint64_t>& ids, const IdleBefore& before) {
  std::vector<uint64_t> leaving, idle;
  const SeriesPage* last = nullptr;
  for (const uint64_t id : ids) {
    const SeriesPage* page = pages_.Find(id);
    if (page == nullptr) continue;
    if (page != last) {
      idle.clear();
      CollectIdle(*page, before, &idle);
      last = page;
    }
    if (!std::binary_search(idle.begin(), idle.end(), id)) continue;
    leaving.push_back(id);
    NoteDaysOf(page->series[SlotOf(id)]);
  }
  Remove(leaving);
  gone_.insert(gone_.end(), leaving.begin(), leaving.end());
  return leaving.size();
}

void Head::KeepUnstored(const std::vector<uint64_t>& ids) {
  for (const uint64_t id : ids) {
    if (Find(id) != nullptr) pages_.Find(id)->stored &= ~BitOf(id);
  }
}

std::vector<std::pair<std::string, std::string>> Head::SweepMetadata(
    int64_t seen_before_ms) {
  std::vector<std::pair<std::string, std::string>> swept;
  for (auto& [tenant, entries] : metadata_) {
    for (const auto& [metric, entry] : entries) {
      if (!entry.dirty && entry.seen_ms < seen_before_ms) {
        swept.emplace_back(tenant, metric);
      }
    }
  }
  for (const auto& [tenant, metric] : swept) {
    const auto entries = metadata_.find(tenant);
    entries->second.erase(metric);
    if (entries->second.empty()) metadata_.erase(entries);
  }
  metadata_entries_ -= swept.size();
  return swept;
}

}  // namespace vigie::store

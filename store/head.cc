#include "store/head.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/status_macros.h"

namespace vigie::store {
namespace {

// Beyond this many samples out of order in one run, one merge is cheaper than
// an insertion each, which would make a hostile batch cost its size squared.
constexpr size_t kInsertionsMax = 16;

absl::Status UnknownSeries(uint64_t id) {
  return absl::DataLossError(
      fmt::format("series {}: used but defined nowhere", id));
}

}  // namespace

MemSeries& Head::AddSeries(uint64_t id, std::string_view tenant,
                           const Labels& labels) {
  index_.Add(id, Identity(tenant, labels.bytes()), tenant, labels);
  RaiseNextSeriesId(id + 1);
  auto series = std::make_unique<MemSeries>();
  series->id = id;
  return *series_.emplace(id, std::move(series)).first->second;
}

void Head::MarkDirty(MemSeries* series) {
  if (series->dirty) return;
  series->dirty = true;
  dirty_.push_back(series);
}

absl::Status Head::LoadSeries(uint64_t id, std::string_view tenant,
                              Labels labels) {
  if (index_.Contains(id) ||
      index_.Find(Identity(tenant, labels.bytes())) != 0) {
    return absl::DataLossError(fmt::format("series {}: there twice", id));
  }
  AddSeries(id, tenant, labels).stored = true;
  return absl::OkStatus();
}

absl::Status Head::LoadWindows(uint64_t id, int64_t newest_ms,
                               WindowSet windows) {
  MemSeries* series = Find(id);
  if (series == nullptr) return UnknownSeries(id);
  series->newest_ms = newest_ms;
  series->windows = std::move(windows);
  return absl::OkStatus();
}

absl::Status Head::LoadExemplars(uint64_t id, std::vector<Exemplar> exemplars) {
  MemSeries* series = Find(id);
  if (series == nullptr) return UnknownSeries(id);
  series->exemplars = std::move(exemplars);
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

void Head::ApplyRun(const BatchRecord& record, const BatchRecord::Run& run,
                    MemSeries* series) {
  size_t before = series->open.size();
  size_t late = 0;
  int64_t last_ms = series->open.empty() ? MemSeries::kNoSamples
                                         : series->open.times_ms.back();
  for (uint32_t i = run.begin; i < run.end; ++i) {
    const int64_t time_ms = record.floats[i].sample.time_ms;
    if (time_ms <= last_ms) ++late;
    last_ms = std::max(last_ms, time_ms);
    series->newest_ms = std::max(series->newest_ms, time_ms);
    series->windows.Add(WindowOf(time_ms));
  }
  if (late <= kInsertionsMax) {
    for (uint32_t i = run.begin; i < run.end; ++i) {
      const auto& [sample, start_ms] = record.floats[i];
      series->open.Insert(sample.time_ms, sample.value, start_ms);
    }
  } else {
    std::vector<BatchRecord::Float> sorted(record.floats.begin() + run.begin,
                                           record.floats.begin() + run.end);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) {
                       return a.sample.time_ms < b.sample.time_ms;
                     });
    SampleColumns columns;
    for (const auto& [sample, start_ms] : sorted) {
      columns.Insert(sample.time_ms, sample.value, start_ms);
    }
    uint64_t conflicts = 0;  // admission lets none through
    series->open = Merged(series->open, columns, &conflicts);
  }
  samples_ += series->open.size() - before;
}

absl::Status Head::Apply(LogPosition position, const BatchRecord& record) {
  for (const BatchRecord::Definition& definition : record.definitions) {
    const bool known = index_.Contains(definition.id);
    if (!known &&
        index_.Find(Identity(record.tenant, definition.labels.bytes())) == 0) {
      AddSeries(definition.id, record.tenant, definition.labels);
    } else if (!known ||
               !index_.Is(definition.id, record.tenant, definition.labels)) {
      return absl::DataLossError(
          fmt::format("series {}: defined twice, not alike", definition.id));
    }
  }
  for (const BatchRecord::Run& run : record.runs) {
    if (run.begin == run.end) continue;
    MemSeries* series = Find(run.id);
    if (series == nullptr) return UnknownSeries(run.id);
    ApplyRun(record, run, series);
    MarkDirty(series);
  }
  for (const auto& [id, exemplar] : record.exemplars) {
    MemSeries* series = Find(id);
    if (series == nullptr) return UnknownSeries(id);
    auto& ring = series->exemplars;
    if (std::find(ring.begin(), ring.end(), exemplar) != ring.end()) continue;
    if (ring.size() >= kExemplarsMax) ring.erase(ring.begin());
    ring.push_back(exemplar);
    series->exemplars_dirty = true;
    MarkDirty(series);
  }
  for (const auto& [metric, metadata] : record.metadata) {
    LoadMetadata(record.tenant, metric,
                 {metadata, record.decided_ms, /*dirty=*/true});
  }
  applied_end_ = position + 1;
  return absl::OkStatus();
}

SealCapture Head::Capture() {
  SealCapture capture;
  capture.end = applied_end_;
  capture.next_series_id = next_series_id_;
  capture.series.reserve(dirty_.size());
  std::vector<std::shared_ptr<const SampleColumns>> samples;
  samples.reserve(dirty_.size());
  for (MemSeries* series : dirty_) {
    SealCapture::Series& one = capture.series.emplace_back();
    one.id = series->id;
    one.tenant = index_.TenantOf(series->id);
    one.metric_hash = index_.MetricHashOf(series->id);
    if (!series->open.empty()) {
      series->sealing =
          std::make_shared<const SampleColumns>(std::move(series->open));
      series->open = {};
      capture.samples += series->sealing->size();
    }
    samples.push_back(series->sealing);
    one.write_row = !series->stored;
    if (one.write_row) one.labels = index_.LabelsOf(series->id);
    one.newest_ms = series->newest_ms;
    one.windows = series->windows;
    if (series->exemplars_dirty) {
      one.write_exemplars = true;
      one.exemplars = series->exemplars;
    }
    series->dirty = false;
    series->exemplars_dirty = false;
  }
  capture.read = [samples = std::move(samples)](size_t i, SampleRuns* runs) {
    runs->clear();
    if (samples[i] != nullptr) runs->push_back(*samples[i]);
  };
  dirty_.clear();
  if (metadata_dirty_) {
    for (auto& [tenant, entries] : metadata_) {
      for (auto& [metric, entry] : entries) {
        if (!entry.dirty) continue;
        entry.dirty = false;
        capture.metadata.push_back({tenant, metric, entry});
      }
    }
    metadata_dirty_ = false;
  }
  return capture;
}

void Head::Release(const SealCapture& capture) {
  for (const SealCapture::Series& one : capture.series) {
    MemSeries* series = Find(one.id);
    series->sealing.reset();
    series->stored = true;
  }
  samples_ -= capture.samples;
}

void Head::Restore(const SealCapture& capture) {
  for (const SealCapture::Series& one : capture.series) {
    MemSeries* series = Find(one.id);
    if (series->sealing != nullptr) {
      const uint64_t before = series->sealing->size() + series->open.size();
      uint64_t conflicts = 0;
      series->open = series->open.empty()
                         ? *series->sealing
                         : Merged(*series->sealing, series->open, &conflicts);
      samples_ -= before - series->open.size();
      series->sealing.reset();
    }
    series->exemplars_dirty = series->exemplars_dirty || one.write_exemplars;
    MarkDirty(series);
  }
  for (const SealCapture::Metadata& one : capture.metadata) {
    const auto entries = metadata_.find(one.tenant);
    if (entries == metadata_.end()) continue;
    const auto entry = entries->second.find(one.metric);
    if (entry == entries->second.end()) continue;
    entry->second.dirty = true;
    metadata_dirty_ = true;
  }
}

std::vector<uint64_t> Head::DropWindowsBefore(int32_t window) {
  std::vector<uint64_t> ids;
  for (const auto& [id, series] : series_) {
    if (series->dirty || series->sealing != nullptr) continue;
    series->windows.RemoveBefore(window);
    if (series->windows.empty()) ids.push_back(id);
  }
  return ids;
}

void Head::Forget(const std::vector<uint64_t>& ids) {
  index_.Remove({ids.begin(), ids.end()});
  for (const uint64_t id : ids) series_.erase(id);
}

void Head::KeepUnstored(const std::vector<uint64_t>& ids) {
  for (const uint64_t id : ids) {
    if (MemSeries* series = Find(id)) series->stored = false;
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

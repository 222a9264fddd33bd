// LocalStore's import: samples of any age go into blocks as a seal of their
// own, past the log and the head.
// Why: docs/decisions/0072-import-writes-blocks.md.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/day_rows.h"
#include "store/keys.h"
#include "store/label_rules.h"
#include "store/local_store.h"
#include "store/retention.h"

namespace vigie::store {

// What one step takes in. Appends wait for it.
constexpr uint64_t kStepSamplesMax = 1 << 20;
constexpr size_t kStepSeriesMax = 50'000;

// A series of a step, ready to be written.
struct LocalStore::Imported {
  Labels labels;
  SampleRuns runs;
  uint64_t id = 0;
};

namespace {

SampleColumns ColumnsOf(SampleBatch batch) {
  SampleColumns columns;
  columns.kind = batch.kind;
  columns.times_ms = std::move(batch.times_ms);
  columns.starts_ms = std::move(batch.starts_ms);
  columns.values = std::move(batch.values);
  columns.integer_histograms = std::move(batch.integer_histograms);
  columns.float_histograms = std::move(batch.float_histograms);
  return columns;
}

uint64_t SamplesOf(const SampleRuns& runs) {
  uint64_t samples = 0;
  for (const SampleColumns& run : runs) samples += run.size();
  return samples;
}

// Puts `more` behind `*runs`, or among them.
void Add(SampleColumns more, SampleRuns* runs) {
  if (more.empty()) return;
  if (runs->empty() || runs->back().times_ms.back() < more.times_ms.front()) {
    if (!runs->empty() && runs->back().kind == more.kind) {
      runs->back().AppendSlice(more, 0, more.size());
    } else {
      runs->push_back(std::move(more));
    }
    return;
  }
  uint64_t conflicts = 0;
  SampleRuns second;
  second.push_back(std::move(more));
  *runs = MergedRuns(*runs, second, &conflicts);
}

// Counts what is refused, with one example a reason.
class Refusals {
 public:
  void Add(std::string_view reason, const Labels& labels, uint64_t samples) {
    if (samples == 0) return;
    auto [it, is_new] = counts_.try_emplace(std::string(reason), 0, "");
    if (is_new) it->second.second = labels.ToString();
    it->second.first += samples;
    total_ += samples;
  }
  uint64_t total() const { return total_; }
  void Tell(const Progress& progress) const {
    for (const auto& [reason, counted] : counts_) {
      progress.Warn(fmt::format("{} samples refused: {}, as of {}",
                                counted.first, reason, counted.second));
    }
  }

 private:
  std::map<std::string, std::pair<uint64_t, std::string>> counts_;
  uint64_t total_ = 0;
};

}  // namespace

absl::StatusOr<ImportOutcome> LocalStore::Import(ImportSource& source,
                                                 const Progress& progress) {
  const std::string& tenant = source.tenant().name;
  if (tenant.empty() || tenant.size() > kTenantBytesMax ||
      !IsValidUtf8(tenant)) {
    return absl::InvalidArgumentError(
        fmt::format("import: a tenant has 1 to {} bytes of UTF-8, not {}",
                    kTenantBytesMax, tenant.size()));
  }
  const int64_t now_ms = clock_.NowMs();
  const int64_t oldest_ms =
      std::max(OldestKeptMs(options_.store, tenant, now_ms), kTimeMinMs);
  const int64_t newest_ms = now_ms + options_.store.future_window_ms;
  ImportOutcome outcome;
  Refusals refusals;
  bool more = true;
  absl::Status status;
  while (more && status.ok()) {
    std::vector<Imported> step;
    uint64_t samples = 0;
    while (samples < kStepSamplesMax && step.size() < kStepSeriesMax) {
      ImportedSeries series;
      absl::StatusOr<bool> next = source.Next(&series);
      status = next.status();
      more = next.ok() && *next;
      if (!more) break;
      if (status = progress.Stopped(); !status.ok()) break;
      Imported one;
      for (SampleBatch& batch : series.batches) {
        SampleColumns columns = ColumnsOf(std::move(batch));
        // Within what is kept.
        const size_t begin = columns.LowerBound(oldest_ms);
        const size_t end = std::max(begin, columns.UpperBound(newest_ms));
        refusals.Add("older than the retention", series.labels, begin);
        refusals.Add("too far ahead of the clock", series.labels,
                     columns.size() - end);
        if (begin == 0 && end == columns.size()) {
          Add(std::move(columns), &one.runs);
        } else if (begin < end) {
          SampleColumns kept;
          kept.kind = columns.kind;
          kept.AppendSlice(columns, begin, end);
          Add(std::move(kept), &one.runs);
        }
      }
      const uint64_t of_series = SamplesOf(one.runs);
      if (of_series == 0) continue;
      if (const auto fault = FindLabelFault(series.labels)) {
        refusals.Add(fault->message, series.labels, of_series);
        continue;
      }
      one.labels = std::move(series.labels);
      samples += of_series;
      step.push_back(std::move(one));
    }
    // What was read before an error is taken in; it may be asked for again.
    if (step.empty()) continue;
    MutexLock lock(maintenance_mutex_);
    if (absl::Status taken = TakeIn(tenant, &step); !taken.ok()) {
      return Prefixed("import", taken);
    }
    outcome.series += step.size();
    outcome.samples += samples;
    progress.Report("importing", outcome.samples, 0, "samples");
  }
  outcome.samples_refused = refusals.total();
  refusals.Tell(progress);
  VIGIE_RETURN_IF_ERROR(status);
  return outcome;
}

absl::Status LocalStore::TakeIn(const std::string& tenant,
                                std::vector<Imported>* series) {
  // A series that came twice is one, as a seal has each once.
  absl::flat_hash_map<std::string_view, size_t> first;
  size_t kept = 0;
  for (size_t i = 0; i < series->size(); ++i) {
    const auto [it, is_new] = first.emplace((*series)[i].labels.bytes(), kept);
    if (!is_new) {
      for (SampleColumns& run : (*series)[i].runs) {
        Add(std::move(run), &(*series)[it->second].runs);
      }
      continue;
    }
    if (kept != i) {
      first.erase(it);
      (*series)[kept] = std::move((*series)[i]);
      first.emplace((*series)[kept].labels.bytes(), kept);
    }
    ++kept;
  }
  first.clear();
  series->resize(kept);

  VIGIE_ASSIGN_OR_RETURN(Watermark watermark, blocks_->ReadWatermark());
  // No batch may be resolved to a series that is not in blocks yet and that no
  // record of the log defines.
  MutexLock admission(admission_mutex_);
  std::vector<uint64_t> added;
  {
    HeadWriterLock lock(head_lock_);
    for (Imported& one : *series) {
      one.id = head_->index().Find(head_->Identity(tenant, one.labels.bytes()));
      if (one.id != 0) continue;
      one.id = head_->next_series_id();
      head_->RaiseNextSeriesId(one.id + 1);
      VIGIE_RETURN_IF_ERROR(head_->LoadSeries(one.id, tenant, one.labels));
      added.push_back(one.id);
    }
    watermark.next_series_id = head_->next_series_id();
  }
  std::sort(series->begin(), series->end(),
            [](const Imported& a, const Imported& b) { return a.id < b.id; });
  TimeRange span{.min_ms = std::numeric_limits<int64_t>::max(),
                 .max_ms = std::numeric_limits<int64_t>::min()};
  for (const Imported& one : *series) {
    span.min_ms = std::min(span.min_ms, one.runs.front().times_ms.front());
    span.max_ms = std::max(span.max_ms, one.runs.back().times_ms.back());
  }
  SealCapture capture = CaptureOf(tenant, *series);
  ++next_seal_;
  watermark.next_seal = next_seal_;
  absl::Status status =
      blocks_->Write(capture, watermark, options_.store.chunk_samples_max);
  HeadWriterLock lock(head_lock_);
  if (status.ok()) status = blocks_->Publish();
  changes_.Note(tenant, span);  // whatever became of it
  if (!status.ok()) {
    head_->Forget(added);
    return status;
  }
  for (size_t i = 0; i < capture.series.size(); ++i) {
    const SealCapture::Series& row = capture.series[i];
    SeriesState state{row.first_ms, row.newest_ms, row.last_day_indexed, {}};
    const auto delta = capture.deltas.find(i);
    if (delta != capture.deltas.end()) state.delta = delta->second;
    VIGIE_RETURN_IF_ERROR(head_->LoadState(row.id, state));
  }
  metrics_.block_bytes.Set(static_cast<double>(blocks_->bytes_on_disk()));
  metrics_.head_series.Set(static_cast<double>(head_->index().size()));
  return absl::OkStatus();
}

SealCapture LocalStore::CaptureOf(const std::string& tenant,
                                  const std::vector<Imported>& series) {
  SealCapture capture;
  capture.tenants.push_back(tenant);
  HeadReaderLock lock(head_lock_);
  for (size_t i = 0; i < series.size(); ++i) {
    const Imported& one = series[i];
    const MemSeries& known = *head_->Find(one.id);
    SealCapture::Series& row = capture.series.emplace_back();
    row.id = one.id;
    row.metric_hash = MetricHash(one.labels);
    row.first_ms = one.runs.front().times_ms.front();
    row.newest_ms = one.runs.back().times_ms.back();
    row.last_day_indexed = known.last_day_indexed;
    if (known.newest_ms != MemSeries::kNoSamples) {
      row.first_ms = std::min(row.first_ms, known.first_ms);
      row.newest_ms = std::max(row.newest_ms, known.newest_ms);
    }
    row.is_new = true;  // written again it says the same
    for (const SampleColumns& run : one.runs) {
      capture.samples += run.size();
      for (const int64_t time_ms : run.times_ms) {
        const int32_t day = DayOf(time_ms);
        if (row.index_days.empty() || row.index_days.back() != day) {
          row.index_days.push_back(day);
        }
      }
    }
    row.last_day_indexed =
        std::max(row.last_day_indexed, row.index_days.back());
    const SeriesPage& page = *head_->FindPage(one.id);
    const auto delta = page.deltas.find(static_cast<uint8_t>(SlotOf(one.id)));
    if (delta != page.deltas.end()) capture.deltas[i] = delta->second;
  }
  capture.read = [&series](size_t i, SampleRuns* runs) {
    *runs = series[i].runs;
  };
  capture.labels = [&series](size_t i) { return series[i].labels; };
  return capture;
}

}  // namespace vigie::store

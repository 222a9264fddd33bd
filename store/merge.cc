#include "store/merge.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/ordered_merge.h"
#include "store/place_writer.h"
#include "store/rollup.h"

namespace vigie::store {
namespace {

// Chunks end at multiples of one of these spans of the day: series that are
// scraped together are then cut alike and share their columns of times.
constexpr int64_t kSpansMs[] = {kDayMs, kWindowMs, 3'600'000, 600'000, 60'000};
constexpr size_t kSpanSamplesMax = 2048;  // on average over the day
constexpr uint64_t kProgressSamples = 1 << 20;
constexpr size_t kKeyTailBytes = 8;  // start and seal
constexpr size_t kReadAheadBytes = 1 << 20;
constexpr int64_t kEverything = std::numeric_limits<int64_t>::min();

std::string_view ToView(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

int64_t SpanFor(size_t samples_a_day) {
  for (const int64_t span_ms : kSpansMs) {
    if (samples_a_day <=
        kSpanSamplesMax * static_cast<size_t>(kDayMs / span_ms)) {
      return span_ms;
    }
  }
  return std::end(kSpansMs)[-1];
}

// Walks the chunks of one place by series.
class PlaceReader {
 public:
  PlaceReader(RocksTables& tables, const BlockPlace& place, uint32_t last_seal)
      : place_(place), last_seal_(last_seal) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = kReadAheadBytes;
    it_.reset(tables.db().NewIterator(options, place.family->handle()));
    it_->Seek(FirstChunkKey(place.prefix));
  }

  bool Valid() const {
    return it_->Valid() && ToView(it_->key()).starts_with(place_.prefix);
  }
  // Once it is no longer valid. RocksDB was seen to end an iteration without
  // an error before a damaged file, so what is read is counted.
  absl::Status status() const {
    VIGIE_RETURN_IF_ERROR(FromRocks(it_->status(), place_.family->name()));
    if (taken_ == place_.chunks) return absl::OkStatus();
    return absl::DataLossError(
        fmt::format("blocks: {}: {} of {} chunks can be read",
                    place_.family->name(), taken_, place_.chunks));
  }
  // Tenant, metric and id as bytes that sort.
  std::string_view series() const {
    std::string_view key = ToView(it_->key()).substr(place_.prefix.size());
    key.remove_suffix(std::min(key.size(), kKeyTailBytes));
    return key;
  }

  // Appends the chunks of `series`, which is that of now, and goes on.
  absl::Status Take(const std::string& series,
                    std::vector<StoredChunk>* chunks) {
    const bool rollup =
        place_.cold != nullptr && place_.cold->resolution_ms != 0;
    for (; Valid() && this->series() == series; it_->Next()) {
      VIGIE_ASSIGN_OR_RETURN(
          const ChunkKeyParts key,
          ParseChunkKey(ToView(it_->key()).substr(place_.prefix.size())));
      // Merged already, or sealed after the view was taken.
      if (key.seal < place_.first_seal || key.seal > last_seal_) continue;
      ++taken_;
      StoredChunk& chunk = chunks->emplace_back();
      chunk.place = &place_;
      chunk.series_id = key.series_id;
      chunk.seal = key.seal;
      if (!rollup) {
        VIGIE_ASSIGN_OR_RETURN(chunk.header,
                               ReadChunkHeader(ToView(it_->value())));
      }
      chunk.bytes = ToView(it_->value());
    }
    return absl::OkStatus();
  }

 private:
  const BlockPlace& place_;
  const uint32_t last_seal_;
  uint64_t taken_ = 0;
  std::unique_ptr<rocksdb::Iterator> it_;
};

class DayMerge {
 public:
  DayMerge(RocksTables& tables, const BlockView& view,
           const BlockSnapshot& snapshot, const MergeOptions& options,
           FileSet* files, std::vector<ColdDay>* merged)
      : snapshot_(snapshot),
        options_(options),
        merged_(*merged),
        day_(merged->front().day) {
    for (const ColdDay& one : *merged) {
      writers_.push_back(std::make_unique<PlaceWriter>(
          tables, tables.at(Table::kCold), ColdPlace(day_, one.generation),
          DayStartMs(day_), /*seal=*/0, files));
    }
    if (const auto places = view.days.find(day_); places != view.days.end()) {
      for (const BlockPlace& place : places->second) {
        readers_.push_back(
            std::make_unique<PlaceReader>(tables, place, view.last_seal));
      }
    }
    of_samples_ = readers_.size();
    if (const auto places = view.rollups.find(day_);
        places != view.rollups.end()) {
      for (const BlockPlace& place : places->second) {
        readers_.push_back(
            std::make_unique<PlaceReader>(tables, place, view.last_seal));
      }
    }
  }

  absl::Status Run() {
    std::string series;
    while (true) {
      if (options_.stop.stop_requested()) {
        return absl::CancelledError("merge: cancelled");
      }
      bool found = false;
      for (const auto& reader : readers_) {
        if (!reader->Valid()) {
          VIGIE_RETURN_IF_ERROR(reader->status());
          continue;
        }
        if (!found || reader->series() < series) series = reader->series();
        found = true;
      }
      if (!found) break;
      VIGIE_RETURN_IF_ERROR(MergeSeries(series));
      const uint64_t samples = writers_.front()->samples();
      if (options_.progress && samples >= told_ + kProgressSamples) {
        options_.progress(told_ = samples);
      }
    }
    for (size_t i = 0; i < merged_.size(); ++i) {
      VIGIE_RETURN_IF_ERROR(writers_[i]->Finish());
      merged_[i].samples = writers_[i]->samples();
      merged_[i].chunks = writers_[i]->chunks();
      merged_[i].bytes = writers_[i]->bytes();
      merged_[i].longest_ms = writers_[i]->longest_ms();
    }
    if (options_.left_out) {
      for (const auto& [tenant, newest_ms] : left_out_) {
        options_.left_out(tenant, newest_ms);
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status MergeSeries(const std::string& series) {
    chunks_.clear();
    rollups_.clear();
    for (size_t i = 0; i < readers_.size(); ++i) {
      PlaceReader& reader = *readers_[i];
      if (reader.Valid() && reader.series() == series) {
        VIGIE_RETURN_IF_ERROR(
            reader.Take(series, i < of_samples_ ? &chunks_ : &rollups_));
      }
    }
    if (chunks_.empty() && rollups_.empty()) return absl::OkStatus();
    const std::string whole = series + std::string(kKeyTailBytes, '\0');
    VIGIE_ASSIGN_OR_RETURN(const ChunkKeyParts key, ParseChunkKey(whole));
    sources_.clear();
    for (const StoredChunk& chunk : chunks_) {
      RankedRuns source{{chunk.series_id, chunk.seal}, SampleRuns(1)};
      VIGIE_RETURN_IF_ERROR(
          snapshot_.Decode(key.tenant, chunk, &source.runs.front()));
      if (!source.runs.front().empty()) sources_.push_back(std::move(source));
    }
    uint64_t conflicts = 0;  // counted when they are read
    SampleRuns runs = OrderedMerge(&sources_, &conflicts);
    VIGIE_RETURN_IF_ERROR(RollUp(key, runs));
    const int64_t oldest_ms = OldestOf(options_.oldest_ms, key.tenant);
    // What rollups stand for, or will once it goes, stays or goes as a whole.
    const bool as_a_whole = !options_.rollups.empty();
    if (as_a_whole && DayEndMs(day_) >= oldest_ms) {
      return WriteSamples(key, runs, kEverything);
    }
    NoteLeftOut(key.tenant, runs, oldest_ms);
    return as_a_whole ? absl::OkStatus() : WriteSamples(key, runs, oldest_ms);
  }

  void NoteLeftOut(std::string_view tenant, const SampleRuns& runs,
                   int64_t oldest_ms) {
    for (const SampleColumns& run : runs) {
      const size_t end = run.LowerBound(oldest_ms);
      if (end == 0) continue;
      // Series come by tenant.
      if (left_out_.empty() || left_out_.back().first != tenant) {
        left_out_.emplace_back(tenant, kEverything);
      }
      left_out_.back().second =
          std::max(left_out_.back().second, run.times_ms[end - 1]);
    }
  }

  absl::Status WriteSamples(const ChunkKeyParts& key, const SampleRuns& runs,
                            int64_t oldest_ms) {
    size_t samples = 0;
    for (const SampleColumns& run : runs) {
      samples += run.size() - run.LowerBound(oldest_ms);
    }
    const int64_t span_ms = SpanFor(samples);
    for (const SampleColumns& run : runs) {
      for (size_t begin = run.LowerBound(oldest_ms); begin < run.size();) {
        const int64_t into_day = run.times_ms[begin] - DayStartMs(day_);
        const int64_t span_end =
            DayStartMs(day_) + (into_day / span_ms + 1) * span_ms;
        const size_t end = run.LowerBound(span_end);
        VIGIE_RETURN_IF_ERROR(writers_.front()->Add(key.tenant, key.metric_hash,
                                                    key.series_id, run, begin,
                                                    end, kChunkSamplesLimit));
        begin = end;
      }
    }
    return absl::OkStatus();
  }

  // From samples as long as all of them are there, else as it was.
  absl::Status RollUp(const ChunkKeyParts& key, const SampleRuns& runs) {
    const bool floats =
        std::all_of(runs.begin(), runs.end(), [](const SampleColumns& run) {
          return run.kind == SampleKind::kFloat;
        });
    const bool whole = std::any_of(
        chunks_.begin(), chunks_.end(),
        [](const StoredChunk& chunk) { return chunk.place->cold != nullptr; });
    for (size_t i = 1; i < merged_.size(); ++i) {
      const MergeOptions::Rollup& kept = options_.rollups[i - 1];
      if (DayEndMs(day_) < OldestOf(kept.oldest_ms, key.tenant)) continue;
      const auto old = std::find_if(
          rollups_.begin(), rollups_.end(), [&](const StoredChunk& chunk) {
            return chunk.place->cold->resolution_ms == kept.resolution_ms;
          });
      RollupColumns buckets;
      if (!runs.empty() && (whole || old == rollups_.end())) {
        if (!floats) continue;
        RollupBuilder builder(kept.resolution_ms);
        for (const SampleColumns& run : runs) builder.Add(run);
        buckets = builder.Take();
      } else if (old != rollups_.end()) {
        VIGIE_RETURN_IF_ERROR(
            snapshot_.DecodeRollup(key.tenant, *old, &buckets));
      }
      if (buckets.size() == 0) continue;
      // A day of the finest resolution is far from what one chunk holds.
      VIGIE_RETURN_IF_ERROR(writers_[i]->AddPacked(
          key.tenant, key.metric_hash, key.series_id, buckets.times_ms.front(),
          buckets.size(), EncodeRollupChunk(buckets, 0, buckets.size())));
    }
    return absl::OkStatus();
  }

  static int64_t OldestOf(const OldestOfTenant& oldest_ms,
                          std::string_view tenant) {
    return oldest_ms ? oldest_ms(tenant) : kEverything;
  }

  const BlockSnapshot& snapshot_;
  const MergeOptions& options_;
  std::vector<ColdDay>& merged_;  // of the samples, then of each rollup
  const int32_t day_;
  std::vector<std::unique_ptr<PlaceWriter>> writers_;  // likewise
  std::vector<std::unique_ptr<PlaceReader>> readers_;
  size_t of_samples_ = 0;  // the first of them; the others are of rollups
  std::vector<StoredChunk> chunks_, rollups_;  // of the series
  std::vector<RankedRuns> sources_;
  // The newest sample of a tenant that is no longer kept.
  std::vector<std::pair<std::string, int64_t>> left_out_;
  uint64_t told_ = 0;
};

}  // namespace

absl::Status WriteMergedDay(RocksTables& tables, const BlockView& view,
                            const BlockSnapshot& snapshot,
                            const MergeOptions& options, FileSet* files,
                            std::vector<ColdDay>* merged) {
  DayMerge merge(tables, view, snapshot, options, files, merged);
  absl::Status status = merge.Run();
  return status.ok()
             ? status
             : Prefixed(fmt::format("day {}", merged->front().day), status);
}

}  // namespace vigie::store

#include "store/merge.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/ordered_merge.h"
#include "store/place_writer.h"

namespace vigie::store {
namespace {

// Chunks end at multiples of one of these spans of the day: series that are
// scraped together are then cut alike and share their columns of times.
constexpr int64_t kSpansMs[] = {kDayMs, kWindowMs, 3'600'000, 600'000, 60'000};
constexpr size_t kSpanSamplesMax = 2048;  // on average over the day
constexpr uint64_t kProgressSamples = 1 << 20;
constexpr size_t kKeyTailBytes = 8;  // start and seal
constexpr size_t kReadAheadBytes = 1 << 20;

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
      VIGIE_ASSIGN_OR_RETURN(chunk.header,
                             ReadChunkHeader(ToView(it_->value())));
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
           FileSet* files, ColdDay* merged)
      : snapshot_(snapshot),
        options_(options),
        merged_(*merged),
        writer_(tables, tables.at(Table::kCold),
                ColdPlace(merged->day, merged->generation),
                DayStartMs(merged->day), /*seal=*/0, files) {
    const auto places = view.days.find(merged->day);
    if (places == view.days.end()) return;
    for (const BlockPlace& place : places->second) {
      readers_.push_back(
          std::make_unique<PlaceReader>(tables, place, view.last_seal));
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
      if (options_.progress && writer_.samples() >= told_ + kProgressSamples) {
        told_ = writer_.samples();
        options_.progress(told_);
      }
    }
    VIGIE_RETURN_IF_ERROR(writer_.Finish());
    merged_.samples = writer_.samples();
    merged_.chunks = writer_.chunks();
    merged_.bytes = writer_.bytes();
    return absl::OkStatus();
  }

 private:
  absl::Status MergeSeries(const std::string& series) {
    chunks_.clear();
    for (const auto& reader : readers_) {
      if (reader->Valid() && reader->series() == series) {
        VIGIE_RETURN_IF_ERROR(reader->Take(series, &chunks_));
      }
    }
    if (chunks_.empty()) return absl::OkStatus();
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
    const int64_t oldest_ms = options_.oldest_ms
                                  ? options_.oldest_ms(key.tenant)
                                  : std::numeric_limits<int64_t>::min();
    size_t samples = 0;
    for (const SampleColumns& run : runs) {
      samples += run.size() - run.LowerBound(oldest_ms);
    }
    const int64_t span_ms = SpanFor(samples);
    for (const SampleColumns& run : runs) {
      for (size_t begin = run.LowerBound(oldest_ms); begin < run.size();) {
        const int64_t into_day = run.times_ms[begin] - DayStartMs(merged_.day);
        const int64_t span_end =
            DayStartMs(merged_.day) + (into_day / span_ms + 1) * span_ms;
        const size_t end = run.LowerBound(span_end);
        VIGIE_RETURN_IF_ERROR(writer_.Add(key.tenant, key.metric_hash,
                                          key.series_id, run, begin, end,
                                          kChunkSamplesLimit));
        begin = end;
      }
    }
    return absl::OkStatus();
  }

  const BlockSnapshot& snapshot_;
  const MergeOptions& options_;
  ColdDay& merged_;
  PlaceWriter writer_;
  std::vector<std::unique_ptr<PlaceReader>> readers_;
  std::vector<StoredChunk> chunks_;
  std::vector<RankedRuns> sources_;
  uint64_t told_ = 0;
};

}  // namespace

absl::Status WriteMergedDay(RocksTables& tables, const BlockView& view,
                            const BlockSnapshot& snapshot,
                            const MergeOptions& options, FileSet* files,
                            ColdDay* merged) {
  DayMerge merge(tables, view, snapshot, options, files, merged);
  absl::Status status = merge.Run();
  return status.ok() ? status
                     : Prefixed(fmt::format("day {}", merged->day), status);
}

}  // namespace vigie::store

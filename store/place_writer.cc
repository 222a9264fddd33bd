#include "store/place_writer.h"

#include <sys/random.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace vigie::store {
namespace {

// Beyond it the columns met so far are forgotten: later ones are then stored
// again, which costs space and no more.
constexpr size_t kColumnsMax = 1 << 20;
constexpr size_t kSecretBytes = 192;

}  // namespace

PlaceWriter::PlaceWriter(RocksTables& tables,
                         const std::shared_ptr<Family>& family,
                         std::string prefix, int64_t base_ms, uint32_t seal,
                         FileSet* files)
    : prefix_(std::move(prefix)),
      base_ms_(base_ms),
      seal_(seal),
      own_(std::make_unique<FileWriter>(tables, family, files)),
      columns_(std::make_unique<FileWriter>(tables, family, files)),
      chunks_(own_.get()),
      secret_(kSecretBytes, '\0') {
  // At most 256 bytes come whole, without a signal in between.
  VIGIE_CHECK(::getrandom(secret_.data(), secret_.size(), 0) ==
              static_cast<ssize_t>(secret_.size()));
}

PlaceWriter::PlaceWriter(FileWriter* chunks, std::string prefix,
                         int64_t base_ms, uint32_t seal)
    : prefix_(std::move(prefix)),
      base_ms_(base_ms),
      seal_(seal),
      chunks_(chunks),
      bytes_before_(chunks->bytes()) {}

uint64_t PlaceWriter::bytes() const {
  return chunks_->bytes() - bytes_before_ +
         (columns_ == nullptr ? 0 : columns_->bytes());
}

uint32_t PlaceWriter::Intern(std::string_view packed) {
  const XXH128_hash_t hash = XXH3_128bits_withSecret(
      packed.data(), packed.size(), secret_.data(), secret_.size());
  if (numbers_.size() >= kColumnsMax) numbers_.clear();
  const auto [it, added] =
      numbers_.try_emplace(Hash{hash.low64, hash.high64}, next_number_);
  if (added) {
    ++next_number_;
    if (columns_status_.ok()) {
      columns_status_ =
          columns_->Put(TimeColumnKey(prefix_, seal_, it->second), packed);
    }
  }
  return it->second;
}

absl::Status PlaceWriter::Add(std::string_view tenant, uint32_t metric_hash,
                              uint64_t series_id, const SampleColumns& samples,
                              size_t begin, size_t end, size_t samples_max) {
  if (begin == end) return absl::OkStatus();
  const std::string series =
      SeriesPrefix(prefix_, tenant, metric_hash, series_id);
  // The chunks of a series are in one file.
  if (series != series_) VIGIE_RETURN_IF_ERROR(chunks_->MayEndFile());
  series_ = series;
  while (begin < end) {
    const size_t stop = std::min(end, ChunkEnd(samples, begin, samples_max));
    const std::string bytes =
        EncodeChunk(samples, begin, stop, columns_ == nullptr ? nullptr : this);
    VIGIE_RETURN_IF_ERROR(columns_status_);
    const auto start =
        static_cast<uint32_t>(samples.times_ms[begin] - base_ms_);
    VIGIE_RETURN_IF_ERROR(chunks_->Put(ChunkKey(series, start, seal_), bytes));
    ++count_;
    samples_ += stop - begin;
    longest_ms_ =
        std::max(longest_ms_, static_cast<uint64_t>(samples.times_ms[stop - 1] -
                                                    samples.times_ms[begin]));
    begin = stop;
  }
  return absl::OkStatus();
}

absl::Status PlaceWriter::AddPacked(std::string_view tenant,
                                    uint32_t metric_hash, uint64_t series_id,
                                    int64_t first_ms, uint64_t samples,
                                    std::string_view bytes) {
  const std::string series =
      SeriesPrefix(prefix_, tenant, metric_hash, series_id);
  if (series != series_) VIGIE_RETURN_IF_ERROR(chunks_->MayEndFile());
  series_ = series;
  const auto start = static_cast<uint32_t>(first_ms - base_ms_);
  VIGIE_RETURN_IF_ERROR(chunks_->Put(ChunkKey(series, start, seal_), bytes));
  ++count_;
  samples_ += samples;
  return absl::OkStatus();
}

absl::Status PlaceWriter::Finish() {
  VIGIE_RETURN_IF_ERROR(columns_->Finish());
  return own_->Finish();
}

}  // namespace vigie::store

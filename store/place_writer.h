// PlaceWriter writes the chunks of one place (a window of a seal, a merged
// day) into files, and once each the columns of times that they share.
// WriteSeal writes all of a seal.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "store/block_catalog.h"
#include "store/chunk.h"
#include "store/keys.h"
#include "store/rocks_tables.h"

namespace vigie::store {

class PlaceWriter final : private TimeColumnSink {
 public:
  // Starts of chunks count from `base_ms`. `tables` and `files` outlive it.
  PlaceWriter(RocksTables& tables, const std::shared_ptr<Family>& family,
              std::string prefix, int64_t base_ms, uint32_t seal,
              FileSet* files);
  // Several places, in their order, into files that they share; each column of
  // times then stays with its chunk.
  PlaceWriter(FileWriter* chunks, std::string prefix, int64_t base_ms,
              uint32_t seal);

  // The samples [begin, end) of a series, cut into chunks of at most
  // `samples_max`. Series come in order of (tenant, metric_hash, id), the
  // samples of one in order of time.
  absl::Status Add(std::string_view tenant, uint32_t metric_hash,
                   uint64_t series_id, const SampleColumns& samples,
                   size_t begin, size_t end, size_t samples_max);
  // A chunk of another kind as it is, in the same order.
  absl::Status AddPacked(std::string_view tenant, uint32_t metric_hash,
                         uint64_t series_id, int64_t first_ms, uint64_t samples,
                         std::string_view bytes);
  // Not of files that are shared.
  absl::Status Finish();

  uint64_t samples() const { return samples_; }
  uint64_t chunks() const { return count_; }
  uint64_t bytes() const;
  // Of the chunks that Add cut, from the first to the last sample of one.
  uint64_t longest_ms() const { return longest_ms_; }

 private:
  uint32_t Intern(std::string_view packed) override;

  const std::string prefix_;
  const int64_t base_ms_;
  const uint32_t seal_;
  // Columns sort before all chunks, so they are files of their own.
  std::unique_ptr<FileWriter> own_, columns_;
  FileWriter* const chunks_;
  const uint64_t bytes_before_ = 0;
  absl::Status columns_status_;
  std::string series_;  // the prefix of the last one

  // Columns by a keyed hash of 128 bits: two that are taken for one would
  // change times, so nobody outside may be able to make such.
  struct Hash {
    uint64_t low = 0, high = 0;
    friend bool operator==(const Hash&, const Hash&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Hash& hash) {
      return H::combine(std::move(h), hash.low);  // uniform as it is
    }
  };
  std::string secret_;
  absl::flat_hash_map<Hash, uint32_t> numbers_;
  uint32_t next_number_ = 0;

  uint64_t samples_ = 0;
  uint64_t count_ = 0;
  uint64_t longest_ms_ = 0;
};

// The files of a seal and the rows of table `windows` among them.
struct SealFiles {
  FileSet files;
  std::vector<SealedWindow> windows;
};

// Puts chunks and rows of `capture` into files, one series in memory at a
// time. What it wrote before an error is in `out` as well, to be discarded.
absl::Status WriteSeal(const SealCapture& capture, const Watermark& watermark,
                       size_t chunk_samples_max, RocksTables& tables,
                       BlockCatalog& catalog, SealFiles* out);

}  // namespace vigie::store

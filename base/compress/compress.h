// Decompression with a bound that holds before memory is allocated: what a
// body claims about itself is checked first, what it does not claim (gzip,
// zstd frames without a size) is read in pieces until the bound.
// Thread-safe but for StreamCompressor: no state.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace vigie::compress {

// kInvalidArgument: the bytes are malformed or cut short.
// kOutOfRange: they would inflate to more than `bytes_max`; nothing was kept.
absl::StatusOr<std::string> DecompressSnappyBlock(std::string_view in,
                                                  int64_t bytes_max);
absl::StatusOr<std::string> DecompressGzip(std::string_view in,
                                           int64_t bytes_max);
absl::StatusOr<std::string> DecompressZstd(std::string_view in,
                                           int64_t bytes_max);
// A zlib stream, what HTTP calls "deflate".
absl::StatusOr<std::string> DecompressDeflate(std::string_view in,
                                              int64_t bytes_max);

std::string CompressSnappyBlock(std::string_view in);
std::string CompressGzip(std::string_view in);

// Compresses a body that is made piece by piece, so that the whole is never
// in memory. Favours speed: what it is used for is text that compresses well.
// One thread at a time.
class StreamCompressor {
 public:
  enum class Format { kGzip, kZlib };  // HTTP calls the second "deflate"
  explicit StreamCompressor(Format format);
  ~StreamCompressor();
  StreamCompressor(const StreamCompressor&) = delete;
  StreamCompressor& operator=(const StreamCompressor&) = delete;

  // Appends to `*out` what is ready; that may be nothing yet.
  void Append(std::string_view in, std::string* out);
  // Appends the rest. Neither may be called again.
  void Finish(std::string* out);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace vigie::compress

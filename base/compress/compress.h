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

// Memory for one body after another: neither cleared before it is written nor
// given back in between, as fresh pages cost more than snappy itself.
class Buffer {
 public:
  std::string_view view() const { return {memory_.get(), size_}; }
  size_t capacity() const { return capacity_; }
  // Room for `size` bytes, which are then view(); what it held is lost.
  char* Reset(size_t size);

 private:
  std::unique_ptr<char[]> memory_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};
// As above; on error the buffer's contents are unspecified.
absl::Status DecompressSnappyBlockInto(std::string_view in, int64_t bytes_max,
                                       Buffer* out);

std::string CompressSnappyBlock(std::string_view in);
std::string CompressGzip(std::string_view in);

// Compresses a body that is made piece by piece, so that the whole is never
// in memory. Favours speed: what it is used for is text that compresses well.
// One thread at a time.
class StreamCompressor {
 public:
  enum class Format { kGzip, kZlib, kZstd };  // HTTP calls kZlib "deflate"
  explicit StreamCompressor(Format format);
  ~StreamCompressor();
  StreamCompressor(const StreamCompressor&) = delete;
  StreamCompressor& operator=(const StreamCompressor&) = delete;

  // Appends to `*out` what is ready; that may be nothing yet.
  void Append(std::string_view in, std::string* out);
  // Appends the rest. Neither may be called again.
  void Finish(std::string* out);

 private:
  class Stream;
  class ZlibStream;
  class ZstdStream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace vigie::compress

#include "base/compress/compress.h"

#include <fmt/format.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/status_macros.h"

namespace vigie::compress {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // 16 asks zlib for a gzip header
constexpr int kZlibWindowBits = 15;
constexpr size_t kPieceBytes = 64 << 10;

absl::Status TooLarge(std::string_view codec, int64_t bytes_max) {
  return absl::OutOfRangeError(
      fmt::format("{}: inflates to more than {} bytes", codec, bytes_max));
}

// Room for what comes next, never more than one byte above the bound: that one
// is enough to see that it is exceeded. Grows only when full, as a body of many
// empty members would otherwise have the same room cleared again and again.
void GrowIfFull(size_t used, int64_t bytes_max, std::string* out) {
  if (used < out->size()) return;
  out->resize(used + std::min(std::max(kPieceBytes, used),
                              static_cast<size_t>(bytes_max) + 1 - used));
}

absl::StatusOr<std::string> Inflate(std::string_view codec, int window_bits,
                                    std::string_view in, int64_t bytes_max) {
  z_stream stream{};
  if (inflateInit2(&stream, window_bits) != Z_OK) {
    return absl::InternalError(fmt::format("{}: out of memory", codec));
  }
  std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  std::string out;
  size_t used = 0;
  while (true) {
    GrowIfFull(used, bytes_max, &out);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
    const int result = inflate(&stream, Z_NO_FLUSH);
    used = out.size() - stream.avail_out;
    if (static_cast<int64_t>(used) > bytes_max) {
      return TooLarge(codec, bytes_max);
    }
    if (result == Z_STREAM_END) {
      // gzip files may hold several members, one after the other.
      if (stream.avail_in == 0) {
        out.resize(used);
        return out;
      }
      if (window_bits != kGzipWindowBits || inflateReset(&stream) != Z_OK) {
        return absl::InvalidArgumentError(
            fmt::format("{}: {} bytes after the end of the stream", codec,
                        stream.avail_in));
      }
      continue;
    }
    if (result != Z_OK || (stream.avail_in == 0 && stream.avail_out != 0)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {}", codec,
                      result == Z_OK || result == Z_BUF_ERROR ? "cut short"
                      : stream.msg != nullptr                 ? stream.msg
                                                              : "malformed"));
    }
  }
}

// What a block inflates to, once that is known to be bearable.
absl::Status SnappySize(std::string_view in, int64_t bytes_max, size_t* size) {
  if (!snappy::GetUncompressedLength(in.data(), in.size(), size)) {
    return absl::InvalidArgumentError("snappy: malformed length");
  }
  if (static_cast<int64_t>(*size) > bytes_max) {
    return TooLarge("snappy", bytes_max);
  }
  // No element of a block stands for more than 64 bytes and takes less than
  // two, so a small body that declares a large size is refused unallocated.
  if (*size / 64 > in.size()) {
    return absl::InvalidArgumentError(
        "snappy: declares more bytes than it can hold");
  }
  return absl::OkStatus();
}

}  // namespace

char* Buffer::Reset(size_t size) {
  if (size > capacity_) {
    memory_.reset();  // first, so that both are never held
    capacity_ = 0;
    memory_ = std::make_unique_for_overwrite<char[]>(size);
    capacity_ = size;
  }
  size_ = size;
  return memory_.get();
}

absl::Status DecompressSnappyBlockInto(std::string_view in, int64_t bytes_max,
                                       Buffer* out) {
  size_t size;
  VIGIE_RETURN_IF_ERROR(SnappySize(in, bytes_max, &size));
  if (!snappy::RawUncompress(in.data(), in.size(), out->Reset(size))) {
    return absl::InvalidArgumentError("snappy: malformed block");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DecompressSnappyBlock(std::string_view in,
                                                  int64_t bytes_max) {
  size_t size;
  VIGIE_RETURN_IF_ERROR(SnappySize(in, bytes_max, &size));
  std::string out(size, '\0');
  if (!snappy::RawUncompress(in.data(), in.size(), out.data())) {
    return absl::InvalidArgumentError("snappy: malformed block");
  }
  return out;
}

absl::StatusOr<std::string> DecompressGzip(std::string_view in,
                                           int64_t bytes_max) {
  return Inflate("gzip", kGzipWindowBits, in, bytes_max);
}

absl::StatusOr<std::string> DecompressDeflate(std::string_view in,
                                              int64_t bytes_max) {
  return Inflate("deflate", kZlibWindowBits, in, bytes_max);
}

absl::StatusOr<std::string> DecompressZstd(std::string_view in,
                                           int64_t bytes_max) {
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(
      ZSTD_createDStream(), ZSTD_freeDStream);
  if (stream == nullptr) {
    return absl::InternalError("zstd: out of memory");
  }
  // The window is memory too: 8 MiB is what the format asks of any decoder.
  ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 23);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  std::string out;
  size_t used = 0;
  while (true) {
    GrowIfFull(used, bytes_max, &out);
    ZSTD_outBuffer output{out.data(), out.size(), used};
    const size_t result = ZSTD_decompressStream(stream.get(), &output, &input);
    used = output.pos;
    if (ZSTD_isError(result)) {
      return absl::InvalidArgumentError(
          fmt::format("zstd: {}", ZSTD_getErrorName(result)));
    }
    if (static_cast<int64_t>(used) > bytes_max) {
      return TooLarge("zstd", bytes_max);
    }
    if (result == 0 && input.pos == input.size) {
      out.resize(used);
      return out;
    }
    if (input.pos == input.size && used < out.size()) {
      return absl::InvalidArgumentError("zstd: cut short");
    }
  }
}

std::string CompressSnappyBlock(std::string_view in) {
  std::string out;
  snappy::Compress(in.data(), in.size(), &out);
  return out;
}

std::string CompressGzip(std::string_view in) {
  z_stream stream{};
  VIGIE_CHECK(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                           kGzipWindowBits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, in.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  VIGIE_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class StreamCompressor::Stream {
 public:
  virtual ~Stream() = default;
  virtual void Run(std::string_view in, bool last, std::string* out) = 0;
};

class StreamCompressor::ZlibStream final : public Stream {
 public:
  explicit ZlibStream(int window_bits) {
    VIGIE_CHECK(deflateInit2(&z_, Z_BEST_SPEED, Z_DEFLATED, window_bits, 8,
                             Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~ZlibStream() override { deflateEnd(&z_); }

  void Run(std::string_view in, bool last, std::string* out) override {
    // An empty input is no progress, which zlib takes for an error.
    if (in.empty() && !last) return;
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    z_.avail_in = static_cast<uInt>(in.size());
    do {
      const size_t held = out->size();
      const size_t room = std::max<size_t>(in.size() / 4, 4096);
      out->resize(held + room);
      z_.next_out = reinterpret_cast<Bytef*>(out->data() + held);
      z_.avail_out = static_cast<uInt>(room);
      const int result = deflate(&z_, last ? Z_FINISH : Z_NO_FLUSH);
      // Z_BUF_ERROR says that there was nothing left to do.
      VIGIE_CHECK(result == Z_OK || result == Z_STREAM_END ||
                  result == Z_BUF_ERROR);
      out->resize(held + room - z_.avail_out);
    } while (z_.avail_out == 0);
  }

 private:
  z_stream z_{};
};

class StreamCompressor::ZstdStream final : public Stream {
 public:
  ZstdStream() : context_(ZSTD_createCCtx()) {
    VIGIE_CHECK(context_ != nullptr);
    // Its window stays far below the 8 MiB that RFC 9659 lets HTTP have.
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, 1);
  }
  ~ZstdStream() override { ZSTD_freeCCtx(context_); }

  void Run(std::string_view in, bool last, std::string* out) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    const auto mode = last ? ZSTD_e_end : ZSTD_e_continue;
    while (true) {
      const size_t held = out->size();
      const size_t room = std::max<size_t>(in.size() / 4, 4096);
      out->resize(held + room);
      ZSTD_outBuffer output{out->data() + held, room, 0};
      const size_t left = ZSTD_compressStream2(context_, &output, &input, mode);
      VIGIE_CHECK(!ZSTD_isError(left));
      out->resize(held + output.pos);
      // `left` is what waits inside, which only the end must see at zero.
      if (last ? left == 0 : input.pos == input.size) return;
    }
  }

 private:
  ZSTD_CCtx* const context_;
};

StreamCompressor::StreamCompressor(Format format) {
  switch (format) {
    case Format::kGzip:
      stream_ = std::make_unique<ZlibStream>(kGzipWindowBits);
      break;
    case Format::kZlib:
      stream_ = std::make_unique<ZlibStream>(kZlibWindowBits);
      break;
    case Format::kZstd:
      stream_ = std::make_unique<ZstdStream>();
      break;
  }
}

StreamCompressor::~StreamCompressor() = default;

void StreamCompressor::Append(std::string_view in, std::string* out) {
  stream_->Run(in, false, out);
}

void StreamCompressor::Finish(std::string* out) { stream_->Run({}, true, out); }

}  // namespace vigie::compress

#include "store/prometheus_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status_macros.h"

namespace vigie::store {
namespace {

constexpr uint64_t kReadAheadBytes = 256 << 10;
// Of one thing in a file: a series, a chunk, a symbol. Far above what
// Prometheus writes.
constexpr uint64_t kItemBytesMax = 64 << 20;

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

uint64_t BigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

std::string_view PieceCursor::Take(uint64_t count) {
  if (count > bytes_.size()) {
    failed_ = true;
    bytes_ = {};
    return {};
  }
  const std::string_view taken = bytes_.substr(0, count);
  bytes_.remove_prefix(count);
  return taken;
}

uint64_t PieceCursor::Uvarint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::string_view byte = Take(1);
    if (byte.empty()) return 0;
    const auto bits = static_cast<uint8_t>(byte[0]);
    value |= uint64_t{bits & 0x7fU} << shift;
    if (bits < 0x80) return value;
  }
  failed_ = true;
  return 0;
}

int64_t PieceCursor::Varint() {
  const uint64_t value = Uvarint();
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

PieceReader::PieceReader(std::string path, int fd)
    : path_(std::move(path)), fd_(fd) {}
PieceReader::~PieceReader() { ::close(fd_); }

absl::StatusOr<std::unique_ptr<PieceReader>> PieceReader::Open(
    const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string text = fmt::format("{}: {}", path, std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text)
                           : absl::UnavailableError(text);
  }
  std::unique_ptr<PieceReader> reader(new PieceReader(path, fd));
  struct stat status = {};
  if (::fstat(fd, &status) != 0) return reader->Failed();
  if (!S_ISREG(status.st_mode)) return reader->Damaged(0, 0, "is no file");
  reader->size_ = static_cast<uint64_t>(status.st_size);
  return reader;
}

absl::StatusOr<std::string_view> PieceReader::Read(uint64_t offset,
                                                   uint64_t count) {
  if (offset > size_ || count > size_ - offset) {
    return Damaged(offset, count, "beyond the end of the file");
  }
  if (offset < begin_ || offset + count > begin_ + buffer_.size()) {
    VIGIE_RETURN_IF_ERROR(Fill(offset, count));
  }
  return std::string_view(buffer_).substr(offset - begin_, count);
}

absl::StatusOr<std::string_view> PieceReader::ReadUpTo(uint64_t offset,
                                                       uint64_t count) {
  return Read(offset, offset > size_ ? count : std::min(count, size_ - offset));
}

absl::Status PieceReader::Damaged(uint64_t offset, uint64_t count,
                                  std::string_view why) const {
  return absl::DataLossError(
      fmt::format("{}: bytes {}-{}: {}", path_, offset, offset + count, why));
}

absl::Status PieceReader::Failed() const {
  return absl::UnavailableError(
      fmt::format("{}: {}", path_, std::strerror(errno)));
}

absl::Status PieceReader::Fill(uint64_t offset, uint64_t count) {
  buffer_.resize(std::min(std::max(count, kReadAheadBytes), size_ - offset));
  begin_ = offset;
  size_t have = 0;
  while (have < buffer_.size()) {
    const ssize_t got =
        ::pread(fd_, buffer_.data() + have, buffer_.size() - have,
                static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      buffer_.clear();
      return got < 0 ? Failed()
                     : Damaged(offset + have, 1, "the file has shrunk");
    }
    have += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> ReadSection(PieceReader& file, uint64_t offset,
                                             uint64_t bytes_max) {
  VIGIE_ASSIGN_OR_RETURN(std::string_view head, file.Read(offset, 4));
  const uint64_t length = BigEndian(head);
  if (length > bytes_max) return file.Damaged(offset, 4, "an absurd length");
  VIGIE_ASSIGN_OR_RETURN(const std::string_view whole,
                         file.Read(offset + 4, length + 4));
  if (Crc32c(whole.substr(0, length)) != BigEndian(whole.substr(length))) {
    return file.Damaged(offset, length + 8, "checksum mismatch");
  }
  return whole.substr(0, length);
}

absl::StatusOr<std::string_view> ReadItem(PieceReader& file, uint64_t offset,
                                          uint64_t after, uint64_t* bytes) {
  VIGIE_ASSIGN_OR_RETURN(const std::string_view head,
                         file.ReadUpTo(offset, 10));
  PieceCursor cursor(head);
  const uint64_t length = cursor.Uvarint();
  if (cursor.failed() || length > kItemBytesMax) {
    return file.Damaged(offset, head.size(), "an absurd length");
  }
  const uint64_t head_bytes = head.size() - cursor.size();
  *bytes = head_bytes + length + after;
  return file.Read(offset + head_bytes, length + after);
}

}  // namespace vigie::store

// How the files of a Prometheus block are read: in pieces of which each is
// bounded and has its checksum checked. What the pieces mean is
// prometheus_block.h.
// Source: prometheus/tsdb/docs/format.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vigie::store {

// CRC-32C, as all of Prometheus's files have it.
uint32_t Crc32c(std::string_view bytes);

uint64_t BigEndian(std::string_view bytes);

// Takes numbers off the front of bytes; what fails is remembered, and gives
// zeros and empty bytes from then on.
class PieceCursor {
 public:
  explicit PieceCursor(std::string_view bytes) : bytes_(bytes) {}
  bool failed() const { return failed_; }
  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }

  std::string_view Take(uint64_t count);
  uint64_t Fixed(size_t bytes) { return BigEndian(Take(bytes)); }
  uint64_t Uvarint();
  int64_t Varint();  // zigzag

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

// A file of which pieces are read, mostly onwards. Errors name file and range:
// kUnavailable if the disk fails, kDataLoss if the file ends before.
class PieceReader {
 public:
  // kNotFound if there is none.
  static absl::StatusOr<std::unique_ptr<PieceReader>> Open(
      const std::string& path);
  ~PieceReader();

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  // Valid until the next call.
  absl::StatusOr<std::string_view> Read(uint64_t offset, uint64_t count);
  // As much as there is, `count` at most.
  absl::StatusOr<std::string_view> ReadUpTo(uint64_t offset, uint64_t count);

  // kDataLoss, for who finds that the bytes make no sense.
  absl::Status Damaged(uint64_t offset, uint64_t count,
                       std::string_view why) const;

 private:
  PieceReader(std::string path, int fd);
  absl::Status Failed() const;
  absl::Status Fill(uint64_t offset, uint64_t count);

  const std::string path_;
  const int fd_;
  uint64_t size_ = 0;
  uint64_t begin_ = 0;  // of buffer_ in the file
  std::string buffer_;
};

// `length | content | checksum`, the length four bytes wide. Returns the
// content, valid as what Read gives.
absl::StatusOr<std::string_view> ReadSection(PieceReader& file, uint64_t offset,
                                             uint64_t bytes_max);

// `length | ...`, the length a varint, followed by `length + after` bytes.
// Returns those; `*bytes` is the size of it all.
absl::StatusOr<std::string_view> ReadItem(PieceReader& file, uint64_t offset,
                                          uint64_t after, uint64_t* bytes);

}  // namespace vigie::store

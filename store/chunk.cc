#include "store/chunk.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "store/byte_coding.h"

namespace vigie::store {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kKindFloat = 0;

enum ColumnId : uint8_t { kTimes = 0, kValues = 1, kStarts = 2 };
enum Encoding : uint8_t {
  kDeltaOfDelta = 0,  // bits, of integers
  kXor = 1,           // bits, of doubles
  kConstant = 2,      // one fixed word, the bits of all
  kIntegers = 3,      // kDeltaOfDelta of doubles that are whole numbers
};

class BitWriter {
 public:
  // The lowest `count` bits of `bits`, most significant first; at most 64.
  void Put(uint64_t bits, int count) {
    while (count > 0) {
      if (free_ == 0) {
        bytes_.push_back(0);
        free_ = 8;
      }
      const int take = count < free_ ? count : free_;
      const uint64_t part = (bits >> (count - take)) & ((1u << take) - 1);
      bytes_.back() = static_cast<char>(
          static_cast<unsigned char>(bytes_.back()) | part << (free_ - take));
      free_ -= take;
      count -= take;
    }
  }
  std::string Take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
  int free_ = 0;  // bits of the last byte not yet used
};

class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes) {}

  // 0 past the end, where ok() turns false.
  uint64_t Take(int count) {
    if (static_cast<uint64_t>(count) > bytes_.size() * 8 - at_) {
      ok_ = false;
      at_ = bytes_.size() * 8;
      return 0;
    }
    uint64_t bits = 0;
    while (count > 0) {
      const int left = 8 - static_cast<int>(at_ & 7);
      const int take = count < left ? count : left;
      const auto byte = static_cast<unsigned char>(bytes_[at_ >> 3]);
      bits = bits << take | ((byte >> (left - take)) & ((1u << take) - 1));
      at_ += static_cast<uint64_t>(take);
      count -= take;
    }
    return bits;
  }
  bool ok() const { return ok_; }
  // Only padding is left.
  bool done() const { return (at_ + 7) / 8 == bytes_.size(); }

 private:
  std::string_view bytes_;
  uint64_t at_ = 0;
  bool ok_ = true;
};

// A prefix of ones says how many bits follow: 0 none, 10 7, 110 12, 1110 20,
// 11110 32, 11111 64. What they hold is zigzagged.
constexpr int kWidths[] = {0, 7, 12, 20, 32, 64};

void PutPrefixed(uint64_t value, BitWriter* out) {
  int size = 0;
  while (kWidths[size] < 64 && (value >> kWidths[size]) != 0) ++size;
  if (size == 5) {
    out->Put(0b11111, 5);
  } else {
    out->Put((1u << (size + 1)) - 2, size + 1);
  }
  out->Put(value, kWidths[size]);
}

uint64_t TakePrefixed(BitReader* in) {
  int size = 0;
  while (size < 5 && in->Take(1) == 1) ++size;
  return in->Take(kWidths[size]);
}

// Sums wrap around, so any 64-bit number comes back.
template <class At>
std::string EncodeDeltaOfDelta(size_t count, At at) {
  BitWriter out;
  uint64_t last = 0, delta = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<uint64_t>(at(i));
    const uint64_t next = value - last;
    PutPrefixed(Zigzag(static_cast<int64_t>(next - delta)), &out);
    // The first value is no delta: it would make the second one long.
    delta = i == 0 ? 0 : next;
    last = value;
  }
  return std::move(out).Take();
}

template <class Put>
bool DecodeDeltaOfDelta(std::string_view bytes, size_t count, Put put) {
  BitReader in(bytes);
  uint64_t last = 0, delta = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t next =
        delta + static_cast<uint64_t>(Unzigzag(TakePrefixed(&in)));
    delta = i == 0 ? 0 : next;
    last += next;
    if (!put(static_cast<int64_t>(last))) return false;
  }
  return in.ok() && in.done();
}

std::string EncodeXor(const double* values, size_t count) {
  BitWriter out;
  uint64_t last = std::bit_cast<uint64_t>(values[0]);
  out.Put(last, 64);
  int leading = -1, width = 0;
  for (size_t i = 1; i < count; ++i) {
    const auto bits = std::bit_cast<uint64_t>(values[i]);
    const uint64_t changed = bits ^ last;
    last = bits;
    if (changed == 0) {
      out.Put(0, 1);
      continue;
    }
    const int lead = std::countl_zero(changed);
    const int trail = std::countr_zero(changed);
    const int old_trail = 64 - leading - width;
    if (leading >= 0 && lead >= leading && trail >= old_trail) {
      out.Put(0b10, 2);
      out.Put(changed >> old_trail, width);
    } else {
      leading = lead;
      width = 64 - lead - trail;
      out.Put(0b11, 2);
      out.Put(static_cast<uint64_t>(leading), 6);
      out.Put(static_cast<uint64_t>(width - 1), 6);
      out.Put(changed >> trail, width);
    }
  }
  return std::move(out).Take();
}

bool DecodeXor(std::string_view bytes, size_t count,
               std::vector<double>* values) {
  BitReader in(bytes);
  uint64_t last = in.Take(64);
  values->push_back(std::bit_cast<double>(last));
  int leading = -1, width = 0;
  for (size_t i = 1; i < count; ++i) {
    if (in.Take(1) == 1) {
      if (in.Take(1) == 1) {
        leading = static_cast<int>(in.Take(6));
        width = static_cast<int>(in.Take(6)) + 1;
        if (leading + width > 64) return false;
      } else if (leading < 0) {
        return false;
      }
      last ^= in.Take(width) << (64 - leading - width);
    }
    values->push_back(std::bit_cast<double>(last));
  }
  return in.ok() && in.done();
}

// Whole numbers that a double holds exactly, which -0 is not one of.
bool AreIntegers(const double* values, size_t count) {
  constexpr double kMax = 9007199254740992.0;  // 2^53
  for (size_t i = 0; i < count; ++i) {
    const double v = values[i];
    if (!(v >= -kMax && v <= kMax) || std::trunc(v) != v ||
        (v == 0 && std::signbit(v))) {
      return false;
    }
  }
  return true;
}

std::pair<Encoding, std::string> EncodeValues(const double* values,
                                              size_t count) {
  const auto first = std::bit_cast<uint64_t>(values[0]);
  bool constant = true;
  for (size_t i = 1; i < count && constant; ++i) {
    constant = std::bit_cast<uint64_t>(values[i]) == first;
  }
  if (constant) {
    std::string word;
    PutFixed64(first, &word);
    return {kConstant, std::move(word)};
  }
  std::string best = EncodeXor(values, count);
  if (AreIntegers(values, count)) {
    std::string integers = EncodeDeltaOfDelta(
        count, [&](size_t i) { return static_cast<int64_t>(values[i]); });
    if (integers.size() < best.size()) return {kIntegers, std::move(integers)};
  }
  return {kXor, std::move(best)};
}

void PutColumn(ColumnId id, Encoding encoding, const std::string& bytes,
               std::string* out) {
  out->push_back(static_cast<char>(id));
  out->push_back(static_cast<char>(encoding));
  PutString(bytes, out);
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("chunk: {}", what));
}

absl::StatusOr<ChunkHeader> TakeHeader(ByteReader* in) {
  const uint8_t version = in->Byte();
  if (!in->ok()) return Damaged("empty");
  if (version != kVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "chunk: version {}, this program knows {}", version, kVersion));
  }
  const uint8_t kind = in->Byte();
  if (in->ok() && kind != kKindFloat) {
    return absl::FailedPreconditionError(
        fmt::format("chunk: unknown kind {}", kind));
  }
  ChunkHeader header;
  header.samples = in->Varint();
  header.first_ms = in->ZigzagVarint();
  header.last_ms = static_cast<int64_t>(static_cast<uint64_t>(header.first_ms) +
                                        in->Varint());
  if (!in->ok()) return Damaged("header is cut short");
  if (header.samples == 0 || header.samples > kChunkSamplesLimit ||
      header.last_ms < header.first_ms) {
    return Damaged("header makes no sense");
  }
  return header;
}

bool DecodeTimes(std::string_view bytes, const ChunkHeader& header,
                 std::vector<int64_t>* times) {
  const bool ok =
      DecodeDeltaOfDelta(bytes, header.samples, [&](int64_t time_ms) {
        if (!times->empty() && time_ms <= times->back()) return false;
        times->push_back(time_ms);
        return true;
      });
  return ok && times->front() == header.first_ms &&
         times->back() == header.last_ms;
}

bool DecodeValues(uint8_t encoding, std::string_view bytes, size_t count,
                  std::vector<double>* values) {
  switch (encoding) {
    case kConstant: {
      ByteReader in(bytes);
      values->assign(count, std::bit_cast<double>(in.Fixed64()));
      return in.ok() && in.empty();
    }
    case kXor:
      return DecodeXor(bytes, count, values);
    case kIntegers:
      return DecodeDeltaOfDelta(bytes, count, [&](int64_t value) {
        values->push_back(static_cast<double>(value));
        return true;
      });
    default:
      return false;
  }
}

}  // namespace

std::string EncodeChunk(const SampleColumns& samples, size_t begin,
                        size_t end) {
  VIGIE_CHECK(begin < end && end <= samples.size() &&
              end - begin <= kChunkSamplesLimit);
  const size_t count = end - begin;
  std::string out;
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(kKindFloat));
  PutVarint(count, &out);
  PutZigzag(samples.times_ms[begin], &out);
  PutVarint(static_cast<uint64_t>(samples.times_ms[end - 1]) -
                static_cast<uint64_t>(samples.times_ms[begin]),
            &out);
  bool starts = false;
  for (size_t i = begin; i < end && !starts; ++i) {
    starts = samples.start_ms(i) != 0;
  }
  out.push_back(starts ? 3 : 2);
  PutColumn(kTimes, kDeltaOfDelta,
            EncodeDeltaOfDelta(
                count, [&](size_t i) { return samples.times_ms[begin + i]; }),
            &out);
  const auto [encoding, values] =
      EncodeValues(samples.values.data() + begin, count);
  PutColumn(kValues, encoding, values, &out);
  if (starts) {
    PutColumn(
        kStarts, kDeltaOfDelta,
        EncodeDeltaOfDelta(
            count, [&](size_t i) { return samples.starts_ms[begin + i]; }),
        &out);
  }
  return out;
}

absl::StatusOr<ChunkHeader> ReadChunkHeader(std::string_view bytes) {
  ByteReader in(bytes);
  return TakeHeader(&in);
}

absl::Status DecodeChunk(std::string_view bytes, SampleColumns* samples) {
  samples->clear();
  ByteReader in(bytes);
  VIGIE_ASSIGN_OR_RETURN(const ChunkHeader header, TakeHeader(&in));
  const uint8_t columns = in.Byte();
  for (int i = 0; i < columns && in.ok(); ++i) {
    const uint8_t id = in.Byte();
    const uint8_t encoding = in.Byte();
    const std::string_view column = in.String();
    if (!in.ok()) break;
    // In order, each once: a second one would be appended to the first.
    if (id != i) return Damaged("columns are out of order");
    bool ok = false;
    switch (id) {
      case kTimes:
        ok = encoding == kDeltaOfDelta &&
             DecodeTimes(column, header, &samples->times_ms);
        break;
      case kValues:
        ok = DecodeValues(encoding, column, header.samples, &samples->values);
        break;
      case kStarts:
        ok = encoding == kDeltaOfDelta &&
             DecodeDeltaOfDelta(column, header.samples, [&](int64_t start_ms) {
               samples->starts_ms.push_back(start_ms);
               return true;
             });
        break;
      default:
        return absl::FailedPreconditionError(
            fmt::format("chunk: unknown column {}", id));
    }
    if (!ok) return Damaged(fmt::format("column {} is damaged", id));
  }
  if (!in.ok()) return Damaged("cut short");
  if (columns < 2) return Damaged("a column is missing");
  if (!in.empty()) return Damaged("bytes after the last column");
  return absl::OkStatus();
}

}  // namespace vigie::store

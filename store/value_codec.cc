#include "store/value_codec.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "store/decimal.h"
#include "store/integer_codec.h"

namespace vigie::store {
namespace {

constexpr size_t kColumnMax = 4096;

// First byte: bits 0 and 1 the form, then whether values are patched, above
// them the exponent.
enum Form : uint8_t {
  kBits = 0,         // integers: the bit patterns
  kDecimals = 1,     // integers: decimals
  kNearDecimals = 2  // integers twice: decimals, and what their bits lack
};
constexpr uint8_t kFormMask = 3;
constexpr uint8_t kHasPatches = 1 << 2;
constexpr int kExponentShift = 3;
constexpr uint8_t kHeadEnd = 1 << 7;

// The lowest exponent at which all but one in 16 values are decimals, or -1.
int DecimalExponent(std::span<const double> column) {
  const size_t others_max = column.size() / 16;
  for (int exponent = 0; exponent <= kDecimalExponentMax; ++exponent) {
    size_t others = 0;
    for (const double value : column) {
      int64_t integer;
      if (!ToDecimal(value, exponent, &integer) && ++others > others_max) break;
    }
    if (others <= others_max) return exponent;
  }
  return -1;
}

uint8_t Head(Form form, bool patches, int exponent) {
  return static_cast<uint8_t>(form | (patches ? kHasPatches : 0) |
                              exponent << kExponentShift);
}

void EncodeDecimals(std::span<const double> column, int exponent,
                    std::string* out) {
  uint64_t integers[kColumnMax];
  std::string patches;
  size_t count = 0, next = 0;
  // A patched place repeats the decimal before it, which costs least.
  int64_t last = 0;
  for (size_t i = 0; i < column.size(); ++i) {
    int64_t integer;
    if (ToDecimal(column[i], exponent, &integer)) {
      last = integer;
    } else {
      PutVarint(i - next, &patches);
      PutFixed64(std::bit_cast<uint64_t>(column[i]), &patches);
      next = i + 1;
      ++count;
    }
    integers[i] = static_cast<uint64_t>(last);
  }
  out->push_back(static_cast<char>(Head(kDecimals, count > 0, exponent)));
  EncodeIntegers({integers, column.size()}, out);
  if (count > 0) {
    PutVarint(count, out);
    out->append(patches);
  }
}

void EncodeBits(std::span<const double> column, std::string* out) {
  uint64_t integers[kColumnMax];
  for (size_t i = 0; i < column.size(); ++i) {
    integers[i] = std::bit_cast<uint64_t>(column[i]);
  }
  out->push_back(static_cast<char>(Head(kBits, false, 0)));
  EncodeIntegers({integers, column.size()}, out);
}

// The decimal nearest to `value`, and the distance of the bit patterns.
bool ToNearDecimal(double value, int exponent, int64_t* integer,
                   int64_t* distance) {
  const double scaled = value * kPowersOfTen[exponent];
  if (!(std::fabs(scaled) < kDecimalMax)) return false;
  *integer = static_cast<int64_t>(scaled + std::copysign(0.5, scaled));
  *distance = static_cast<int64_t>(
      std::bit_cast<uint64_t>(value) -
      std::bit_cast<uint64_t>(FromDecimal(*integer, exponent)));
  return true;
}

// The lowest exponent at which values are only a few units of their last
// binary digit off, judged by some of them, or -1.
int NearDecimalExponent(std::span<const double> column) {
  constexpr uint64_t kFarAway = 1 << 12;
  const size_t stride = std::max<size_t>(column.size() / 16, 1);
  for (int exponent = 0; exponent <= 9; ++exponent) {
    bool near = true;
    for (size_t i = 0; i < column.size() && near; i += stride) {
      int64_t integer, distance;
      near = ToNearDecimal(column[i], exponent, &integer, &distance) &&
             Zigzag(distance) < kFarAway;
    }
    if (near) return exponent;
  }
  return -1;
}

bool EncodeNearDecimals(std::span<const double> column, int exponent,
                        std::string* out) {
  uint64_t integers[kColumnMax], distances[kColumnMax];
  for (size_t i = 0; i < column.size(); ++i) {
    int64_t integer, distance;
    if (!ToNearDecimal(column[i], exponent, &integer, &distance)) return false;
    integers[i] = static_cast<uint64_t>(integer);
    distances[i] = static_cast<uint64_t>(distance);
  }
  out->push_back(static_cast<char>(Head(kNearDecimals, false, exponent)));
  EncodeIntegers({integers, column.size()}, out);
  EncodeIntegers({distances, column.size()}, out);
  return true;
}

void ToDoubles(std::span<const uint64_t> integers, int exponent,
               std::span<double> out) {
  if (exponent == 0) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<double>(static_cast<int64_t>(integers[i]));
    }
    return;
  }
  // Two at a time, as SSE2 and Neon do: divisions are what takes long.
  using TwoDoubles = double __attribute__((vector_size(16)));
  const double divisor = kPowersOfTen[exponent];
  size_t i = 0;
  for (; i + 2 <= out.size(); i += 2) {
    TwoDoubles values = {
        static_cast<double>(static_cast<int64_t>(integers[i])),
        static_cast<double>(static_cast<int64_t>(integers[i + 1]))};
    values /= divisor;
    std::memcpy(&out[i], &values, 16);
  }
  if (i < out.size()) {
    out[i] = FromDecimal(static_cast<int64_t>(integers[i]), exponent);
  }
}

// Of `size` values `column` holds those from `begin` on.
bool TakePatches(ByteReader* in, size_t size, size_t begin,
                 std::span<double> column) {
  size_t next = 0;
  for (uint64_t count = in->Varint(); count > 0; --count) {
    const uint64_t gap = in->Varint();
    const uint64_t bits = in->Fixed64();
    if (!in->ok() || gap >= size - next) return false;
    next += gap;
    // Wraps around before it.
    if (const size_t at = next++ - begin; at < column.size()) {
      column[at] = std::bit_cast<double>(bits);
    }
  }
  return in->ok();
}

struct DoublesHead {
  uint8_t form = 0;
  bool has_patches = false;
  int exponent = 0;
};

bool TakeHead(ByteReader* in, DoublesHead* head) {
  const uint8_t byte = in->Byte();
  head->form = byte & kFormMask;
  head->has_patches = (byte & kHasPatches) != 0;
  head->exponent = byte >> kExponentShift;
  return in->ok() && byte < kHeadEnd && head->form <= kNearDecimals;
}

}  // namespace

void EncodeDoubles(std::span<const double> column, std::string* out) {
  VIGIE_CHECK(!column.empty() && column.size() <= kColumnMax);
  const int exponent = DecimalExponent(column);
  if (exponent >= 0) return EncodeDecimals(column, exponent, out);
  const size_t begin = out->size();
  EncodeBits(column, out);
  const int near = NearDecimalExponent(column);
  std::string other;
  if (near >= 0 && EncodeNearDecimals(column, near, &other) &&
      other.size() < out->size() - begin) {
    out->resize(begin);
    out->append(other);
  }
}

bool DecodeDoubles(ByteReader* in, std::span<double> column) {
  return DecodeDoubles(in, column.size(), 0, column);
}

bool DecodeDoubles(ByteReader* in, size_t size, size_t begin,
                   std::span<double> column) {
  VIGIE_CHECK(!column.empty() && column.size() <= kColumnMax);
  DoublesHead head;
  uint64_t buffer[kColumnMax];
  const std::span<uint64_t> integers(buffer, column.size());
  if (!TakeHead(in, &head) || !DecodeIntegers(in, size, begin, integers)) {
    return false;
  }
  if (head.form == kBits) {
    std::memcpy(column.data(), buffer, column.size() * 8);
  } else {
    ToDoubles(integers, head.exponent, column);
  }
  if (head.form == kNearDecimals) {
    if (!DecodeIntegers(in, size, begin, integers)) return false;
    for (size_t i = 0; i < column.size(); ++i) {
      column[i] = std::bit_cast<double>(std::bit_cast<uint64_t>(column[i]) +
                                        integers[i]);
    }
  }
  if (head.has_patches && !TakePatches(in, size, begin, column)) return false;
  return in->ok();
}

}  // namespace vigie::store

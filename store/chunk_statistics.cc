#include "store/chunk_statistics.h"

#include <bit>
#include <cmath>
#include <limits>

#include "model/sample.h"
#include "store/decimal.h"

namespace vigie::store {
namespace {

// The first byte is the exponent at which all of them are decimals, or this:
// then they are words.
constexpr uint8_t kWords = 16;
// Added to the exponent if only the sum is a word.
constexpr uint8_t kSumIsWord = 32;

void PutDouble(double value, std::string* out) {
  PutFixed64(std::bit_cast<uint64_t>(value), out);
}

double TakeDouble(ByteReader* in) {
  return std::bit_cast<double>(in->Fixed64());
}

// The lowest exponent at which all four are decimals, or -1.
int CommonExponent(const double (&values)[4], int64_t (&integers)[4]) {
  for (int exponent = 0; exponent <= kDecimalExponentMax; ++exponent) {
    bool all = true;
    for (int i = 0; i < 4 && all; ++i) {
      all = ToDecimal(values[i], exponent, &integers[i]);
    }
    if (all) return exponent;
  }
  return -1;
}

int64_t Minus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) -
                              static_cast<uint64_t>(b));
}
int64_t Plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) +
                              static_cast<uint64_t>(b));
}
int64_t Times(uint64_t a, int64_t b) {
  return static_cast<int64_t>(a * static_cast<uint64_t>(b));
}

}  // namespace

bool operator==(const ChunkStatistics& a, const ChunkStatistics& b) {
  const auto bits = [](double v) { return std::bit_cast<uint64_t>(v); };
  return a.count == b.count && a.resets == b.resets &&
         bits(a.first) == bits(b.first) && bits(a.last) == bits(b.last) &&
         bits(a.min) == bits(b.min) && bits(a.max) == bits(b.max) &&
         bits(a.sum) == bits(b.sum);
}

ChunkStatistics StatisticsOf(std::span<const double> values) {
  ChunkStatistics s;
  s.min = s.max = std::numeric_limits<double>::quiet_NaN();
  double lost = 0;
  for (const double v : values) {
    if (IsStaleMarker(v)) continue;
    if (s.count == 0) {
      s.first = v;
    } else if (v < s.last) {
      ++s.resets;
    }
    s.last = v;
    ++s.count;
    if (v < s.min || std::isnan(s.min)) s.min = v;
    if (v > s.max || std::isnan(s.max)) s.max = v;
    const double sum = s.sum + v;
    if (std::isinf(sum)) {
      lost = 0;
    } else if (std::fabs(s.sum) >= std::fabs(v)) {
      lost += (s.sum - sum) + v;
    } else {
      lost += (v - sum) + s.sum;
    }
    s.sum = sum;
  }
  if (s.count == 0) return ChunkStatistics();
  s.sum += lost;
  return s;
}

void PutStatistics(const ChunkStatistics& s, std::string* out) {
  PutVarint(s.count, out);
  if (s.count == 0) return;
  PutVarint(s.resets, out);
  int64_t integers[4], sum = 0;
  const int exponent =
      CommonExponent({s.first, s.last, s.min, s.max}, integers);
  if (exponent < 0) {
    out->push_back(static_cast<char>(kWords));
    for (const double v : {s.first, s.last, s.min, s.max, s.sum}) {
      PutDouble(v, out);
    }
    return;
  }
  const bool sum_fits = ToDecimal(s.sum, exponent, &sum);
  out->push_back(static_cast<char>(exponent | (sum_fits ? 0 : kSumIsWord)));
  const int64_t first = integers[0];
  PutZigzag(first, out);
  PutZigzag(Minus(integers[1], first), out);
  PutZigzag(Minus(integers[2], first), out);
  PutZigzag(Minus(integers[3], first), out);
  if (sum_fits) {
    PutZigzag(Minus(sum, Times(s.count, first)), out);
  } else {
    PutDouble(s.sum, out);
  }
}

bool TakeStatistics(ByteReader* in, ChunkStatistics* s) {
  *s = ChunkStatistics();
  s->count = in->Varint();
  if (!in->ok() || s->count == 0) return in->ok();
  s->resets = in->Varint();
  const uint8_t head = in->Byte();
  if (head == kWords) {
    for (double* v : {&s->first, &s->last, &s->min, &s->max, &s->sum}) {
      *v = TakeDouble(in);
    }
    return in->ok();
  }
  const int exponent = head & ~kSumIsWord;
  if (exponent > kDecimalExponentMax) return false;
  const int64_t first = in->ZigzagVarint();
  s->first = FromDecimal(first, exponent);
  s->last = FromDecimal(Plus(first, in->ZigzagVarint()), exponent);
  s->min = FromDecimal(Plus(first, in->ZigzagVarint()), exponent);
  s->max = FromDecimal(Plus(first, in->ZigzagVarint()), exponent);
  s->sum = (head & kSumIsWord) != 0
               ? TakeDouble(in)
               : FromDecimal(Plus(Times(s->count, first), in->ZigzagVarint()),
                             exponent);
  return in->ok();
}

}  // namespace vigie::store

// The other half of integer_codec.h: reads what was packed.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/check.h"
#include "store/integer_codec.h"
#include "store/integer_form.h"

namespace vigie::store {
namespace {

// What stands before the differences.
struct ColumnHead {
  uint8_t byte = 0;
  uint8_t order = 0;
  int width = 0;
  uint64_t value = 0;  // the first
  uint64_t factor = 1;
  uint64_t first = 0;  // of order 2 the first difference, of a line the slope
  uint64_t base = 0;
};

using Integers = absl::InlinedVector<uint64_t, 32>;

// What is left of the integers: `size` differences above the base, packed,
// and those that need more bits.
struct Left {
  size_t size = 0;
  std::string_view packed;
  Integers places;  // of patches, ascending
  Integers aboves;  // what they add
};

// Calls `take` with i and the `i`th integer of `width` bits, from `first` to
// before `end`.
template <class Take>
void VisitBits(std::string_view bytes, int width, size_t first, size_t end,
               Take take) {
  const uint64_t mask = Mask(width);
  const auto* const from = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t i = first;
  if (width <= 57) {
    // As long as 8 bytes can be read at the place of a value.
    const size_t whole =
        bytes.size() < 8
            ? 0
            : ((bytes.size() - 8) * 8 + 7) / static_cast<size_t>(width) + 1;
    const size_t safe = std::min(whole, end);
    size_t bit = first * static_cast<size_t>(width);
    for (; i < safe; ++i, bit += static_cast<size_t>(width)) {
      uint64_t word;
      std::memcpy(&word, from + (bit >> 3), 8);
      take(i, (word >> (bit & 7)) & mask);
    }
  }
  for (; i < end; ++i) {
    const size_t bit = i * static_cast<size_t>(width);
    const size_t size = std::min<size_t>(9, bytes.size() - (bit >> 3));
    uint64_t word = 0;
    std::memcpy(&word, from + (bit >> 3), std::min<size_t>(size, 8));
    word >>= bit & 7;
    if (size == 9 && (bit & 7) != 0) {
      word |= static_cast<uint64_t>(from[(bit >> 3) + 8]) << (64 - (bit & 7));
    }
    take(i, word & mask);
  }
}

bool TakeHead(ByteReader* in, bool inner, ColumnHead* head) {
  head->byte = in->Byte();
  head->order = head->byte & kOrderMask;
  head->width = (head->byte & kHasWidth) != 0 ? in->Byte() : 0;
  head->value = static_cast<uint64_t>(in->ZigzagVarint());
  if ((head->byte & kHasFactor) != 0) head->factor = in->Varint();
  if (head->order >= 2) {
    head->first = static_cast<uint64_t>(in->ZigzagVarint()) * head->factor;
  }
  head->base = static_cast<uint64_t>(in->ZigzagVarint());
  return in->ok() && head->byte < kHeadEnd && head->width <= 64 &&
         !(inner && (head->byte & kPackedPatches) != 0);
}

bool Decode(ByteReader* in, bool inner, size_t size, size_t begin,
            std::span<uint64_t> column);

bool TakePatches(ByteReader* in, const ColumnHead& head, Left* left) {
  const uint64_t count = in->Varint();
  if (!in->ok() || count == 0 || count > left->size) return false;
  left->places.resize(count);
  left->aboves.resize(count);
  if ((head.byte & kPackedPatches) != 0) {
    if (!Decode(in, true, count, 0, std::span<uint64_t>(left->places)) ||
        !Decode(in, true, count, 0, std::span<uint64_t>(left->aboves))) {
      return false;
    }
  } else {
    for (uint64_t i = 0; i < count; ++i) {
      left->places[i] = in->Varint();
      left->aboves[i] = static_cast<uint64_t>(in->ZigzagVarint());
    }
    if (!in->ok()) return false;
  }
  // They are gaps from one to the next.
  size_t next = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (left->places[i] >= left->size - next) return false;
    left->places[i] += next;
    next = left->places[i] + 1;
    left->aboves[i] = head.width == 64 ? 0 : left->aboves[i] << head.width;
  }
  return true;
}

bool TakeLeft(ByteReader* in, const ColumnHead& head, size_t size, Left* left) {
  left->size = size;
  if ((head.byte & kHasPatches) != 0 && !TakePatches(in, head, left)) {
    return false;
  }
  if (head.width > 0) {
    left->packed = in->Bytes((size * static_cast<size_t>(head.width) + 7) / 8);
  }
  return in->ok();
}

// The sum of the first `end` integers of `width` bits. Those of few bits lie
// several to a word: neighbours are added in lanes of twice their width.
uint64_t SumOfBits(std::string_view bytes, int width, size_t end) {
  uint64_t total = 0;
  size_t i = 0;
  if (width >= 4 && width <= 28) {
    const auto bits = static_cast<size_t>(width);
    const size_t lanes = 57 / (2 * bits);
    uint64_t mask = 0;
    for (size_t lane = 0; lane < lanes; ++lane) {
      mask |= Mask(width) << (2 * bits * lane);
    }
    // No lane overflows before.
    const size_t words_max = size_t{1} << (bits - 1);
    while (true) {
      uint64_t sums = 0;
      size_t words = 0;
      for (; words < words_max; ++words, i += 2 * lanes) {
        const size_t bit = i * bits;
        if (i + 2 * lanes > end || (bit >> 3) + 8 > bytes.size()) break;
        uint64_t word;
        std::memcpy(&word, bytes.data() + (bit >> 3), 8);
        word >>= bit & 7;
        sums += (word & mask) + ((word >> bits) & mask);
      }
      for (size_t lane = 0; lane < lanes; ++lane) {
        total += (sums >> (2 * bits * lane)) & Mask(2 * width);
      }
      if (words < words_max) break;
    }
  }
  VisitBits(bytes, width, i, end,
            [&](size_t, uint64_t packed) { total += packed; });
  return total;
}

// The sum of the first `end` differences.
uint64_t SumOf(const ColumnHead& head, const Left& left, size_t end) {
  uint64_t total = head.base * end;
  if (head.width > 0) total += SumOfBits(left.packed, head.width, end);
  for (size_t i = 0; i < left.places.size() && left.places[i] < end; ++i) {
    total += left.aboves[i];
  }
  return total;
}

// The same, each as often as it is before `end`: the sum of their sums.
uint64_t SumOfSums(const ColumnHead& head, const Left& left, size_t end) {
  uint64_t total = 0;
  if (head.width == 0) {
    total = head.base * (end * (end + 1) / 2);
  } else {
    VisitBits(left.packed, head.width, 0, end, [&](size_t i, uint64_t packed) {
      total += (end - i) * (packed + head.base);
    });
  }
  for (size_t i = 0; i < left.places.size() && left.places[i] < end; ++i) {
    total += (end - left.places[i]) * left.aboves[i];
  }
  return total;
}

// `groups` of eight integers of `kWidth` bits, plus `base`. Where a group
// begins, so does a byte: all shifts are known.
template <int kWidth>
void UnpackGroups(const char* from, size_t groups, uint64_t base,
                  uint64_t* to) {
  constexpr uint64_t kMask = (uint64_t{1} << kWidth) - 1;
  for (; groups > 0; --groups, from += kWidth, to += 8) {
    for (int i = 0; i < 8; ++i) {
      uint64_t word;
      std::memcpy(&word, from + i * kWidth / 8, 8);
      to[i] = ((word >> (i * kWidth % 8)) & kMask) + base;
    }
  }
}

using Unpack = void (*)(const char*, size_t, uint64_t, uint64_t*);
constexpr int kUnpackWidthMax = 32;

template <size_t... kWidths>
constexpr std::array<Unpack, sizeof...(kWidths)> UnpackOfWidths(
    std::index_sequence<kWidths...>) {
  return {&UnpackGroups<static_cast<int>(kWidths) + 1>...};
}
constexpr auto kUnpack =
    UnpackOfWidths(std::make_index_sequence<kUnpackWidthMax>());

// The differences from `begin` on.
void Fill(const ColumnHead& head, const Left& left, size_t begin,
          std::span<uint64_t> out) {
  const size_t end = begin + out.size();
  uint64_t* const to = out.data();
  const auto take = [&](size_t i, uint64_t packed) {
    to[i - begin] = packed + head.base;
  };
  if (head.width == 0) {
    std::fill(out.begin(), out.end(), head.base);
  } else if (head.width > kUnpackWidthMax) {
    VisitBits(left.packed, head.width, begin, end, take);
  } else {
    const auto width = static_cast<size_t>(head.width);
    const size_t first = std::min((begin + 7) / 8 * 8, end);
    VisitBits(left.packed, head.width, begin, first, take);
    // The last ones would read behind the bytes.
    const size_t readable =
        left.packed.size() - std::min<size_t>(left.packed.size(), 8);
    const size_t last =
        std::max(first, std::min(end, readable / width * 8) / 8 * 8);
    kUnpack[width - 1](left.packed.data() + first / 8 * width,
                       (last - first) / 8, head.base, to + (first - begin));
    VisitBits(left.packed, head.width, last, end, take);
  }
  for (size_t i = 0; i < left.places.size() && left.places[i] < end; ++i) {
    if (left.places[i] >= begin) out[left.places[i] - begin] += left.aboves[i];
  }
}

// The integers from `begin` on, as many as `column` is long, of `size`.
// `inner`: they are patches of another column.
bool Decode(ByteReader* in, bool inner, size_t size, size_t begin,
            std::span<uint64_t> column) {
  ColumnHead head;
  Left left;
  if (!TakeHead(in, inner, &head) ||
      !TakeLeft(in, head, size - std::min(FirstLeft(head.order), size),
                &left)) {
    return false;
  }
  const uint64_t factor = head.factor;
  const size_t before = begin - std::min<size_t>(begin, 1);
  uint64_t value = head.value;
  std::span<uint64_t> rest = column;
  switch (head.order) {
    case 1: {
      column[0] = value += SumOf(head, left, begin) * factor;
      rest = column.subspan(1);
      Fill(head, left, begin, rest);
      if (factor == 1) {
        for (uint64_t& to : rest) to = value += to;
      } else {
        for (uint64_t& to : rest) to = value += to * factor;
      }
      break;
    }
    case 2: {
      uint64_t difference = head.first + SumOf(head, left, before) * factor;
      column[0] = value +=
          head.first * begin + SumOfSums(head, left, before) * factor;
      rest = column.subspan(1);
      if (begin == 0 && !rest.empty()) {
        rest[0] = value += difference;
        rest = rest.subspan(1);
      }
      Fill(head, left, before, rest);
      for (uint64_t& to : rest) to = value += difference += to * factor;
      break;
    }
    default: {  // distances to the first one, or to a line
      value += head.first * begin;
      if (begin == 0) {
        rest[0] = value;
        value += head.first;
        rest = rest.subspan(1);
      }
      Fill(head, left, before, rest);
      for (uint64_t& to : rest) {
        to = value + to * factor;
        value += head.first;
      }
    }
  }
  return true;
}

}  // namespace

bool DecodeIntegers(ByteReader* in, std::span<uint64_t> column) {
  return Decode(in, false, column.size(), 0, column);
}

bool DecodeIntegers(ByteReader* in, size_t size, size_t begin,
                    std::span<uint64_t> column) {
  VIGIE_CHECK(size <= kColumnMax && !column.empty() && begin < size &&
              column.size() <= size - begin);
  return Decode(in, false, size, begin, column);
}

}  // namespace vigie::store

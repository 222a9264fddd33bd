#include "store/integer_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "base/check.h"

namespace vigie::store {
namespace {

constexpr size_t kColumnMax = 4096;

// First byte: bits 0 and 1 the order, then what is there.
constexpr uint8_t kLine = 3;  // as order 0, after a straight line is taken off
constexpr uint8_t kOrderMask = 3;
constexpr uint8_t kHasFactor = 1 << 2;
constexpr uint8_t kHasPatches = 1 << 3;
constexpr uint8_t kHasWidth = 1 << 4;       // else every difference is the base
constexpr uint8_t kPackedPatches = 1 << 5;  // as columns of their own
constexpr uint8_t kHeadEnd = 1 << 6;

// Fewer are never worth a column.
constexpr size_t kPackedPatchesMin = 8;

// Fewer integers are not worth trying more than one form.
constexpr size_t kFew = 16;

uint64_t Mask(int width) {
  return width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

// What `width` bits do not hold of a difference above the base; signed, so
// that one below the base is a small number too.
int64_t Above(uint64_t difference, int width) {
  return width == 64 ? 0 : static_cast<int64_t>(difference) >> width;
}

// A base and a width, and what they cost about.
struct Frame {
  uint64_t base = 0;
  int width = 0;
  size_t patches = 0;  // about; the writer counts
  size_t bits = ~size_t{0};
};

// How many differences need how many bits.
class WidthHistogram {
 public:
  void Add(uint64_t value) {
    ++counts_[static_cast<size_t>(std::bit_width(value))];
    all_ |= value;
  }

  // One that no width holds.
  void AddPatch() { ++always_; }

  // The cheapest width: a patch costs a byte for its place, and 7 bits of its
  // upper part a byte.
  void Cheapest(size_t size, Frame* frame) const {
    frame->bits = ~size_t{0};
    size_t patches = always_;  // and those wider than `width`
    const int widest = std::bit_width(all_);
    size_t bits_of_patches = patches * static_cast<size_t>(64 - widest);
    for (int width = widest; width >= 0; --width) {
      const size_t here = counts_[static_cast<size_t>(width)];
      // A width that no difference has is never the cheapest, except one of
      // none at all.
      if (here == 0 && width > 0) {
        bits_of_patches += patches;
        continue;
      }
      const size_t cost = size * static_cast<size_t>(width) +
                          PatchesCost(size, patches, bits_of_patches);
      if (cost < frame->bits) {
        frame->bits = cost;
        frame->width = width;
        frame->patches = patches;
      }
      patches += here;
      bits_of_patches += patches;
    }
  }

 private:
  // Of `bits` above the width, all patches taken together.
  static size_t PatchesCost(size_t size, size_t patches, size_t bits) {
    if (patches == 0) return 0;
    const size_t loose = 8 + patches * 13 + bits * 8 / 7;
    if (patches < kPackedPatchesMin) return loose;
    const auto gap = static_cast<size_t>(std::bit_width(size / patches)) + 2;
    return std::min(loose, 72 + patches * (gap + 1) + bits * 4 / 3);
  }

  static_assert(kColumnMax <= std::numeric_limits<uint16_t>::max());
  std::array<uint16_t, 65> counts_{};
  uint64_t all_ = 0;  // differences, one bit over the other
  size_t always_ = 0;
};

// The better of a frame from the lowest difference on and one around 0.
Frame BestFrame(std::span<const uint64_t> differences) {
  int64_t lowest = static_cast<int64_t>(differences[0]);
  int64_t lowest_positive = INT64_MAX;
  size_t negative = 0;
  for (const uint64_t difference : differences) {
    const auto value = static_cast<int64_t>(difference);
    lowest = std::min(lowest, value);
    if (value < 0) {
      ++negative;
    } else {
      lowest_positive = std::min(lowest_positive, value);
    }
  }
  // A counter that starts again now and then.
  if (negative > 0 && negative <= differences.size() / 16) {
    lowest = lowest_positive;
  }
  WidthHistogram from_lowest, around_zero;
  for (const uint64_t difference : differences) {
    if (static_cast<int64_t>(difference) < lowest) {
      from_lowest.AddPatch();
    } else {
      from_lowest.Add(difference - static_cast<uint64_t>(lowest));
    }
    around_zero.Add(Zigzag(static_cast<int64_t>(difference)));
  }
  Frame low, zero;
  from_lowest.Cheapest(differences.size(), &low);
  low.base = static_cast<uint64_t>(lowest);
  around_zero.Cheapest(differences.size(), &zero);
  zero.base = zero.width == 0 ? 0 : ~uint64_t{0} << (zero.width - 1);
  return zero.bits < low.bits ? zero : low;
}

// What all integers' distances to the first have in common, 1 for none.
uint64_t CommonFactor(std::span<const uint64_t> column) {
  uint64_t factor = 0;
  for (const uint64_t value : column) {
    const auto distance = static_cast<int64_t>(value - column[0]);
    const uint64_t size = distance < 0 ? -static_cast<uint64_t>(distance)
                                       : static_cast<uint64_t>(distance);
    if (factor != 0 && size % factor == 0) continue;
    factor = std::gcd(factor, size);
    if (factor == 1) break;
  }
  return std::max<uint64_t>(factor, 1);
}

void PutBits(std::span<const uint64_t> differences, const Frame& frame,
             std::string* out) {
  const size_t begin = out->size();
  const auto width = static_cast<size_t>(frame.width);
  out->resize(begin + (differences.size() * width + 7) / 8);
  char* at = out->data() + begin;
  uint64_t word = 0;
  size_t filled = 0;
  for (const uint64_t difference : differences) {
    const uint64_t value = (difference - frame.base) & Mask(frame.width);
    word |= value << filled;
    if (filled + width < 64) {
      filled += width;
      continue;
    }
    std::memcpy(at, &word, 8);
    at += 8;
    const size_t written = 64 - filled;
    word = written == 64 ? 0 : value >> written;
    filled = width - written;
  }
  std::memcpy(at, &word, (filled + 7) / 8);
}

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

// One way to see a column.
struct Plan {
  uint8_t order = 0;
  uint64_t first = 0;  // of order 2 the first difference, of a line the slope
  Frame frame;
};

// The first integer that has something left once the order is taken off.
size_t FirstLeft(uint8_t order) { return order == 2 ? 2 : 1; }

// Rounded to the nearest.
uint64_t Slope(uint64_t rise, size_t steps) {
  const auto signed_rise = static_cast<int64_t>(rise);
  const auto divisor = static_cast<int64_t>(steps);
  const int64_t half = signed_rise < 0 ? -divisor / 2 : divisor / 2;
  int64_t rounded;
  if (__builtin_add_overflow(signed_rise, half, &rounded))
    rounded = signed_rise;
  return static_cast<uint64_t>(rounded / divisor);
}

size_t VarintBits(uint64_t value) {
  const uint64_t zigzag = Zigzag(static_cast<int64_t>(value));
  return (static_cast<size_t>(std::bit_width(zigzag | 1)) + 6) / 7 * 8;
}

void Encode(std::span<const uint64_t> column, bool inner, std::string* out);
// `column` is the first of `size` integers.
bool Decode(ByteReader* in, bool inner, size_t size,
            std::span<uint64_t> column);

// The places of patches, as gaps from one to the next, and their upper parts.
struct Patches {
  std::vector<uint64_t> gaps, aboves;
};

Patches PatchesOf(std::span<const uint64_t> left, const Frame& frame) {
  Patches patches;
  size_t next = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    const int64_t above = Above(left[i] - frame.base, frame.width);
    if (above == 0) continue;
    patches.gaps.push_back(i - next);
    patches.aboves.push_back(static_cast<uint64_t>(above));
    next = i + 1;
  }
  return patches;
}

// Returns whether they are columns.
bool PutPatches(const Patches& patches, bool inner, std::string* out) {
  PutVarint(patches.gaps.size(), out);
  std::string loose, packed;
  for (size_t i = 0; i < patches.gaps.size(); ++i) {
    PutVarint(patches.gaps[i], &loose);
    PutZigzag(static_cast<int64_t>(patches.aboves[i]), &loose);
  }
  if (!inner && patches.gaps.size() >= kPackedPatchesMin) {
    Encode(patches.gaps, true, &packed);
    Encode(patches.aboves, true, &packed);
    if (packed.size() < loose.size()) {
      out->append(packed);
      return true;
    }
  }
  out->append(loose);
  return false;
}

bool TakePatches(ByteReader* in, bool packed, size_t size, Patches* patches) {
  const uint64_t count = in->Varint();
  if (!in->ok() || count == 0 || count > size) return false;
  patches->gaps.resize(count);
  patches->aboves.resize(count);
  if (packed) {
    return Decode(in, true, count, patches->gaps) &&
           Decode(in, true, count, patches->aboves);
  }
  for (uint64_t i = 0; i < count; ++i) {
    patches->gaps[i] = in->Varint();
    patches->aboves[i] = static_cast<uint64_t>(in->ZigzagVarint());
  }
  return in->ok();
}

void Write(uint64_t first_value, uint64_t factor, const Plan& plan,
           std::span<const uint64_t> left, bool inner, std::string* out) {
  const Frame& frame = plan.frame;
  const Patches patches = PatchesOf(left, frame);
  const size_t head = out->size();
  out->push_back(static_cast<char>(plan.order | (factor != 1 ? kHasFactor : 0) |
                                   (patches.gaps.empty() ? 0 : kHasPatches) |
                                   (frame.width > 0 ? kHasWidth : 0)));
  if (frame.width > 0) out->push_back(static_cast<char>(frame.width));
  PutZigzag(static_cast<int64_t>(first_value), out);
  if (factor != 1) PutVarint(factor, out);
  if (plan.order >= 2) PutZigzag(static_cast<int64_t>(plan.first), out);
  PutZigzag(static_cast<int64_t>(frame.base), out);
  if (!patches.gaps.empty() && PutPatches(patches, inner, out)) {
    (*out)[head] = static_cast<char>((*out)[head] | kPackedPatches);
  }
  if (frame.width > 0) PutBits(left, frame, out);
}

std::string_view TakePacked(ByteReader* in, size_t size, int width) {
  return in->Bytes((size * static_cast<size_t>(width) + 7) / 8);
}

// The first of `size` differences, base and patches included.
bool TakeLeft(ByteReader* in, uint8_t head, int width, uint64_t base,
              size_t size, std::span<uint64_t> left) {
  Patches patches;
  if ((head & kHasPatches) != 0 &&
      !TakePatches(in, (head & kPackedPatches) != 0, size, &patches)) {
    return false;
  }
  if (width == 0) {
    std::fill(left.begin(), left.end(), base);
  } else {
    const std::string_view bytes = TakePacked(in, size, width);
    if (!in->ok()) return false;
    VisitBits(bytes, width, 0, left.size(),
              [&](size_t i, uint64_t packed) { left[i] = packed + base; });
  }
  size_t next = 0;
  for (size_t i = 0; i < patches.gaps.size(); ++i) {
    if (patches.gaps[i] >= size - next) return false;
    next += patches.gaps[i];
    if (next >= left.size()) break;
    left[next++] += width == 64 ? 0 : patches.aboves[i] << width;
  }
  return in->ok();
}

// Differences above the least of them, and nothing else tried: what a seal
// writes of series with few samples costs more to think about than to store,
// and a merge packs it again.
void EncodeFew(std::span<const uint64_t> column, std::string* out) {
  uint64_t left[kFew];
  const size_t size = column.size() - 1;
  int64_t lowest = 0, highest = 0;
  for (size_t i = 0; i < size; ++i) {
    left[i] = column[i + 1] - column[i];
    const auto difference = static_cast<int64_t>(left[i]);
    lowest = i == 0 ? difference : std::min(lowest, difference);
    highest = i == 0 ? difference : std::max(highest, difference);
  }
  Plan plan;
  plan.order = 1;
  plan.frame.base = static_cast<uint64_t>(lowest);
  plan.frame.width = std::bit_width(static_cast<uint64_t>(highest) -
                                    static_cast<uint64_t>(lowest));
  Write(column[0], 1, plan, {left, size}, /*inner=*/false, out);
}

// `inner`: it holds the patches of another column, and packs none of its own.
void Encode(std::span<const uint64_t> column, bool inner, std::string* out) {
  VIGIE_CHECK(!column.empty() && column.size() <= kColumnMax);
  const size_t size = column.size();
  if (size < kFew && !inner) return EncodeFew(column, out);
  const uint64_t factor = CommonFactor(column);
  // Distances to the first one, their differences, the differences of those,
  // and distances to a line. A column of one integer has none of them.
  uint64_t buffers[4][kColumnMax];
  buffers[0][0] = 0;
  for (size_t i = 1; i < size; ++i) {
    const auto distance = static_cast<int64_t>(column[i] - column[0]);
    buffers[0][i] = static_cast<uint64_t>(
        factor == 1 ? distance : distance / static_cast<int64_t>(factor));
  }
  Plan best;
  for (uint8_t order = 0; order <= kLine && FirstLeft(order) < size; ++order) {
    Plan plan;
    plan.order = order;
    uint64_t* const left = buffers[order];
    if (order == kLine) {
      plan.first = Slope(buffers[0][size - 1], size - 1);
      for (size_t i = 1; i < size; ++i) {
        left[i] = buffers[0][i] - plan.first * i;
      }
    } else if (order > 0) {
      const uint64_t* const from = buffers[order - 1];
      for (size_t i = order; i < size; ++i) left[i] = from[i] - from[i - 1];
      if (order == 2) plan.first = buffers[1][1];
    }
    plan.frame = BestFrame({left + FirstLeft(order), left + size});
    plan.frame.bits += VarintBits(plan.frame.base) + VarintBits(plan.first);
    if (plan.frame.bits < best.frame.bits) best = plan;
    // Nothing but a base is left: no other order is worth a look.
    if (best.frame.width == 0 && best.frame.patches == 0) break;
  }
  Write(
      column[0], factor, best,
      {buffers[best.order] + FirstLeft(best.order), buffers[best.order] + size},
      inner, out);
}

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

// The sum of the differences in [begin, end) of `size`, each times `weight` of
// its index: no difference waits for the one before it.
template <class Weight>
bool SumLeft(ByteReader* in, const ColumnHead& head, size_t size, size_t begin,
             size_t end, Weight weight, uint64_t* sum) {
  Patches patches;
  if ((head.byte & kHasPatches) != 0 &&
      !TakePatches(in, (head.byte & kPackedPatches) != 0, size, &patches)) {
    return false;
  }
  uint64_t total = 0;
  if (head.width == 0) {
    for (size_t i = begin; i < end; ++i) total += weight(i) * head.base;
  } else {
    const std::string_view bytes = TakePacked(in, size, head.width);
    if (!in->ok()) return false;
    VisitBits(bytes, head.width, begin, end, [&](size_t i, uint64_t packed) {
      total += weight(i) * (packed + head.base);
    });
  }
  size_t next = 0;
  for (size_t i = 0; i < patches.gaps.size(); ++i) {
    if (patches.gaps[i] >= size - next) return false;
    next += patches.gaps[i];
    if (next >= begin && next < end && head.width < 64) {
      total += weight(next) * (patches.aboves[i] << head.width);
    }
    ++next;
  }
  *sum = total;
  return in->ok();
}

bool DecodeAt(ByteReader* in, size_t size, size_t at, uint64_t* value) {
  ColumnHead head;
  if (!TakeHead(in, false, &head)) return false;
  const size_t left = size - std::min(FirstLeft(head.order), size);
  const auto once = [](size_t) { return uint64_t{1}; };
  uint64_t sum = 0;
  switch (head.order) {
    case 1:
      if (!SumLeft(in, head, left, 0, at, once, &sum)) return false;
      break;
    case 2: {
      const size_t end = at - std::min<size_t>(at, 1);
      const auto often = [&](size_t i) { return uint64_t{end - i}; };
      if (!SumLeft(in, head, left, 0, end, often, &sum)) return false;
      break;
    }
    default: {
      const size_t only = at - std::min<size_t>(at, 1);
      if (!SumLeft(in, head, left, only, at, once, &sum)) return false;
    }
  }
  *value = head.value + head.first * at + sum * head.factor;
  return true;
}

bool Decode(ByteReader* in, bool inner, size_t total,
            std::span<uint64_t> column) {
  ColumnHead taken;
  if (!TakeHead(in, inner, &taken)) return false;
  const uint8_t order = taken.order;
  const uint64_t factor = taken.factor;
  uint64_t value = taken.value, first = taken.first;
  const size_t size = column.size();
  const size_t skip = std::min(FirstLeft(order), size);
  const size_t left_total = total - std::min(FirstLeft(order), total);
  const std::span<uint64_t> left = column.subspan(skip);
  if (!TakeLeft(in, taken.byte, taken.width, taken.base, left_total, left)) {
    return false;
  }
  if (factor != 1) {
    for (uint64_t& difference : left) difference *= factor;
  }
  // What is left of `order` becomes the integers.
  uint64_t* const at = column.data();
  at[0] = value;
  switch (order) {
    case 0:
      for (size_t i = 1; i < size; ++i) at[i] += value;
      break;
    case 1:
      for (size_t i = 1; i < size; ++i) at[i] = value += at[i];
      break;
    case 2:
      if (size > 1) at[1] = value += first;
      for (size_t i = 2; i < size; ++i) at[i] = value += first += at[i];
      break;
    default:
      for (size_t i = 1; i < size; ++i) at[i] += value += first;
  }
  return true;
}

}  // namespace

void EncodeIntegers(std::span<const uint64_t> column, std::string* out) {
  Encode(column, false, out);
}

bool DecodeIntegers(ByteReader* in, std::span<uint64_t> column) {
  return Decode(in, false, column.size(), column);
}

bool DecodeIntegerAt(ByteReader* in, size_t size, size_t at, uint64_t* value) {
  VIGIE_CHECK(at < size && size <= kColumnMax);
  return DecodeAt(in, size, at, value);
}

}  // namespace vigie::store

#include "store/integer_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "store/integer_form.h"

namespace vigie::store {
namespace {

// Fewer are never worth a column.
constexpr size_t kPackedPatchesMin = 8;

// Fewer integers are not worth trying more than one form.
constexpr size_t kFew = 16;

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

// One way to see a column.
struct Plan {
  uint8_t order = 0;
  uint64_t first = 0;  // of order 2 the first difference, of a line the slope
  Frame frame;
};

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

}  // namespace

void EncodeIntegers(std::span<const uint64_t> column, std::string* out) {
  Encode(column, false, out);
}

}  // namespace vigie::store

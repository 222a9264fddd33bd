#include "store/open_chunk.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/container/inlined_vector.h"
#include "base/check.h"
#include "model/sample.h"
#include "store/byte_coding.h"
#include "store/histogram_codec.h"
#include "store/open_scale.h"
#include "store/open_stream.h"

namespace vigie::store {
namespace {

// A float is the zigzagged error of the guessed difference, in a Rice code: as
// many ones as it has multiples of 2^width, a zero, `width` bits of the rest.
// Eight ones are no such code; after them stands a zero and 6 bits and as many
// bits of error as these say, less one; or a one and a control of 3 bits.
constexpr int kOnesMax = 8;

enum Control : uint64_t {
  kScale = 0,  // 4 bits more: values are at this scale from here on
  kStale = 1,  // a sample: the staleness marker
  kStart = 2,  // bytes: varint, the difference to the start time before
  kStartAtLastTime = 3,  // that of the sample before
  kInteger = 4,          // bytes: a histogram
  kFloat = 5,
};

// A buffer of n bytes from the heap costs n + 8, in steps of 16; ours grow in
// such steps, and of a quarter once they are long.
size_t Capacity(size_t needed) {
  if (needed == 0) return 0;
  const auto quarter = std::bit_floor(static_cast<uint64_t>(needed)) >> 2;
  const size_t step = std::max<size_t>(quarter, 16);
  return ((needed + 8 + step - 1) & ~(step - 1)) - 8;
}

uint64_t ByteSwapped(uint64_t value) { return __builtin_bswap64(value); }

// Counts differ little from those before: integers by a small number, doubles
// in their upper bits.
void PutCount(uint64_t count, uint64_t last, std::string* out) {
  PutZigzag(static_cast<int64_t>(count - last), out);
}
void PutCount(double count, double last, std::string* out) {
  PutVarint(ByteSwapped(std::bit_cast<uint64_t>(count) ^
                        std::bit_cast<uint64_t>(last)),
            out);
}
void TakeCount(ByteReader* in, uint64_t* count) {
  *count += static_cast<uint64_t>(in->ZigzagVarint());
}
void TakeCount(ByteReader* in, double* count) {
  *count = std::bit_cast<double>(std::bit_cast<uint64_t>(*count) ^
                                 ByteSwapped(in->Varint()));
}

template <class Histogram>
void PutCounts(const Histogram& h, const Histogram& last, std::string* out) {
  PutCount(h.zero_count, last.zero_count, out);
  PutCount(h.count, last.count, out);
  PutCount(h.sum, last.sum, out);
  for (size_t i = 0; i < h.positive_buckets.size(); ++i) {
    PutCount(h.positive_buckets[i], last.positive_buckets[i], out);
  }
  for (size_t i = 0; i < h.negative_buckets.size(); ++i) {
    PutCount(h.negative_buckets[i], last.negative_buckets[i], out);
  }
}

template <class Histogram>
void TakeCounts(ByteReader* in, Histogram* h) {
  TakeCount(in, &h->zero_count);
  TakeCount(in, &h->count);
  TakeCount(in, &h->sum);
  for (auto& bucket : h->positive_buckets) TakeCount(in, &bucket);
  for (auto& bucket : h->negative_buckets) TakeCount(in, &bucket);
}

// A histogram as bytes: its reset hint, with kNewLayout its layout, else that
// of the one before it; then its counts.
constexpr uint8_t kNewLayout = 0x80;

template <class Histogram>
void TakeHistogram(ByteReader* in, Histogram* h) {
  const uint8_t head = in->Byte();
  if ((head & kNewLayout) != 0) VIGIE_CHECK(TakeLayout(in, h));
  h->reset_hint = static_cast<CounterResetHint>(head & ~kNewLayout);
  TakeCounts(in, h);
}

SampleColumns* RunOf(SampleKind kind, size_t samples_left, SampleRuns* runs) {
  if (runs->empty() || runs->back().kind != kind) {
    runs->emplace_back();
    runs->back().kind = kind;
    runs->back().times_ms.reserve(samples_left);
    if (kind == SampleKind::kFloat) runs->back().values.reserve(samples_left);
  }
  return &runs->back();
}

}  // namespace

struct OpenChunk::LastHistogram {
  std::variant<IntegerHistogram, FloatHistogram> histogram;
};

// The second of the rare words.
OpenChunk::LastHistogram*& OpenChunk::last_histogram() const {
  return *reinterpret_cast<LastHistogram**>(state_.data + 8 * state_.has_start);
}

size_t OpenChunk::bytes() const {
  size_t bytes = Capacity(state_.used());
  if (state_.has_histogram != 0) {
    bytes += sizeof(LastHistogram);
    std::visit(
        [&](const auto& h) {
          bytes +=
              8 * (h.positive_spans.capacity() + h.negative_spans.capacity() +
                   h.positive_buckets.capacity() +
                   h.negative_buckets.capacity() + h.custom_values.capacity());
        },
        last_histogram()->histogram);
  }
  return bytes;
}

void OpenChunk::Clear() {
  if (state_.has_histogram != 0) delete last_histogram();
  std::free(state_.data);
  state_ = State();
}

OpenChunk OpenChunk::Copy() const {
  OpenChunk copy;
  if (empty()) return copy;
  copy.state_ = state_;
  const size_t size = Capacity(state_.used());
  copy.state_.data = static_cast<unsigned char*>(std::malloc(size));
  VIGIE_CHECK(copy.state_.data != nullptr);
  std::memcpy(copy.state_.data, state_.data, size);
  if (state_.has_histogram != 0) {
    copy.last_histogram() = new LastHistogram(*last_histogram());
  }
  return copy;
}

// Makes room for `more` bytes between values and times; the caller then counts
// them.
void OpenChunk::Grow(size_t more) {
  if (more == 0) return;
  const size_t used = state_.used();
  const size_t before = Capacity(used), after = Capacity(used + more);
  if (before == after) return;
  state_.data = static_cast<unsigned char*>(std::realloc(state_.data, after));
  VIGIE_CHECK(state_.data != nullptr);
  std::memmove(state_.data + after - state_.back,
               state_.data + before - state_.back, state_.back);
}

void OpenChunk::InsertPrefix(size_t at, uint64_t word) {
  Grow(8);
  std::memmove(state_.data + at + 8, state_.data + at,
               state_.prefix() + state_.front() - at);
  std::memcpy(state_.data + at, &word, 8);
}

// At most 64; those above `count` are 0.
void OpenChunk::PutBits(uint64_t bits, int count) {
  const int before = static_cast<int>(state_.front_bits & 63);
  state_.tail |= bits << before;
  if (before + count >= 64) {
    Grow(8);
    std::memcpy(state_.data + state_.prefix() + state_.front(), &state_.tail,
                8);
    state_.tail = before == 0 ? 0 : bits >> (64 - before);
  }
  state_.front_bits += static_cast<uint32_t>(count);
}

void OpenChunk::PutControl(uint64_t control) {
  PutBits(0x1FF | control << 9, 12);
}

// From the next whole byte on.
void OpenChunk::PutBytes(std::string_view bytes) {
  PutBits(0, static_cast<int>(-state_.front_bits & 7));
  while (!bytes.empty()) {
    const size_t size = std::min<size_t>(bytes.size(), 8);
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), size);
    PutBits(word, static_cast<int>(8 * size));
    bytes.remove_prefix(size);
  }
}

// The first byte ends up highest.
void OpenChunk::PutBack(const void* bytes, size_t size) {
  Grow(size);
  state_.back += static_cast<uint32_t>(size);
  unsigned char* const at = state_.data + Capacity(state_.used()) - state_.back;
  std::memcpy(at, bytes, size);
}

void OpenChunk::PutBackVarint(uint64_t value) {
  unsigned char bytes[10];
  unsigned char* at = bytes + sizeof(bytes);
  for (; value >= 0x80; value >>= 7) {
    *--at = static_cast<unsigned char>(value | 0x80);
  }
  *--at = static_cast<unsigned char>(value);
  PutBack(at, static_cast<size_t>(bytes + sizeof(bytes) - at));
}

// Counts the sample.
void OpenChunk::PutTime(int64_t time_ms) {
  const uint64_t step = static_cast<uint64_t>(time_ms) -
                        static_cast<uint64_t>(state_.last_time_ms);
  VIGIE_CHECK(empty() || time_ms > state_.last_time_ms);
  if (!empty() && step == state_.step_ms && state_.run < 0xFF) {
    ++state_.run;
  } else {
    if (state_.run > 0) {
      PutBackVarint(uint64_t{state_.run} << 1 | 1);
      state_.run = 0;
    }
    if (!empty() && step <= 0xFFFFFFFF) {
      PutBackVarint(Zigzag(static_cast<int64_t>(step) - int64_t{state_.step_ms})
                    << 1);
      state_.step_ms = static_cast<uint32_t>(step);
    } else {
      if (!empty()) PutBackVarint(1);
      PutBack(&time_ms, 8);
      state_.step_ms = 0;
    }
  }
  state_.last_time_ms = time_ms;
  ++state_.count;
}

// Before PutTime, as the time of the sample before may be the start.
void OpenChunk::PutStart(int64_t start_ms) {
  const int64_t last_ms = last_start_ms();
  if (start_ms == last_ms) return;
  if (start_ms == state_.last_time_ms) {
    PutControl(kStartAtLastTime);
  } else {
    PutControl(kStart);
    std::string bytes;
    PutZigzag(static_cast<int64_t>(static_cast<uint64_t>(start_ms) -
                                   static_cast<uint64_t>(last_ms)),
              &bytes);
    PutBytes(bytes);
  }
  if (state_.has_start == 0) {
    InsertPrefix(0, 0);
    state_.has_start = 1;
  }
  std::memcpy(state_.data, &start_ms, 8);
}

// Which integer stands for the value, after a change of the scale if there is
// none at the present one.
uint64_t OpenChunk::IntegerOf(double value) {
  uint64_t integer = 0;
  const int old = state_.scale;
  int scale = old;
  if (old == kBitPatterns) {
    // A run of true doubles is not searched each time.
    if (state_.count % 8 != 0) return ToBits(value);
    scale = kWhole;
  } else if (empty() && std::fabs(value) >= kPagesMin) {
    scale = 0;
  }
  while (!ToInteger(value, scale, &integer)) ++scale;
  if (scale == old) return integer;
  PutControl(kScale);
  PutBits(static_cast<uint64_t>(scale), 4);
  state_.last = Rescaled(state_.last, old, scale);
  state_.model.Forget();
  state_.scale = static_cast<uint8_t>(scale) & 15;
  return integer;
}

void OpenChunk::Append(int64_t time_ms, int64_t start_ms, double value) {
  PutStart(start_ms);
  state_.kind = static_cast<uint8_t>(SampleKind::kFloat);
  state_.stale = IsStaleMarker(value);
  if (state_.stale != 0) {
    PutControl(kStale);
    PutTime(time_ms);
    return;
  }
  const uint64_t integer = IntegerOf(value);
  const uint64_t difference = integer - state_.last;
  const uint64_t guess = state_.scale == kBitPatterns
                             ? 0
                             : static_cast<uint64_t>(state_.model.guess());
  const uint64_t error = Zigzag(static_cast<int64_t>(difference - guess));
  const int width = state_.model.width();
  const uint64_t ones = width == 64 ? 0 : error >> width;
  if (ones < kOnesMax) {
    const int head = static_cast<int>(ones) + 1;
    const uint64_t code = (uint64_t{1} << ones) - 1;
    const uint64_t rest = LowBits(error, width);
    if (head + width <= 64) {
      PutBits(code | (width == 0 ? 0 : rest << head), head + width);
    } else {
      PutBits(code, head);
      PutBits(rest, width);
    }
    state_.model.Learn(state_.count, static_cast<int64_t>(difference), error);
  } else {
    const int bits = std::bit_width(error);
    PutBits(0xFF | static_cast<uint64_t>(bits - 1) << 9, 15);
    PutBits(error, bits);
    state_.model.LearnEscape();
  }
  state_.last = integer;
  PutTime(time_ms);
}

template <class Histogram>
void OpenChunk::AppendHistogram(uint64_t control, const Histogram& histogram) {
  PutControl(control);
  if (state_.has_histogram == 0) {
    InsertPrefix(8 * state_.has_start,
                 std::bit_cast<uint64_t>(new LastHistogram));
    state_.has_histogram = 1;
  }
  auto& last = last_histogram()->histogram;
  const auto* before = std::get_if<Histogram>(&last);
  std::string bytes;
  if (before != nullptr && SameLayout(histogram, *before)) {
    bytes.push_back(static_cast<char>(histogram.reset_hint));
    PutCounts(histogram, *before, &bytes);
  } else {
    bytes.push_back(static_cast<char>(
        static_cast<uint8_t>(histogram.reset_hint) | kNewLayout));
    PutLayout(histogram, &bytes);
    Histogram zero;
    zero.positive_buckets.resize(histogram.positive_buckets.size());
    zero.negative_buckets.resize(histogram.negative_buckets.size());
    PutCounts(histogram, zero, &bytes);
  }
  PutBytes(bytes);
  last = histogram;
}

void OpenChunk::Append(int64_t time_ms, int64_t start_ms,
                       const IntegerHistogram& histogram) {
  PutStart(start_ms);
  state_.kind = static_cast<uint8_t>(SampleKind::kIntegerHistogram);
  AppendHistogram(kInteger, histogram);
  PutTime(time_ms);
}

void OpenChunk::Append(int64_t time_ms, int64_t start_ms,
                       const FloatHistogram& histogram) {
  PutStart(start_ms);
  state_.kind = static_cast<uint8_t>(SampleKind::kFloatHistogram);
  AppendHistogram(kFloat, histogram);
  PutTime(time_ms);
}

int64_t OpenChunk::first_time_ms() const {
  int64_t time_ms;
  std::memcpy(&time_ms, state_.data + Capacity(state_.used()) - 8, 8);
  return time_ms;
}

int64_t OpenChunk::last_start_ms() const {
  int64_t start_ms = 0;
  if (state_.has_start != 0) std::memcpy(&start_ms, state_.data, 8);
  return start_ms;
}

double OpenChunk::last_value() const {
  if (last_kind() != SampleKind::kFloat) return 0;
  if (state_.stale != 0) return StaleMarker();
  return FromInteger(state_.last, state_.scale);
}

const IntegerHistogram* OpenChunk::last_integer_histogram() const {
  if (last_kind() != SampleKind::kIntegerHistogram) return nullptr;
  return std::get_if<IntegerHistogram>(&last_histogram()->histogram);
}

const FloatHistogram* OpenChunk::last_float_histogram() const {
  if (last_kind() != SampleKind::kFloatHistogram) return nullptr;
  return std::get_if<FloatHistogram>(&last_histogram()->histogram);
}

void OpenChunk::Decode(SampleRuns* runs) const {
  if (empty()) return;
  TimeReader times(state_.data + Capacity(state_.used()), state_.back);
  // In one piece, with what the reader may read past the end.
  absl::InlinedVector<unsigned char, 512> values(state_.front() + 16);
  std::memcpy(values.data(), state_.data + state_.prefix(), state_.front());
  std::memcpy(values.data() + state_.front(), &state_.tail, 8);
  const size_t size = (size_t{state_.front_bits} + 7) / 8;
  BitReader in(values.data());
  DifferenceModel model;
  uint64_t last = 0;
  int scale = kWhole;
  int64_t start_ms = 0, time_ms = 0;
  IntegerHistogram integer;
  FloatHistogram floats;
  SampleColumns* run = nullptr;
  const auto run_of = [&](SampleKind kind, uint32_t index) {
    if (run == nullptr || run->kind != kind) {
      run = RunOf(kind, state_.count - index, runs);
    }
    return run;
  };
  for (uint32_t i = 0; i < state_.count;) {
    const uint64_t word = in.Peek();
    const int ones = std::countr_one(word);
    if (ones < kOnesMax || (word >> kOnesMax & 1) == 0) {
      uint64_t error;
      const uint64_t guess =
          scale == kBitPatterns ? 0 : static_cast<uint64_t>(model.guess());
      if (ones < kOnesMax) {
        const int width = model.width();
        in.Skip(ones + 1);
        error = ones + 1 + width <= 57 ? LowBits(word >> (ones + 1), width)
                                       : in.Take(width);
        if (ones + 1 + width <= 57) in.Skip(width);
        error |= ones == 0 ? 0 : static_cast<uint64_t>(ones) << width;
      } else {
        in.Skip(kOnesMax + 1);
        error = in.Take(static_cast<int>(in.Take(6)) + 1);
      }
      const uint64_t difference =
          guess + static_cast<uint64_t>(Unzigzag(error));
      if (ones < kOnesMax) {
        model.Learn(i, static_cast<int64_t>(difference), error);
      } else {
        model.LearnEscape();
      }
      last += difference;
      run_of(SampleKind::kFloat, i)
          ->PushBack(time_ms = times.Next(), FromInteger(last, scale),
                     start_ms);
      ++i;
      continue;
    }
    in.Skip(kOnesMax + 1);
    switch (in.Take(3)) {
      case kScale: {
        const int next = static_cast<int>(in.Take(4));
        last = Rescaled(last, scale, next);
        scale = next;
        model.Forget();
        break;
      }
      case kStale:
        run_of(SampleKind::kFloat, i++)
            ->PushBack(time_ms = times.Next(), StaleMarker(), start_ms);
        break;
      case kStart: {
        ByteReader bytes = in.Bytes(size);
        start_ms =
            static_cast<int64_t>(static_cast<uint64_t>(start_ms) +
                                 static_cast<uint64_t>(bytes.ZigzagVarint()));
        in.SkipTo(bytes, size);
        break;
      }
      case kStartAtLastTime:
        start_ms = time_ms;
        break;
      case kInteger: {
        ByteReader bytes = in.Bytes(size);
        TakeHistogram(&bytes, &integer);
        in.SkipTo(bytes, size);
        run_of(SampleKind::kIntegerHistogram, i++)
            ->PushBack(time_ms = times.Next(), integer, start_ms);
        break;
      }
      case kFloat: {
        ByteReader bytes = in.Bytes(size);
        TakeHistogram(&bytes, &floats);
        in.SkipTo(bytes, size);
        run_of(SampleKind::kFloatHistogram, i++)
            ->PushBack(time_ms = times.Next(), floats, start_ms);
        break;
      }
      default:
        VIGIE_CHECK(false);
    }
  }
}

}  // namespace vigie::store

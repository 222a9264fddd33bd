#include "store/open_chunk.h"

#include <cstdlib>
#include <cstring>
#include <utility>
#include <variant>

#include "base/check.h"
#include "store/byte_coding.h"
#include "store/decimal.h"
#include "store/histogram_codec.h"

namespace vigie::store {
namespace {

// What begins a value. Below kTwoBytes the byte is the difference itself.
enum Token : uint8_t {
  kTwoBytes = 0xC0,    // to 0xDF, its 5 bits above those of 1 byte
  kThreeBytes = 0xE0,  // to 0xEF, 4 bits above 2 bytes
  kFourBytes = 0xF0,   // to 0xF7, 3 bits above 3 bytes
  kNineBytes = 0xF8,
  kExponent = 0xF9,  // one byte more: values are at this exponent from here on
  kRaw = 0xFA,       // 8 bytes: the bits of the double
  kStart = 0xFB,     // varint: difference to the start time before
  kInteger = 0xFC,   // one histogram
  kFloat = 0xFD,
};

// A buffer of n bytes from the heap costs n + 8, in steps of 16; ours grow in
// steps of 32, and of an eighth once they are long.
size_t Capacity(size_t needed) {
  if (needed == 0) return 0;
  size_t step = 32;
  while (step * 16 < needed) step *= 2;
  return (needed + 8 + step - 1) / step * step - 8;
}

uint64_t ByteSwapped(uint64_t value) { return __builtin_bswap64(value); }

// Times are read from the last byte of the buffer downwards.
class BackwardReader {
 public:
  BackwardReader(const unsigned char* end, size_t size)
      : at_(end), begin_(end - size) {}
  bool empty() const { return at_ == begin_; }
  uint64_t Fixed64() {
    at_ -= 8;
    uint64_t value;
    std::memcpy(&value, at_, 8);
    return value;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const unsigned char byte = *--at_;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }

 private:
  const unsigned char* at_;
  const unsigned char* begin_;
};

// The times of a chunk one after the other. A token is a number of samples
// with the step of before (odd), a change of the step (even), or 1 and 8 bytes
// more: a time.
class TimeReader {
 public:
  TimeReader(const unsigned char* end, size_t size) : in_(end, size) {
    time_ms_ = in_.Fixed64();
  }
  int64_t Next() {
    if (first_) {
      first_ = false;
      return static_cast<int64_t>(time_ms_);
    }
    if (run_ == 0 && !in_.empty()) {
      const uint64_t token = in_.Varint();
      if (token == 1) {
        time_ms_ = in_.Fixed64();
        step_ms_ = 0;
        return static_cast<int64_t>(time_ms_);
      }
      if ((token & 1) != 0) {
        run_ = token >> 1;
      } else {
        step_ms_ += static_cast<uint64_t>(Unzigzag(token >> 1));
        return static_cast<int64_t>(time_ms_ += step_ms_);
      }
    }
    // The last run is not among the tokens yet: then it has no end here.
    if (run_ > 0) --run_;
    return static_cast<int64_t>(time_ms_ += step_ms_);
  }

 private:
  BackwardReader in_;
  uint64_t time_ms_;
  uint64_t step_ms_ = 0;
  uint64_t run_ = 0;
  bool first_ = true;
};

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

// Makes room for `more` bytes between values and times and returns where; the
// caller then counts them.
unsigned char* OpenChunk::Grow(size_t more) {
  const size_t used = state_.used();
  const size_t before = Capacity(used), after = Capacity(used + more);
  if (before != after) {
    state_.data = static_cast<unsigned char*>(std::realloc(state_.data, after));
    VIGIE_CHECK(state_.data != nullptr);
    std::memmove(state_.data + after - state_.back,
                 state_.data + before - state_.back, state_.back);
  }
  return state_.data + state_.prefix() + state_.front;
}

void OpenChunk::InsertPrefix(size_t at, uint64_t word) {
  Grow(8);
  std::memmove(state_.data + at + 8, state_.data + at,
               state_.prefix() + state_.front - at);
  std::memcpy(state_.data + at, &word, 8);
}

void OpenChunk::PutFront(const void* bytes, size_t size) {
  std::memcpy(Grow(size), bytes, size);
  state_.front += static_cast<uint32_t>(size);
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
  if (!empty() && step == state_.step_ms && state_.run < 0xFFFF) {
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

void OpenChunk::PutStart(int64_t start_ms) {
  const int64_t last_ms = last_start_ms();
  if (start_ms == last_ms) return;
  std::string bytes(1, static_cast<char>(kStart));
  PutZigzag(static_cast<int64_t>(static_cast<uint64_t>(start_ms) -
                                 static_cast<uint64_t>(last_ms)),
            &bytes);
  PutFront(bytes.data(), bytes.size());
  if (state_.has_start == 0) {
    InsertPrefix(0, 0);
    state_.has_start = 1;
  }
  std::memcpy(state_.data, &start_ms, 8);
}

void OpenChunk::Append(int64_t time_ms, int64_t start_ms, double value) {
  // The time first: it checks, and it gives the chunk its buffer.
  PutTime(time_ms);
  PutStart(start_ms);
  state_.kind = SampleKind::kFloat;
  unsigned char bytes[16];
  unsigned char* at = bytes;
  int64_t integer = 0;
  int exponent = state_.exponent;
  bool decimal = ToDecimal(value, exponent, &integer);
  // A run of true doubles is not searched each time.
  if (!decimal && (state_.raw == 0 || state_.count % 8 == 1)) {
    while (!decimal && exponent < kDecimalExponentMax) {
      decimal = ToDecimal(value, ++exponent, &integer);
    }
  }
  if (!decimal) {
    *at++ = kRaw;
    state_.last = std::bit_cast<uint64_t>(value);
    std::memcpy(at, &state_.last, 8);
    at += 8;
    state_.raw = 1;
    PutFront(bytes, static_cast<size_t>(at - bytes));
    return;
  }
  uint64_t last = state_.raw != 0 ? 0 : state_.last;
  if (exponent != state_.exponent) {
    *at++ = kExponent;
    *at++ = static_cast<unsigned char>(exponent);
    // Wraps around, and is undone by the reader alike.
    last *= static_cast<uint64_t>(kPowersOfTen[exponent - state_.exponent]);
    state_.exponent = static_cast<uint8_t>(exponent);
  }
  const uint64_t change =
      Zigzag(static_cast<int64_t>(static_cast<uint64_t>(integer) - last));
  if (change < kTwoBytes) {
    *at++ = static_cast<unsigned char>(change);
  } else if (change < 1u << 13) {
    *at++ = static_cast<unsigned char>(kTwoBytes | change >> 8);
    *at++ = static_cast<unsigned char>(change);
  } else if (change < 1u << 20) {
    *at++ = static_cast<unsigned char>(kThreeBytes | change >> 16);
    std::memcpy(at, &change, 2);
    at += 2;
  } else if (change < 1u << 27) {
    *at++ = static_cast<unsigned char>(kFourBytes | change >> 24);
    std::memcpy(at, &change, 3);
    at += 3;
  } else {
    *at++ = kNineBytes;
    std::memcpy(at, &change, 8);
    at += 8;
  }
  state_.last = static_cast<uint64_t>(integer);
  state_.raw = 0;
  PutFront(bytes, static_cast<size_t>(at - bytes));
}

template <class Histogram>
void OpenChunk::AppendHistogram(uint8_t token, const Histogram& histogram) {
  if (state_.has_histogram == 0) {
    InsertPrefix(8 * state_.has_start,
                 std::bit_cast<uint64_t>(new LastHistogram));
    state_.has_histogram = 1;
  }
  auto& last = last_histogram()->histogram;
  const auto* before = std::get_if<Histogram>(&last);
  std::string bytes(1, static_cast<char>(token));
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
  PutFront(bytes.data(), bytes.size());
  last = histogram;
}

void OpenChunk::Append(int64_t time_ms, int64_t start_ms,
                       const IntegerHistogram& histogram) {
  PutTime(time_ms);
  PutStart(start_ms);
  state_.kind = SampleKind::kIntegerHistogram;
  AppendHistogram(kInteger, histogram);
}

void OpenChunk::Append(int64_t time_ms, int64_t start_ms,
                       const FloatHistogram& histogram) {
  PutTime(time_ms);
  PutStart(start_ms);
  state_.kind = SampleKind::kFloatHistogram;
  AppendHistogram(kFloat, histogram);
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
  if (state_.kind != SampleKind::kFloat) return 0;
  if (state_.raw != 0) return std::bit_cast<double>(state_.last);
  return FromDecimal(static_cast<int64_t>(state_.last), state_.exponent);
}

const IntegerHistogram* OpenChunk::last_integer_histogram() const {
  if (state_.kind != SampleKind::kIntegerHistogram) return nullptr;
  return std::get_if<IntegerHistogram>(&last_histogram()->histogram);
}

const FloatHistogram* OpenChunk::last_float_histogram() const {
  if (state_.kind != SampleKind::kFloatHistogram) return nullptr;
  return std::get_if<FloatHistogram>(&last_histogram()->histogram);
}

void OpenChunk::Decode(SampleRuns* runs) const {
  if (empty()) return;
  TimeReader times(state_.data + Capacity(state_.used()), state_.back);
  ByteReader in(std::string_view(
      reinterpret_cast<const char*>(state_.data + state_.prefix()),
      state_.front));
  uint64_t last = 0;
  int exponent = 0;
  int64_t start_ms = 0;
  IntegerHistogram integer;
  FloatHistogram floats;
  size_t left = state_.count;
  while (left > 0) {
    const uint8_t token = in.Byte();
    uint64_t change = token;
    if (token >= kNineBytes) {
      if (token == kExponent) {
        const int next = in.Byte();
        last *= static_cast<uint64_t>(kPowersOfTen[next - exponent]);
        exponent = next;
        continue;
      }
      if (token == kStart) {
        start_ms =
            static_cast<int64_t>(static_cast<uint64_t>(start_ms) +
                                 static_cast<uint64_t>(in.ZigzagVarint()));
        continue;
      }
      if (token == kRaw) {
        RunOf(SampleKind::kFloat, left--, runs)
            ->PushBack(times.Next(), std::bit_cast<double>(in.Fixed64()),
                       start_ms);
        last = 0;
        continue;
      }
      if (token == kInteger) {
        TakeHistogram(&in, &integer);
        RunOf(SampleKind::kIntegerHistogram, left--, runs)
            ->PushBack(times.Next(), integer, start_ms);
        continue;
      }
      if (token == kFloat) {
        TakeHistogram(&in, &floats);
        RunOf(SampleKind::kFloatHistogram, left--, runs)
            ->PushBack(times.Next(), floats, start_ms);
        continue;
      }
      change = in.Fixed64();
    } else if (token >= kTwoBytes) {
      const int bytes = token < kThreeBytes ? 1 : token < kFourBytes ? 2 : 3;
      change = static_cast<uint64_t>(token & (0x3F >> bytes)) << 8 * bytes;
      for (int i = 0; i < bytes; ++i) {
        change |= static_cast<uint64_t>(in.Byte()) << 8 * i;
      }
    }
    last += static_cast<uint64_t>(Unzigzag(change));
    RunOf(SampleKind::kFloat, left--, runs)
        ->PushBack(times.Next(),
                   FromDecimal(static_cast<int64_t>(last), exponent), start_ms);
  }
}

}  // namespace vigie::store

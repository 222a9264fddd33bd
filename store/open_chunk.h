// OpenChunk: the samples of one series that no block holds yet, packed as they
// come: values as differences of decimal integers, times as runs of equal
// steps, histograms as differences of their counts. Any kind may follow any
// other; what goes in comes out bit for bit. Never written to disk.
// Thread-compatible. Made to lie in arrays by the million: 56 bytes and what
// bytes() says, which is nothing until the first sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "model/histogram.h"
#include "store/difference_model.h"
#include "store/queryable.h"
#include "store/sample_columns.h"

namespace vigie::store {

class OpenChunk {
 public:
  OpenChunk() = default;
  ~OpenChunk() { Clear(); }
  OpenChunk(OpenChunk&& other) noexcept
      : state_(std::exchange(other.state_, State())) {}
  OpenChunk& operator=(OpenChunk&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }

  // A snapshot that stays as it is: two allocations at most for floats.
  OpenChunk Copy() const;

  // The time must be after last_time_ms(), if there is any sample; the start
  // is 0 if none is known.
  void Append(int64_t time_ms, int64_t start_ms, double value);
  void Append(int64_t time_ms, int64_t start_ms,
              const IntegerHistogram& histogram);
  void Append(int64_t time_ms, int64_t start_ms,
              const FloatHistogram& histogram);

  // Bring closer what an Append that comes soon will touch: itself, and then,
  // which reads it, where the samples are.
  void Prefetch() const {
    __builtin_prefetch(this, 1);
    __builtin_prefetch(reinterpret_cast<const char*>(this + 1) - 1, 1);
  }
  void PrefetchSamples() const {
    __builtin_prefetch(state_.data + (state_.used() - state_.back), 1);
  }

  size_t size() const { return state_.count; }
  bool empty() const { return state_.count == 0; }

  // These five only if there is a sample. The value only of a float, else 0;
  // the histogram only of its kind, else null; valid until the next change.
  int64_t first_time_ms() const;
  int64_t last_time_ms() const { return state_.last_time_ms; }
  int64_t last_start_ms() const;
  SampleKind last_kind() const { return static_cast<SampleKind>(state_.kind); }
  double last_value() const;
  const IntegerHistogram* last_integer_histogram() const;
  const FloatHistogram* last_float_histogram() const;

  // What it takes on the heap.
  size_t bytes() const;

  // Appends all samples to `*runs`, to the last run where the kind is equal.
  void Decode(SampleRuns* runs) const;

  // Nothing is left, on the heap neither.
  void Clear();

 private:
  struct LastHistogram;

  // One buffer: 8 bytes each of what is rare (`has_`), then values as bits
  // growing upwards, room, and times growing downwards from the end. How long
  // it is follows from what it holds.
  struct State {
    unsigned char* data = nullptr;
    int64_t last_time_ms = 0;
    // The integer that stands for the last float.
    uint64_t last = 0;
    // The newest bits of values, up to 63, from the lowest on. An append reads
    // nothing of the buffer, which is seldom in the cache.
    uint64_t tail = 0;
    uint32_t front_bits = 0;  // of values
    uint32_t back = 0;        // bytes of times
    uint32_t count = 0;
    uint32_t step_ms = 0;  // between the last two samples
    [[no_unique_address]] DifferenceModel model;
    uint8_t run = 0;  // samples with that step, not yet among the times
    uint8_t kind : 2 = 0;
    uint8_t stale : 1 = 0;  // the last float was a staleness marker
    uint8_t scale : 4 = 4;  // what `last` counts
    uint8_t has_start : 1 = 0;
    uint8_t has_histogram : 1 = 0;

    size_t prefix() const { return 8u * has_start + 8u * has_histogram; }
    // Values in the buffer, in bytes: whole words; the rest is `tail`.
    size_t front() const { return size_t{front_bits} / 64 * 8; }
    size_t used() const { return prefix() + front() + back; }
  };

  LastHistogram*& last_histogram() const;
  void Grow(size_t more);
  void InsertPrefix(size_t at, uint64_t word);
  void PutBits(uint64_t bits, int count);
  void PutControl(uint64_t control);
  void PutBytes(std::string_view bytes);
  void PutBack(const void* bytes, size_t size);
  void PutBackVarint(uint64_t value);
  void PutTime(int64_t time_ms);
  void PutStart(int64_t start_ms);
  uint64_t IntegerOf(double value);
  template <class Histogram>
  void AppendHistogram(uint64_t control, const Histogram& histogram);

  State state_;
};

static_assert(sizeof(OpenChunk) <= 56);

}  // namespace vigie::store

// Samples out of fuzzed bytes, whose bits get through to every number.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <variant>

#include "model/histogram.h"

namespace vigie::store {

class FuzzSource {
 public:
  FuzzSource(const uint8_t* data, size_t size) : at_(data), left_(size) {}

  bool empty() const { return left_ == 0; }

  // 0 past the end.
  uint64_t Take(size_t bytes) {
    uint64_t value = 0;
    const size_t size = std::min(bytes, left_);
    std::memcpy(&value, at_, size);
    at_ += size;
    left_ -= size;
    return value;
  }

  // Small, large, a little more than the last one, a decimal or any bits.
  uint64_t TakeWord(uint64_t last) {
    switch (const uint64_t form = Take(1); form % 5) {
      case 0:
        return form;
      case 1:
        return last + Take(1);
      case 2:
        return last;
      case 3:
        return last + Take(3);
      default:
        return Take(8);
    }
  }
  double TakeDouble(double last) {
    switch (const uint64_t form = Take(1); form % 4) {
      case 0:
        return static_cast<double>(
                   static_cast<int64_t>(Take(1 + form / 4 % 8))) /
               std::pow(10, form % 7);
      case 1:
        return last + static_cast<double>(Take(1));
      case 2:
        return last;
      default:
        return std::bit_cast<double>(Take(8));
    }
  }

  uint64_t TakeCount(uint64_t last) { return TakeWord(last); }
  double TakeCount(double last) { return TakeDouble(last); }

  template <class Count>
  BasicHistogram<Count> TakeHistogram(const BasicHistogram<Count>& last) {
    BasicHistogram<Count> h = last;
    const uint64_t form = Take(1);
    if (form % 4 == 0) {
      h = BasicHistogram<Count>();
      h.schema = static_cast<int32_t>(Take(4));
      h.zero_threshold = TakeDouble(0);
      const auto spans = [&](std::vector<BucketSpan>* out) {
        for (uint64_t i = Take(1) % 4; i > 0; --i) {
          out->push_back(
              {static_cast<int32_t>(Take(4)), static_cast<uint32_t>(Take(1))});
        }
      };
      spans(&h.positive_spans);
      spans(&h.negative_spans);
      h.positive_buckets.resize(Take(1) % 32);
      h.negative_buckets.resize(Take(1) % 8);
      h.custom_values.resize(Take(1) % 4);
      for (double& bound : h.custom_values) bound = TakeDouble(0);
    }
    h.reset_hint = static_cast<CounterResetHint>(form / 4 % 4);
    h.zero_count = TakeCount(h.zero_count);
    h.sum = TakeDouble(h.sum);
    for (Count& count : h.positive_buckets) count = TakeCount(count);
    for (Count& count : h.negative_buckets) count = TakeCount(count);
    h.count = TakeCount(h.count);
    return h;
  }

 private:
  const uint8_t* at_;
  size_t left_;
};

}  // namespace vigie::store

// Samples for tests of codecs: doubles of the sorts that series are made of or
// that break codecs, histograms whose layouts change, and their comparison bit
// for bit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "model/histogram.h"
#include "model/sample.h"
#include "store/sample_columns.h"

namespace vigie::store {

// Bit for bit; not a gtest assertion, so that fuzzers can use it.
inline bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

template <class Count>
bool SameBits(const BasicHistogram<Count>& a, const BasicHistogram<Count>& b) {
  const auto words = [](const BasicHistogram<Count>& h) {
    std::vector<uint64_t> words = {std::bit_cast<uint64_t>(h.zero_threshold),
                                   std::bit_cast<uint64_t>(h.sum),
                                   std::bit_cast<uint64_t>(h.zero_count),
                                   std::bit_cast<uint64_t>(h.count)};
    for (const auto* counts : {&h.positive_buckets, &h.negative_buckets}) {
      for (const Count v : *counts) words.push_back(std::bit_cast<uint64_t>(v));
    }
    for (const double v : h.custom_values) {
      words.push_back(std::bit_cast<uint64_t>(v));
    }
    return words;
  };
  return words(a) == words(b) && a.schema == b.schema &&
         a.reset_hint == b.reset_hint && a.positive_spans == b.positive_spans &&
         a.negative_spans == b.negative_spans &&
         a.positive_buckets.size() == b.positive_buckets.size();
}

inline bool SameBits(const SampleColumns& a, const SampleColumns& b) {
  if (a.kind != b.kind || a.times_ms != b.times_ms ||
      a.values.size() != b.values.size() ||
      a.integer_histograms.size() != b.integer_histograms.size() ||
      a.float_histograms.size() != b.float_histograms.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (a.start_ms(i) != b.start_ms(i)) return false;
  }
  const auto same = [](const auto& x, const auto& y) {
    for (size_t i = 0; i < x.size(); ++i) {
      if (!SameBits(x[i], y[i])) return false;
    }
    return true;
  };
  return same(a.values, b.values) &&
         same(a.integer_histograms, b.integer_histograms) &&
         same(a.float_histograms, b.float_histograms);
}

// A double of one of the sorts that series are made of, or that break codecs.
inline double RandomDouble(uint64_t sort, double last,
                           std::mt19937_64* random) {
  const double odd[] = {0.0,
                        -0.0,
                        StaleMarker(),
                        NormalNan(),
                        std::bit_cast<double>(~uint64_t{0}),
                        std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity(),
                        std::numeric_limits<double>::denorm_min(),
                        std::numeric_limits<double>::max(),
                        9007199254740991.0,
                        9007199254740992.0,
                        -9007199254740992.0,
                        9223372036854775808.0};
  switch (sort % 6) {
    case 0:
      return odd[(*random)() % std::size(odd)];
    case 1:
      return std::bit_cast<double>((*random)());
    case 2:
      return static_cast<double>((*random)() % (1ull << sort % 50)) /
             std::pow(10, sort % 8);
    case 3:
      return std::trunc(last) + static_cast<double>((*random)() % 300);
    case 4:
      return last;
    default:
      return last + std::ldexp(static_cast<double>((*random)() % 1000), -20);
  }
}

template <class Histogram>
Histogram RandomHistogram(const Histogram& last, std::mt19937_64* random) {
  Histogram h = last;
  if (h.positive_buckets.empty() || (*random)() % 4 == 0) {
    h = Histogram();
    h.schema = (*random)() % 4 == 0 ? -53 : static_cast<int>((*random)() % 9);
    h.zero_threshold = (*random)() % 2 == 0 ? 0 : 1e-128;
    h.reset_hint = static_cast<CounterResetHint>((*random)() % 4);
    h.positive_spans = {{static_cast<int32_t>((*random)()), 2}, {3, 1}};
    h.positive_buckets.resize(3);
    if ((*random)() % 2 == 0) {
      h.negative_spans = {{-7, 4}};
      h.negative_buckets.resize(4);
    }
    if (h.schema == -53) h.custom_values = {0.1, NormalNan(), 10};
  }
  const auto step = [&](auto* count) {
    using Count = std::remove_reference_t<decltype(*count)>;
    *count = (*random)() % 8 == 0
                 ? std::bit_cast<Count>((*random)())
                 : *count + static_cast<Count>((*random)() % 9);
  };
  for (auto& bucket : h.positive_buckets) step(&bucket);
  for (auto& bucket : h.negative_buckets) step(&bucket);
  step(&h.zero_count);
  step(&h.count);
  h.sum = (*random)() % 8 == 0 ? StaleMarker() : h.sum + 0.25;
  return h;
}

}  // namespace vigie::store

#include "store/histogram_codec.h"

#include <bit>

#include "base/check.h"
#include "store/integer_codec.h"
#include "store/value_codec.h"

namespace vigie::store {
namespace {

// A float histogram's total: as it is, or as what its bits are off the sum.
enum Total : uint8_t { kTotal = 0, kTotalOff = 1 };

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

void PutColumn(std::span<const uint64_t> column, std::string* out) {
  EncodeIntegers(column, out);
}
void PutColumn(std::span<const double> column, std::string* out) {
  EncodeDoubles(column, out);
}
bool TakeColumn(ByteReader* in, std::span<uint64_t> column) {
  return DecodeIntegers(in, column);
}
bool TakeColumn(ByteReader* in, std::span<double> column) {
  return DecodeDoubles(in, column);
}

template <class Count>
Count SumOfBuckets(const BasicHistogram<Count>& h) {
  Count sum = h.zero_count;
  for (const Count count : h.positive_buckets) sum += count;
  for (const Count count : h.negative_buckets) sum += count;
  return sum;
}

void PutTotals(std::span<const IntegerHistogram> column, std::string* out) {
  std::vector<uint64_t> lacks;
  for (const IntegerHistogram& h : column) {
    lacks.push_back(h.count - SumOfBuckets(h));
  }
  EncodeIntegers(lacks, out);
}

bool TakeTotals(ByteReader* in, std::span<IntegerHistogram> column) {
  std::vector<uint64_t> lacks(column.size());
  if (!DecodeIntegers(in, lacks)) return false;
  for (size_t i = 0; i < column.size(); ++i) {
    column[i].count = lacks[i] + SumOfBuckets(column[i]);
  }
  return true;
}

// The sum of doubles depends on their order, which is ours on both sides.
void PutTotals(std::span<const FloatHistogram> column, std::string* out) {
  std::vector<uint64_t> off;
  std::vector<double> totals;
  uint64_t any = 0;
  for (const FloatHistogram& h : column) {
    totals.push_back(h.count);
    off.push_back(std::bit_cast<uint64_t>(h.count) -
                  std::bit_cast<uint64_t>(SumOfBuckets(h)));
    any |= off.back();
  }
  out->push_back(static_cast<char>(any == 0 ? kTotalOff : kTotal));
  if (any == 0) {
    EncodeIntegers(off, out);
  } else {
    EncodeDoubles(totals, out);
  }
}

bool TakeTotals(ByteReader* in, std::span<FloatHistogram> column) {
  const uint8_t total = in->Byte();
  if (!in->ok() || total > kTotalOff) return false;
  if (total == kTotal) {
    std::vector<double> totals(column.size());
    if (!DecodeDoubles(in, totals)) return false;
    for (size_t i = 0; i < column.size(); ++i) column[i].count = totals[i];
    return true;
  }
  std::vector<uint64_t> off(column.size());
  if (!DecodeIntegers(in, off)) return false;
  for (size_t i = 0; i < column.size(); ++i) {
    column[i].count = std::bit_cast<double>(
        std::bit_cast<uint64_t>(SumOfBuckets(column[i])) + off[i]);
  }
  return true;
}

// Calls `visit` with a function that finds a count in a histogram, for each
// count but the total, in the order of the columns, until one is false.
template <class Count, class Visit>
bool ForEachCount(const BasicHistogram<Count>& layout, Visit visit) {
  using Histogram = BasicHistogram<Count>;
  if (!visit([](auto& h) -> auto& { return h.zero_count; })) return false;
  for (auto buckets :
       {&Histogram::positive_buckets, &Histogram::negative_buckets}) {
    for (size_t b = 0; b < (layout.*buckets).size(); ++b) {
      if (!visit([=](auto& h) -> auto& { return (h.*buckets)[b]; })) {
        return false;
      }
    }
  }
  return true;
}

void PutSpans(const std::vector<BucketSpan>& spans, std::string* out) {
  PutVarint(spans.size(), out);
  for (const BucketSpan& span : spans) {
    PutZigzag(span.offset, out);
    PutVarint(span.length, out);
  }
}

// A number of things that take at least `bytes` bytes each from here on.
bool TakeSize(ByteReader* in, size_t bytes, size_t* size) {
  const uint64_t value = in->Varint();
  if (!in->ok() || value > in->remaining() / bytes) return false;
  *size = static_cast<size_t>(value);
  return true;
}

bool TakeSpans(ByteReader* in, std::vector<BucketSpan>* spans) {
  size_t size;
  if (!TakeSize(in, 2, &size)) return false;
  spans->resize(size);
  for (BucketSpan& span : *spans) {
    const int64_t offset = in->ZigzagVarint();
    const uint64_t length = in->Varint();
    span.offset = static_cast<int32_t>(offset);
    span.length = static_cast<uint32_t>(length);
    if (span.offset != offset || span.length != length) return false;
  }
  return in->ok();
}

}  // namespace

template <class Count>
bool SameLayout(const BasicHistogram<Count>& a,
                const BasicHistogram<Count>& b) {
  if (a.schema != b.schema || !SameBits(a.zero_threshold, b.zero_threshold) ||
      a.positive_spans != b.positive_spans ||
      a.negative_spans != b.negative_spans ||
      a.positive_buckets.size() != b.positive_buckets.size() ||
      a.negative_buckets.size() != b.negative_buckets.size() ||
      a.custom_values.size() != b.custom_values.size()) {
    return false;
  }
  for (size_t i = 0; i < a.custom_values.size(); ++i) {
    if (!SameBits(a.custom_values[i], b.custom_values[i])) return false;
  }
  return true;
}

template <class Count>
void PutLayout(const BasicHistogram<Count>& h, std::string* out) {
  PutZigzag(h.schema, out);
  PutFixed64(std::bit_cast<uint64_t>(h.zero_threshold), out);
  PutSpans(h.positive_spans, out);
  PutSpans(h.negative_spans, out);
  PutVarint(h.custom_values.size(), out);
  for (const double bound : h.custom_values) {
    PutFixed64(std::bit_cast<uint64_t>(bound), out);
  }
  PutVarint(h.positive_buckets.size(), out);
  PutVarint(h.negative_buckets.size(), out);
}

template <class Count>
bool TakeLayout(ByteReader* in, BasicHistogram<Count>* h) {
  *h = BasicHistogram<Count>();
  const int64_t schema = in->ZigzagVarint();
  h->schema = static_cast<int32_t>(schema);
  h->zero_threshold = std::bit_cast<double>(in->Fixed64());
  size_t bounds, positive, negative;
  if (!in->ok() || h->schema != schema || !TakeSpans(in, &h->positive_spans) ||
      !TakeSpans(in, &h->negative_spans) || !TakeSize(in, 8, &bounds)) {
    return false;
  }
  h->custom_values.resize(bounds);
  for (double& bound : h->custom_values) {
    bound = std::bit_cast<double>(in->Fixed64());
  }
  // Each bucket is followed by bytes of its own.
  if (!TakeSize(in, 1, &positive) || !TakeSize(in, 1, &negative)) return false;
  h->positive_buckets.resize(positive);
  h->negative_buckets.resize(negative);
  return true;
}

template <class Count>
void EncodeHistograms(std::span<const BasicHistogram<Count>> column,
                      std::string* out) {
  VIGIE_CHECK(!column.empty() &&
              (column.size() == 1 ||
               column.size() * Words(column[0]) <= kChunkWordsLimit));
  PutLayout(column[0], out);
  std::vector<uint64_t> hints;
  std::vector<double> sums;
  for (const BasicHistogram<Count>& h : column) {
    VIGIE_CHECK(SameLayout(h, column[0]));
    hints.push_back(static_cast<uint64_t>(h.reset_hint));
    sums.push_back(h.sum);
  }
  EncodeIntegers(hints, out);
  EncodeDoubles(sums, out);
  std::vector<Count> counts(column.size());
  ForEachCount(column[0], [&](const auto& count_of) {
    for (size_t i = 0; i < column.size(); ++i) counts[i] = count_of(column[i]);
    PutColumn(std::span<const Count>(counts), out);
    return true;
  });
  PutTotals(column, out);
}

template <class Count>
bool DecodeHistograms(ByteReader* in, size_t size,
                      std::vector<BasicHistogram<Count>>* column) {
  BasicHistogram<Count> layout;
  if (!TakeLayout(in, &layout) ||
      (size > 1 && size * Words(layout) > kChunkWordsLimit)) {
    return false;
  }
  const size_t begin = column->size();
  column->resize(begin + size, layout);
  const std::span<BasicHistogram<Count>> out(column->data() + begin, size);
  std::vector<uint64_t> hints(size);
  std::vector<double> sums(size);
  if (!DecodeIntegers(in, hints) || !DecodeDoubles(in, sums)) return false;
  for (size_t i = 0; i < size; ++i) {
    if (hints[i] > static_cast<uint64_t>(CounterResetHint::kGauge))
      return false;
    out[i].reset_hint = static_cast<CounterResetHint>(hints[i]);
    out[i].sum = sums[i];
  }
  std::vector<Count> counts(size);
  const bool ok = ForEachCount(layout, [&](const auto& count_of) {
    if (!TakeColumn(in, std::span<Count>(counts))) return false;
    for (size_t i = 0; i < size; ++i) count_of(out[i]) = counts[i];
    return true;
  });
  return ok && TakeTotals(in, out);
}

template bool SameLayout(const IntegerHistogram&, const IntegerHistogram&);
template bool SameLayout(const FloatHistogram&, const FloatHistogram&);
template void PutLayout(const IntegerHistogram&, std::string*);
template void PutLayout(const FloatHistogram&, std::string*);
template bool TakeLayout(ByteReader*, IntegerHistogram*);
template bool TakeLayout(ByteReader*, FloatHistogram*);
template void EncodeHistograms(std::span<const IntegerHistogram>, std::string*);
template void EncodeHistograms(std::span<const FloatHistogram>, std::string*);
template bool DecodeHistograms(ByteReader*, size_t,
                               std::vector<IntegerHistogram>*);
template bool DecodeHistograms(ByteReader*, size_t,
                               std::vector<FloatHistogram>*);

}  // namespace vigie::store

#include "store/prometheus_chunk.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "model/sample.h"

namespace vigie::store {
namespace {

// Reads past the end give zeros and are remembered, so that one check after a
// sample is enough.
class BitReader {
 public:
  explicit BitReader(std::string_view bytes)
      : bytes_(bytes), bits_(uint64_t{bytes.size()} * 8) {}

  bool failed() const { return failed_; }
  uint64_t bits_left() const { return bits_ - at_; }

  uint64_t Bits(unsigned count) {
    if (count > bits_left()) {
      failed_ = true;
      at_ = bits_;
      return 0;
    }
    uint64_t value = 0;
    while (count > 0) {
      const auto byte = static_cast<uint8_t>(bytes_[at_ / 8]);
      const unsigned have = 8 - at_ % 8;
      const unsigned take = std::min(count, have);
      const unsigned part = (byte >> (have - take)) & ((1U << take) - 1);
      value = value << take | part;
      at_ += take;
      count -= take;
    }
    return value;
  }
  bool Bit() { return Bits(1) != 0; }
  double Double() { return std::bit_cast<double>(Bits(64)); }

  // As Go's encoding/binary.
  uint64_t Uvarint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint64_t byte = Bits(8);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    failed_ = true;
    return 0;
  }
  int64_t Varint() {
    const uint64_t value = Uvarint();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }

  // `bits` bits in two's complement, but with the highest positive number one
  // further than usual.
  int64_t Signed(unsigned bits) {
    const uint64_t value = Bits(bits);
    if (bits < 64 && value > uint64_t{1} << (bits - 1)) {
      return static_cast<int64_t>(value - (uint64_t{1} << bits));
    }
    return static_cast<int64_t>(value);
  }

  // Prometheus's "varbit": ones say how long the number is.
  int64_t VarbitInt() {
    const unsigned bits = VarbitSize();
    return bits == 0 ? 0 : Signed(bits);
  }
  uint64_t VarbitUint() { return Bits(VarbitSize()); }

 private:
  unsigned VarbitSize() {
    constexpr unsigned kSizes[] = {0, 3, 6, 9, 12, 18, 25, 56, 64};
    unsigned ones = 0;
    while (ones < 8 && Bit()) ++ones;
    return kSizes[ones];
  }

  const std::string_view bytes_;
  const uint64_t bits_;
  uint64_t at_ = 0;
  bool failed_ = false;
};

// Differences in a chunk wrap around like Go's.
int64_t Plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) +
                              static_cast<uint64_t>(b));
}

// One value after the other as XOR with the one before.
struct XorValue {
  uint64_t bits = 0;
  unsigned leading = 0;
  unsigned trailing = 0;

  double value() const { return std::bit_cast<double>(bits); }
  // False if the bytes ask for more than 64 bits.
  bool Next(BitReader* reader) {
    if (!reader->Bit()) return true;
    if (reader->Bit()) {
      leading = static_cast<unsigned>(reader->Bits(5));
      auto meaningful = static_cast<unsigned>(reader->Bits(6));
      if (meaningful == 0) meaningful = 64;
      if (leading + meaningful > 64) return false;
      trailing = 64 - leading - meaningful;
    }
    bits ^= reader->Bits(64 - leading - trailing) << trailing;
    return true;
  }
};

absl::Status Damaged(std::string_view why) {
  return absl::DataLossError(fmt::format("chunk: {}", why));
}

// Times must ascend: whoever merges relies on it.
absl::Status PushTime(int64_t time_ms, SampleBatch* batch) {
  if (!batch->times_ms.empty() && time_ms <= batch->times_ms.back()) {
    return Damaged("times do not ascend");
  }
  batch->times_ms.push_back(time_ms);
  return absl::OkStatus();
}

// Of a time: the delta of deltas in an XOR chunk.
int64_t ReadTimeStep(BitReader* reader) {
  constexpr unsigned kSizes[] = {0, 14, 17, 20, 64};
  unsigned ones = 0;
  while (ones < 4 && reader->Bit()) ++ones;
  return ones == 0 ? 0 : reader->Signed(kSizes[ones]);
}

absl::StatusOr<SampleBatch> DecodeXor(std::string_view bytes) {
  BitReader reader(bytes);
  SampleBatch batch;
  const uint64_t count = reader.Bits(16);
  if (reader.failed()) return Damaged("cut short");
  // A sample takes two bits at least.
  if (count > reader.bits_left()) return Damaged("too short for its count");
  batch.times_ms.reserve(count);
  batch.values.reserve(count);
  int64_t time_ms = 0;
  int64_t step_ms = 0;
  XorValue value;
  for (uint64_t i = 0; i < count; ++i) {
    bool fits = true;
    if (i == 0) {
      time_ms = reader.Varint();
      value.bits = reader.Bits(64);
    } else {
      step_ms = i == 1 ? static_cast<int64_t>(reader.Uvarint())
                       : Plus(step_ms, ReadTimeStep(&reader));
      time_ms = Plus(time_ms, step_ms);
      fits = value.Next(&reader);
    }
    if (!fits || reader.failed()) return Damaged("cut short or damaged");
    VIGIE_RETURN_IF_ERROR(PushTime(time_ms, &batch));
    batch.values.push_back(value.value());
  }
  return batch;
}

// What all histograms of a chunk have in common.
struct Layout {
  int32_t schema = 0;
  double zero_threshold = 0;
  std::vector<BucketSpan> positive_spans;
  std::vector<BucketSpan> negative_spans;
  std::vector<double> custom_values;
  size_t positive_buckets = 0;
  size_t negative_buckets = 0;
};

absl::Status ReadSpans(BitReader* reader, std::vector<BucketSpan>* spans,
                       size_t* buckets) {
  const uint64_t count = reader->VarbitUint();
  if (count > reader->bits_left()) return Damaged("too many spans");
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t length = reader->VarbitUint();
    const int64_t offset = reader->VarbitInt();
    sum += length;
    if (length > kPrometheusBucketsMax || sum > kPrometheusBucketsMax ||
        offset != static_cast<int32_t>(offset)) {
      return Damaged("a span out of bounds");
    }
    spans->push_back(
        {static_cast<int32_t>(offset), static_cast<uint32_t>(length)});
  }
  *buckets = sum;
  return absl::OkStatus();
}

double ReadZeroThreshold(BitReader* reader) {
  const uint64_t byte = reader->Bits(8);
  if (byte == 0) return 0;
  if (byte == 255) return reader->Double();
  return std::ldexp(0.5, static_cast<int>(byte) - 243);
}

// Of the histograms of one chunk: some 100 MB. Prometheus cuts chunks at
// about 1 KiB.
constexpr uint64_t kPartsMax = 8 << 20;

absl::Status ReadLayout(BitReader* reader, uint64_t samples, Layout* layout) {
  layout->zero_threshold = ReadZeroThreshold(reader);
  const int64_t schema = reader->VarbitInt();
  if (schema != kCustomBucketsSchema &&
      (schema < kExponentialSchemaMin || schema > kExponentialSchemaMax)) {
    return Damaged(fmt::format("schema {} is not known", schema));
  }
  layout->schema = static_cast<int32_t>(schema);
  VIGIE_RETURN_IF_ERROR(
      ReadSpans(reader, &layout->positive_spans, &layout->positive_buckets));
  VIGIE_RETURN_IF_ERROR(
      ReadSpans(reader, &layout->negative_spans, &layout->negative_buckets));
  if (schema == kCustomBucketsSchema) {
    const uint64_t count = reader->VarbitUint();
    if (count > kPrometheusBucketsMax || count > reader->bits_left()) {
      return Damaged("too many bounds");
    }
    for (uint64_t i = 0; i < count; ++i) {
      // Thousandths plus one, or zero and the double itself.
      const uint64_t bound = reader->VarbitUint();
      layout->custom_values.push_back(
          bound == 0 ? reader->Double()
                     : static_cast<double>(bound - 1) / 1000);
    }
  }
  if (reader->failed()) return Damaged("cut short in its layout");
  // Each sample carries the layout in memory, though not in the chunk.
  const uint64_t parts = layout->positive_spans.size() +
                         layout->negative_spans.size() +
                         layout->custom_values.size() +
                         layout->positive_buckets + layout->negative_buckets;
  if (samples * parts > kPartsMax) return Damaged("too large");
  return absl::OkStatus();
}

// What a chunk of histograms, of integers or floats, begins with.
struct HistogramsHeader {
  uint64_t samples = 0;  // 0: nothing follows
  uint8_t flags = 0;
  Layout layout;
};

absl::StatusOr<HistogramsHeader> ReadHeader(BitReader* reader) {
  HistogramsHeader header;
  header.samples = reader->Bits(16);
  header.flags = static_cast<uint8_t>(reader->Bits(8));
  if (reader->failed()) return Damaged("cut short");
  if (header.samples == 0) return header;
  if (header.samples > reader->bits_left()) {
    return Damaged("too short for its count");
  }
  VIGIE_RETURN_IF_ERROR(ReadLayout(reader, header.samples, &header.layout));
  return header;
}

CounterResetHint HintOf(uint8_t flags, size_t sample) {
  constexpr uint8_t kReset = 0x80, kGauge = 0xc0;
  if ((flags & 0xc0) == kGauge) return CounterResetHint::kGauge;
  if (sample > 0) return CounterResetHint::kNotReset;
  return (flags & 0xc0) == kReset ? CounterResetHint::kReset
                                  : CounterResetHint::kUnknown;
}

template <class Histogram>
Histogram WithLayout(const Layout& layout) {
  Histogram histogram;
  histogram.schema = layout.schema;
  histogram.zero_threshold = layout.zero_threshold;
  histogram.positive_spans = layout.positive_spans;
  histogram.negative_spans = layout.negative_spans;
  histogram.custom_values = layout.custom_values;
  return histogram;
}

// An end of series carries nothing but its sum.
template <class Histogram>
Histogram StaleHistogram(double sum) {
  Histogram histogram;
  histogram.sum = sum;
  return histogram;
}

// A number stored as delta of deltas.
struct DeltaValue {
  int64_t value = 0;
  int64_t delta = 0;
  void Next(BitReader* reader) {
    delta = Plus(delta, reader->VarbitInt());
    value = Plus(value, delta);
  }
};

// Each bucket is stored as its difference from the one before it.
std::vector<uint64_t> BucketsOf(const std::vector<DeltaValue>& deltas) {
  std::vector<uint64_t> buckets;
  buckets.reserve(deltas.size());
  int64_t sum = 0;
  for (const DeltaValue& delta : deltas) {
    sum = Plus(sum, delta.value);
    buckets.push_back(static_cast<uint64_t>(sum));
  }
  return buckets;
}

absl::StatusOr<SampleBatch> DecodeIntegerHistograms(std::string_view bytes) {
  BitReader reader(bytes);
  SampleBatch batch;
  batch.kind = SampleKind::kIntegerHistogram;
  VIGIE_ASSIGN_OR_RETURN(const HistogramsHeader header, ReadHeader(&reader));
  const Layout& layout = header.layout;
  DeltaValue time, counts, zeros;
  XorValue sum;
  std::vector<DeltaValue> positive(layout.positive_buckets);
  std::vector<DeltaValue> negative(layout.negative_buckets);
  for (uint64_t i = 0; i < header.samples; ++i) {
    bool fits = true;
    if (i == 0) {
      time.value = reader.VarbitInt();
      counts.value = static_cast<int64_t>(reader.VarbitUint());
      zeros.value = static_cast<int64_t>(reader.VarbitUint());
      sum.bits = reader.Bits(64);
    } else {
      time.Next(&reader);
      counts.Next(&reader);
      zeros.Next(&reader);
      fits = sum.Next(&reader);
    }
    const bool stale = IsStaleMarker(sum.value());
    if (i == 0) {
      for (DeltaValue& bucket : positive) bucket.value = reader.VarbitInt();
      for (DeltaValue& bucket : negative) bucket.value = reader.VarbitInt();
    } else if (!stale) {
      for (DeltaValue& bucket : positive) bucket.Next(&reader);
      for (DeltaValue& bucket : negative) bucket.Next(&reader);
    }
    if (!fits || reader.failed()) return Damaged("cut short or damaged");
    VIGIE_RETURN_IF_ERROR(PushTime(time.value, &batch));
    if (stale) {
      batch.integer_histograms.push_back(
          StaleHistogram<IntegerHistogram>(sum.value()));
      continue;
    }
    auto& histogram = batch.integer_histograms.emplace_back(
        WithLayout<IntegerHistogram>(layout));
    histogram.reset_hint = HintOf(header.flags, i);
    histogram.count = static_cast<uint64_t>(counts.value);
    histogram.zero_count = static_cast<uint64_t>(zeros.value);
    histogram.sum = sum.value();
    histogram.positive_buckets = BucketsOf(positive);
    histogram.negative_buckets = BucketsOf(negative);
  }
  return batch;
}

std::vector<double> ValuesOf(const std::vector<XorValue>& buckets) {
  std::vector<double> values;
  values.reserve(buckets.size());
  for (const XorValue& bucket : buckets) values.push_back(bucket.value());
  return values;
}

absl::StatusOr<SampleBatch> DecodeFloatHistograms(std::string_view bytes) {
  BitReader reader(bytes);
  SampleBatch batch;
  batch.kind = SampleKind::kFloatHistogram;
  VIGIE_ASSIGN_OR_RETURN(const HistogramsHeader header, ReadHeader(&reader));
  const Layout& layout = header.layout;
  DeltaValue time;
  XorValue counts, zeros, sum;
  std::vector<XorValue> positive(layout.positive_buckets);
  std::vector<XorValue> negative(layout.negative_buckets);
  for (uint64_t i = 0; i < header.samples; ++i) {
    bool fits = true;
    bool stale = false;
    const auto next = [&](XorValue& value) {
      if (i == 0) {
        value.bits = reader.Bits(64);
      } else {
        fits = value.Next(&reader) && fits;
      }
    };
    if (i == 0) {
      time.value = reader.VarbitInt();
    } else {
      time.Next(&reader);
    }
    next(counts);
    next(zeros);
    next(sum);
    stale = IsStaleMarker(sum.value());
    if (i == 0 || !stale) {
      for (XorValue& bucket : positive) next(bucket);
      for (XorValue& bucket : negative) next(bucket);
    }
    if (!fits || reader.failed()) return Damaged("cut short or damaged");
    VIGIE_RETURN_IF_ERROR(PushTime(time.value, &batch));
    if (stale) {
      batch.float_histograms.push_back(
          StaleHistogram<FloatHistogram>(sum.value()));
      continue;
    }
    auto& histogram =
        batch.float_histograms.emplace_back(WithLayout<FloatHistogram>(layout));
    histogram.reset_hint = HintOf(header.flags, i);
    histogram.count = counts.value();
    histogram.zero_count = zeros.value();
    histogram.sum = sum.value();
    histogram.positive_buckets = ValuesOf(positive);
    histogram.negative_buckets = ValuesOf(negative);
  }
  return batch;
}

}  // namespace

absl::StatusOr<SampleBatch> DecodePrometheusChunk(uint8_t encoding,
                                                  std::string_view bytes) {
  switch (encoding) {
    case kPrometheusXor:
      return DecodeXor(bytes);
    case kPrometheusHistogram:
      return DecodeIntegerHistograms(bytes);
    case kPrometheusFloatHistogram:
      return DecodeFloatHistograms(bytes);
    default:
      return absl::UnimplementedError(
          fmt::format("chunk: encoding {} is not known", encoding));
  }
}

}  // namespace vigie::store

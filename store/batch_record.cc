#include "store/batch_record.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "base/status_macros.h"
#include "store/byte_coding.h"

namespace vigie::store {
namespace {

constexpr uint8_t kVersion = 3;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("batch record: {}", what));
}

// How a column of numbers is written: as runs of equal steps, or step by step.
enum ColumnForm : uint8_t { kRuns = 0, kSteps = 1 };

uint64_t StepAt(const uint64_t* values, size_t i) {
  return values[i] - (i == 0 ? 0 : values[i - 1]);
}

void PutColumn(const uint64_t* values, size_t size, std::string* out) {
  size_t runs = 0;
  for (size_t i = 0; i < size;) {
    const uint64_t step = StepAt(values, i);
    for (++i; i < size && StepAt(values, i) == step; ++i) {
    }
    ++runs;
  }
  if (runs * 2 > size) {
    out->push_back(kSteps);
    for (size_t i = 0; i < size; ++i) {
      PutZigzag(static_cast<int64_t>(StepAt(values, i)), out);
    }
    return;
  }
  out->push_back(kRuns);
  for (size_t i = 0; i < size;) {
    const uint64_t step = StepAt(values, i);
    const size_t begin = i;
    for (++i; i < size && StepAt(values, i) == step; ++i) {
    }
    PutZigzag(static_cast<int64_t>(step), out);
    PutVarint(i - begin, out);
  }
}
void PutColumn(const std::vector<uint64_t>& values, std::string* out) {
  PutColumn(values.data(), values.size(), out);
}
void PutColumn(const std::vector<int64_t>& values, std::string* out) {
  PutColumn(reinterpret_cast<const uint64_t*>(values.data()), values.size(),
            out);
}

// False if the bytes are no column of `size` numbers. Takes memory for them
// all at once, so the caller has checked that the size is plausible.
bool TakeColumn(size_t size, ByteReader* in, uint64_t* values) {
  const uint8_t form = in->Byte();
  uint64_t value = 0;
  if (form == kSteps) {
    for (size_t i = 0; i < size; ++i) {
      value += static_cast<uint64_t>(in->ZigzagVarint());
      values[i] = value;
    }
    return in->ok();
  }
  if (form != kRuns) return false;
  for (size_t i = 0; i < size;) {
    const auto step = static_cast<uint64_t>(in->ZigzagVarint());
    const uint64_t count = in->Varint();
    if (!in->ok() || count == 0 || count > size - i) return false;
    for (const size_t end = i + static_cast<size_t>(count); i < end; ++i) {
      value += step;
      values[i] = value;
    }
  }
  return true;
}
bool TakeColumn(size_t size, ByteReader* in, std::vector<uint64_t>* values) {
  values->resize(size);
  return TakeColumn(size, in, values->data());
}
bool TakeColumn(size_t size, ByteReader* in, std::vector<int64_t>* values) {
  values->resize(size);
  return TakeColumn(size, in, reinterpret_cast<uint64_t*>(values->data()));
}

uint64_t BitsOf(double value) { return std::bit_cast<uint64_t>(value); }
uint64_t BitsOf(uint64_t value) { return value; }

void PutSpans(const std::vector<BucketSpan>& spans, std::string* out) {
  PutVarint(spans.size(), out);
  for (const BucketSpan& span : spans) {
    PutZigzag(span.offset, out);
    PutVarint(span.length, out);
  }
}

bool TakeSpans(ByteReader* in, std::vector<BucketSpan>* spans) {
  const uint64_t size = in->Varint();
  for (uint64_t i = 0; i < size && in->ok(); ++i) {
    const int64_t offset = in->ZigzagVarint();
    const uint64_t length = in->Varint();
    if (offset != static_cast<int32_t>(offset) || length > UINT32_MAX) {
      return false;
    }
    spans->push_back(
        {static_cast<int32_t>(offset), static_cast<uint32_t>(length)});
  }
  return in->ok();
}

template <class Value>
void PutWords(const std::vector<Value>& words, std::string* out) {
  static_assert(sizeof(Value) == 8);
  PutVarint(words.size(), out);
  out->append(reinterpret_cast<const char*>(words.data()), words.size() * 8);
}

template <class Value>
bool TakeWords(ByteReader* in, std::vector<Value>* words) {
  const uint64_t size = in->Varint();
  if (size > in->remaining() / 8) return false;
  const std::string_view bytes = in->Bytes(size * 8);
  words->resize(static_cast<size_t>(size));
  if (size > 0) std::memcpy(words->data(), bytes.data(), bytes.size());
  return in->ok();
}

template <class Count>
void PutValues(const std::vector<BasicHistogram<Count>>& values,
               std::string* out) {
  for (const BasicHistogram<Count>& h : values) {
    out->push_back(static_cast<char>(h.reset_hint));
    PutZigzag(h.schema, out);
    PutFixed64(BitsOf(h.zero_threshold), out);
    PutFixed64(BitsOf(h.zero_count), out);
    PutFixed64(BitsOf(h.count), out);
    PutFixed64(BitsOf(h.sum), out);
    PutSpans(h.positive_spans, out);
    PutSpans(h.negative_spans, out);
    PutWords(h.positive_buckets, out);
    PutWords(h.negative_buckets, out);
    PutWords(h.custom_values, out);
  }
}
// Most values are whole numbers, whose lowest bytes are 0: each is told by the
// bytes from its highest to the last that is not.
void PutValues(const std::vector<double>& values, std::string* out) {
  const size_t size = values.size();
  const size_t begin = out->size();
  out->resize(begin + (size + 1) / 2 + size * 8);
  char* lengths = out->data() + begin;
  char* at = lengths + (size + 1) / 2;
  std::memset(lengths, 0, static_cast<size_t>(at - lengths));
  for (size_t i = 0; i < size; ++i) {
    const uint64_t word = std::bit_cast<uint64_t>(values[i]);
    const int zeros = std::countr_zero(word) & ~7;  // 64 for none
    const int length = 8 - zeros / 8;
    lengths[i / 2] = static_cast<char>(lengths[i / 2] | length << i % 2 * 4);
    const uint64_t bytes = zeros == 64 ? 0 : word >> zeros;
    // What is written too far is written again or cut.
    std::memcpy(at, &bytes, 8);
    at += length;
  }
  out->resize(static_cast<size_t>(at - out->data()));
}

void TakeCount(ByteReader* in, uint64_t* count) { *count = in->Fixed64(); }
void TakeCount(ByteReader* in, double* count) {
  *count = std::bit_cast<double>(in->Fixed64());
}

template <class Count>
bool TakeValues(size_t size, ByteReader* in,
                std::vector<BasicHistogram<Count>>* values) {
  for (size_t i = 0; i < size; ++i) {
    BasicHistogram<Count>& h = values->emplace_back();
    const uint8_t hint = in->Byte();
    const int64_t schema = in->ZigzagVarint();
    if (hint > static_cast<uint8_t>(CounterResetHint::kGauge) ||
        schema != static_cast<int32_t>(schema)) {
      return false;
    }
    h.reset_hint = static_cast<CounterResetHint>(hint);
    h.schema = static_cast<int32_t>(schema);
    TakeCount(in, &h.zero_threshold);
    TakeCount(in, &h.zero_count);
    TakeCount(in, &h.count);
    TakeCount(in, &h.sum);
    if (!TakeSpans(in, &h.positive_spans) ||
        !TakeSpans(in, &h.negative_spans) ||
        !TakeWords(in, &h.positive_buckets) ||
        !TakeWords(in, &h.negative_buckets) ||
        !TakeWords(in, &h.custom_values)) {
      return false;
    }
  }
  return true;
}
bool TakeValues(size_t size, ByteReader* in, std::vector<double>* values) {
  const std::string_view lengths = in->Bytes((size + 1) / 2);
  if (!in->ok()) return false;
  const auto length_of = [&](size_t i) {
    return static_cast<uint64_t>(lengths[i / 2]) >> i % 2 * 4 & 15;
  };
  if (size % 2 != 0 && length_of(size) != 0) return false;
  uint64_t total = 0;
  for (size_t i = 0; i < size; ++i) {
    if (length_of(i) > 8) return false;
    total += length_of(i);
  }
  const std::string_view bytes = in->Bytes(total);
  if (!in->ok()) return false;
  values->resize(size);
  size_t at = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t length = length_of(i);
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, length);
    at += length;
    if (length > 0) word <<= 64 - 8 * length;
    (*values)[i] = std::bit_cast<double>(word);
  }
  return true;
}

// A float takes half a byte at least, a histogram more than 8.
uint64_t MostSamples(const std::vector<double>&, size_t bytes) {
  return uint64_t{2} * bytes;
}
template <class Histogram>
uint64_t MostSamples(const std::vector<Histogram>&, size_t bytes) {
  return bytes / 8;
}

template <class Value>
void PutSamples(const BatchRecord::Columns<Value>& columns, std::string* out) {
  PutVarint(columns.size() << 1 | (columns.starts_ms.empty() ? 0 : 1), out);
  if (columns.empty()) return;
  PutColumn(columns.ids, out);
  PutColumn(columns.times_ms, out);
  if (!columns.starts_ms.empty()) PutColumn(columns.starts_ms, out);
  PutValues(columns.values, out);
}

template <class Value>
bool TakeSamples(ByteReader* in, BatchRecord::Columns<Value>* columns) {
  const uint64_t count = in->Varint();
  if (count >> 1 > MostSamples(columns->values, in->remaining())) return false;
  const auto size = static_cast<size_t>(count >> 1);
  if (size == 0) return count == 0;
  return TakeColumn(size, in, &columns->ids) &&
         TakeColumn(size, in, &columns->times_ms) &&
         ((count & 1) == 0 || TakeColumn(size, in, &columns->starts_ms)) &&
         TakeValues(size, in, &columns->values);
}

// Senders define series that differ in few labels, so each definition is told
// by what differs from the one before. A mask has a bit a label, in order:
// the same label as at that place there. Of the others an empty name stands
// for the name at that place there.
class DefinitionWriter {
 public:
  void Put(const Labels& labels, std::string* out) {
    now_.clear();
    for (const LabelView& label : labels) now_.push_back(label);
    uint64_t same = 0;
    const size_t both = std::min(now_.size(), before_.size());
    for (size_t i = 0; i < both && i < 64; ++i) {
      if (now_[i] == before_[i]) same |= uint64_t{1} << i;
    }
    PutVarint(now_.size(), out);
    PutVarint(same, out);
    for (size_t i = 0; i < now_.size(); ++i) {
      if (i < 64 && (same >> i & 1) != 0) continue;
      const bool same_name = i < both && now_[i].name == before_[i].name;
      PutString(same_name ? std::string_view() : now_[i].name, out);
      PutString(now_[i].value, out);
    }
    std::swap(now_, before_);
  }

 private:
  std::vector<LabelView> now_, before_;  // of labels of the record
};

class DefinitionReader {
 public:
  absl::StatusOr<Labels> Take(ByteReader* in) {
    const uint64_t size = in->Varint();
    const uint64_t same = in->Varint();
    bytes_.clear();
    now_.clear();
    for (uint64_t i = 0; i < size && in->ok(); ++i) {
      const size_t begin = bytes_.size();
      size_t value = 0;
      if (i < 64 && (same >> i & 1) != 0) {
        if (i >= before_.size()) return Damaged("a label like none before");
        bytes_.append(before_bytes_, before_[i].begin, before_[i].size);
        value = begin + before_[i].name_size;
      } else {
        const std::string_view name = in->String();
        if (!name.empty()) {
          PutString(name, &bytes_);
        } else if (i < before_.size()) {
          bytes_.append(before_bytes_, before_[i].begin, before_[i].name_size);
        } else {
          return Damaged("a name like none before");
        }
        value = bytes_.size();
        PutString(in->String(), &bytes_);
      }
      now_.push_back({begin, value - begin, bytes_.size() - begin});
    }
    if (!in->ok()) return Damaged("cut short");
    std::swap(now_, before_);
    before_bytes_.swap(bytes_);
    return Labels::FromBytes(before_bytes_);
  }

 private:
  struct Label {
    size_t begin, name_size, size;  // in bytes, with the lengths before them
  };
  std::vector<Label> now_, before_;
  std::string bytes_, before_bytes_;
};

}  // namespace

void PutMetadata(const Metadata& metadata, std::string* out) {
  out->push_back(static_cast<char>(metadata.type));
  PutString(metadata.help, out);
  PutString(metadata.unit, out);
}

Metadata TakeMetadata(ByteReader* in) {
  Metadata metadata;
  // A type of a later version is shown as unknown, which it is to us.
  const uint8_t type = in->Byte();
  if (type <= static_cast<uint8_t>(MetricType::kStateSet)) {
    metadata.type = static_cast<MetricType>(type);
  }
  metadata.help = in->String();
  metadata.unit = in->String();
  return metadata;
}

void PutExemplar(const Exemplar& exemplar, std::string* out) {
  PutZigzag(exemplar.time_ms, out);
  PutFixed64(std::bit_cast<uint64_t>(exemplar.value), out);
  PutString(exemplar.labels.bytes(), out);
}

absl::StatusOr<Exemplar> TakeExemplar(ByteReader* in) {
  Exemplar exemplar;
  exemplar.time_ms = in->ZigzagVarint();
  exemplar.value = std::bit_cast<double>(in->Fixed64());
  VIGIE_ASSIGN_OR_RETURN(exemplar.labels, Labels::FromBytes(in->String()));
  return exemplar;
}

std::string EncodeBatchRecord(const BatchRecord& record) {
  std::string out;
  size_t label_bytes = 0;
  for (const BatchRecord::Definition& d : record.definitions) {
    label_bytes += d.labels.bytes().size() / 2 + 12;
  }
  out.reserve(64 + label_bytes +
              (record.floats.size() + record.deltas.size()) * 10);
  out.push_back(static_cast<char>(kVersion));
  PutZigzag(record.decided_ms, &out);
  PutString(record.tenant, &out);

  PutVarint(record.definitions.size(), &out);
  DefinitionWriter definitions;
  uint64_t last_id = 0;
  for (const BatchRecord::Definition& definition : record.definitions) {
    PutZigzag(static_cast<int64_t>(definition.id - last_id), &out);
    last_id = definition.id;
    definitions.Put(definition.labels, &out);
  }

  PutSamples(record.floats, &out);
  PutSamples(record.deltas, &out);
  PutSamples(record.integer_histograms, &out);
  PutSamples(record.float_histograms, &out);

  PutVarint(record.exemplars.size(), &out);
  for (const auto& [id, exemplar] : record.exemplars) {
    PutVarint(id, &out);
    PutExemplar(exemplar, &out);
  }

  PutVarint(record.metadata.size(), &out);
  for (const auto& [metric, metadata] : record.metadata) {
    PutString(metric, &out);
    PutMetadata(metadata, &out);
  }
  return out;
}

absl::StatusOr<BatchRecord> DecodeBatchRecord(std::string_view bytes) {
  ByteReader in(bytes);
  BatchRecord record;
  const uint8_t version = in.Byte();
  if (in.ok() && version != kVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "batch record: version {}, this program knows {}", version, kVersion));
  }
  record.decided_ms = in.ZigzagVarint();
  record.tenant = in.String();

  // Counts are never trusted for memory: each turn takes bytes or ends.
  const uint64_t definitions = in.Varint();
  DefinitionReader reader;
  uint64_t id = 0;
  for (uint64_t i = 0; i < definitions && in.ok(); ++i) {
    BatchRecord::Definition definition;
    id += static_cast<uint64_t>(in.ZigzagVarint());
    definition.id = id;
    VIGIE_ASSIGN_OR_RETURN(definition.labels, reader.Take(&in));
    record.definitions.push_back(std::move(definition));
  }

  if (!TakeSamples(&in, &record.floats)) return Damaged("floats");
  if (!TakeSamples(&in, &record.deltas)) return Damaged("deltas");
  if (!TakeSamples(&in, &record.integer_histograms) ||
      !TakeSamples(&in, &record.float_histograms)) {
    return Damaged("histograms");
  }

  const uint64_t exemplars = in.Varint();
  for (uint64_t i = 0; i < exemplars && in.ok(); ++i) {
    const uint64_t series = in.Varint();
    VIGIE_ASSIGN_OR_RETURN(Exemplar exemplar, TakeExemplar(&in));
    record.exemplars.push_back({series, std::move(exemplar)});
  }

  const uint64_t metadata = in.Varint();
  for (uint64_t i = 0; i < metadata && in.ok(); ++i) {
    std::string metric(in.String());
    record.metadata.push_back({std::move(metric), TakeMetadata(&in)});
  }
  if (!in.ok()) return Damaged("cut short");
  if (!in.empty()) return Damaged("bytes after its end");
  return record;
}

}  // namespace vigie::store

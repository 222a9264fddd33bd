#include "store/batch_record.h"

#include <fmt/format.h>

#include <bit>

#include "base/status_macros.h"
#include "store/byte_coding.h"

namespace vigie::store {
namespace {

constexpr uint8_t kVersion = 1;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("batch record: {}", what));
}

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
    label_bytes += d.labels.bytes().size() + 12;
  }
  out.reserve(64 + label_bytes + record.floats.size() * 12 +
              record.runs.size() * 4);
  out.push_back(static_cast<char>(kVersion));
  PutZigzag(record.decided_ms, &out);
  PutString(record.tenant, &out);

  PutVarint(record.definitions.size(), &out);
  for (const BatchRecord::Definition& definition : record.definitions) {
    PutVarint(definition.id, &out);
    PutString(definition.labels.bytes(), &out);
  }

  // Neighbours have near ids and the same times, so both go as differences.
  PutVarint(record.runs.size(), &out);
  uint64_t last_id = 0;
  uint64_t last_ms = 0;
  for (const BatchRecord::Run& run : record.runs) {
    bool starts = false;
    for (uint32_t i = run.begin; i < run.end && !starts; ++i) {
      starts = record.floats[i].start_ms != 0;
    }
    PutZigzag(static_cast<int64_t>(run.id - last_id), &out);
    last_id = run.id;
    PutVarint(uint64_t{run.end - run.begin} << 1 | (starts ? 1 : 0), &out);
    for (uint32_t i = run.begin; i < run.end; ++i) {
      const auto& [sample, start_ms] = record.floats[i];
      const auto time_ms = static_cast<uint64_t>(sample.time_ms);
      PutZigzag(static_cast<int64_t>(time_ms - last_ms), &out);
      last_ms = time_ms;
      PutFixed64(std::bit_cast<uint64_t>(sample.value), &out);
      if (starts) PutZigzag(start_ms, &out);
    }
  }

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
  for (uint64_t i = 0; i < definitions && in.ok(); ++i) {
    BatchRecord::Definition definition;
    definition.id = in.Varint();
    VIGIE_ASSIGN_OR_RETURN(definition.labels, Labels::FromBytes(in.String()));
    record.definitions.push_back(std::move(definition));
  }

  const uint64_t runs = in.Varint();
  uint64_t id = 0;
  uint64_t time_ms = 0;
  for (uint64_t i = 0; i < runs && in.ok(); ++i) {
    id += static_cast<uint64_t>(in.ZigzagVarint());
    const uint64_t count = in.Varint();
    const bool starts = (count & 1) != 0;
    BatchRecord::Run run{id, static_cast<uint32_t>(record.floats.size()), 0};
    for (uint64_t j = 0; j < count >> 1 && in.ok(); ++j) {
      time_ms += static_cast<uint64_t>(in.ZigzagVarint());
      const auto value = std::bit_cast<double>(in.Fixed64());
      const int64_t start_ms = starts ? in.ZigzagVarint() : 0;
      record.floats.push_back(
          {{static_cast<int64_t>(time_ms), value}, start_ms});
    }
    run.end = static_cast<uint32_t>(record.floats.size());
    record.runs.push_back(run);
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

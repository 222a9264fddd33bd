#include "store/day_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"
#include "base/strings.h"
#include "store/byte_coding.h"
#include "store/keys.h"

namespace vigie::store {
namespace {

constexpr uint8_t kVersion = 1;
constexpr char kPairs = 'p';
constexpr char kSeries = 's';

absl::Status Malformed(std::string_view what) {
  return absl::DataLossError(fmt::format("index: {}: malformed", what));
}

// Strings sort in keys as they do by themselves, and none is another's prefix:
// 00 becomes 00 ff, the end 00 01.
void PutEscaped(std::string_view text, std::string* out) {
  for (const char c : text) {
    out->push_back(c);
    if (c == '\0') out->push_back('\xff');
  }
  out->append("\0\x01", 2);
}

bool TakeEscaped(std::string_view* key, std::string* out) {
  for (size_t i = 0; i + 1 < key->size(); ++i) {
    if ((*key)[i] != '\0') {
      out->push_back((*key)[i]);
      continue;
    }
    const char next = (*key)[++i];
    if (next == '\x01') {
      key->remove_prefix(i + 1);
      return true;
    }
    if (next != '\xff') return false;
    out->push_back('\0');
  }
  return false;
}

}  // namespace

std::string DayPrefix(int32_t day) {
  std::string key;
  PutBigEndian32(static_cast<uint32_t>(day) ^ 0x80000000U, &key);
  return key;
}

std::string DayTenantPrefix(int32_t day, std::string_view tenant) {
  VIGIE_CHECK(tenant.size() <= kTenantBytesMax);
  std::string key = DayPrefix(day);
  key.push_back(static_cast<char>(tenant.size()));
  key.append(tenant);
  return key;
}

absl::StatusOr<int32_t> DayOfKey(std::string_view key) {
  ByteReader reader(key);
  const uint32_t day = reader.BigEndian32() ^ 0x80000000U;
  if (!reader.ok()) return Malformed("key");
  return static_cast<int32_t>(day);
}

absl::StatusOr<std::string_view> TenantOfKey(std::string_view key) {
  constexpr size_t kDayBytes = 4;
  if (key.size() <= kDayBytes) return Malformed("key");
  const size_t size = static_cast<unsigned char>(key[kDayBytes]);
  if (key.size() <= kDayBytes + 1 + size) return Malformed("key");
  return key.substr(kDayBytes + 1, size);
}

std::string PairPrefix(int32_t day, std::string_view tenant) {
  std::string key = DayTenantPrefix(day, tenant);
  key.push_back(kPairs);
  return key;
}

std::string PairPrefix(int32_t day, std::string_view tenant,
                       std::string_view name) {
  std::string key = PairPrefix(day, tenant);
  PutEscaped(name, &key);
  return key;
}

std::string PairPrefix(int32_t day, std::string_view tenant,
                       std::string_view name, std::string_view value) {
  std::string key = PairPrefix(day, tenant, name);
  PutEscaped(value, &key);
  return key;
}

std::string PairRowKey(std::string_view prefix, uint32_t seal) {
  std::string key(prefix);
  PutBigEndian32(seal, &key);
  return key;
}

std::string PairRow(std::string_view ids) {
  std::string row(1, static_cast<char>(kVersion));
  row.append(ids);
  return row;
}

absl::StatusOr<PairKey> ParsePairKey(std::string_view key,
                                     std::string_view prefix) {
  PairKey parsed;
  if (key.substr(0, prefix.size()) != prefix) return Malformed("pair's key");
  key.remove_prefix(prefix.size());
  if (!TakeEscaped(&key, &parsed.name) || !TakeEscaped(&key, &parsed.value) ||
      key.size() != sizeof(parsed.seal)) {
    return Malformed("pair's key");
  }
  parsed.seal = ByteReader(key).BigEndian32();
  return parsed;
}

absl::StatusOr<IdRuns> ParsePairRow(std::string_view value) {
  if (value.empty() || static_cast<uint8_t>(value[0]) != kVersion) {
    return Malformed("pair's row");
  }
  return IdRuns::FromBytes(value.substr(1));
}

std::string SeriesRowPrefix(int32_t day, std::string_view tenant,
                            uint32_t seal) {
  std::string key = DayTenantPrefix(day, tenant);
  key.push_back(kSeries);
  PutBigEndian32(seal, &key);
  return key;
}

std::string SeriesRowKey(std::string_view prefix, uint64_t last_id) {
  std::string key(prefix);
  PutBigEndian64(last_id, &key);
  return key;
}

absl::StatusOr<SeriesRowReader> SeriesRowReader::Create(
    std::string_view value) {
  ByteReader in(value);
  SeriesRowReader row;
  if (in.Byte() != kVersion) return Malformed("series row");
  // Every element takes a byte at least, so no count makes it allocate more
  // than a few times what it was given.
  auto count = [&in]() -> size_t {
    const uint64_t n = in.Varint();
    return n > in.remaining() ? in.remaining() + 1 : static_cast<size_t>(n);
  };
  std::vector<std::string_view> names(count());
  for (std::string_view& name : names) name = in.String();
  row.pairs_.resize(in.ok() ? count() : 0);
  for (LabelView& pair : row.pairs_) {
    const uint64_t name = in.Varint();
    if (!in.ok() || name >= names.size()) return Malformed("series row");
    pair = {names[name], in.String()};
    if (pair.value.empty()) return Malformed("series row");
  }
  const size_t series = in.ok() ? count() : 0;
  uint64_t next = 0;  // the lowest id that may follow
  for (size_t i = 0; i < series && in.ok(); ++i) {
    const uint64_t gap = in.Varint();
    const size_t labels = count();
    if (gap > kSeriesIdMax || next + gap > kSeriesIdMax || !in.ok() ||
        labels > in.remaining()) {
      return Malformed("series row");
    }
    row.ids_.push_back(next + gap);
    next += gap + 1;
    row.begins_.push_back(static_cast<uint32_t>(row.refs_.size()));
    for (size_t j = 0; j < labels; ++j) {
      const uint64_t pair = in.Varint();
      if (!in.ok() || pair >= row.pairs_.size() ||
          (j > 0 &&
           row.pairs_[pair].name <= row.pairs_[row.refs_.back()].name)) {
        return Malformed("series row");
      }
      row.refs_.push_back(static_cast<uint32_t>(pair));
    }
  }
  if (!in.ok() || !in.empty()) return Malformed("series row");
  row.begins_.push_back(static_cast<uint32_t>(row.refs_.size()));
  return row;
}

Labels SeriesRowReader::LabelsOf(size_t i) const {
  std::vector<LabelView> labels;
  labels.reserve(begins_[i + 1] - begins_[i]);
  for (uint32_t at = begins_[i]; at < begins_[i + 1]; ++at) {
    labels.push_back(pairs_[refs_[at]]);
  }
  return Labels::FromSorted(labels);
}

void SeriesRowWriter::Add(uint64_t id, const uint32_t* pairs, size_t count) {
  VIGIE_CHECK(ids_.empty() || id > ids_.back());
  ids_.push_back(id);
  begins_.push_back(static_cast<uint32_t>(refs_.size()));
  refs_.insert(refs_.end(), pairs, pairs + count);
}

std::string SeriesRowWriter::Take(TextOf text_of) {
  begins_.push_back(static_cast<uint32_t>(refs_.size()));
  absl::flat_hash_map<uint32_t, uint32_t> numbers;
  absl::flat_hash_map<std::string_view, uint32_t, StringViewHash> names;
  std::string names_out, pairs_out, series_out;
  for (uint32_t& ref : refs_) {
    const auto [it, added] =
        numbers.emplace(ref, static_cast<uint32_t>(numbers.size()));
    if (added) {
      const LabelView pair = text_of(ref);
      const auto [name, first] =
          names.emplace(pair.name, static_cast<uint32_t>(names.size()));
      if (first) PutString(pair.name, &names_out);
      PutVarint(name->second, &pairs_out);
      PutString(pair.value, &pairs_out);
    }
    ref = it->second;
  }
  uint64_t next = 0;
  for (size_t i = 0; i < ids_.size(); ++i) {
    PutVarint(ids_[i] - next, &series_out);
    next = ids_[i] + 1;
    PutVarint(begins_[i + 1] - begins_[i], &series_out);
    for (uint32_t at = begins_[i]; at < begins_[i + 1]; ++at) {
      PutVarint(refs_[at], &series_out);
    }
  }
  std::string row(1, static_cast<char>(kVersion));
  PutVarint(names.size(), &row);
  row += names_out;
  PutVarint(numbers.size(), &row);
  row += pairs_out;
  PutVarint(ids_.size(), &row);
  row += series_out;
  ids_.clear();
  refs_.clear();
  begins_.clear();
  return row;
}

}  // namespace vigie::store

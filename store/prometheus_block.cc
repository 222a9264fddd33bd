#include "store/prometheus_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/prometheus_chunk.h"
#include "store/prometheus_file.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kIndexMagic = 0xBAAAD700;
constexpr uint32_t kChunksMagic = 0x85BD40DD;
constexpr uint32_t kTombstonesMagic = 0x0130BA30;
constexpr uint64_t kTocBytes = 6 * 8 + 4;
constexpr uint64_t kSymbolTableBytesMax = 2ULL << 30;
constexpr uint64_t kSmallFileBytesMax = 64 << 20;

struct ChunkEntry {
  int64_t min_ms = 0;
  int64_t max_ms = 0;
  uint64_t ref = 0;
};

}  // namespace

class PrometheusBlock::Impl {
 public:
  absl::Status Open(const std::string& directory);
  absl::StatusOr<bool> Next(ImportedSeries* series);

  PrometheusBlockMeta meta;
  uint64_t read = 0;
  uint64_t total = 0;

 private:
  absl::Status ReadMeta();
  absl::Status ReadIndexHead();
  absl::Status ReadSymbols(uint64_t offset);
  absl::Status FindAllSeries(uint64_t offset);
  absl::Status ReadTombstones();
  absl::Status OpenChunkFiles();
  absl::StatusOr<std::string> Symbol(uint64_t reference) const;
  absl::Status ReadSeries(uint64_t reference, ImportedSeries* series,
                          std::vector<ChunkEntry>* chunks);
  absl::StatusOr<SampleBatch> ReadChunk(const ChunkEntry& entry);

  std::string directory_;
  std::unique_ptr<PieceReader> index_;
  // A second view of it, for the list of series, so that each moves onwards.
  std::unique_ptr<PieceReader> list_;
  std::vector<std::unique_ptr<PieceReader>> chunk_files_;
  uint8_t version_ = 0;
  uint64_t symbols_offset_ = 0;
  std::string symbols_;
  std::vector<uint32_t> symbol_at_;  // in symbols_; version 2
  uint64_t list_offset_ = 0;
  absl::flat_hash_map<uint64_t, std::vector<TimeRange>> tombstones_;
};

absl::Status PrometheusBlock::Impl::Open(const std::string& directory) {
  directory_ = directory;
  VIGIE_RETURN_IF_ERROR(ReadMeta());
  VIGIE_ASSIGN_OR_RETURN(index_, PieceReader::Open(directory + "/index"));
  VIGIE_ASSIGN_OR_RETURN(list_, PieceReader::Open(directory + "/index"));
  VIGIE_RETURN_IF_ERROR(ReadIndexHead());
  VIGIE_RETURN_IF_ERROR(ReadTombstones());
  return OpenChunkFiles();
}

absl::Status PrometheusBlock::Impl::ReadMeta() {
  const std::string path = directory_ + "/meta.json";
  VIGIE_ASSIGN_OR_RETURN(const auto file, PieceReader::Open(path));
  if (file->size() > kSmallFileBytesMax) {
    return file->Damaged(0, file->size(), "too large for a meta.json");
  }
  VIGIE_ASSIGN_OR_RETURN(const std::string_view text,
                         file->Read(0, file->size()));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto number = [&](const nlohmann::json& object, const char* name,
                          int64_t* out) {
    if (!object.contains(name) || !object[name].is_number_integer()) {
      return false;
    }
    *out = object[name].get<int64_t>();
    return true;
  };
  int64_t version = 0, max_ms = 0;
  if (!json.is_object() || !number(json, "version", &version) ||
      !json.contains("ulid") || !json["ulid"].is_string() ||
      !number(json, "minTime", &meta.range.min_ms) ||
      !number(json, "maxTime", &max_ms)) {
    return file->Damaged(0, file->size(), "not the meta.json of a block");
  }
  if (version != 1) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: version {}; this program knows version 1", path, version));
  }
  meta.range.max_ms = std::max(max_ms, meta.range.min_ms + 1) - 1;
  meta.ulid = json["ulid"].get<std::string>();
  if (json.contains("stats") && json["stats"].is_object()) {
    int64_t count = 0;
    if (number(json["stats"], "numSamples", &count)) {
      meta.samples = static_cast<uint64_t>(count);
    }
    if (number(json["stats"], "numSeries", &count)) {
      meta.series = static_cast<uint64_t>(count);
    }
  }
  return absl::OkStatus();
}

absl::Status PrometheusBlock::Impl::ReadIndexHead() {
  VIGIE_ASSIGN_OR_RETURN(const std::string_view head, index_->Read(0, 5));
  if (BigEndian(head.substr(0, 4)) != kIndexMagic) {
    return index_->Damaged(0, 4, "not an index of Prometheus");
  }
  version_ = static_cast<uint8_t>(head[4]);
  if (version_ != 1 && version_ != 2) {
    return absl::FailedPreconditionError(
        fmt::format("{}: version {}; this program knows versions 1 and 2",
                    index_->path(), version_));
  }
  if (index_->size() < 5 + kTocBytes) {
    return index_->Damaged(0, index_->size(), "too short for an index");
  }
  const uint64_t toc_at = index_->size() - kTocBytes;
  VIGIE_ASSIGN_OR_RETURN(const std::string_view toc,
                         index_->Read(toc_at, kTocBytes));
  if (Crc32c(toc.substr(0, kTocBytes - 4)) !=
      BigEndian(toc.substr(kTocBytes - 4))) {
    return index_->Damaged(toc_at, kTocBytes, "checksum mismatch");
  }
  symbols_offset_ = BigEndian(toc.substr(0, 8));
  const uint64_t postings_table = BigEndian(toc.substr(40, 8));
  VIGIE_RETURN_IF_ERROR(ReadSymbols(symbols_offset_));
  return FindAllSeries(postings_table);
}

absl::Status PrometheusBlock::Impl::ReadSymbols(uint64_t offset) {
  VIGIE_ASSIGN_OR_RETURN(const std::string_view section,
                         ReadSection(*index_, offset, kSymbolTableBytesMax));
  symbols_ = section;
  PieceCursor cursor(symbols_);
  const uint64_t count = cursor.Fixed(4);
  if (count > symbols_.size()) {
    return index_->Damaged(offset, symbols_.size(), "too many symbols");
  }
  if (version_ == 1) return absl::OkStatus();  // named by offset
  symbol_at_.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    symbol_at_.push_back(
        static_cast<uint32_t>(symbols_.size() - cursor.size()));
    cursor.Take(cursor.Uvarint());
  }
  if (cursor.failed()) {
    return index_->Damaged(offset, symbols_.size(), "symbols are cut short");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PrometheusBlock::Impl::Symbol(
    uint64_t reference) const {
  uint64_t at = 0;
  bool known = false;
  if (version_ == 2) {
    known = reference < symbol_at_.size();
    if (known) at = symbol_at_[reference];
  } else {
    // An offset into the file; the section's content begins after its length.
    const uint64_t begin = symbols_offset_ + 4;
    known = reference >= begin + 4 && reference - begin < symbols_.size();
    if (known) at = reference - begin;
  }
  PieceCursor cursor(std::string_view(symbols_).substr(at));
  const std::string_view text = cursor.Take(cursor.Uvarint());
  if (!known || cursor.failed()) {
    return absl::DataLossError(
        fmt::format("{}: symbol {} is not there", index_->path(), reference));
  }
  return std::string(text);
}

absl::Status PrometheusBlock::Impl::FindAllSeries(uint64_t offset) {
  // Its sections are read in place, as this one alone may be large.
  VIGIE_ASSIGN_OR_RETURN(const std::string_view section,
                         ReadSection(*index_, offset, kSymbolTableBytesMax));
  PieceCursor cursor(section);
  const uint64_t count = cursor.Fixed(4);
  std::optional<uint64_t> found;
  for (uint64_t i = 0; i < count && !cursor.failed() && !found; ++i) {
    const uint64_t strings = cursor.Fixed(1);
    if (strings != 2) {
      return index_->Damaged(offset, section.size(), "a malformed table");
    }
    const std::string_view name = cursor.Take(cursor.Uvarint());
    const std::string_view value = cursor.Take(cursor.Uvarint());
    const uint64_t at = cursor.Uvarint();
    if (name.empty() && value.empty()) found = at;
  }
  if (cursor.failed() || (!found && count > 0)) {
    return index_->Damaged(offset, section.size(),
                           "the list of all series is not there");
  }
  if (!found) return absl::OkStatus();  // an empty block
  list_offset_ = *found;
  // Checks the sum once; the list is then read piece by piece.
  VIGIE_ASSIGN_OR_RETURN(
      const std::string_view list,
      ReadSection(*list_, list_offset_, kSymbolTableBytesMax));
  total = list.size() < 4 ? 0 : BigEndian(list.substr(0, 4));
  if (list.size() != 4 + 4 * total) {
    return index_->Damaged(list_offset_, list.size(),
                           "a list of another length than it says");
  }
  return absl::OkStatus();
}

absl::Status PrometheusBlock::Impl::ReadTombstones() {
  const std::string path = directory_ + "/tombstones";
  absl::StatusOr<std::unique_ptr<PieceReader>> file = PieceReader::Open(path);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  VIGIE_RETURN_IF_ERROR(file.status());
  const uint64_t size = (*file)->size();
  if (size < 9 || size > kSmallFileBytesMax) {
    return (*file)->Damaged(0, size, "of no possible length");
  }
  VIGIE_ASSIGN_OR_RETURN(const std::string_view whole, (*file)->Read(0, size));
  const std::string_view content = whole.substr(4, size - 8);
  if (BigEndian(whole.substr(0, 4)) != kTombstonesMagic) {
    return (*file)->Damaged(0, 4, "not a tombstone file");
  }
  if (Crc32c(content.substr(1)) != BigEndian(whole.substr(size - 4))) {
    return (*file)->Damaged(0, size, "checksum mismatch");
  }
  PieceCursor cursor(content);
  if (cursor.Fixed(1) != 1) {
    return absl::FailedPreconditionError(
        fmt::format("{}: of a version that is not known", path));
  }
  while (!cursor.empty()) {
    const uint64_t series = cursor.Uvarint();
    const int64_t min_ms = cursor.Varint();
    const int64_t max_ms = cursor.Varint();
    if (cursor.failed()) return (*file)->Damaged(0, size, "is cut short");
    tombstones_[series].push_back({min_ms, max_ms});
  }
  return absl::OkStatus();
}

absl::Status PrometheusBlock::Impl::OpenChunkFiles() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(directory_ + "/chunks", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") == std::string::npos) {
      names.push_back(name);
    }
  }
  if (error) {
    return absl::DataLossError(
        fmt::format("{}/chunks: {}", directory_, error.message()));
  }
  std::sort(names.begin(), names.end());
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = fmt::format("{}/chunks/{}", directory_, names[i]);
    if (names[i] != fmt::format("{:06}", i + 1)) {
      return absl::DataLossError(
          fmt::format("{}/chunks/{:06}: missing", directory_, i + 1));
    }
    VIGIE_ASSIGN_OR_RETURN(std::unique_ptr<PieceReader> file,
                           PieceReader::Open(path));
    VIGIE_ASSIGN_OR_RETURN(const std::string_view head, file->Read(0, 8));
    if (BigEndian(head.substr(0, 4)) != kChunksMagic) {
      return file->Damaged(0, 4, "not a chunk file of Prometheus");
    }
    if (head[4] != 1) {
      return absl::FailedPreconditionError(
          fmt::format("{}: version {}; this program knows version 1", path,
                      static_cast<int>(head[4])));
    }
    chunk_files_.push_back(std::move(file));
  }
  return absl::OkStatus();
}

absl::Status PrometheusBlock::Impl::ReadSeries(
    uint64_t reference, ImportedSeries* series,
    std::vector<ChunkEntry>* chunks) {
  const uint64_t offset = version_ == 2 ? reference * 16 : reference;
  uint64_t bytes = 0;
  VIGIE_ASSIGN_OR_RETURN(const std::string_view item,
                         ReadItem(*index_, offset, 4, &bytes));
  const std::string_view content = item.substr(0, item.size() - 4);
  if (Crc32c(content) != BigEndian(item.substr(content.size()))) {
    return index_->Damaged(offset, bytes, "checksum mismatch");
  }
  PieceCursor cursor(content);
  const uint64_t label_count = cursor.Uvarint();
  if (label_count > content.size()) {
    return index_->Damaged(offset, bytes, "too many labels");
  }
  LabelsBuilder labels;
  for (uint64_t i = 0; i < label_count; ++i) {
    const uint64_t name_ref = cursor.Uvarint();
    const uint64_t value_ref = cursor.Uvarint();
    if (cursor.failed()) break;
    VIGIE_ASSIGN_OR_RETURN(const std::string name, Symbol(name_ref));
    VIGIE_ASSIGN_OR_RETURN(const std::string value, Symbol(value_ref));
    labels.Set(name, value);
  }
  series->labels = labels.Build();
  const uint64_t chunk_count = cursor.Uvarint();
  if (cursor.failed() || chunk_count > content.size()) {
    return index_->Damaged(offset, bytes, "is cut short");
  }
  // Wraps around on damaged bytes, as unsigned numbers may.
  uint64_t time = 0, ref = 0;
  for (uint64_t i = 0; i < chunk_count; ++i) {
    ChunkEntry& chunk = chunks->emplace_back();
    time += i == 0 ? static_cast<uint64_t>(cursor.Varint()) : cursor.Uvarint();
    chunk.min_ms = static_cast<int64_t>(time);
    time += cursor.Uvarint();
    chunk.max_ms = static_cast<int64_t>(time);
    ref += i == 0 ? cursor.Uvarint() : static_cast<uint64_t>(cursor.Varint());
    chunk.ref = ref;
  }
  if (cursor.failed()) return index_->Damaged(offset, bytes, "is cut short");
  return absl::OkStatus();
}

absl::StatusOr<SampleBatch> PrometheusBlock::Impl::ReadChunk(
    const ChunkEntry& entry) {
  const uint64_t file_number = entry.ref >> 32;
  const uint64_t offset = entry.ref & 0xffffffff;
  if (file_number >= chunk_files_.size()) {
    return absl::DataLossError(
        fmt::format("{}/chunks/{:06}: missing", directory_, file_number + 1));
  }
  PieceReader& file = *chunk_files_[file_number];
  uint64_t bytes = 0;
  VIGIE_ASSIGN_OR_RETURN(const std::string_view item,
                         ReadItem(file, offset, 1 + 4, &bytes));
  const std::string_view content = item.substr(0, item.size() - 4);
  if (Crc32c(content) != BigEndian(item.substr(content.size()))) {
    return file.Damaged(offset, bytes, "checksum mismatch");
  }
  absl::StatusOr<SampleBatch> batch = DecodePrometheusChunk(
      static_cast<uint8_t>(content[0]), content.substr(1));
  if (batch.ok()) return batch;
  return Prefixed(
      fmt::format("{}: bytes {}-{}", file.path(), offset, offset + bytes),
      batch.status());
}

namespace {

template <class T>
void KeepOnly(const std::vector<bool>& keep, std::vector<T>* column) {
  if (column->empty()) return;
  size_t kept = 0;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (!keep[i]) continue;
    if (kept != i) (*column)[kept] = std::move((*column)[i]);
    ++kept;
  }
  column->resize(kept);
}

void LeaveOut(const std::vector<TimeRange>& deleted, SampleBatch* batch) {
  std::vector<bool> keep(batch->times_ms.size(), true);
  for (size_t i = 0; i < keep.size(); ++i) {
    for (const TimeRange& range : deleted) {
      if (range.Contains(batch->times_ms[i])) keep[i] = false;
    }
  }
  KeepOnly(keep, &batch->times_ms);
  KeepOnly(keep, &batch->starts_ms);
  KeepOnly(keep, &batch->values);
  KeepOnly(keep, &batch->integer_histograms);
  KeepOnly(keep, &batch->float_histograms);
}

}  // namespace

absl::StatusOr<bool> PrometheusBlock::Impl::Next(ImportedSeries* series) {
  *series = {};
  if (read == total) return false;
  VIGIE_ASSIGN_OR_RETURN(const std::string_view bytes,
                         list_->Read(list_offset_ + 8 + 4 * read, 4));
  const uint64_t reference = BigEndian(bytes);
  ++read;
  std::vector<ChunkEntry> chunks;
  VIGIE_RETURN_IF_ERROR(ReadSeries(reference, series, &chunks));
  const auto deleted = tombstones_.find(reference);
  for (const ChunkEntry& chunk : chunks) {
    VIGIE_ASSIGN_OR_RETURN(SampleBatch batch, ReadChunk(chunk));
    if (deleted != tombstones_.end()) LeaveOut(deleted->second, &batch);
    if (!batch.times_ms.empty()) series->batches.push_back(std::move(batch));
  }
  return true;
}

PrometheusBlock::PrometheusBlock(Tenant tenant, std::unique_ptr<Impl> impl)
    : tenant_(std::move(tenant)), impl_(std::move(impl)) {}
PrometheusBlock::~PrometheusBlock() = default;

absl::StatusOr<std::unique_ptr<PrometheusBlock>> PrometheusBlock::Open(
    const std::string& directory, Tenant tenant) {
  auto impl = std::make_unique<Impl>();
  VIGIE_RETURN_IF_ERROR(impl->Open(directory));
  return std::unique_ptr<PrometheusBlock>(
      new PrometheusBlock(std::move(tenant), std::move(impl)));
}

const PrometheusBlockMeta& PrometheusBlock::meta() const { return impl_->meta; }
uint64_t PrometheusBlock::series_read() const { return impl_->read; }
uint64_t PrometheusBlock::series_total() const { return impl_->total; }

absl::StatusOr<bool> PrometheusBlock::Next(ImportedSeries* series) {
  return impl_->Next(series);
}

absl::StatusOr<std::vector<std::string>> FindPrometheusBlocks(
    const std::string& path) {
  std::error_code error;
  if (fs::exists(path + "/meta.json", error)) {
    return std::vector<std::string>{path};
  }
  // By their oldest sample, as far as meta.json can be read; reading them
  // tells what is wrong.
  std::multimap<int64_t, std::string> found;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string directory = entry.path().string();
    std::error_code ignored;
    // As a compaction leaves it when it is killed.
    if (directory.ends_with(".tmp") ||
        directory.find(".tmp-") != directory.npos ||
        !fs::exists(directory + "/meta.json", ignored)) {
      continue;
    }
    auto block = PrometheusBlock::Open(directory, {});
    found.emplace(block.ok() ? (*block)->meta().range.min_ms : 0, directory);
  }
  if (error) {
    return absl::NotFoundError(fmt::format("{}: {}", path, error.message()));
  }
  if (found.empty()) {
    return absl::NotFoundError(
        fmt::format("{}: holds no block of Prometheus", path));
  }
  std::vector<std::string> blocks;
  for (const auto& [time, directory] : found) blocks.push_back(directory);
  return blocks;
}

}  // namespace vigie::store

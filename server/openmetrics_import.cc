#include "server/openmetrics_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "collector/text_format.h"
#include "model/sample.h"

namespace vigie::server {
namespace {

constexpr size_t kPieceBytes = 16 << 20;
constexpr size_t kLineBytesMax = 1 << 20;
constexpr std::string_view kEnd = "# EOF\n";
constexpr size_t kBatchExemplars = 1'000;
// Of a series in a piece; the store keeps fewer.
constexpr size_t kExemplarsKept = 64;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// The samples of one series, in the order of the text.
struct Collected {
  Labels labels;
  std::vector<Sample> samples;
  std::vector<Exemplar> exemplars;
};

store::SampleBatch BatchOf(std::vector<Sample> samples) {
  // Of two at one time the first of the text stays.
  std::stable_sort(
      samples.begin(), samples.end(),
      [](const Sample& a, const Sample& b) { return a.time_ms < b.time_ms; });
  store::SampleBatch batch;
  for (const Sample& sample : samples) {
    if (!batch.times_ms.empty() && batch.times_ms.back() == sample.time_ms) {
      continue;
    }
    batch.times_ms.push_back(sample.time_ms);
    batch.values.push_back(sample.value);
  }
  return batch;
}

}  // namespace

class OpenMetricsImport::Impl {
 public:
  Impl(std::string path, std::FILE* file, uint64_t total)
      : total(total), path_(std::move(path)), file_(file) {}

  absl::StatusOr<bool> Next(store::ImportedSeries* series);
  absl::StatusOr<bool> NextNotes(store::AppendBatch* batch);

  uint64_t read = 0;
  const uint64_t total;

 private:
  enum class What { kSamples, kNotes };
  // Until something is collected that was not given yet; false at the end.
  absl::StatusOr<bool> Collect(What what);
  // Whole lines into piece_; false at the end of the file.
  absl::StatusOr<bool> ReadPiece();
  absl::Status ParsePiece(What what);
  void Tell(const collector::TextEntry& entry);

  const std::string path_;
  const std::unique_ptr<std::FILE, CloseFile> file_;
  std::string piece_;
  std::string rest_;       // of a line that the last piece broke
  std::string type_line_;  // the last one: it holds for the next piece too
  int64_t lines_ = 0;      // before piece_
  bool ended_ = false;     // "# EOF" was read
  std::vector<Collected> collected_;
  size_t given_ = 0;
  std::map<std::string, Metadata> metadata_;
};

absl::StatusOr<bool> OpenMetricsImport::Impl::ReadPiece() {
  piece_ = std::move(rest_);
  rest_.clear();
  const size_t have = piece_.size();
  piece_.resize(have + kPieceBytes);
  const size_t got =
      std::fread(piece_.data() + have, 1, kPieceBytes, file_.get());
  if (got < kPieceBytes && std::ferror(file_.get()) != 0) {
    return absl::UnavailableError(
        fmt::format("{}: {}", path_, std::strerror(errno)));
  }
  piece_.resize(have + got);
  read += got;
  if (got == kPieceBytes) {
    const size_t end = piece_.rfind('\n') + 1;
    rest_ = piece_.substr(end);
    piece_.resize(end);
    if (rest_.size() > kLineBytesMax) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: a line of more than {} bytes", path_, kLineBytesMax));
    }
  }
  return !piece_.empty();
}

absl::Status OpenMetricsImport::Impl::ParsePiece(What what) {
  if (ended_) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: nothing may follow # EOF", path_, lines_ + 1));
  }
  const auto lines = std::count(piece_.begin(), piece_.end(), '\n');
  // The parser wants the type of a metric before it, and the end at the end.
  const int64_t lines_before = lines_ - (type_line_.empty() ? 0 : 1);
  ended_ = piece_.ends_with(kEnd) || piece_.ends_with("# EOF");
  std::string text = type_line_ + piece_;
  if (!ended_) text += kEnd;
  collector::TextParser parser(text, collector::TextFormat::kOpenMetrics);
  collector::TextEntry entry;
  // "line:column: what" with the line of the file.
  const auto placed = [&](const absl::Status& status) {
    std::string_view message = MessageOf(status);
    const size_t colon = message.find(':');
    int64_t line = 0;
    for (const char digit : message.substr(0, colon)) {
      line = line * 10 + (digit - '0');
    }
    return absl::Status(
        status.code(),
        ToAbsl(fmt::format("{}:{}{}", path_, lines_before + line,
                           message.substr(std::min(colon, message.size())))));
  };
  StringMap<size_t> by_text;
  collector::TextLabels labels;
  while (true) {
    const absl::StatusOr<bool> more = parser.Next(&entry);
    if (!more.ok()) return placed(more.status());
    if (!*more) break;
    if (entry.kind != collector::TextEntry::Kind::kSample) {
      by_text.clear();  // the type decides how labels are written
      if (what == What::kNotes) Tell(entry);
      continue;
    }
    if (!entry.time_ms) {
      return placed(absl::InvalidArgumentError(
          ToAbsl(parser.PlaceOf(entry) + ": a sample without a time")));
    }
    if (what == What::kNotes && entry.exemplar.empty()) continue;
    const auto [known, is_new] =
        by_text.try_emplace(std::string(entry.series), collected_.size());
    if (is_new) {
      if (absl::Status status = parser.ReadLabels(entry, &labels);
          !status.ok()) {
        return placed(status);
      }
      LabelsBuilder builder;
      for (const auto& [name, value] : labels) builder.Set(name, value);
      collected_.push_back({builder.Build(), {}, {}});
    }
    Collected& one = collected_[known->second];
    if (what == What::kSamples) {
      one.samples.push_back({*entry.time_ms, entry.value});
      continue;
    }
    Exemplar exemplar;
    if (absl::Status status = parser.ReadExemplar(entry, &exemplar);
        !status.ok()) {
      return placed(status);
    }
    if (!entry.exemplar_time_ms) exemplar.time_ms = *entry.time_ms;
    one.exemplars.push_back(std::move(exemplar));
    if (one.exemplars.size() > 2 * kExemplarsKept) {
      one.exemplars.erase(one.exemplars.begin(),
                          one.exemplars.end() - kExemplarsKept);
    }
  }
  const size_t type = piece_.rfind("\n# TYPE ");
  if (type != std::string::npos || piece_.starts_with("# TYPE ")) {
    const size_t begin = type == std::string::npos ? 0 : type + 1;
    type_line_ = piece_.substr(begin, piece_.find('\n', begin) + 1 - begin);
  }
  lines_ += lines;
  return absl::OkStatus();
}

void OpenMetricsImport::Impl::Tell(const collector::TextEntry& entry) {
  Metadata& metadata = metadata_[entry.metric];
  if (entry.kind == collector::TextEntry::Kind::kType) {
    metadata.type = entry.type;
  } else if (entry.kind == collector::TextEntry::Kind::kHelp) {
    metadata.help = entry.text;
  } else {
    metadata.unit = entry.text;
  }
}

absl::StatusOr<bool> OpenMetricsImport::Impl::Collect(What what) {
  while (given_ == collected_.size()) {
    collected_.clear();
    given_ = 0;
    VIGIE_ASSIGN_OR_RETURN(const bool more, ReadPiece());
    if (!more) {
      if (ended_) return false;
      return absl::InvalidArgumentError(fmt::format(
          "{}:{}: # EOF is missing: the text was cut short", path_, lines_));
    }
    VIGIE_RETURN_IF_ERROR(ParsePiece(what));
  }
  return true;
}

absl::StatusOr<bool> OpenMetricsImport::Impl::Next(
    store::ImportedSeries* series) {
  *series = {};
  VIGIE_ASSIGN_OR_RETURN(const bool more, Collect(What::kSamples));
  if (!more) return false;
  Collected& one = collected_[given_++];
  series->labels = std::move(one.labels);
  series->batches.push_back(BatchOf(std::move(one.samples)));
  return true;
}

absl::StatusOr<bool> OpenMetricsImport::Impl::NextNotes(
    store::AppendBatch* batch) {
  while (batch->exemplars.size() < kBatchExemplars) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, Collect(What::kNotes));
    if (!more) break;
    Collected& one = collected_[given_++];
    const auto series = static_cast<uint32_t>(batch->series.size());
    batch->series.push_back({std::move(one.labels), {}});
    for (Exemplar& exemplar : one.exemplars) {
      batch->exemplars.push_back({series, std::move(exemplar)});
    }
  }
  if (!batch->exemplars.empty()) return true;
  for (auto& [metric, metadata] : std::exchange(metadata_, {})) {
    if (metadata == Metadata()) continue;  // says nothing
    batch->metadata.push_back({metric, std::move(metadata)});
  }
  return !batch->metadata.empty();
}

OpenMetricsImport::OpenMetricsImport(Tenant tenant, std::unique_ptr<Impl> impl)
    : tenant_(std::move(tenant)), impl_(std::move(impl)) {}
OpenMetricsImport::~OpenMetricsImport() = default;

absl::StatusOr<std::unique_ptr<OpenMetricsImport>> OpenMetricsImport::Open(
    const std::string& path, Tenant tenant) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) {
    const std::string text = fmt::format("{}: {}", path, std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text)
                           : absl::UnavailableError(text);
  }
  uint64_t total = 0;
  if (std::fseek(file, 0, SEEK_END) == 0) {
    total = static_cast<uint64_t>(std::max(0L, std::ftell(file)));
    std::rewind(file);
  }
  return std::unique_ptr<OpenMetricsImport>(new OpenMetricsImport(
      std::move(tenant), std::make_unique<Impl>(path, file, total)));
}

absl::StatusOr<bool> OpenMetricsImport::Next(store::ImportedSeries* series) {
  return impl_->Next(series);
}
absl::StatusOr<bool> OpenMetricsImport::NextNotes(store::AppendBatch* batch) {
  *batch = {};
  batch->tenant = tenant_;
  return impl_->NextNotes(batch);
}
uint64_t OpenMetricsImport::bytes_read() const { return impl_->read; }
uint64_t OpenMetricsImport::bytes_total() const { return impl_->total; }

}  // namespace vigie::server

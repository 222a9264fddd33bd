#include "server/store_transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/byte_account.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "server/json.h"
#include "server/openmetrics_import.h"
#include "store/prometheus_block.h"

namespace vigie::server {
namespace {

using nlohmann::json;

constexpr int64_t kExportBytesMax = 1LL << 30;
constexpr size_t kDataBytes = 64 << 10;

absl::Status ImportFrom(store::Store& store, store::ImportSource& source,
                        const store::Progress& progress,
                        TransferOutcome* outcome) {
  VIGIE_ASSIGN_OR_RETURN(const store::ImportOutcome taken,
                         store.Import(source, progress));
  outcome->series += taken.series;
  outcome->samples += taken.samples;
  outcome->samples_refused += taken.samples_refused;
  return absl::OkStatus();
}

// Reads all of a block; checks every sum.
absl::Status CheckBlock(const std::string& path,
                        const store::Progress& progress) {
  VIGIE_ASSIGN_OR_RETURN(const auto block,
                         store::PrometheusBlock::Open(path, {}));
  const std::string what = fmt::format("checking {}", block->meta().ulid);
  store::ImportedSeries series;
  while (true) {
    VIGIE_RETURN_IF_ERROR(progress.Stopped());
    VIGIE_ASSIGN_OR_RETURN(const bool more, block->Next(&series));
    if (!more) return absl::OkStatus();
    progress.Report(what, block->series_read(), block->series_total(),
                    "series");
  }
}

absl::Status ImportBlock(store::Store& store, const std::string& path,
                         const Tenant& tenant, const store::Progress& progress,
                         TransferOutcome* outcome) {
  VIGIE_RETURN_IF_ERROR(CheckBlock(path, progress));
  VIGIE_ASSIGN_OR_RETURN(const auto block,
                         store::PrometheusBlock::Open(path, tenant));
  store::Progress of_block = progress;
  of_block.report = [&](std::string_view, uint64_t, uint64_t,
                        std::string_view) {
    progress.Report(fmt::format("importing {}", block->meta().ulid),
                    block->series_read(), block->series_total(), "series");
  };
  return ImportFrom(store, *block, of_block, outcome);
}

absl::Status ImportText(store::Store& store, const std::string& path,
                        const Tenant& tenant, const store::Progress& progress,
                        TransferOutcome* outcome) {
  VIGIE_ASSIGN_OR_RETURN(const auto text,
                         OpenMetricsImport::Open(path, tenant));
  store::Progress of_text = progress;
  of_text.report = [&](std::string_view what, uint64_t, uint64_t,
                       std::string_view) {
    progress.Report(what, text->bytes_read(), text->bytes_total(), "bytes");
  };
  return ImportFrom(store, *text, of_text, outcome);
}

// Collects text and hands it on in pieces.
class DataWriter {
 public:
  explicit DataWriter(OperationSink& sink) : sink_(sink) {}
  std::string* text() { return &text_; }
  absl::Status Flush(size_t bytes_min) {
    if (text_.size() < std::max<size_t>(bytes_min, 1)) return absl::OkStatus();
    const absl::Status status = sink_.OnData(text_);
    text_.clear();
    return status;
  }

 private:
  OperationSink& sink_;
  std::string text_;
};

struct Lines {
  uint64_t written = 0;
  uint64_t left_out = 0;
};

void AppendOpenMetrics(const std::string& series,
                       const store::SampleBatch& batch, std::string* out,
                       Lines* lines) {
  if (batch.kind != store::SampleKind::kFloat) {
    lines->left_out += batch.times_ms.size();
    return;
  }
  for (size_t i = 0; i < batch.times_ms.size(); ++i) {
    if (IsStaleMarker(batch.values[i])) {
      ++lines->left_out;
      continue;
    }
    *out += series;
    *out += ' ';
    AppendFloatText(batch.values[i], out);
    *out += ' ';
    AppendTimestamp(batch.times_ms[i], out);
    *out += '\n';
    ++lines->written;
  }
}

json NumberOf(double value) {
  if (std::isfinite(value)) return value;
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (IsStaleMarker(value)) return "stale";
  const auto bits = std::bit_cast<uint64_t>(value);
  if (bits == kNormalNanBits) return "NaN";
  return fmt::format("NaN:{:016x}", bits);  // any other payload
}

template <class Histogram>
json HistogramOf(const Histogram& histogram) {
  constexpr const char* kHints[] = {"unknown", "reset", "not_reset", "gauge"};
  const auto spans = [](const std::vector<BucketSpan>& list) {
    json out = json::array();
    for (const BucketSpan& span : list) {
      out.push_back({span.offset, span.length});
    }
    return out;
  };
  const auto numbers = [](const auto& list) {
    json out = json::array();
    for (const auto number : list) {
      if constexpr (std::is_same_v<std::decay_t<decltype(number)>, double>) {
        out.push_back(NumberOf(number));
      } else {
        out.push_back(number);
      }
    }
    return out;
  };
  const auto count = [](auto number) {
    if constexpr (std::is_same_v<decltype(number), double>) {
      return NumberOf(number);
    } else {
      return json(number);
    }
  };
  json out{{"hint", kHints[static_cast<size_t>(histogram.reset_hint)]},
           {"schema", histogram.schema},
           {"zero_threshold", NumberOf(histogram.zero_threshold)},
           {"zero_count", count(histogram.zero_count)},
           {"count", count(histogram.count)},
           {"sum", NumberOf(histogram.sum)},
           {"positive_spans", spans(histogram.positive_spans)},
           {"positive_buckets", numbers(histogram.positive_buckets)},
           {"negative_spans", spans(histogram.negative_spans)},
           {"negative_buckets", numbers(histogram.negative_buckets)}};
  if (!histogram.custom_values.empty()) {
    out["custom_values"] = numbers(histogram.custom_values);
  }
  return out;
}

void AppendJsonLine(const json& metric, const store::SampleBatch& batch,
                    std::string* out, Lines* lines) {
  json line{{"metric", metric}, {"timestamps", batch.times_ms}};
  json values = json::array();
  for (const double value : batch.values) values.push_back(NumberOf(value));
  for (const auto& one : batch.integer_histograms) {
    values.push_back(HistogramOf(one));
  }
  for (const auto& one : batch.float_histograms) {
    values.push_back(HistogramOf(one));
  }
  constexpr const char* kNames[] = {"values", "integer_histograms",
                                    "float_histograms"};
  line[kNames[static_cast<size_t>(batch.kind)]] = std::move(values);
  if (!batch.starts_ms.empty()) line["starts"] = batch.starts_ms;
  *out += line.dump(-1, ' ', false, json::error_handler_t::replace);
  *out += '\n';
  lines->written += batch.times_ms.size();
}

class Exporter {
 public:
  Exporter(store::Store& store, const OperationRequest& request,
           OperationSink& sink, const store::Progress& progress)
      : store_(store),
        request_(request),
        writer_(sink),
        progress_(progress),
        as_json_(request.format == "jsonl") {}

  absl::StatusOr<TransferOutcome> Run() {
    tenant_.name = request_.tenant;
    VIGIE_ASSIGN_OR_RETURN(selectors_,
                           ParseOperationSelectors(request_.selectors));
    ByteAccount account("export", kExportBytesMax);
    // Metric by metric: OpenMetrics wants the lines of one together, and not
    // all series need be in memory at once.
    VIGIE_ASSIGN_OR_RETURN(const store::NameList metrics,
                           store_.queryable().LabelValues(
                               tenant_, kMetricName, request_.range, selectors_,
                               0, {&account, progress_.stop}));
    for (const std::string& warning : metrics.warnings) {
      progress_.Warn(warning);
    }
    for (size_t i = 0; i < metrics.names.size(); ++i) {
      VIGIE_RETURN_IF_ERROR(ExportMetric(metrics.names[i], account));
      progress_.Report("exporting", i + 1, metrics.names.size(), "metrics");
    }
    if (!as_json_) *writer_.text() += "# EOF\n";
    VIGIE_RETURN_IF_ERROR(writer_.Flush(0));
    if (lines_.left_out > 0) {
      progress_.Warn(fmt::format(
          "{} samples left out, as OpenMetrics text knows neither native "
          "histograms nor staleness markers; the format jsonl has them",
          lines_.left_out));
    }
    return TransferOutcome{series_, lines_.written, lines_.left_out};
  }

 private:
  absl::Status ExportMetric(const std::string& metric, ByteAccount& account) {
    std::vector<std::vector<Matcher>> selectors = selectors_;
    if (selectors.empty()) selectors.emplace_back();
    // A series that several selectors match is written once.
    std::set<std::string> written;
    for (std::vector<Matcher>& matchers : selectors) {
      matchers.push_back(Matcher::Equal(kMetricName, metric));
      VIGIE_ASSIGN_OR_RETURN(
          const auto snapshot,
          store_.queryable().Select({tenant_, request_.range, matchers},
                                    {&account, progress_.stop}));
      for (const std::string& warning : snapshot->warnings()) {
        progress_.Warn(warning);
      }
      for (size_t i = 0; i < snapshot->size(); ++i) {
        const Labels& labels = snapshot->labels(i);
        if (selectors.size() > 1 && !written.insert(labels.bytes()).second) {
          continue;
        }
        VIGIE_RETURN_IF_ERROR(ExportSamples(labels, *snapshot->Samples(i)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ExportSamples(const Labels& labels,
                             store::SampleIterator& samples) {
    std::string text;
    json metric = json::object();
    if (as_json_) {
      for (const LabelView& label : labels) {
        metric[std::string(label.name)] = label.value;
      }
    } else {
      text = labels.ToString();
    }
    const uint64_t before = lines_.written;
    store::SampleBatch batch;
    while (true) {
      VIGIE_RETURN_IF_ERROR(progress_.Stopped());
      VIGIE_ASSIGN_OR_RETURN(const bool more, samples.Next(&batch));
      if (!more) break;
      if (as_json_) {
        AppendJsonLine(metric, batch, writer_.text(), &lines_);
      } else {
        AppendOpenMetrics(text, batch, writer_.text(), &lines_);
      }
      VIGIE_RETURN_IF_ERROR(writer_.Flush(kDataBytes));
    }
    if (lines_.written > before) ++series_;
    return absl::OkStatus();
  }

  store::Store& store_;
  const OperationRequest& request_;
  DataWriter writer_;
  const store::Progress& progress_;
  const bool as_json_;
  Tenant tenant_;
  std::vector<std::vector<Matcher>> selectors_;
  Lines lines_;
  uint64_t series_ = 0;
};

}  // namespace

absl::StatusOr<TransferOutcome> ImportPaths(store::Store& store,
                                            const OperationRequest& request,
                                            const store::Progress& progress) {
  TransferOutcome outcome;
  const Tenant tenant{request.tenant};
  for (const std::string& path : request.paths) {
    if (!std::filesystem::path(path).is_absolute()) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\": must be an absolute path", path));
    }
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      VIGIE_RETURN_IF_ERROR(
          ImportText(store, path, tenant, progress, &outcome));
      continue;
    }
    VIGIE_ASSIGN_OR_RETURN(const std::vector<std::string> blocks,
                           store::FindPrometheusBlocks(path));
    if (std::filesystem::exists(path + "/wal", error)) {
      progress.Warn(fmt::format(
          "{}: holds a log as well, whose samples are in no block yet and are "
          "not imported; Prometheus's snapshot API puts them into one",
          path));
    }
    for (const std::string& block : blocks) {
      VIGIE_RETURN_IF_ERROR(
          ImportBlock(store, block, tenant, progress, &outcome));
    }
  }
  return outcome;
}

absl::StatusOr<TransferOutcome> ExportSeries(store::Store& store,
                                             const OperationRequest& request,
                                             OperationSink& sink,
                                             const store::Progress& progress) {
  if (request.format != "openmetrics" && request.format != "jsonl") {
    return absl::InvalidArgumentError(fmt::format(
        "format \"{}\": must be openmetrics or jsonl", request.format));
  }
  return Exporter(store, request, sink, progress).Run();
}

}  // namespace vigie::server

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
#include "server/openmetrics_export.h"
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

// Exemplars and metadata, as from any other sender, once the samples are there.
absl::Status ImportNotes(store::Store& store, const std::string& path,
                         const Tenant& tenant, const store::Progress& progress,
                         TransferOutcome* outcome) {
  VIGIE_ASSIGN_OR_RETURN(const auto text,
                         OpenMetricsImport::Open(path, tenant));
  store::AppendBatch notes;
  uint64_t refused = 0;
  std::string example;
  while (true) {
    VIGIE_RETURN_IF_ERROR(progress.Stopped());
    VIGIE_ASSIGN_OR_RETURN(const bool more, text->NextNotes(&notes));
    if (!more) break;
    const store::AppendOutcome taken =
        store::AppendAndWait(store.appender(), std::move(notes));
    VIGIE_RETURN_IF_ERROR(Prefixed(path, taken.status));
    outcome->exemplars += taken.exemplars_accepted;
    outcome->metadata += taken.metadata_accepted;
    for (const store::Refusal& refusal : taken.refusals) {
      refused += refusal.count;
      if (example.empty()) example = refusal.example;
    }
    progress.Report("exemplars", text->bytes_read(), text->bytes_total(),
                    "bytes");
  }
  if (refused > 0) {
    progress.Warn(fmt::format("{}: {} exemplars or metadata refused, as {}",
                              path, refused, example));
  }
  return absl::OkStatus();
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
  VIGIE_RETURN_IF_ERROR(ImportFrom(store, *text, of_text, outcome));
  return ImportNotes(store, path, tenant, progress, outcome);
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
  uint64_t exemplars = 0;
  uint64_t exemplars_left_out = 0;
};

void AppendOpenMetrics(const store::SampleBatch& batch, SeriesLines* series,
                       std::string* out, Lines* lines) {
  if (batch.kind != store::SampleKind::kFloat) {
    lines->left_out += batch.times_ms.size();
    return;
  }
  for (size_t i = 0; i < batch.times_ms.size(); ++i) {
    if (IsStaleMarker(batch.values[i])) {
      ++lines->left_out;
      continue;
    }
    series->Add(batch.times_ms[i], batch.values[i], out);
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

json ObjectOf(const Labels& labels) {
  json out = json::object();
  for (const LabelView& label : labels) {
    out[std::string(label.name)] = label.value;
  }
  return out;
}

std::string LineOf(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
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
  *out += LineOf(line);
  lines->written += batch.times_ms.size();
}

std::string ExemplarsLine(const json& metric,
                          const std::vector<Exemplar>& exemplars) {
  json list = json::array();
  for (const Exemplar& one : exemplars) {
    list.push_back({{"labels", ObjectOf(one.labels)},
                    {"value", NumberOf(one.value)},
                    {"timestamp", one.time_ms}});
  }
  return LineOf({{"metric", metric}, {"exemplars", std::move(list)}});
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
    VIGIE_ASSIGN_OR_RETURN(std::vector<store::MetricMetadata> metadata,
                           store_.queryable().ListMetadata(
                               tenant_, "", {&account, progress_.stop}));
    if (as_json_ && selectors_.empty()) AppendJson(metadata);
    MetadataLines about(std::move(metadata));
    for (size_t i = 0; i < metrics.names.size(); ++i) {
      if (!as_json_) about.Before(metrics.names[i], writer_.text());
      VIGIE_RETURN_IF_ERROR(ExportMetric(metrics.names[i], account));
      progress_.Report("exporting", i + 1, metrics.names.size(), "metrics");
    }
    if (!as_json_) {
      if (selectors_.empty()) about.Rest(writer_.text());
      *writer_.text() += "# EOF\n";
    }
    VIGIE_RETURN_IF_ERROR(writer_.Flush(0));
    if (lines_.left_out > 0) {
      progress_.Warn(fmt::format(
          "{} samples left out, as OpenMetrics text knows neither native "
          "histograms nor staleness markers; the format jsonl has them",
          lines_.left_out));
    }
    if (lines_.exemplars_left_out > 0) {
      progress_.Warn(fmt::format(
          "{} exemplars left out, as OpenMetrics text has one a sample and "
          "their series have fewer; the format jsonl has them",
          lines_.exemplars_left_out));
    }
    if (about.units_left_out() > 0) {
      progress_.Warn(fmt::format(
          "{} units left out, as OpenMetrics text allows no blank in them",
          about.units_left_out()));
    }
    return TransferOutcome{series_, lines_.written, lines_.left_out,
                           lines_.exemplars};
  }

 private:
  void AppendJson(const std::vector<store::MetricMetadata>& all) {
    for (const store::MetricMetadata& one : all) {
      *writer_.text() += LineOf({{"metadata",
                                  {{"metric", one.metric},
                                   {"type", MetricTypeText(one.metadata.type)},
                                   {"help", one.metadata.help},
                                   {"unit", one.metadata.unit}}}});
    }
  }

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
      VIGIE_ASSIGN_OR_RETURN(
          std::vector<store::ExemplarSeries> traced,
          store_.queryable().Exemplars(tenant_, request_.range, {matchers},
                                       {&account, progress_.stop}));
      auto next = traced.begin();  // both are in order of labels
      for (size_t i = 0; i < snapshot->size(); ++i) {
        const Labels& labels = snapshot->labels(i);
        if (selectors.size() > 1 && !written.insert(labels.bytes()).second) {
          continue;
        }
        while (next != traced.end() && next->series < labels) {
          VIGIE_RETURN_IF_ERROR(ExportBare(*next++, &written));
        }
        std::vector<Exemplar> exemplars;
        if (next != traced.end() && next->series == labels) {
          exemplars = std::move(next++->exemplars);
        }
        VIGIE_RETURN_IF_ERROR(
            ExportSamples(labels, std::move(exemplars), *snapshot->Samples(i)));
      }
      while (next != traced.end()) {
        VIGIE_RETURN_IF_ERROR(ExportBare(*next++, &written));
      }
    }
    return absl::OkStatus();
  }

  // A series with exemplars and without samples in the range, unless another
  // selector had it.
  absl::Status ExportBare(const store::ExemplarSeries& one,
                          std::set<std::string>* written) {
    if (!written->insert(one.series.bytes()).second) return absl::OkStatus();
    if (as_json_) {
      *writer_.text() += ExemplarsLine(ObjectOf(one.series), one.exemplars);
      lines_.exemplars += one.exemplars.size();
    } else {
      lines_.exemplars_left_out += one.exemplars.size();
    }
    return writer_.Flush(kDataBytes);
  }

  absl::Status ExportSamples(const Labels& labels,
                             std::vector<Exemplar> exemplars,
                             store::SampleIterator& samples) {
    const json metric = as_json_ ? ObjectOf(labels) : json();
    if (as_json_ && !exemplars.empty()) {
      *writer_.text() += ExemplarsLine(metric, exemplars);
    }
    lines_.exemplars += exemplars.size();
    SeriesLines series(as_json_ ? "" : labels.ToString(), std::move(exemplars));
    const uint64_t before = lines_.written;
    store::SampleBatch batch;
    while (true) {
      VIGIE_RETURN_IF_ERROR(progress_.Stopped());
      VIGIE_ASSIGN_OR_RETURN(const bool more, samples.Next(&batch));
      if (!more) break;
      if (as_json_) {
        AppendJsonLine(metric, batch, writer_.text(), &lines_);
      } else {
        AppendOpenMetrics(batch, &series, writer_.text(), &lines_);
      }
      VIGIE_RETURN_IF_ERROR(writer_.Flush(kDataBytes));
    }
    if (!as_json_) {
      const uint64_t left = series.Finish(writer_.text());
      lines_.exemplars -= left;
      lines_.exemplars_left_out += left;
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

#include "server/result_json.h"

#include <fmt/format.h>

#include <numeric>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/strings.h"
#include "server/json.h"

namespace vigie::server {
namespace {

struct ErrorKind {
  std::string_view type;
  int http_status;
};

ErrorKind KindOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAlreadyExists:
      return {"bad_data", 400};
    case absl::StatusCode::kNotFound:
      return {"not_found", 404};
    // Not 501: clients take that for a refused method and ask again by GET.
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      return {"execution", 422};
    case absl::StatusCode::kCancelled:
      return {"canceled", 499};
    case absl::StatusCode::kDeadlineExceeded:
      return {"timeout", 503};
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return {"unavailable", 503};
    default:
      return {"internal", 500};
  }
}

HttpAnswer JsonAnswer(int status) {
  HttpAnswer answer;
  answer.status = status;
  answer.content_type = "application/json";
  return answer;
}

void AppendNotes(std::string_view name, const std::vector<std::string>& notes,
                 std::string* out) {
  if (notes.empty()) return;
  *out += fmt::format(",\"{}\":", name);
  AppendStrings(notes, out);
}

std::string_view ResultType(const query::Value& value) {
  struct Visitor {
    std::string_view operator()(const query::Scalar&) { return "scalar"; }
    std::string_view operator()(const query::String&) { return "string"; }
    std::string_view operator()(const query::Vector&) { return "vector"; }
    std::string_view operator()(const query::Matrix&) { return "matrix"; }
  };
  return std::visit(Visitor{}, value);
}

void AppendHistogramPoint(int64_t time_ms, const FloatHistogram& histogram,
                          std::string* out) {
  *out += '[';
  AppendTimestamp(time_ms, out);
  *out += ',';
  AppendHistogram(histogram, out);
  *out += ']';
}

void AppendSamplesPerStep(const query::QueryResult& result, std::string* out) {
  *out += "\"totalQueryableSamplesPerStep\":[";
  const char* comma = "";
  int64_t time_ms = result.start_ms;
  for (const int64_t samples : result.samples_per_step) {
    *out += comma;
    *out += '[';
    AppendTimestamp(time_ms, out);
    *out += fmt::format(",{}]", samples);
    time_ms += result.step_ms;
    comma = ",";
  }
  *out += "],";
}

void AppendPlan(const query::PlanNode& node, std::string* out) {
  if (node.text.empty()) {  // the query itself: its expression
    if (node.children.empty()) {
      *out += "null";
    } else {
      AppendPlan(node.children.front(), out);
    }
    return;
  }
  *out += "{\"expr\":";
  AppendJsonString(node.text, out);
  *out += fmt::format(
      ",\"kind\":\"{}\",\"steps\":{},\"timeSeconds\":", node.kind, node.steps);
  AppendFloatText(static_cast<double>(node.time_ns) / 1e9, out);
  *out += fmt::format(
      ",\"series\":{},\"samples\":{},\"seriesRead\":{},\"samplesRead\":{},"
      "\"bytesPeak\":{}",
      node.series, node.samples, node.series_read, node.samples_read,
      node.bytes_peak);
  if (node.once) *out += ",\"once\":true";
  if (node.part.has_value()) *out += fmt::format(",\"part\":{}", *node.part);
  if (node.reused) *out += ",\"reused\":true";
  if (!node.children.empty()) {
    const char* comma = ",\"children\":[";
    for (const query::PlanNode& child : node.children) {
      *out += comma;
      AppendPlan(child, out);
      comma = ",";
    }
    *out += ']';
  }
  *out += '}';
}

class ChargedSource final : public BodySource {
 public:
  ChargedSource(std::unique_ptr<BodySource> source, int64_t bytes,
                ByteAccount& account)
      : source_(std::move(source)), bytes_(bytes), account_(account) {}
  ~ChargedSource() override { account_.Release(bytes_); }
  bool Next(std::string* out) override { return source_->Next(out); }

 private:
  const std::unique_ptr<BodySource> source_;
  const int64_t bytes_;
  ByteAccount& account_;
};

}  // namespace

HttpAnswer SuccessAnswer(std::string data,
                         const std::vector<std::string>& warnings) {
  HttpAnswer answer = JsonAnswer(200);
  answer.body = "{\"status\":\"success\",\"data\":" + std::move(data);
  AppendNotes("warnings", warnings, &answer.body);
  answer.body += '}';
  return answer;
}

HttpAnswer ErrorAnswer(const absl::Status& error) {
  const ErrorKind kind = KindOf(error.code());
  HttpAnswer answer = JsonAnswer(kind.http_status);
  answer.body = fmt::format(
      "{{\"status\":\"error\",\"errorType\":\"{}\",\"error\":", kind.type);
  AppendJsonString(MessageOf(error), &answer.body);
  answer.body += '}';
  if (kind.type == "unavailable") {
    answer.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  }
  return answer;
}

absl::StatusOr<HttpAnswer> StreamAnswer(std::unique_ptr<BodySource> source,
                                        int64_t bytes, ByteAccount& account) {
  HttpAnswer answer = JsonAnswer(200);
  if (!source->Next(&answer.body)) return answer;
  if (absl::Status status = account.Charge(bytes); !status.ok()) {
    // Not this answer is too long: too many are on their way.
    return absl::ResourceExhaustedError(status.message());
  }
  answer.rest =
      std::make_unique<ChargedSource>(std::move(source), bytes, account);
  return answer;
}

int64_t BytesOf(const query::QueryResult& result) {
  size_t bytes = 0;
  const auto add = [&](const FloatHistogram& histogram) {
    bytes += sizeof histogram + 8 * (histogram.positive_buckets.size() +
                                     histogram.negative_buckets.size() +
                                     histogram.positive_spans.size() +
                                     histogram.negative_spans.size() +
                                     histogram.custom_values.size());
  };
  if (const auto* vector = std::get_if<query::Vector>(&result.value)) {
    for (const query::VectorElement& element : *vector) {
      bytes += sizeof element + element.labels.bytes().size();
      for (const FloatHistogram& histogram : element.histogram) add(histogram);
    }
  } else if (const auto* matrix = std::get_if<query::Matrix>(&result.value)) {
    for (const query::MatrixSeries& series : *matrix) {
      bytes += sizeof series + series.labels.bytes().size() +
               series.floats.size() * sizeof(Sample);
      for (const query::HistogramSample& point : series.histograms) {
        bytes += sizeof point.time_ms;
        add(point.histogram);
      }
    }
  }
  return static_cast<int64_t>(bytes);
}

int64_t BytesOf(const std::vector<std::string>& names) {
  size_t bytes = 0;
  for (const std::string& name : names) bytes += sizeof name + name.size();
  return static_cast<int64_t>(bytes);
}

int64_t BytesOf(const std::vector<Labels>& series) {
  size_t bytes = 0;
  for (const Labels& labels : series) {
    bytes += sizeof labels + labels.bytes().size();
  }
  return static_cast<int64_t>(bytes);
}

ListSource::ListSource(size_t items, AppendItem append,
                       std::vector<std::string> warnings)
    : items_(items),
      append_(std::move(append)),
      warnings_(std::move(warnings)) {}

bool ListSource::Next(std::string* out) {
  const size_t full = out->size() + kPieceBytes;
  if (!begun_) *out += "{\"status\":\"success\",\"data\":[";
  begun_ = true;
  for (; next_ < items_; ++next_) {
    if (out->size() >= full) return true;
    if (next_ > 0) *out += ',';
    append_(next_, out);
  }
  *out += ']';
  AppendNotes("warnings", warnings_, out);
  *out += '}';
  return false;
}

ResultSource::ResultSource(query::QueryResult result, StatsBlock stats)
    : result_(std::move(result)), stats_(stats) {}

void ResultSource::Begin(std::string* out) {
  *out += fmt::format(
      "{{\"status\":\"success\",\"data\":{{\"resultType\":\"{}\",\"result\":",
      ResultType(result_.value));
  if (const auto* scalar = std::get_if<query::Scalar>(&result_.value)) {
    AppendSample(scalar->sample, out);
  } else if (const auto* text = std::get_if<query::String>(&result_.value)) {
    *out += '[';
    AppendTimestamp(text->time_ms, out);
    *out += ',';
    AppendJsonString(text->value, out);
    *out += ']';
  } else {
    *out += '[';
    is_list_ = true;
  }
}

void ResultSource::End(std::string* out) {
  if (is_list_) *out += ']';
  if (stats_.wanted) {
    const auto seconds = [](int64_t ns) {
      std::string text;
      AppendFloatText(static_cast<double>(ns) / 1e9, &text);
      return text;
    };
    const query::QueryStats& stats = result_.stats;
    *out += fmt::format(
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{},\"resultSortTime\":{},"
        "\"queryPreparationTime\":{},\"innerEvalTime\":{},"
        "\"execQueueTime\":{},\"execTotalTime\":{}}},\"samples\":{{",
        seconds(stats.duration_ns), seconds(stats.sort_ns),
        seconds(stats.preparation_ns),
        seconds(stats.duration_ns - stats.preparation_ns - stats.sort_ns),
        seconds(stats_.queued_ns),
        seconds(stats_.queued_ns + stats.duration_ns));
    if (stats_.all) AppendSamplesPerStep(result_, out);
    *out +=
        fmt::format("\"totalQueryableSamples\":{},\"peakSamples\":{}}}",
                    std::accumulate(result_.samples_per_step.begin(),
                                    result_.samples_per_step.end(), int64_t{0}),
                    stats.samples_peak);
    if (stats_.all && result_.plan != nullptr) {
      *out += fmt::format(
          ",\"seriesRead\":{},\"samplesRead\":{},\"bytesPeak\":{},"
          "\"threadsMax\":{},\"plan\":",
          stats.series_read, stats.samples_read, stats.bytes_peak,
          stats.threads_max);
      AppendPlan(*result_.plan, out);
    }
    *out += '}';
  }
  *out += '}';
  AppendNotes("warnings", result_.warnings, out);
  AppendNotes("infos", result_.infos, out);
  *out += '}';
}

bool ResultSource::Next(std::string* out) {
  const size_t full = out->size() + kPieceBytes;
  if (!begun_) Begin(out);
  begun_ = true;
  bool more = false;
  if (const auto* vector = std::get_if<query::Vector>(&result_.value)) {
    more = NextOf(*vector, full, out);
  } else if (const auto* matrix = std::get_if<query::Matrix>(&result_.value)) {
    more = NextOf(*matrix, full, out);
  }
  if (!more) End(out);
  return more;
}

bool ResultSource::NextOf(const query::Vector& vector, size_t full,
                          std::string* out) {
  for (; element_ < vector.size(); ++element_) {
    if (out->size() >= full) return true;
    const query::VectorElement& element = vector[element_];
    *out += element_ > 0 ? ",{\"metric\":" : "{\"metric\":";
    AppendLabels(element.labels, out);
    if (element.histogram.empty()) {
      *out += ",\"value\":";
      AppendSample(element.sample, out);
    } else {
      *out += ",\"histogram\":";
      AppendHistogramPoint(element.sample.time_ms, element.histogram.front(),
                           out);
    }
    *out += '}';
  }
  return false;
}

bool ResultSource::NextOf(const query::Matrix& matrix, size_t full,
                          std::string* out) {
  for (; element_ < matrix.size(); ++element_) {
    const query::MatrixSeries& series = matrix[element_];
    if (float_ == 0 && histogram_ == 0) {
      if (out->size() >= full) return true;
      *out += element_ > 0 ? ",{\"metric\":" : "{\"metric\":";
      AppendLabels(series.labels, out);
      // A series without any sample still has its (empty) list.
      if (!series.floats.empty() || series.histograms.empty()) {
        *out += ",\"values\":[";
      }
    }
    for (; float_ < series.floats.size(); ++float_) {
      // Not before the first: that place is where the series begins.
      if (float_ > 0 && out->size() >= full) return true;
      if (float_ > 0) *out += ',';
      AppendSample(series.floats[float_], out);
    }
    for (; histogram_ < series.histograms.size(); ++histogram_) {
      if (histogram_ > 0 && out->size() >= full) return true;
      if (histogram_ > 0) {
        *out += ',';
      } else {
        *out +=
            series.floats.empty() ? ",\"histograms\":[" : "],\"histograms\":[";
      }
      const query::HistogramSample& point = series.histograms[histogram_];
      AppendHistogramPoint(point.time_ms, point.histogram, out);
    }
    *out += "]}";
    float_ = histogram_ = 0;
  }
  return false;
}

}  // namespace vigie::server

#include "canary/judge_json.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::canary {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

absl::Status Wrong(std::string_view path, std::string_view why) {
  return absl::InvalidArgumentError(
      path.empty() ? std::string(why) : fmt::format("{}: {}", path, why));
}

// Reads an object key by key; what was not asked for is unknown.
class ObjectReader {
 public:
  static absl::StatusOr<ObjectReader> Of(const json& value, std::string path) {
    if (!value.is_object()) return Wrong(path, "must be an object");
    return ObjectReader(value, std::move(path));
  }

  std::string PathOf(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  }
  // Null is as good as absent.
  const json* Find(const char* key) {
    known_.insert(key);
    const auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  absl::Status Read(const char* key, std::string* out) {
    const json* value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_string()) return Wrong(PathOf(key), "must be a string");
    *out = value->get<std::string>();
    return absl::OkStatus();
  }
  absl::Status Read(const char* key, double* out) {
    const json* value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_number()) return Wrong(PathOf(key), "must be a number");
    *out = value->get<double>();
    return absl::OkStatus();
  }
  absl::Status Read(const char* key, std::optional<double>* out) {
    if (Find(key) == nullptr) return absl::OkStatus();
    return Read(key, &out->emplace());
  }
  absl::Status Read(const char* key, int64_t* out) {
    const json* value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_number_integer()) {
      return Wrong(PathOf(key), "must be a whole number");
    }
    // Above the largest int64 it would come out negative.
    *out =
        value->is_number_unsigned() &&
                value->get<uint64_t>() >
                    static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
            ? std::numeric_limits<int64_t>::max()
            : value->get<int64_t>();
    return absl::OkStatus();
  }
  absl::Status Read(const char* key, bool* out) {
    const json* value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_boolean()) {
      return Wrong(PathOf(key), "must be true or false");
    }
    *out = value->get<bool>();
    return absl::OkStatus();
  }
  // After the last key was asked for.
  absl::Status Finish() const {
    for (const auto& [key, value] : object_.items()) {
      if (!known_.contains(key)) return Wrong(PathOf(key), "is not known");
    }
    return absl::OkStatus();
  }

 private:
  ObjectReader(const json& object, std::string path)
      : object_(object), path_(std::move(path)) {}

  const json& object_;
  std::string path_;
  std::set<std::string> known_;
};

// Seconds since the epoch, or RFC 3339.
absl::StatusOr<int64_t> ParseTime(const json& value, const std::string& path) {
  constexpr double kSecondsMax = 1e11;
  if (value.is_number()) {
    const double seconds = value.get<double>();
    if (!(std::abs(seconds) < kSecondsMax)) {
      return Wrong(path, "is no time that can be meant");
    }
    return static_cast<int64_t>(std::floor(seconds * 1000 + 0.5));
  }
  absl::Time time;
  std::string error;
  if (!value.is_string() ||
      !absl::ParseTime(absl::RFC3339_full, value.get<std::string>(), &time,
                       &error) ||
      time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
    return Wrong(path, "must be seconds since the epoch or RFC 3339");
  }
  return absl::ToUnixMillis(time);
}

absl::StatusOr<int64_t> ParseLength(const json& value,
                                    const std::string& path) {
  if (!value.is_string()) return Wrong(path, "must be a duration like \"10m\"");
  absl::StatusOr<int64_t> length = ParseDurationMs(value.get<std::string>());
  if (!length.ok()) return Prefixed(path, length.status());
  return length;
}

absl::StatusOr<WindowRequest> ParseWindow(const json& value,
                                          const std::string& path) {
  WindowRequest window;
  if (value.is_string()) {
    VIGIE_ASSIGN_OR_RETURN(window.duration_ms, ParseLength(value, path));
    return window;
  }
  VIGIE_ASSIGN_OR_RETURN(ObjectReader reader, ObjectReader::Of(value, path));
  if (const json* start = reader.Find("start")) {
    VIGIE_ASSIGN_OR_RETURN(window.start_ms,
                           ParseTime(*start, reader.PathOf("start")));
  }
  if (const json* end = reader.Find("end")) {
    VIGIE_ASSIGN_OR_RETURN(window.end_ms,
                           ParseTime(*end, reader.PathOf("end")));
  }
  if (const json* duration = reader.Find("duration")) {
    VIGIE_ASSIGN_OR_RETURN(window.duration_ms,
                           ParseLength(*duration, reader.PathOf("duration")));
  }
  VIGIE_RETURN_IF_ERROR(reader.Finish());
  return window;
}

absl::StatusOr<MetricRequest> ParseMetric(const json& value, size_t index) {
  const std::string path = fmt::format("metrics[{}]", index);
  VIGIE_ASSIGN_OR_RETURN(ObjectReader reader, ObjectReader::Of(value, path));
  MetricRequest metric;
  std::string kind;
  std::string direction;
  VIGIE_RETURN_IF_ERROR(reader.Read("kind", &kind));
  VIGIE_RETURN_IF_ERROR(reader.Read("direction", &direction));
  const std::optional<MetricKind> known_kind = ParseMetricKind(kind);
  if (!known_kind) {
    return Wrong(reader.PathOf("kind"),
                 "must be ratio, rate, latency or gauge");
  }
  metric.kind = *known_kind;
  const std::optional<Direction> known_direction = ParseDirection(direction);
  if (!known_direction) {
    return Wrong(reader.PathOf("direction"),
                 "must be increase, decrease or either: what is worse");
  }
  metric.direction = *known_direction;
  metric.name = index == 0 ? kind : fmt::format("{} {}", kind, index + 1);
  VIGIE_RETURN_IF_ERROR(reader.Read("name", &metric.name));
  for (const auto& [key, out] : {std::pair{"baseline", &metric.baseline},
                                 std::pair{"canary", &metric.canary}}) {
    VIGIE_RETURN_IF_ERROR(reader.Read(key, out));
    if (out->empty()) {
      return Wrong(reader.PathOf(key), "must be a series selector");
    }
  }
  VIGIE_RETURN_IF_ERROR(reader.Read("events", &metric.events));
  VIGIE_RETURN_IF_ERROR(reader.Read("tolerance", &metric.tolerance));
  VIGIE_RETURN_IF_ERROR(
      reader.Read("tolerance_absolute", &metric.tolerance_absolute));
  VIGIE_RETURN_IF_ERROR(reader.Read("detect", &metric.detect));
  VIGIE_RETURN_IF_ERROR(
      reader.Read("detect_absolute", &metric.detect_absolute));
  VIGIE_RETURN_IF_ERROR(reader.Read("quantile", &metric.quantile));
  VIGIE_RETURN_IF_ERROR(
      reader.Read("baseline_weight", &metric.baseline_weight));
  VIGIE_RETURN_IF_ERROR(reader.Read("canary_weight", &metric.canary_weight));
  VIGIE_RETURN_IF_ERROR(reader.Read("critical", &metric.critical));
  VIGIE_RETURN_IF_ERROR(reader.Finish());
  return metric;
}

// JSON that names no key twice; the library would keep the last.
absl::StatusOr<json> ParseJson(std::string_view text) {
  std::vector<std::set<std::string>> open;
  std::string repeated;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        open.emplace_back();
        break;
      case json::parse_event_t::object_end:
        open.pop_back();
        break;
      case json::parse_event_t::key:
        if (!open.back().insert(parsed.get<std::string>()).second &&
            repeated.empty()) {
          repeated = parsed.get<std::string>();
        }
        break;
      default:
        break;
    }
    return true;
  };
  try {
    json parsed = json::parse(text.begin(), text.end(), watch);
    if (!repeated.empty()) return Wrong(repeated, "is given twice");
    return parsed;
  } catch (const json::exception& error) {
    std::string_view what = error.what();
    if (const size_t end = what.find("] "); end != what.npos) {
      what.remove_prefix(end + 2);
    }
    return Wrong("request", what);
  }
}

std::string TimeText(int64_t time_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(time_ms),
                          absl::UTCTimeZone());
}

ordered_json ToJson(const Window& window) {
  return {{"start", TimeText(window.start_ms)},
          {"end", TimeText(window.end_ms)}};
}

ordered_json ToJson(const SideReport& side) {
  ordered_json out{{"selector", side.selector},
                   {"series", side.series},
                   {"samples", side.samples},
                   {"samples_skipped", side.samples_skipped},
                   {"resets", side.resets}};
  out["first"] = side.first_ms == 0 ? json() : json(TimeText(side.first_ms));
  out["last"] = side.last_ms == 0 ? json() : json(TimeText(side.last_ms));
  out["interval_seconds"] = side.interval_s;
  out["events"] = side.events;
  out["total"] = side.total;
  out["level"] = side.level;
  out["blocks"] = side.blocks;
  out["dispersion"] = side.dispersion;
  out["autocorrelation"] = side.autocorrelation;
  out["inflation"] = side.inflation;
  out["effective_n"] = side.effective_n;
  return out;
}

ordered_json ToJson(const MetricVerdict& metric) {
  ordered_json reasons = ordered_json::array();
  for (const Reason& reason : metric.reasons) {
    ordered_json one{{"code", NameOf(reason.code)}};
    if (!reason.side.empty()) one["side"] = reason.side;
    one["text"] = reason.text;
    if (!std::isnan(reason.needed)) {
      one["needed"] = reason.needed;
      one["needed_unit"] = reason.needed_unit;
    }
    reasons.push_back(std::move(one));
  }
  ordered_json tests = ordered_json::array();
  for (const TestReport& test : metric.tests) {
    tests.push_back({{"name", test.name},
                     {"statistic", test.statistic},
                     {"p_increase", test.p_increase},
                     {"p_decrease", test.p_decrease},
                     {"p_independent", test.p_independent}});
  }
  const EffectReport& effect = metric.effect;
  return {{"name", metric.name},
          {"kind", NameOf(metric.kind)},
          {"direction", NameOf(metric.direction)},
          {"critical", metric.critical},
          {"verdict", NameOf(metric.decision)},
          {"reasons", std::move(reasons)},
          {"p", metric.p},
          {"p_adjusted", metric.p_adjusted},
          {"effect",
           {{"of", effect.of},
            {"difference", effect.difference},
            {"relative", effect.relative},
            {"low", effect.low},
            {"high", effect.high},
            {"confidence", effect.confidence},
            {"tolerated", effect.tolerated},
            {"detectable", effect.detectable},
            {"to_detect", effect.to_detect}}},
          {"tests", std::move(tests)},
          {"baseline", ToJson(metric.baseline)},
          {"canary", ToJson(metric.canary)},
          {"notes", metric.notes}};
}

}  // namespace

absl::StatusOr<JudgeRequest> ParseJudgeRequest(std::string_view text) {
  if (text.size() > kRequestBytesMax) {
    return Wrong("request", fmt::format("{} bytes, the most is {}", text.size(),
                                        kRequestBytesMax));
  }
  VIGIE_ASSIGN_OR_RETURN(const json parsed, ParseJson(text));
  if (!parsed.is_object()) return Wrong("request", "must be an object");
  VIGIE_ASSIGN_OR_RETURN(ObjectReader reader, ObjectReader::Of(parsed, ""));
  JudgeRequest request;
  const json* window = reader.Find("window");
  if (window == nullptr) return Wrong("window", "is missing");
  VIGIE_ASSIGN_OR_RETURN(request.window, ParseWindow(*window, "window"));
  if (const json* baseline = reader.Find("baseline_window")) {
    VIGIE_ASSIGN_OR_RETURN(request.baseline_window,
                           ParseWindow(*baseline, "baseline_window"));
  }
  VIGIE_RETURN_IF_ERROR(reader.Read("alpha", &request.alpha));
  VIGIE_RETURN_IF_ERROR(reader.Read("looks", &request.looks));
  const json* metrics = reader.Find("metrics");
  if (metrics == nullptr || !metrics->is_array()) {
    return Wrong("metrics", "must be an array");
  }
  VIGIE_RETURN_IF_ERROR(reader.Finish());
  for (size_t i = 0; i < metrics->size(); ++i) {
    VIGIE_ASSIGN_OR_RETURN(MetricRequest metric, ParseMetric((*metrics)[i], i));
    request.metrics.push_back(std::move(metric));
  }
  return request;
}

std::string VerdictJson(const Verdict& verdict) {
  ordered_json metrics = ordered_json::array();
  for (const MetricVerdict& metric : verdict.metrics) {
    metrics.push_back(ToJson(metric));
  }
  const ordered_json out{{"verdict", NameOf(verdict.decision)},
                         {"summary", verdict.summary},
                         {"window", ToJson(verdict.windows.canary)},
                         {"baseline_window", ToJson(verdict.windows.baseline)},
                         {"alpha", verdict.alpha},
                         {"looks", verdict.looks},
                         {"alpha_look", verdict.alpha_look},
                         {"metrics", std::move(metrics)}};
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace vigie::canary

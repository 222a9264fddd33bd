// targets and status/*, of which active_queries is ours.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/openmetrics_export.h"
#include "server/parameters.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

// Clients compare it to learn which parts of the API there are.
constexpr std::string_view kPrometheusVersion = "3.5.0";

std::string AsObject(
    const std::vector<std::pair<std::string_view, std::string>>& fields) {
  std::string out = "{";
  for (const auto& [name, value] : fields) AppendJsonField(name, value, &out);
  return out + "}";
}

void AppendTarget(const collector::TargetStatus& target, std::string* out) {
  *out += "{\"discoveredLabels\":";
  AppendLabels(target.discovered_labels, out);
  *out += ",\"labels\":";
  AppendLabels(target.labels, out);
  AppendJsonField("scrapePool", target.scrape_pool, out);
  AppendJsonField("scrapeUrl", target.scrape_url, out);
  AppendJsonField("globalUrl", target.scrape_url, out);
  AppendJsonField("lastError", target.last_error, out);
  AppendJsonField("lastScrape",
                  target.last_scrape_ms == 0
                      ? std::string(kNeverTime)
                      : FormatRfc3339(target.last_scrape_ms),
                  out);
  *out += ",\"lastScrapeDuration\":";
  AppendFloatText(target.last_duration_s, out);
  AppendJsonField("health", target.health, out);
  AppendJsonField("scrapeInterval", FormatDurationMs(target.interval_ms), out);
  AppendJsonField("scrapeTimeout", FormatDurationMs(target.timeout_ms), out);
  *out += '}';
}

void AppendCounts(std::string_view name,
                  const std::vector<store::NamedCount>& counts,
                  std::string* out) {
  *out += fmt::format(",\"{}\":[", name);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (i > 0) *out += ',';
    *out += "{\"name\":";
    AppendJsonString(counts[i].name, out);
    *out += fmt::format(",\"value\":{}}}", counts[i].count);
  }
  *out += ']';
}

void AppendGrowth(std::string_view name,
                  const std::vector<store::GrownCount>& counts,
                  std::string* out) {
  *out += fmt::format(",\"{}\":[", name);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (i > 0) *out += ',';
    *out += "{\"name\":";
    AppendJsonString(counts[i].name, out);
    *out += fmt::format(",\"value\":{},\"before\":{}}}", counts[i].now,
                        counts[i].before);
  }
  *out += ']';
}

// Whether one of the sorted `names` is a series of the metric `family`.
bool HasFamily(const std::vector<std::string>& names,
               const std::string& family) {
  for (const std::string_view suffix :
       {"", "_total", "_bucket", "_count", "_sum", "_info", "_created"}) {
    if (std::binary_search(names.begin(), names.end(),
                           family + std::string(suffix))) {
      return true;
    }
  }
  return false;
}

}  // namespace

ApiV1::Answer ApiV1::Targets(const HttpRequest&, const Form& form) {
  const std::string_view state = form.Get("state");
  const std::string_view pool = form.Get("scrapePool");
  const bool active = state.empty() || state == "any" || state == "active";
  std::string data = "{\"activeTargets\":[";
  bool first = true;
  for (const collector::TargetStatus& target :
       active ? dependencies_.scraper.Targets()
              : std::vector<collector::TargetStatus>()) {
    if (!pool.empty() && target.scrape_pool != pool) continue;
    if (!first) data += ',';
    first = false;
    AppendTarget(target, &data);
  }
  data += "],\"droppedTargets\":[],\"droppedTargetCounts\":{}}";
  return SuccessAnswer(std::move(data));
}

// A target's metrics are those of the series that carry its job and instance;
// what is told about a metric is the same for all of them.
ApiV1::Answer ApiV1::TargetsMetadata(const HttpRequest& request,
                                     const Form& form) {
  int64_t limit = -1;
  if (const std::string_view text = form.Get("limit");
      !text.empty() && !absl::SimpleAtoi(ToAbsl(text), &limit)) {
    return absl::InvalidArgumentError("limit must be a number");
  }
  std::vector<Matcher> matchers;
  if (const std::string_view text = form.Get("match_target"); !text.empty()) {
    auto parsed = query::ParseMatchers(text);
    if (!parsed.ok()) return InvalidParameter("match_target", parsed.status());
    matchers = *std::move(parsed);
  }
  const std::string_view metric = form.Get("metric");
  ByteAccount account("target metadata", kListingBytesMax, &listings_);
  const store::ReadContext read{&account, request.stop};
  VIGIE_ASSIGN_OR_RETURN(
      const std::vector<store::MetricMetadata> metadata,
      dependencies_.queryable.ListMetadata(Tenant{}, metric, read));
  const int64_t now_ms = dependencies_.clock.NowMs();
  std::string data = "[";
  int64_t listed = 0;
  for (const collector::TargetStatus& target :
       dependencies_.scraper.Targets()) {
    if (limit >= 0 && listed >= limit) break;
    if (!MatchesAll(matchers, target.labels)) continue;
    std::vector<Matcher> of_target;
    for (const std::string_view name : {"job", "instance"}) {
      of_target.push_back(Matcher::Equal(name, target.labels.Get(name)));
    }
    VIGIE_ASSIGN_OR_RETURN(
        const store::NameList names,
        dependencies_.queryable.LabelValues(
            Tenant{}, kMetricName, {now_ms - dependencies_.lookback_ms, now_ms},
            {of_target}, 0, read));
    for (const store::MetricMetadata& one : metadata) {
      if (!HasFamily(names.names, one.metric)) continue;
      ++listed;
      data += data.back() == '[' ? "{\"target\":" : ",{\"target\":";
      AppendLabels(target.labels, &data);
      if (metric.empty()) AppendJsonField("metric", one.metric, &data);
      AppendJsonField("type", MetricTypeText(one.metadata.type), &data);
      AppendJsonField("help", one.metadata.help, &data);
      AppendJsonField("unit", one.metadata.unit, &data);
      data += '}';
    }
  }
  return SuccessAnswer(std::move(data) + "]");
}

ApiV1::Answer ApiV1::ScrapePools(const HttpRequest&, const Form&) {
  std::vector<std::string> pools;
  for (const collector::TargetStatus& target :
       dependencies_.scraper.Targets()) {
    pools.push_back(target.scrape_pool);
  }
  std::sort(pools.begin(), pools.end());
  pools.erase(std::unique(pools.begin(), pools.end()), pools.end());
  std::string data = "{\"scrapePools\":";
  AppendStrings(pools, &data);
  return SuccessAnswer(std::move(data) + "}");
}

ApiV1::Answer ApiV1::Alertmanagers(const HttpRequest&, const Form&) {
  return SuccessAnswer(
      "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

ApiV1::Answer ApiV1::BuildInfo(const HttpRequest&, const Form&) {
  // No `features`: Grafana takes any for Mimir's.
  return SuccessAnswer(AsObject({{"version", std::string(kPrometheusVersion)},
                                 {"revision", "vigie-" + dependencies_.version},
                                 {"branch", "vigie"},
                                 {"buildUser", ""},
                                 {"buildDate", ""},
                                 {"goVersion", ""}}));
}

ApiV1::Answer ApiV1::Config(const HttpRequest&, const Form&) {
  return SuccessAnswer(
      AsObject({{"yaml", dependencies_.config_text ? dependencies_.config_text()
                                                   : ""}}));
}

ApiV1::Answer ApiV1::Flags(const HttpRequest&, const Form&) {
  return SuccessAnswer(AsObject(
      {{"query.max-concurrency",
        fmt::format("{}", options_.concurrent_queries_max)},
       {"web.max-connections", fmt::format("{}", options_.connections_max)},
       {"web.read-timeout",
        FormatDurationMs(absl::ToInt64Milliseconds(options_.idle_timeout))}}));
}

ApiV1::Answer ApiV1::RuntimeInfo(const HttpRequest&, const Form&) {
  char directory[4096] = "";
  char host[256] = "";
  if (getcwd(directory, sizeof directory) == nullptr) directory[0] = '\0';
  if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  std::string data =
      AsObject({{"startTime", FormatRfc3339(started_ms_)},
                {"CWD", directory},
                {"hostname", host},
                {"serverTime", FormatRfc3339(dependencies_.clock.NowMs())},
                {"storageRetention",
                 dependencies_.retention_ms == 0
                     ? "0s"
                     : FormatDurationMs(dependencies_.retention_ms)}});
  if (dependencies_.reload_state) {
    const ReloadState state = dependencies_.reload_state();
    data.pop_back();
    data += fmt::format(",\"reloadConfigSuccess\":{}", state.successful);
    AppendJsonField("lastConfigTime", FormatRfc3339(state.time_ms), &data);
    data += '}';
  }
  return SuccessAnswer(std::move(data));
}

ApiV1::Answer ApiV1::TsdbStatus(const HttpRequest& request, const Form& form) {
  uint64_t limit = 10;
  if (const std::string_view text = form.Get("limit"); !text.empty()) {
    absl::StatusOr<uint64_t> parsed = ParseLimit(text);
    if (!parsed.ok() || *parsed == 0) {
      return absl::InvalidArgumentError("limit must be a positive number");
    }
    limit = *parsed;
  }
  ByteAccount account("cardinality", kListingBytesMax, &listings_);
  VIGIE_ASSIGN_OR_RETURN(const store::Cardinality found,
                         dependencies_.queryable.CountCardinality(
                             Tenant{}, limit, {&account, request.stop}));
  std::string data =
      fmt::format("{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":{}}}",
                  found.series, found.label_pairs);
  AppendCounts("seriesCountByMetricName", found.series_by_metric, &data);
  AppendCounts("labelValueCountByLabelName", found.values_by_label, &data);
  AppendCounts("memoryInBytesByLabelName", {}, &data);
  AppendCounts("seriesCountByLabelValuePair", found.series_by_pair, &data);
  // Beyond Prometheus: the newest day against the one before it.
  data += fmt::format(
      ",\"growth\":{{\"day\":\"{}\",\"numSeries\":{},"
      "\"numSeriesDayBefore\":{}",
      FormatRfc3339(found.day_ms), found.series_that_day,
      found.series_the_day_before);
  AppendGrowth("seriesCountByMetricName", found.grown_metrics, &data);
  AppendGrowth("labelValueCountByLabelName", found.grown_labels, &data);
  AppendGrowth("seriesCountByLabelValuePair", found.grown_pairs, &data);
  data += '}';
  return SuccessAnswer(std::move(data) + "}");
}

// The log is read before the port opens: nothing is left to wait for.
ApiV1::Answer ApiV1::WalReplay(const HttpRequest&, const Form&) {
  return SuccessAnswer("{\"min\":0,\"max\":0,\"current\":0}");
}

// Of the TSDB's kind there are none; `vigie store inspect` shows ours.
ApiV1::Answer ApiV1::TsdbBlocks(const HttpRequest&, const Form&) {
  return SuccessAnswer("{\"blocks\":[]}");
}

ApiV1::Answer ApiV1::ActiveQueries(const HttpRequest&, const Form&) {
  std::string data = "{\"queries\":[";
  bool first = true;
  for (const query::RunningQuery& query :
       dependencies_.engine.running().List()) {
    data += fmt::format("{}{{\"id\":{},\"query\":", first ? "" : ",", query.id);
    first = false;
    AppendJsonString(query.query, &data);
    AppendJsonField("tenant", query.tenant.name, &data);
    data += ",\"start\":";
    AppendTimestamp(query.start_ms, &data);
    data += ",\"end\":";
    AppendTimestamp(query.end_ms, &data);
    data +=
        fmt::format(",\"stepSeconds\":{},\"durationSeconds\":{},\"bytes\":{}",
                    static_cast<double>(query.step_ms) / 1000,
                    static_cast<double>(query.duration_ns) / 1e9, query.bytes);
    AppendJsonField("startedAt", FormatRfc3339(query.begun_ms), &data);
    data += '}';
  }
  return SuccessAnswer(data + "]}");
}

}  // namespace vigie::server

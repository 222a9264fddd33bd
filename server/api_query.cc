// query, query_range, query_exemplars.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/ast.h"
#include "query/parser/limit.h"
#include "query/parser/parser.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

// What query and query_range have in common.
struct QueryParameters {
  uint64_t limit = 0;
  std::optional<int64_t> timeout_ms;
  std::optional<int64_t> lookback_ms;
  StatsBlock stats;
};

absl::StatusOr<std::optional<int64_t>> ReadDuration(const Form& form,
                                                    std::string_view name) {
  const std::string_view text = form.Get(name);
  if (text.empty()) return std::optional<int64_t>();
  absl::StatusOr<int64_t> duration_ms = ParseDurationParamMs(text);
  if (duration_ms.ok() && *duration_ms <= 0) {
    duration_ms = absl::InvalidArgumentError("must be positive");
  }
  if (!duration_ms.ok()) return InvalidParameter(name, duration_ms.status());
  return std::optional<int64_t>(*duration_ms);
}

// As VictoriaMetrics takes its switches.
bool IsTrue(std::string_view text) {
  return !text.empty() && text != "0" && text != "f" && text != "false" &&
         text != "no";
}

absl::StatusOr<QueryParameters> ReadQueryParameters(const HttpRequest& request,
                                                    const Form& form,
                                                    const Clock& clock) {
  QueryParameters parameters;
  absl::StatusOr<uint64_t> limit = ParseLimit(form.Get("limit"));
  if (!limit.ok()) return InvalidParameter("limit", limit.status());
  parameters.limit = *limit;
  VIGIE_ASSIGN_OR_RETURN(parameters.timeout_ms, ReadDuration(form, "timeout"));
  VIGIE_ASSIGN_OR_RETURN(parameters.lookback_ms,
                         ReadDuration(form, "lookback_delta"));
  parameters.stats.wanted = !form.Get("stats").empty();
  parameters.stats.all = form.Get("stats") == "all";
  parameters.stats.queued_ns = clock.MonotonicNs() - request.arrival_ns;
  // A client's patience includes the time in the queue.
  if (parameters.timeout_ms) {
    *parameters.timeout_ms -= parameters.stats.queued_ns / 1'000'000;
    if (*parameters.timeout_ms <= 0) {
      return absl::DeadlineExceededError("query timed out in query queue");
    }
  }
  return parameters;
}

// Cuts a vector or matrix to `limit` series and says so.
void Truncate(uint64_t limit, query::QueryResult* result) {
  const auto cut = [&](auto& series) {
    if (limit == 0 || series.size() <= limit) return;
    series.erase(series.begin() + static_cast<int64_t>(limit), series.end());
    result->warnings.emplace_back(kTruncatedWarning);
  };
  if (auto* vector = std::get_if<query::Vector>(&result->value)) cut(*vector);
  if (auto* matrix = std::get_if<query::Matrix>(&result->value)) cut(*matrix);
}

absl::StatusOr<HttpAnswer> AnswerQuery(
    absl::StatusOr<query::QueryResult> result,
    const QueryParameters& parameters, ByteAccount& results) {
  if (!result.ok()) {
    // What is wrong with the text is said of the parameter.
    return result.status().code() == absl::StatusCode::kInvalidArgument &&
                   query::LimitOf(result.status()) != query::Limit::kPoints
               ? InvalidParameter("query", result.status())
               : result.status();
  }
  if (auto* matrix = std::get_if<query::Matrix>(&result->value)) {
    const auto by_labels = [](const query::MatrixSeries& a,
                              const query::MatrixSeries& b) {
      return a.labels < b.labels;
    };
    if (!std::is_sorted(matrix->begin(), matrix->end(), by_labels)) {
      std::sort(matrix->begin(), matrix->end(), by_labels);
    }
  }
  Truncate(parameters.limit, &*result);
  const int64_t bytes = BytesOf(*result);
  return StreamAnswer(
      std::make_unique<ResultSource>(*std::move(result), parameters.stats),
      bytes, results);
}

// The matchers of every selector in the expression.
void CollectSelectors(const query::Expr& expr,
                      std::vector<std::vector<Matcher>>* selectors) {
  using Kind = query::Expr::Kind;
  switch (expr.kind) {
    case Kind::kVectorSelector:
      selectors->push_back(expr.As<query::VectorSelector>().matchers);
      return;
    case Kind::kMatrixSelector:
      CollectSelectors(*expr.As<query::MatrixSelector>().vector, selectors);
      return;
    case Kind::kSubquery:
      CollectSelectors(*expr.As<query::SubqueryExpr>().expr, selectors);
      return;
    case Kind::kUnary:
      CollectSelectors(*expr.As<query::UnaryExpr>().expr, selectors);
      return;
    case Kind::kParen:
      CollectSelectors(*expr.As<query::ParenExpr>().expr, selectors);
      return;
    case Kind::kBinary:
      CollectSelectors(*expr.As<query::BinaryExpr>().lhs, selectors);
      CollectSelectors(*expr.As<query::BinaryExpr>().rhs, selectors);
      return;
    case Kind::kAggregate: {
      const auto& aggregate = expr.As<query::AggregateExpr>();
      if (aggregate.param) CollectSelectors(*aggregate.param, selectors);
      CollectSelectors(*aggregate.expr, selectors);
      return;
    }
    case Kind::kCall:
      for (const auto& arg : expr.As<query::CallExpr>().args) {
        CollectSelectors(*arg, selectors);
      }
      return;
    case Kind::kNumber:
    case Kind::kString:
    case Kind::kDuration:
      return;
  }
}

void AppendExemplars(const store::ExemplarSeries& series, std::string* out) {
  *out += "{\"seriesLabels\":";
  AppendLabels(series.series, out);
  *out += ",\"exemplars\":[";
  bool first = true;
  for (const Exemplar& exemplar : series.exemplars) {
    *out += first ? "{\"labels\":" : ",{\"labels\":";
    first = false;
    AppendLabels(exemplar.labels, out);
    *out += ",\"value\":\"";
    AppendFloatText(exemplar.value, out);
    *out += "\",\"timestamp\":";
    AppendTimestamp(exemplar.time_ms, out);
    *out += '}';
  }
  *out += "]}";
}

}  // namespace

ApiV1::Answer ApiV1::Query(const HttpRequest& request, const Form& form) {
  query::InstantQuery query;
  query.query = std::string(form.Get("query"));
  query.time_ms = dependencies_.clock.NowMs();
  if (const std::string_view time = form.Get("time"); !time.empty()) {
    absl::StatusOr<int64_t> time_ms = ParseTimeMs(time);
    if (!time_ms.ok()) {
      return InvalidParameter(
          "time", Prefixed("Invalid time value for 'time'", time_ms.status()));
    }
    query.time_ms = *time_ms;
  }
  VIGIE_ASSIGN_OR_RETURN(
      const QueryParameters parameters,
      ReadQueryParameters(request, form, dependencies_.clock));
  query.lookback_ms = parameters.lookback_ms;
  query.timeout_ms = parameters.timeout_ms;
  query.stop = request.stop;
  query.explain = parameters.stats.wanted;
  return AnswerQuery(dependencies_.engine.Run(query), parameters, results_);
}

ApiV1::Answer ApiV1::QueryRange(const HttpRequest& request, const Form& form) {
  query::RangeQuery query;
  query.query = std::string(form.Get("query"));
  const auto read = [&](std::string_view name, auto parse, int64_t* value) {
    absl::StatusOr<int64_t> parsed = parse(form.Get(name));
    if (!parsed.ok()) return InvalidParameter(name, parsed.status());
    *value = *parsed;
    return absl::OkStatus();
  };
  VIGIE_RETURN_IF_ERROR(read("start", ParseTimeMs, &query.start_ms));
  VIGIE_RETURN_IF_ERROR(read("end", ParseTimeMs, &query.end_ms));
  if (query.end_ms < query.start_ms) {
    return InvalidParameter("end",
                            absl::InvalidArgumentError(
                                "end timestamp must not be before start time"));
  }
  VIGIE_RETURN_IF_ERROR(read("step", ParseDurationParamMs, &query.step_ms));
  if (query.step_ms <= 0) {
    return InvalidParameter(
        "step", absl::InvalidArgumentError(
                    "zero or negative query resolution step widths are not "
                    "accepted. Try a positive integer"));
  }
  VIGIE_ASSIGN_OR_RETURN(
      const QueryParameters parameters,
      ReadQueryParameters(request, form, dependencies_.clock));
  query.lookback_ms = parameters.lookback_ms;
  query.timeout_ms = parameters.timeout_ms;
  query.stop = request.stop;
  query.explain = parameters.stats.wanted;
  query.nocache = IsTrue(form.Get("nocache"));
  return AnswerQuery(dependencies_.engine.Run(query), parameters, results_);
}

ApiV1::Answer ApiV1::QueryExemplars(const HttpRequest& request,
                                    const Form& form) {
  TimeRange range;
  VIGIE_ASSIGN_OR_RETURN(range, ReadTimeRange(form));
  if (range.empty()) {
    return absl::InvalidArgumentError(
        "end timestamp must not be before start timestamp");
  }
  VIGIE_ASSIGN_OR_RETURN(
      const query::ExprPtr expr,
      query::ParseExpr(form.Get("query"),
                       dependencies_.engine.options().ForParser()));
  std::vector<std::vector<Matcher>> selectors;
  CollectSelectors(*expr, &selectors);
  if (selectors.empty()) return SuccessAnswer("[]");
  ByteAccount account("exemplars", kListingBytesMax, &listings_);
  VIGIE_ASSIGN_OR_RETURN(
      std::vector<store::ExemplarSeries> found,
      dependencies_.queryable.Exemplars(Tenant{}, range, selectors,
                                        {&account, request.stop}));
  const size_t size = found.size();
  int64_t bytes = 0;
  for (const store::ExemplarSeries& series : found) {
    bytes += static_cast<int64_t>(series.series.bytes().size() + sizeof series +
                                  series.exemplars.size() * sizeof(Exemplar));
    for (const Exemplar& exemplar : series.exemplars) {
      bytes += static_cast<int64_t>(exemplar.labels.bytes().size());
    }
  }
  return StreamAnswer(
      std::make_unique<ListSource>(
          size,
          [found = std::move(found)](size_t i, std::string* out) {
            AppendExemplars(found[i], out);
          },
          std::vector<std::string>()),
      bytes, results_);
}

}  // namespace vigie::server

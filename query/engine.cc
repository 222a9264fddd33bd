#include "query/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/freed_memory.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/task_pool.h"
#include "query/context.h"
#include "query/evaluator.h"
#include "query/explain.h"
#include "query/parser/parser.h"
#include "query/plan.h"
#include "query/query_metrics.h"
#include "query/range_answer.h"
#include "query/reach.h"
#include "query/result_cache.h"

namespace vigie::query {
namespace {

constexpr size_t kLoggedQueryBytesMax = 4096;
// A part that stands in a query twice is kept until its last use if it is
// short, in bytes and against the budget; else it is evaluated again.
constexpr int64_t kSharedBytesMax = 64 << 20;
constexpr int64_t kSharedOfBudget = 8;

absl::Status CheckTime(std::string_view what, int64_t time_ms) {
  if (time_ms >= -kTimeMaxMs && time_ms <= kTimeMaxMs) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} is out of range: {} ms", what, time_ms));
}

bool IsForRules(const EngineOptions& options) {
  return options.budget == "rules";
}

bool Contains(absl::string_view text, const std::string& part) {
  return text.find(part) != absl::string_view::npos;
}

// 11000 is "11,000".
std::string WithThousands(int64_t number) {
  if (number < 1'000) return fmt::format("{}", number);
  return fmt::format("{},{:03}", WithThousands(number / 1'000), number % 1'000);
}

// Names marked for removal go; what is left must be told apart.
absl::StatusOr<std::vector<StepSeries>> DropMarkedNames(
    QueryContext* context, std::vector<StepSeries> series) {
  for (StepSeries& one : series) {
    if (!one.drop_name) continue;
    one.labels = WithoutMetadata(one.labels);
    one.drop_name = false;
  }
  return MergeEqualLabels(context, std::move(series));
}

absl::StatusOr<Vector> VectorOf(QueryContext* context,
                                std::vector<StepSeries> series, int64_t time_ms,
                                Charge* charge) {
  VIGIE_ASSIGN_OR_RETURN(series, DropMarkedNames(context, std::move(series)));
  Vector vector;
  for (StepSeries& one : series) {
    if (!one.present(0)) continue;
    VIGIE_RETURN_IF_ERROR(ChargeResult(charge, one.labels, 1));
    VectorElement& element = vector.emplace_back();
    element.labels = std::move(one.labels);
    element.sample.time_ms = time_ms;
    if (one.cell(0) == Cell::kHistogram) {
      element.histogram.push_back(*one.histogram(0));
    } else {
      element.sample.value = one.value(0);
    }
    one = StepSeries();  // its cell goes as the answer grows
  }
  return vector;
}

void SortByLabels(Matrix* matrix) {
  std::sort(matrix->begin(), matrix->end(),
            [](const MatrixSeries& a, const MatrixSeries& b) {
              return a.labels < b.labels;
            });
}

absl::StatusOr<Matrix> MatrixOf(QueryContext* context,
                                std::vector<StepSeries> series,
                                const Steps& steps, Charge* charge) {
  VIGIE_ASSIGN_OR_RETURN(series, DropMarkedNames(context, std::move(series)));
  Matrix matrix;
  for (StepSeries& one : series) {
    int64_t samples = 0;
    for (int64_t step = 0; step < one.steps(); ++step) {
      VIGIE_RETURN_IF_ERROR(context->CheckNowAndThen());
      samples += one.present(step) ? 1 : 0;
    }
    if (samples == 0) continue;
    VIGIE_RETURN_IF_ERROR(ChargeResult(charge, one.labels, samples));
    MatrixSeries& out = matrix.emplace_back();
    out.floats.reserve(static_cast<size_t>(samples));
    for (int64_t step = 0; step < one.steps(); ++step) {
      if (one.cell(step) == Cell::kFloat) {
        out.floats.push_back({steps.At(step), one.value(step)});
      } else if (one.cell(step) == Cell::kHistogram) {
        out.histograms.push_back({steps.At(step), *one.histogram(step)});
      }
    }
    out.labels = std::move(one.labels);
    one = StepSeries();  // its cells go as the answer grows
  }
  const int64_t begun_ns = context->clock.MonotonicNs();
  SortByLabels(&matrix);
  context->stats.sort_ns = context->clock.MonotonicNs() - begun_ns;
  return matrix;
}

// The samples of a range selector or subquery, as an instant query shows them.
absl::StatusOr<Matrix> MatrixOfRuns(std::unique_ptr<RunStream> runs,
                                    const Window& window, Charge* charge) {
  Matrix matrix;
  SampleRun run;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, runs->Next(&run));
    if (!more) break;
    const auto inside = [&](int64_t time_ms) {
      return time_ms > window.start_ms && time_ms <= window.end_ms;
    };
    VIGIE_RETURN_IF_ERROR(ChargeResult(
        charge, run.labels,
        static_cast<int64_t>(run.times().size() + run.histograms().size())));
    MatrixSeries series;
    series.labels = run.drop_name ? WithoutMetadata(run.labels) : run.labels;
    for (size_t i = 0; i < run.times().size(); ++i) {
      if (!inside(run.times()[i])) continue;
      series.floats.push_back({run.times()[i], run.values()[i]});
    }
    for (size_t i = 0; i < run.histograms().size(); ++i) {
      if (!inside(run.histogram_times()[i])) continue;
      VIGIE_RETURN_IF_ERROR(charge->Add(BytesOf(*run.histograms()[i])));
      series.histograms.push_back(
          {run.histogram_times()[i], *run.histograms()[i]});
    }
    if (series.floats.empty() && series.histograms.empty()) continue;
    matrix.push_back(std::move(series));
  }
  SortByLabels(&matrix);
  for (size_t i = 1; i < matrix.size(); ++i) {
    if (matrix[i].labels == matrix[i - 1].labels) return SameLabelsetError();
  }
  return matrix;
}

absl::StatusOr<Matrix> RangeSelectorResult(Evaluator* evaluator,
                                           const Expr& expr, const Steps& steps,
                                           Charge* charge) {
  const Expr& inner = WithoutParens(expr);
  Window window;
  if (inner.kind == Expr::Kind::kMatrixSelector) {
    const auto& matrix = inner.As<MatrixSelector>();
    window =
        WindowBounds(matrix.vector->shift, matrix.range_ms, steps.start_ms);
  } else {
    const auto& subquery = inner.As<SubqueryExpr>();
    window = WindowBounds(subquery.shift, subquery.range_ms, steps.start_ms);
  }
  VIGIE_ASSIGN_OR_RETURN(auto runs, evaluator->Range(expr, steps));
  return MatrixOfRuns(std::move(runs), window, charge);
}

absl::StatusOr<Value> Evaluate(QueryContext* context, const Expr& expr,
                               Evaluator& evaluator) {
  const Steps& steps = context->top;
  const bool instant = context->top_step_ms == 0;
  Charge charge(&context->account);
  switch (expr.type) {
    case ValueType::kString:
      if (instant) {
        return String{steps.start_ms,
                      WithoutParens(expr).As<StringLiteral>().value};
      }
      break;
    case ValueType::kMatrix:
      if (instant) {
        VIGIE_ASSIGN_OR_RETURN(
            Matrix matrix,
            RangeSelectorResult(&evaluator, expr, steps, &charge));
        if (context->step_samples != nullptr) {
          for (const MatrixSeries& series : matrix) {
            context->step_samples->Add(
                0, static_cast<int64_t>(series.floats.size() +
                                        series.histograms.size()));
          }
        }
        return matrix;
      }
      break;
    case ValueType::kScalar: {
      VIGIE_ASSIGN_OR_RETURN(ScalarColumn column,
                             evaluator.Scalar(expr, steps));
      if (instant) {
        return Scalar{{steps.start_ms, column.At(0)}};
      }
      VIGIE_RETURN_IF_ERROR(ChargeResult(&charge, Labels(), steps.count));
      Matrix matrix(1);
      for (int64_t step = 0; step < steps.count; ++step) {
        matrix[0].floats.push_back({steps.At(step), column.At(step)});
      }
      return matrix;
    }
    case ValueType::kVector: {
      VIGIE_ASSIGN_OR_RETURN(auto series, evaluator.Collect(expr, steps));
      if (instant) {
        return VectorOf(context, std::move(series), steps.start_ms, &charge);
      }
      return MatrixOf(context, std::move(series), steps, &charge);
    }
    case ValueType::kNone:
      return absl::InternalError("an expression without a type");
  }
  return absl::InvalidArgumentError(
      fmt::format("invalid expression type \"{}\" for range query, must be "
                  "Scalar or instant Vector",
                  ValueTypeName(expr.type)));
}

// The account of a query, made before whatever is charged to it, so that all
// of that is gone when this ends.
struct QueryBytes {
  QueryBytes(const std::string& name, int64_t bytes_max, ByteAccount* process)
      : account(std::make_unique<ByteAccount>(name, bytes_max, process)) {}
  ~QueryBytes() { AddFreedMemory(account->bytes_peak()); }
  QueryBytes(const QueryBytes&) = delete;
  QueryBytes& operator=(const QueryBytes&) = delete;

  const std::unique_ptr<ByteAccount> account;
};

}  // namespace

struct Engine::Request {
  const Tenant& tenant;
  std::string_view query;
  Steps steps;
  int64_t end_ms = 0;
  bool instant = false;
  std::optional<int64_t> lookback_ms;
  std::optional<int64_t> timeout_ms;
  std::stop_token stop;
  bool explain = false;
  bool from_cache = false;
};

absl::StatusOr<QueryResult> Engine::RunRequest(const Request& request) const {
  const int64_t begun_ns = clock_.MonotonicNs();
  const QueryBytes of_query(account_name_, options_.query_bytes_max,
                            process_account_.get());
  ByteAccount& bytes = *of_query.account;
  QueryAccount account(&bytes, options_.query_samples_max);
  QueryContext context(queryable_, clock_, options_, &account);
  context.pool = pool_.get();
  context.helpers = static_cast<size_t>(options_.threads - 1);
  context.tenant = request.tenant;
  context.query = request.query;
  context.lookback_ms = request.lookback_ms.value_or(options_.lookback_ms);
  if (context.lookback_ms <= 0) context.lookback_ms = options_.lookback_ms;
  int64_t timeout_ms = options_.timeout_ms;
  if (request.timeout_ms.has_value()) {
    timeout_ms = std::clamp<int64_t>(*request.timeout_ms, 0, timeout_ms);
  }
  context.deadline_ns = SaturatingAdd(
      begun_ns, std::min(timeout_ms, kTimeMaxMs / 1'000'000) * 1'000'000);
  context.stop = request.stop;
  ParserOptions parser = options_.ForParser();
  parser.check = [&context] { return context.Check(); };
  VIGIE_ASSIGN_OR_RETURN(ExprPtr expr, ParseExpr(request.query, parser));
  const int64_t step_ms = request.instant ? 0 : request.steps.step_ms;
  VIGIE_ASSIGN_OR_RETURN(const Plan plan,
                         Plan::Make(request.query, expr.get(),
                                    {.start_ms = request.steps.start_ms,
                                     .end_ms = request.end_ms,
                                     .step_ms = step_ms}));
  const int64_t prepared_ns = clock_.MonotonicNs();
  const RunningQueries::Entry entry(&running_,
                                    {.tenant = request.tenant,
                                     .query = std::string(request.query),
                                     .start_ms = request.steps.start_ms,
                                     .end_ms = request.end_ms,
                                     .step_ms = step_ms},
                                    bytes, request.stop);
  context.stop = entry.stop();
  context.top = request.steps;
  context.top_end_ms = request.end_ms;
  context.top_step_ms = step_ms;

  StepSamples step_samples(request.explain ? request.steps.count : 0);
  std::unique_ptr<ExplainedNode> explained;
  if (request.explain) {
    context.step_samples = &step_samples;
    explained = std::make_unique<ExplainedNode>(&context);
  }
  const auto evaluate = [&](const Steps& steps) {
    context.top = steps;
    SharedVectors shared(
        plan.common_parts(),
        std::min(kSharedBytesMax, options_.query_bytes_max / kSharedOfBudget));
    Evaluator evaluator(&context, &plan, &shared, explained.get());
    return Evaluate(&context, *expr, evaluator);
  };

  QueryResult result;
  std::optional<Reach> reach;
  if (request.from_cache && cache_ != nullptr) {
    reach = ReachOf(*expr, context.lookback_ms);
    if (!reach.has_value()) cache_->Count(CacheResult::kBypass);
  }
  if (reach.has_value()) {
    VIGIE_ASSIGN_OR_RETURN(
        result.value,
        AnswerRange(&context, cache_.get(), *reach,
                    [&](const Steps& steps) -> absl::StatusOr<Matrix> {
                      VIGIE_ASSIGN_OR_RETURN(Value value, evaluate(steps));
                      return std::get<Matrix>(std::move(value));
                    }));
  } else {
    VIGIE_ASSIGN_OR_RETURN(result.value, evaluate(request.steps));
  }
  if (explained != nullptr) {
    result.plan =
        std::make_shared<const PlanNode>(explained->Finish(&context.stats));
    result.start_ms = request.steps.start_ms;
    result.step_ms = request.steps.step_ms;
    for (int64_t step = 0; step < step_samples.steps(); ++step) {
      result.samples_per_step.push_back(step_samples.At(step));
    }
  }
  result.warnings = context.annotations.Warnings(request.query);
  result.infos = context.annotations.Infos(request.query);
  result.stats = context.stats;
  result.stats.bytes_peak = bytes.bytes_peak();
  result.stats.samples_peak = account.samples_peak();
  result.stats.preparation_ns = prepared_ns - begun_ns;
  result.stats.threads_max = options_.threads;
  result.stats.duration_ns = clock_.MonotonicNs() - begun_ns;
  return result;
}

Engine::Engine(const store::Queryable& queryable, const Clock& clock,
               const EngineOptions& options, prometheus::Registry* registry)
    : queryable_(queryable),
      clock_(clock),
      options_(options),
      account_name_(IsForRules(options)
                        ? "query (setting query.rules.query_bytes_max)"
                        : "query (setting query.query_bytes_max)"),
      process_account_(std::make_unique<ByteAccount>(
          IsForRules(options)
              ? "all rules (setting query.rules.process_bytes_max)"
              : "all queries (setting query.process_bytes_max)",
          options.process_bytes_max)),
      running_(clock),
      // A query that gets no help does its work alone, so few tasks may wait.
      pool_(options.threads < 2
                ? nullptr
                : std::make_unique<TaskPool>(options.threads - 1,
                                             options.threads - 1)),
      metrics_(registry == nullptr
                   ? nullptr
                   : std::make_unique<QueryMetrics>(options.budget, *registry)),
      cache_metrics_(registry == nullptr || options.cache_bytes_max == 0
                         ? nullptr
                         : std::make_unique<CacheMetrics>(*registry)),
      cache_(options.cache_bytes_max == 0
                 ? nullptr
                 : std::make_unique<ResultCache>(options.cache_bytes_max,
                                                 cache_metrics_.get())) {}

Engine::~Engine() = default;

absl::Status Engine::Counted(absl::Status error) const {
  if (metrics_ == nullptr) return error;
  std::optional<Limit> limit = LimitOf(error);
  // The store charges too, and knows nothing of limits.
  if (!limit.has_value() && Contains(error.message(), account_name_)) {
    if (error.code() == absl::StatusCode::kFailedPrecondition) {
      limit = Limit::kQueryBytes;
    } else if (error.code() == absl::StatusCode::kResourceExhausted) {
      limit = Limit::kProcessBytes;
    }
  }
  if (limit.has_value()) metrics_->Refused(*limit);
  return error;
}

absl::StatusOr<QueryResult> Engine::RunLogged(const Request& request) const {
  const int64_t begun_ns = clock_.MonotonicNs();
  if (metrics_ != nullptr) metrics_->SetBytes(process_account_->bytes());
  absl::StatusOr<QueryResult> result = RunRequest(request);
  if (metrics_ != nullptr) metrics_->SetBytes(process_account_->bytes());
  if (!result.ok()) result = Counted(result.status());
  const int64_t took_ms = (clock_.MonotonicNs() - begun_ns) / 1'000'000;
  if (options_.slow_query_ms == 0 || took_ms < options_.slow_query_ms) {
    return result;
  }
  const QueryStats stats = result.ok() ? result->stats : QueryStats();
  spdlog::warn(
      "query: {:?} of {} took {} ms: {} to {} ms, step {} ms; {} series, {} "
      "samples, {} bytes at most; {}",
      request.query.substr(0, kLoggedQueryBytesMax), request.tenant.name,
      took_ms, request.steps.start_ms, request.end_ms,
      request.instant ? 0 : request.steps.step_ms, stats.series_read,
      stats.samples_read, stats.bytes_peak,
      result.ok() ? "ok" : MessageOf(result.status()));
  return result;
}

absl::StatusOr<QueryResult> Engine::Run(const InstantQuery& query) const {
  VIGIE_RETURN_IF_ERROR(CheckTime("time", query.time_ms));
  const Request request{
      .tenant = query.tenant,
      .query = query.query,
      .steps = {.start_ms = query.time_ms, .step_ms = 1, .count = 1},
      .end_ms = query.time_ms,
      .instant = true,
      .lookback_ms = query.lookback_ms,
      .timeout_ms = query.timeout_ms,
      .stop = query.stop,
      .explain = query.explain};
  return RunLogged(request);
}

absl::StatusOr<QueryResult> Engine::Run(const RangeQuery& query) const {
  VIGIE_RETURN_IF_ERROR(CheckTime("start", query.start_ms));
  VIGIE_RETURN_IF_ERROR(CheckTime("end", query.end_ms));
  if (query.end_ms < query.start_ms) {
    return absl::InvalidArgumentError(
        "end timestamp must not be before start "
        "time");
  }
  if (query.step_ms <= 0) {
    return absl::InvalidArgumentError(
        "zero or negative query resolution step widths are not accepted. Try "
        "a positive integer");
  }
  const int64_t intervals = (query.end_ms - query.start_ms) / query.step_ms;
  if (intervals > options_.points_per_series_max) {
    return Counted(WithLimit(
        Limit::kPoints,
        absl::InvalidArgumentError(fmt::format(
            "exceeded maximum resolution of {} points per timeseries. Try "
            "decreasing the query resolution (?step=XX)",
            WithThousands(options_.points_per_series_max)))));
  }
  const Request request{.tenant = query.tenant,
                        .query = query.query,
                        .steps = {.start_ms = query.start_ms,
                                  .step_ms = query.step_ms,
                                  .count = intervals + 1},
                        .end_ms = query.end_ms,
                        .instant = false,
                        .lookback_ms = query.lookback_ms,
                        .timeout_ms = query.timeout_ms,
                        .stop = query.stop,
                        .explain = query.explain,
                        .from_cache = !query.nocache && !query.explain};
  if (cache_ != nullptr && !request.from_cache) {
    cache_->Count(CacheResult::kBypass);
  }
  return RunLogged(request);
}

}  // namespace vigie::query

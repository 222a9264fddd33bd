// deriv, predict_linear and double_exponential_smoothing.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "query/neumaier.h"
#include "query/range_function.h"

namespace vigie::query {
namespace {

// Windows of fewer than two floats give nothing, but say if histograms were
// beside the one.
bool EnoughFloats(QueryContext* context, const RangeCall& call,
                  const SampleRun& run, const Window& window) {
  if (window.floats() > 0 && window.histograms() > 0) {
    InformOfIgnoredHistograms(context, run, call.argument);
  }
  return window.floats() >= 2;
}

struct Line {
  double slope = 0;
  double intercept = 0;  // at the origin that was asked for
};

// Least squares; x in seconds from `origin_ms`.
Line Regression(const SampleRun& run, const Window& window, int64_t origin_ms) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  Neumaier x_sum;
  Neumaier y_sum;
  Neumaier xy_sum;
  Neumaier xx_sum;
  const double first = run.values()[window.begin];
  bool constant = true;
  for (size_t i = window.begin; i < window.end; ++i) {
    const double y = run.values()[i];
    if (i > window.begin && y != first) constant = false;
    const double x = static_cast<double>(run.times()[i] - origin_ms) / 1e3;
    x_sum.Add(x);
    y_sum.Add(y);
    xy_sum.Add(x * y);
    xx_sum.Add(x * x);
  }
  if (constant) {
    if (std::isinf(first)) return {.slope = kNan, .intercept = kNan};
    return {.slope = 0, .intercept = first};
  }
  const double n = static_cast<double>(window.floats());
  const double x = x_sum.Total();
  const double y = y_sum.Total();
  const double covariance = xy_sum.Total() - x * y / n;
  const double variance = xx_sum.Total() - x * x / n;
  Line line;
  line.slope = covariance / variance;
  line.intercept = y / n - line.slope * x / n;
  return line;
}

class Trend final : public RangeFunction {
 public:
  Trend(QueryContext* context, const RangeCall& call)
      : context_(*context),
        call_(call),
        predict_(call.name == "predict_linear") {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t time_ms,
                        StepSeries* out) override {
    if (!EnoughFloats(&context_, call_, run, window)) return absl::OkStatus();
    if (!predict_) {
      // An origin near the samples keeps the figures small.
      out->SetFloat(step,
                    Regression(run, window, run.times()[window.begin]).slope);
      return absl::OkStatus();
    }
    const Line line = Regression(run, window, time_ms);
    out->SetFloat(step,
                  line.slope * call_.scalars[0].At(step) + line.intercept);
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
  const bool predict_;
};

// Holt's linear method.
class Smoothing final : public RangeFunction {
 public:
  Smoothing(QueryContext* context, const RangeCall& call)
      : context_(*context), call_(call) {}

  absl::Status Evaluate(const SampleRun& run, const Window& window,
                        int64_t step, int64_t, StepSeries* out) override {
    const double level_factor = call_.scalars[0].At(step);
    const double trend_factor = call_.scalars[1].At(step);
    if (level_factor <= 0 || level_factor >= 1) {
      return absl::FailedPreconditionError(fmt::format(
          "invalid smoothing factor. Expected: 0 < sf < 1, got: {:f}",
          level_factor));
    }
    if (trend_factor <= 0 || trend_factor >= 1) {
      return absl::FailedPreconditionError(
          fmt::format("invalid trend factor. Expected: 0 < tf < 1, got: {:f}",
                      trend_factor));
    }
    if (!EnoughFloats(&context_, call_, run, window)) return absl::OkStatus();
    const auto& values = run.values();
    double before = 0;
    double level = values[window.begin];
    double trend = values[window.begin + 1] - values[window.begin];
    for (size_t i = window.begin + 1; i < window.end; ++i) {
      const double raw = level_factor * values[i];
      if (i > window.begin + 1) {
        trend = trend_factor * (level - before) + (1 - trend_factor) * trend;
      }
      const double carried = (1 - level_factor) * (level + trend);
      before = level;
      level = raw + carried;
    }
    out->SetFloat(step, level);
    return absl::OkStatus();
  }

 private:
  QueryContext& context_;
  const RangeCall& call_;
};

}  // namespace

std::unique_ptr<RangeFunction> MakeTrendFunction(QueryContext* context,
                                                 const RangeCall& call) {
  if (call.name == "deriv" || call.name == "predict_linear") {
    return std::make_unique<Trend>(context, call);
  }
  if (call.name == "double_exponential_smoothing" ||
      call.name == "holt_winters") {
    return std::make_unique<Smoothing>(context, call);
  }
  return nullptr;
}

}  // namespace vigie::query

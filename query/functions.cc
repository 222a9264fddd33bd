// Functions of instant vectors and scalars, and where all calls are sent.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "query/evaluator.h"

namespace vigie::query {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Days since the epoch to a civil date and back.
// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
struct CivilDate {
  int64_t year = 1970;
  int month = 1;
  int day = 1;
};

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient - (a % b < 0 ? 1 : 0);
}

CivilDate CivilOfDays(int64_t days) {
  days += 719'468;
  const int64_t era = FloorDivide(days, 146'097);
  const int64_t day_of_era = days - era * 146'097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1'460 +
                               day_of_era / 36'524 - day_of_era / 146'096) /
                              365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_index = (5 * day_of_year + 2) / 153;
  CivilDate date;
  date.day = static_cast<int>(day_of_year - (153 * month_index + 2) / 5 + 1);
  date.month =
      static_cast<int>(month_index < 10 ? month_index + 3 : month_index - 9);
  date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

bool IsLeap(int64_t year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int DaysInMonth(const CivilDate& date) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (date.month == 2 && IsLeap(date.year)) return 29;
  return kDays[date.month - 1];
}

int DayOfYear(const CivilDate& date) {
  int day = date.day;
  for (CivilDate month = date; month.month > 1;) {
    --month.month;
    day += DaysInMonth(month);
  }
  return day;
}

using FloatFunction = double (*)(double);

// Unix seconds to the part of the UTC date that the function names; NaN for
// what no date can hold.
struct DatePart {
  std::string_view name;
  double (*of)(int64_t seconds);
};

constexpr int64_t kDaySeconds = 86'400;

constexpr DatePart kDateParts[] = {
    {"days_in_month",
     [](int64_t s) -> double {
       return DaysInMonth(CivilOfDays(FloorDivide(s, kDaySeconds)));
     }},
    {"day_of_month",
     [](int64_t s) -> double {
       return CivilOfDays(FloorDivide(s, kDaySeconds)).day;
     }},
    {"day_of_week",
     [](int64_t s) -> double {
       const int64_t day = FloorDivide(s, kDaySeconds) + 4;  // a Thursday
       return static_cast<double>(day - FloorDivide(day, 7) * 7);
     }},
    {"day_of_year",
     [](int64_t s) -> double {
       return DayOfYear(CivilOfDays(FloorDivide(s, kDaySeconds)));
     }},
    {"hour",
     [](int64_t s) -> double {
       return static_cast<double>(
           (s - FloorDivide(s, kDaySeconds) * kDaySeconds) / 3'600);
     }},
    {"minute",
     [](int64_t s) -> double {
       return static_cast<double>((s - FloorDivide(s, 3'600) * 3'600) / 60);
     }},
    {"month",
     [](int64_t s) -> double {
       return CivilOfDays(FloorDivide(s, kDaySeconds)).month;
     }},
    {"year",
     [](int64_t s) -> double {
       return static_cast<double>(
           CivilOfDays(FloorDivide(s, kDaySeconds)).year);
     }},
};

const DatePart* FindDatePart(std::string_view name) {
  for (const DatePart& part : kDateParts) {
    if (part.name == name) return &part;
  }
  return nullptr;
}

double DateOf(const DatePart& part, double seconds) {
  // Beyond this a year no longer fits; Go's own conversion is undefined there.
  if (!(std::abs(seconds) < 9.2e15)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return part.of(static_cast<int64_t>(seconds));
}

double Sign(double value) {
  if (value < 0) return -1;
  if (value > 0) return 1;
  return value;
}

struct Math {
  std::string_view name;
  FloatFunction of;
};

constexpr Math kMath[] = {
    {"abs", [](double v) { return std::abs(v); }},
    {"ceil", [](double v) { return std::ceil(v); }},
    {"floor", [](double v) { return std::floor(v); }},
    {"exp", [](double v) { return std::exp(v); }},
    {"sqrt", [](double v) { return std::sqrt(v); }},
    {"ln", [](double v) { return std::log(v); }},
    {"log2", [](double v) { return std::log2(v); }},
    {"log10", [](double v) { return std::log10(v); }},
    {"sin", [](double v) { return std::sin(v); }},
    {"cos", [](double v) { return std::cos(v); }},
    {"tan", [](double v) { return std::tan(v); }},
    {"asin", [](double v) { return std::asin(v); }},
    {"acos", [](double v) { return std::acos(v); }},
    {"atan", [](double v) { return std::atan(v); }},
    {"sinh", [](double v) { return std::sinh(v); }},
    {"cosh", [](double v) { return std::cosh(v); }},
    {"tanh", [](double v) { return std::tanh(v); }},
    {"asinh", [](double v) { return std::asinh(v); }},
    {"acosh", [](double v) { return std::acosh(v); }},
    {"atanh", [](double v) { return std::atanh(v); }},
    {"rad", [](double v) { return v * kPi / 180; }},
    {"deg", [](double v) { return v * 180 / kPi; }},
    {"sgn", Sign},
};

const Math* FindMath(std::string_view name) {
  for (const Math& math : kMath) {
    if (math.name == name) return &math;
  }
  return nullptr;
}

// Of two numbers, NaN if either is; 0 is above -0.
double MaxOf(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) {
    if (a == std::numeric_limits<double>::infinity()) return a;
    if (b == std::numeric_limits<double>::infinity()) return b;
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (a == 0 && b == 0) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
double MinOf(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) {
    if (a == -std::numeric_limits<double>::infinity()) return a;
    if (b == -std::numeric_limits<double>::infinity()) return b;
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (a == 0 && b == 0) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

// Changes the floats of each series; histograms are dropped in silence.
class MapStream final : public SeriesStream {
 public:
  // Gives false to drop the cell.
  using Change = std::function<bool(int64_t step, double* value)>;

  MapStream(QueryContext* context, std::unique_ptr<SeriesStream> input,
            Change change)
      : context_(*context),
        input_(std::move(input)),
        change_(std::move(change)) {}

  absl::StatusOr<bool> Next(StepSeries* series) override {
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, input_->Next(series));
      if (!more) return false;
      series->drop_name = true;
      bool any = false;
      for (int64_t step = 0; step < series->steps(); ++step) {
        VIGIE_RETURN_IF_ERROR(context_.CheckNowAndThen());
        double value = series->value(step);
        if (series->cell(step) == Cell::kFloat && change_(step, &value)) {
          series->SetFloat(step, value);
          any = true;
        } else {
          series->Clear(step);
        }
      }
      if (any) return true;
    }
  }

 private:
  QueryContext& context_;
  const std::unique_ptr<SeriesStream> input_;
  const Change change_;
};

absl::StatusOr<std::unique_ptr<SeriesStream>> Map(Evaluator* evaluator,
                                                  const Expr& input,
                                                  const Steps& steps,
                                                  MapStream::Change change) {
  VIGIE_ASSIGN_OR_RETURN(auto stream, evaluator->Vector(input, steps));
  return std::make_unique<MapStream>(&evaluator->context(), std::move(stream),
                                     std::move(change));
}

// A vector of one series without labels, made step by step.
absl::StatusOr<std::unique_ptr<SeriesStream>> Single(
    Evaluator* evaluator, Labels labels, const Steps& steps,
    const std::function<bool(int64_t step, double* value)>& make) {
  StepSeries series;
  VIGIE_RETURN_IF_ERROR(series.Init(&evaluator->context().account,
                                    std::move(labels), false, steps.count));
  for (int64_t step = 0; step < steps.count; ++step) {
    VIGIE_RETURN_IF_ERROR(evaluator->context().CheckNowAndThen());
    double value = 0;
    if (make(step, &value)) series.SetFloat(step, value);
  }
  std::vector<StepSeries> one;
  one.push_back(std::move(series));
  return StreamOf(std::move(one));
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Clamp(Evaluator* evaluator,
                                                    const CallExpr& call,
                                                    const Steps& steps) {
  const std::string_view name = call.function->name;
  ScalarColumn low =
      ScalarColumn::Constant(-std::numeric_limits<double>::infinity());
  ScalarColumn high =
      ScalarColumn::Constant(std::numeric_limits<double>::infinity());
  if (name != "clamp_max") {
    VIGIE_ASSIGN_OR_RETURN(low, evaluator->Scalar(*call.args[1], steps));
  }
  if (name != "clamp_min") {
    VIGIE_ASSIGN_OR_RETURN(
        high, evaluator->Scalar(*call.args[name == "clamp" ? 2 : 1], steps));
  }
  auto low_ref = std::make_shared<ScalarColumn>(std::move(low));
  auto high_ref = std::make_shared<ScalarColumn>(std::move(high));
  return Map(evaluator, *call.args[0], steps,
             [low_ref, high_ref](int64_t step, double* value) {
               const double min = low_ref->At(step);
               const double max = high_ref->At(step);
               if (max < min) return false;
               *value = MaxOf(min, MinOf(max, *value));
               return true;
             });
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Round(Evaluator* evaluator,
                                                    const CallExpr& call,
                                                    const Steps& steps) {
  ScalarColumn to = ScalarColumn::Constant(1);
  if (call.args.size() > 1) {
    VIGIE_ASSIGN_OR_RETURN(to, evaluator->Scalar(*call.args[1], steps));
  }
  auto to_ref = std::make_shared<ScalarColumn>(std::move(to));
  return Map(evaluator, *call.args[0], steps,
             [to_ref](int64_t step, double* value) {
               // The inverse loses less for 0.1 and the like.
               const double inverse = 1.0 / to_ref->At(step);
               *value = std::floor(*value * inverse + 0.5) / inverse;
               return true;
             });
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Timestamp(Evaluator* evaluator,
                                                        const CallExpr& call,
                                                        const Steps& steps) {
  const bool start = call.function->name == "start_timestamp";
  const Expr& arg = WithoutParens(*call.args[0]);
  if (arg.kind == Expr::Kind::kVectorSelector &&
      arg.As<VectorSelector>().edges == Edges::kPlain) {
    VIGIE_ASSIGN_OR_RETURN(
        auto stream,
        SelectTimes(&evaluator->context(), arg.As<VectorSelector>(), steps,
                    start ? SampleTimes::kStarts : SampleTimes::kSamples));
    return std::make_unique<MapStream>(&evaluator->context(), std::move(stream),
                                       [](int64_t, double*) { return true; });
  }
  if (start) return StreamOf({});  // only samples have a start
  // Of an expression the time is the evaluation's, whatever the cell holds.
  VIGIE_ASSIGN_OR_RETURN(auto series, evaluator->Collect(arg, steps));
  for (StepSeries& one : series) {
    one.drop_name = true;
    for (int64_t step = 0; step < one.steps(); ++step) {
      if (!one.present(step)) continue;
      one.Clear(step);
      one.SetFloat(step, static_cast<double>(steps.At(step)) / 1000);
    }
  }
  return StreamOf(std::move(series));
}

absl::StatusOr<std::unique_ptr<SeriesStream>> Absent(Evaluator* evaluator,
                                                     const CallExpr& call,
                                                     const Steps& steps) {
  const Expr& arg = WithoutParens(*call.args[0]);
  Charge charge(&evaluator->context().account);
  VIGIE_RETURN_IF_ERROR(charge.Add(steps.count / 8 + 1));
  std::vector<bool> found(static_cast<size_t>(steps.count));
  VIGIE_ASSIGN_OR_RETURN(auto stream, evaluator->Vector(arg, steps));
  StepSeries series;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
    if (!more) break;
    for (int64_t step = 0; step < steps.count; ++step) {
      if (series.present(step)) found[step] = true;
    }
  }
  Labels labels;
  if (arg.kind == Expr::Kind::kVectorSelector) {
    labels = LabelsOfAbsent(arg.As<VectorSelector>().matchers);
  }
  return Single(evaluator, std::move(labels), steps,
                [&](int64_t step, double* value) {
                  *value = 1;
                  return !found[step];
                });
}

}  // namespace

Labels LabelsOfAbsent(const std::vector<Matcher>& matchers) {
  LabelsBuilder builder;
  std::vector<std::string_view> seen;
  for (const Matcher& matcher : matchers) {
    if (matcher.name() == kMetricName) continue;
    const bool again =
        std::find(seen.begin(), seen.end(), matcher.name()) != seen.end();
    if (matcher.type() == Matcher::Type::kEqual && !again) {
      builder.Set(matcher.name(), matcher.value());
      seen.push_back(matcher.name());
    } else {
      builder.Remove(matcher.name());
    }
  }
  return builder.Build();
}

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateCall(Evaluator* evaluator,
                                                           const CallExpr& call,
                                                           const Steps& steps) {
  const std::string_view name = call.function->name;
  for (const ExprPtr& arg : call.args) {
    if (arg->type == ValueType::kMatrix) {
      return EvaluateRangeCall(evaluator, call, steps);
    }
  }
  if (const Math* math = FindMath(name)) {
    return Map(evaluator, *call.args[0], steps,
               [of = math->of](int64_t, double* value) {
                 *value = of(*value);
                 return true;
               });
  }
  if (const DatePart* part = FindDatePart(name)) {
    if (call.args.empty()) {
      return Single(evaluator, Labels(), steps,
                    [&](int64_t step, double* value) {
                      *value = part->of(FloorDivide(steps.At(step), 1'000));
                      return true;
                    });
    }
    return Map(evaluator, *call.args[0], steps, [part](int64_t, double* value) {
      *value = DateOf(*part, *value);
      return true;
    });
  }
  if (name == "clamp" || name == "clamp_min" || name == "clamp_max") {
    return Clamp(evaluator, call, steps);
  }
  if (name == "round") return Round(evaluator, call, steps);
  if (name == "timestamp" || name == "start_timestamp") {
    return Timestamp(evaluator, call, steps);
  }
  if (name == "vector") {
    VIGIE_ASSIGN_OR_RETURN(ScalarColumn scalar,
                           evaluator->Scalar(*call.args[0], steps));
    return Single(evaluator, Labels(), steps, [&](int64_t step, double* value) {
      *value = scalar.At(step);
      return true;
    });
  }
  if (name == "absent") return Absent(evaluator, call, steps);
  if (name == "label_replace" || name == "label_join") {
    return EvaluateLabelCall(evaluator, call, steps);
  }
  if (name.starts_with("sort")) return EvaluateSort(evaluator, call, steps);
  if (name.starts_with("histogram_")) {
    return EvaluateHistogramCall(evaluator, call, steps);
  }
  if (name == "info") return EvaluateInfo(evaluator, call, steps);
  return absl::UnimplementedError(
      fmt::format("function {} is not evaluated yet", name));
}

absl::StatusOr<ScalarColumn> EvaluateScalarCall(Evaluator* evaluator,
                                                const CallExpr& call,
                                                const Steps& steps) {
  QueryContext& context = evaluator->context();
  const std::string_view name = call.function->name;
  if (name == "pi") return ScalarColumn::Constant(kPi);
  if (name == "start" && call.args.empty()) {
    return ScalarColumn::Constant(static_cast<double>(context.top.start_ms) /
                                  1000);
  }
  if (name == "end" && call.args.empty()) {
    return ScalarColumn::Constant(static_cast<double>(context.top_end_ms) /
                                  1000);
  }
  if (name == "step" && call.args.empty()) {
    return ScalarColumn::Constant(static_cast<double>(context.top_step_ms) /
                                  1000);
  }
  if (name == "range" && call.args.empty()) {
    return ScalarColumn::Constant(
        static_cast<double>(context.top_end_ms - context.top.start_ms) / 1000);
  }
  ScalarColumn out;
  if (name == "time") {
    VIGIE_RETURN_IF_ERROR(out.Init(&context.account, steps.count));
    for (int64_t step = 0; step < steps.count; ++step) {
      VIGIE_RETURN_IF_ERROR(context.CheckNowAndThen());
      out.Set(step, static_cast<double>(steps.At(step)) / 1000);
    }
    return out;
  }
  if (name == "max_of" || name == "min_of") {
    VIGIE_ASSIGN_OR_RETURN(ScalarColumn a,
                           evaluator->Scalar(*call.args[0], steps));
    VIGIE_ASSIGN_OR_RETURN(ScalarColumn b,
                           evaluator->Scalar(*call.args[1], steps));
    VIGIE_RETURN_IF_ERROR(out.Init(&context.account, steps.count));
    for (int64_t step = 0; step < steps.count; ++step) {
      out.Set(step, name == "max_of" ? MaxOf(a.At(step), b.At(step))
                                     : MinOf(a.At(step), b.At(step)));
    }
    return out;
  }
  if (name == "scalar") {
    // NaN unless there is exactly one float.
    VIGIE_RETURN_IF_ERROR(out.Init(&context.account, steps.count));
    Charge charge(&context.account);
    VIGIE_RETURN_IF_ERROR(charge.Add(steps.count));
    std::vector<uint8_t> floats(static_cast<size_t>(steps.count));
    VIGIE_ASSIGN_OR_RETURN(auto stream,
                           evaluator->Vector(*call.args[0], steps));
    StepSeries series;
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, stream->Next(&series));
      if (!more) return out;
      for (int64_t step = 0; step < steps.count; ++step) {
        if (series.cell(step) != Cell::kFloat) continue;
        if (floats[step] == 0) {
          out.Set(step, series.value(step));
        } else {
          out.Set(step, std::numeric_limits<double>::quiet_NaN());
        }
        floats[step] = floats[step] == 0 ? 1 : 2;
      }
    }
  }
  return absl::UnimplementedError(
      fmt::format("function {} is not evaluated yet", name));
}

}  // namespace vigie::query

#include "alerting/rule_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <stop_token>
#include <utility>

#include "alerting/rule_file.h"
#include "alerting/rule_group.h"
#include "alerting/rule_test_file.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "query/engine.h"
#include "query/histogram_notation.h"
#include "query/parser/literals.h"

namespace vigie::alerting {
namespace {

using Element = ExpectedSample;

// A sample more, or a tick more, than this is a mistake in a file.
constexpr int64_t kTicksMax = 1'000'000;

std::string Shown(const TextMap& map) {
  std::string out;
  for (const auto& [name, value] : map) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{}={}", name, Quoted(value));
  }
  return "{" + out + "}";
}

std::string Shown(const ExpectedAlert& alert) {
  std::string out = "      " + Shown(alert.labels) + "\n";
  for (const auto& [name, value] : alert.annotations) {
    out += fmt::format("        {}: {}\n", name, Quoted(value));
  }
  return out;
}

std::string Shown(const Element& element) {
  return fmt::format("      {} {}\n", element.labels.ToString(),
                     element.histogram.empty()
                         ? query::FormatNumber(element.value)
                         : element.histogram);
}

// Both sides without what they share; what `same` matches is taken once.
template <class T, class Same>
void DropShared(std::vector<T>* a, std::vector<T>* b, Same same) {
  for (auto it = a->begin(); it != a->end();) {
    const auto found = std::find_if(
        b->begin(), b->end(), [&](const T& other) { return same(*it, other); });
    if (found == b->end()) {
      ++it;
    } else {
      b->erase(found);
      it = a->erase(it);
    }
  }
}

// Empty if nothing differs.
template <class T, class Same>
std::string Difference(std::vector<T> expected, std::vector<T> got, Same same) {
  DropShared(&expected, &got, same);
  std::string out;
  if (!expected.empty()) {
    out += "    expected, and did not come:\n";
    for (const T& one : expected) out += Shown(one);
  }
  if (!got.empty()) {
    out += "    came, and was not expected:\n";
    for (const T& one : got) out += Shown(one);
  }
  if (!out.empty()) out.pop_back();
  return out;
}

bool SameValue(double a, double b, bool fuzzy) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return fuzzy &&
         (std::nextafter(a, kInf) == b || std::nextafter(a, -kInf) == b);
}

// One test: its store, its groups, its time.
class Runner {
 public:
  Runner(const RuleTestFile& file, const RuleTest& test,
         const std::vector<RuleGroupSpec>& specs, const Clock& clock,
         RuleTestStore store, RuleTestReport* report)
      : file_(file),
        test_(test),
        store_(std::move(store)),
        engine_(*store_.queryable, clock, EngineOptions(file)),
        context_{.engine = engine_,
                 .appender = *store_.appender,
                 .external_labels = test.external_labels,
                 .external_url = test.external_url},
        report_(report) {
    for (const RuleGroupSpec& spec : specs) {
      groups_.push_back(std::make_unique<RuleGroup>(
          spec, spec.interval_ms > 0 ? spec.interval_ms : test.interval_ms,
          context_));
    }
    next_.resize(test.series.size());
  }

  void Run() {
    int64_t last_ms = 0;
    for (const AlertCheck& check : test_.alerts) {
      last_ms = std::max(last_ms, check.eval_time_ms);
    }
    for (const ExprCheck& check : test_.exprs) {
      last_ms = std::max(last_ms, check.eval_time_ms);
    }
    if (last_ms / file_.evaluation_interval_ms > kTicksMax) {
      Fail(test_.place, fmt::format("more than {} evaluations", kTicksMax));
      return;
    }
    for (int64_t at_ms = 0; at_ms <= last_ms;
         at_ms += file_.evaluation_interval_ms) {
      if (!Load(at_ms) || !Evaluate(at_ms)) return;
      for (const AlertCheck& check : test_.alerts) {
        if (check.eval_time_ms >= at_ms &&
            check.eval_time_ms < at_ms + file_.evaluation_interval_ms) {
          Check(check);
        }
      }
    }
    for (const ExprCheck& check : test_.exprs) Check(check);
  }

 private:
  static query::EngineOptions EngineOptions(const RuleTestFile& file) {
    query::EngineOptions options;
    options.default_subquery_step_ms = file.evaluation_interval_ms;
    return options;
  }

  void Fail(const std::string& place, std::string_view what) {
    report_->failures.push_back(
        test_.name.empty()
            ? fmt::format("{}: {}", place, what)
            : fmt::format("{}: test {}: {}", place, Quoted(test_.name), what));
  }

  static void Add(uint32_t series, int64_t time_ms,
                  const query::StepValue& value, store::AppendBatch* batch) {
    if (const auto* number = std::get_if<double>(&value)) {
      batch->floats.push_back({.series = series, .sample = {time_ms, *number}});
    } else {
      batch->float_histograms.push_back(
          {.series = series,
           .time_ms = time_ms,
           .histogram = std::get<FloatHistogram>(value)});
    }
  }

  // Appends what the series have up to `at_ms` after the start.
  bool Load(int64_t at_ms) {
    store::AppendBatch batch;
    for (size_t i = 0; i < test_.series.size(); ++i) {
      const query::NotedSeries& series = test_.series[i];
      batch.series.push_back({.labels = series.labels, .ref = {}});
      for (size_t& step = next_[i]; step < series.values.size(); ++step) {
        const int64_t time_ms = static_cast<int64_t>(step) * test_.interval_ms;
        if (time_ms > at_ms) break;
        if (!series.values[step].has_value()) continue;
        Add(static_cast<uint32_t>(i), test_.start_ms + time_ms,
            *series.values[step], &batch);
      }
    }
    if (batch.floats.empty() && batch.float_histograms.empty()) return true;
    std::string fault;
    store_.appender->Append(std::move(batch),
                            [&fault](const store::AppendOutcome& outcome) {
                              if (!outcome.status.ok())
                                fault = MessageOf(outcome.status);
                              if (!outcome.refusals.empty())
                                fault = outcome.refusals[0].example;
                            });
    if (!fault.empty()) Fail(test_.place, "input_series: " + fault);
    return fault.empty();
  }

  bool Evaluate(int64_t at_ms) {
    const size_t failures = report_->failures.size();
    for (const auto& group : groups_) {
      const absl::Status status =
          group->Evaluate(test_.start_ms + at_ms, std::stop_token());
      if (status.ok()) continue;
      const std::string when = FormatDurationMs(at_ms);
      const size_t before = report_->failures.size();
      for (const RuleStatus& rule : group->Status().rules) {
        if (rule.health != "err") continue;
        Fail(rule.spec.place, fmt::format("rule {} at {}: {}", rule.spec.name,
                                          when, rule.last_error));
      }
      if (report_->failures.size() > before) continue;
      Fail(test_.place, fmt::format("at {}: {}", when, MessageOf(status)));
    }
    return report_->failures.size() == failures;
  }

  void Check(const AlertCheck& check) {
    ++report_->checks;
    std::vector<ExpectedAlert> got;
    for (const auto& group : groups_) {
      for (const RuleStatus& rule : group->Status().rules) {
        if (rule.spec.kind != RuleSpec::Kind::kAlerting ||
            rule.spec.name != check.alertname) {
          continue;
        }
        for (const ActiveAlert& alert : rule.alerts) {
          if (alert.state != AlertState::kFiring) continue;
          ExpectedAlert one;
          for (const LabelView& label : alert.labels) {
            one.labels.emplace(label.name, label.value);
          }
          one.annotations.insert(alert.annotations.begin(),
                                 alert.annotations.end());
          got.push_back(std::move(one));
        }
      }
    }
    const std::string difference =
        Difference(check.expected, std::move(got), std::equal_to<>());
    if (difference.empty()) return;
    Fail(check.place,
         fmt::format("alert {} at {}\n{}", check.alertname,
                     FormatDurationMs(check.eval_time_ms), difference));
  }

  // A vector's elements, or a scalar as one without labels.
  absl::StatusOr<std::vector<Element>> Ask(const ExprCheck& check) {
    query::InstantQuery query;
    query.query = check.expr;
    query.time_ms = test_.start_ms + check.eval_time_ms;
    VIGIE_ASSIGN_OR_RETURN(const query::QueryResult result, engine_.Run(query));
    std::vector<Element> got;
    if (const auto* scalar = std::get_if<query::Scalar>(&result.value)) {
      got.push_back({Labels(), scalar->sample.value, {}});
      return got;
    }
    const auto* vector = std::get_if<query::Vector>(&result.value);
    if (vector == nullptr) {
      return absl::InvalidArgumentError(
          "the result is neither a vector nor a scalar");
    }
    for (const query::VectorElement& element : *vector) {
      if (element.histogram.empty()) {
        got.push_back({element.labels, element.sample.value, {}});
      } else {
        got.push_back({element.labels, 0,
                       query::HistogramNotation(element.histogram[0])});
      }
    }
    return got;
  }

  void Check(const ExprCheck& check) {
    ++report_->checks;
    const std::string what = fmt::format("expr {} at {}", check.expr,
                                         FormatDurationMs(check.eval_time_ms));
    auto got = Ask(check);
    if (!got.ok()) {
      Fail(check.place, fmt::format("{}: {}", what, MessageOf(got.status())));
      return;
    }
    const std::string difference = Difference(
        check.expected, *std::move(got),
        [&](const Element& a, const Element& b) {
          return a.labels == b.labels && a.histogram == b.histogram &&
                 SameValue(a.value, b.value, file_.fuzzy_compare);
        });
    if (!difference.empty()) Fail(check.place, what + "\n" + difference);
  }

  const RuleTestFile& file_;
  const RuleTest& test_;
  const RuleTestStore store_;
  const query::Engine engine_;
  const RuleContext context_;
  RuleTestReport* const report_;
  std::vector<std::unique_ptr<RuleGroup>> groups_;
  std::vector<size_t> next_;  // of each series, the step to be loaded next
};

// By the place in group_eval_order; a group that is not named there ranks with
// the first one that is, as in promtool.
void Order(const std::vector<std::string>& names,
           std::vector<RuleGroupSpec>* groups) {
  const auto rank = [&](const RuleGroupSpec& group) {
    const auto it = std::find(names.begin(), names.end(), group.name);
    return it == names.end() ? 0 : it - names.begin();
  };
  std::stable_sort(groups->begin(), groups->end(),
                   [&](const RuleGroupSpec& a, const RuleGroupSpec& b) {
                     return rank(a) < rank(b);
                   });
}

}  // namespace

absl::StatusOr<RuleTestReport> RunRuleTests(
    const std::string& path, const Clock& clock,
    const std::function<RuleTestStore()>& new_store) {
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node root, yaml::Node::LoadFile(path));
  VIGIE_ASSIGN_OR_RETURN(const RuleTestFile file, ParseRuleTestFile(root));
  const std::string directory = std::filesystem::path(path).parent_path();
  RuleTestReport report;
  report.tests = file.tests.size();
  VIGIE_ASSIGN_OR_RETURN(std::vector<RuleGroupSpec> groups,
                         LoadRuleFiles(file.rule_files, directory));
  Order(file.group_eval_order, &groups);
  for (const std::string& pattern : file.rule_files) {
    VIGIE_ASSIGN_OR_RETURN(const auto found,
                           LoadRuleFiles({pattern}, directory));
    if (found.empty()) {
      report.warnings.push_back(
          fmt::format("{}: rule_files: no group in {}", path, pattern));
    }
  }
  for (const RuleTest& test : file.tests) {
    Runner(file, test, groups, clock, new_store(), &report).Run();
  }
  return report;
}

}  // namespace vigie::alerting

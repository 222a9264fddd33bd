// What a plan does to a query: folds, evaluates once what is the same, tells
// what each part took. Answers are as if it did nothing.
#include <string>
#include <utility>
#include <vector>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

constexpr int64_t kMinute = 60'000;

class EnginePlanTest : public EngineFixture {
 protected:
  EnginePlanTest() {
    options_.experimental = true;
    LoadMetric("x_total", 8);
    LoadMetric("y_total", 8);
    LoadMetric("gauge", 4);
  }

  void LoadMetric(std::string_view name, int series) {
    for (int s = 0; s < series; ++s) {
      std::vector<std::optional<double>> values;
      for (int i = 0; i < 80; ++i) values.push_back((i * (s + 2)) % 37);
      Load({{"__name__", name},
            {"id", fmt::format("{}", s)},
            {"parity", s % 2 != 0 ? "odd" : "even"}},
           15'000, values);
    }
  }

  absl::StatusOr<query::QueryResult> Explained(std::string text,
                                               bool explain = true) const {
    query::RangeQuery query;
    query.query = std::move(text);
    query.start_ms = 2 * kMinute;
    query.end_ms = 12 * kMinute;
    query.step_ms = kMinute;
    query.explain = explain;
    return MakeEngine().Run(query);
  }

  // Replaces each # by `selector`.
  static std::string With(std::string_view form, std::string_view selector) {
    std::string text;
    for (const char c : form) {
      if (c == '#') {
        text += selector;
      } else {
        text += c;
      }
    }
    return text;
  }
};

TEST_F(EnginePlanTest, ConstantsAreFoldedToWhatEvaluationGives) {
  EXPECT_EQ(At(0, "1 + 2 * 3"), "scalar 7");
  EXPECT_EQ(At(0, "-(1 / 0)"), "scalar -inf");
  EXPECT_EQ(At(0, "0 / 0 == bool 0 / 0"), "scalar 0");
  EXPECT_EQ(At(0, "3 atan2 -0"), At(0, "scalar(vector(3) atan2 vector(-0))"));
  EXPECT_EQ(Over("end() - start() + step() * 2 - range()", 0, 120'000, 60'000),
            "{} 120@0 120@60000 120@120000");
  EXPECT_TRUE(Explained("1 + 2")->plan->children.empty());
  EXPECT_EQ(Explained("gauge + (1 + 2)")->plan->children[0].children.size(), 1);
}

// Forms in which # stands for a part that is there several times.
constexpr const char* kForms[] = {
    "# / (# + y_total)",
    "(# + y_total) / #",
    "sum(#) / count(#)",
    "sum by (id) (rate(#[5m])) / on() group_left sum(rate(#[5m]))",
    "# and # > 5",
    "# unless # > 20",
    "# or # or y_total",
    "-# + #",
    "# - # offset 1m",
    "# - # @ end() + # @ end()",
    "max_over_time(#[5m:1m]) - min_over_time(#[5m:1m])",
    "max_over_time(#[5m:1m]) - max_over_time(#[5m:1m]) + #",
    "max_over_time((# / #)[5m:1m]) + (# / #)",
    "topk(2, #) + on(id) group_left #",
    "label_replace(#, \"n\", \"$1\", \"id\", \"(.*)\") * on(id) #",
    "scalar(sum(#)) + sum(#)",
    "quantile(0.9, #) + quantile(0.9, #)",
    "sort(#) + #",
    "timestamp(#) - # + #",
    "(#) + ((#)) * 2",
    "# == # + 0",
    "count_values(\"v\", #) and count_values(\"v\", #)",
    "absent(# > 100) + on() absent(# > 100)",
};

TEST_F(EnginePlanTest, EqualPartsAnswerAsPartsThatAreToldApart) {
  for (const char* form : kForms) {
    SCOPED_TRACE(form);
    // Each place says the same in its own words, so nothing is common.
    std::string apart;
    int places = 0;
    for (const char* c = form; *c != 0; ++c) {
      if (*c == '#') {
        apart += fmt::format("x_total{{id!=\"none{}\"}}", places++);
      } else {
        apart += *c;
      }
    }
    const auto common = Explained(With(form, "x_total"), false);
    const auto alone = Explained(apart, false);

    ASSERT_THAT(common, IsOk());
    EXPECT_EQ(Text(common), Text(alone));
    EXPECT_NE(Text(common), "");
    EXPECT_LE(common->stats.series_read, alone->stats.series_read);
    EXPECT_EQ(common->infos.size(), alone->infos.size());
    EXPECT_EQ(common->warnings.size(), alone->warnings.size());
  }
}

TEST_F(EnginePlanTest, ACommonPartIsReadOnceAndHeldOnce) {
  const auto common = Explained("x_total / (x_total + y_total)", false);
  const auto alone =
      Explained("x_total / (x_total{id!=\"none\"} + y_total)", false);

  EXPECT_EQ(common->stats.series_read, 16);
  EXPECT_EQ(alone->stats.series_read, 24);
  EXPECT_LT(common->stats.bytes_peak, alone->stats.bytes_peak);
  EXPECT_EQ(
      Explained("sum(rate(x_total[5m])) / count(rate(x_total[5m]))", false)
          ->stats.series_read,
      8);
  // Under other steps it is another part.
  EXPECT_EQ(Explained("max_over_time(x_total[5m:1m]) + x_total", false)
                ->stats.series_read,
            16);
}

TEST_F(EnginePlanTest, WhatIsTooMuchToKeepIsEvaluatedAgain) {
  options_.query_bytes_max = 16'000;  // of which an eighth may be kept
  options_.threads = 1;
  const std::string text = "sum(rate(x_total[5m])) / count(rate(x_total[5m]))";

  const auto result = Explained(text, false);

  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->stats.series_read, 16);
  options_.query_bytes_max = 8 << 20;
  EXPECT_EQ(Text(result), Text(Explained(text, false)));
}

TEST_F(EnginePlanTest, AnExplainedQueryAnswersAndFailsAsAnyOther) {
  for (const char* form : kForms) {
    SCOPED_TRACE(form);
    const std::string text = With(form, "x_total");
    const auto plain = Explained(text, false);
    const auto explained = Explained(text);

    EXPECT_EQ(Text(explained), Text(plain));
    EXPECT_EQ(explained->infos, plain->infos);
    EXPECT_EQ(explained->warnings, plain->warnings);
    EXPECT_EQ(explained->stats.series_read, plain->stats.series_read);
    EXPECT_EQ(explained->stats.samples_read, plain->stats.samples_read);
    EXPECT_EQ(plain->plan, nullptr);
  }
  EXPECT_EQ(Text(Explained("rate(gauge[5m]) + on() rate(gauge[5m])")),
            Text(Explained("rate(gauge[5m]) + on() rate(gauge[5m])", false)));
  options_.query_bytes_max = 3'000;
  EXPECT_EQ(Text(Explained("x_total + x_total")),
            "query (setting query.query_bytes_max): needs more than its limit "
            "of 3000 bytes of memory");
}

TEST_F(EnginePlanTest, AnExplanationTellsWhatEachPartTook) {
  const auto result = Explained(
      "sum by (parity) (rate(x_total[5m])) + sum by (parity) "
      "(rate(x_total[5m])) + sum by (parity) (gauge @ 60)");

  ASSERT_THAT(result, IsOk());
  ASSERT_EQ(result->plan->children.size(), 1U);
  const query::PlanNode& sum = result->plan->children[0];
  EXPECT_EQ(sum.kind, "binary");
  EXPECT_EQ(sum.series, 2);
  EXPECT_EQ(sum.samples, 22);
  ASSERT_EQ(sum.children.size(), 2U);
  const query::PlanNode& twice = sum.children[0];
  ASSERT_EQ(twice.children.size(), 2U);
  EXPECT_EQ(twice.children[0].kind, "aggregation");
  EXPECT_FALSE(twice.children[0].reused);
  EXPECT_TRUE(twice.children[1].reused);
  EXPECT_TRUE(twice.children[1].children.empty());
  EXPECT_EQ(twice.children[0].part, twice.children[1].part);
  const query::PlanNode& rate = twice.children[0].children.at(0);
  EXPECT_EQ(rate.text, "rate(x_total[5m])");
  EXPECT_EQ(rate.series_read, 8);
  EXPECT_EQ(rate.samples_read, 49 * 8);
  EXPECT_EQ(rate.series, 8);
  EXPECT_GT(rate.bytes_peak, 0);
  const query::PlanNode& pinned = sum.children[1];
  EXPECT_TRUE(pinned.once);
  EXPECT_EQ(pinned.steps, 1);
  EXPECT_EQ(pinned.samples, 22);
}

TEST_F(EnginePlanTest, SamplesOfStepsAreCountedAsPrometheusDoes) {
  using Counts = std::vector<int64_t>;
  const auto counts = [&](std::string text) {
    const auto result = Explained(std::move(text));
    EXPECT_THAT(result, IsOk());
    return result->samples_per_step;
  };

  EXPECT_EQ(counts("gauge"), Counts(11, 4));
  EXPECT_EQ(counts("sum(rate(gauge[1m]))"), Counts(11, 16));
  EXPECT_EQ(counts("gauge @ 60"), Counts(11, 4));
  EXPECT_EQ(counts("max_over_time(gauge[1m:30s])"), Counts(11, 8));
  EXPECT_EQ(counts("gauge + gauge{id=\"1\"}"), Counts(11, 5));
  EXPECT_EQ(counts("time()"), Counts(11, 0));
}

}  // namespace
}  // namespace vigie::testing

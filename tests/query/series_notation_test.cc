#include "query/series_notation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/sample.h"
#include "query/histogram_notation.h"
#include "query/number_text.h"
#include "tests/support/status_matchers.h"

namespace vigie::query {
namespace {

using ::testing::ElementsAre;
using testing::HasCode;
using testing::HasError;
using ::testing::HasSubstr;
using testing::IsOk;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Of floats alone.
std::vector<std::optional<double>> Floats(std::string_view text) {
  const auto values = ParseStepValues(text);
  EXPECT_THAT(values, IsOk());
  std::vector<std::optional<double>> floats;
  if (!values.ok()) return floats;
  for (const auto& value : *values) {
    auto& number = floats.emplace_back();
    if (value.has_value()) number = std::get<double>(*value);
  }
  return floats;
}

// As text; `_` where nothing is.
std::vector<std::string> Texts(const StepValues& values) {
  std::vector<std::string> texts;
  for (const auto& value : values) {
    if (!value.has_value()) {
      texts.push_back("_");
    } else if (const auto* number = std::get_if<double>(&*value)) {
      texts.push_back(IsStaleMarker(*number) ? "stale" : GeneralText(*number));
    } else {
      texts.push_back(HistogramNotation(std::get<FloatHistogram>(*value)));
    }
  }
  return texts;
}

std::vector<std::string> Histograms(std::string_view text) {
  const auto values = ParseStepValues(text);
  EXPECT_THAT(values, IsOk()) << text;
  return values.ok() ? Texts(*values) : std::vector<std::string>();
}

// As they are once they are stored.
std::vector<std::string> Stored(std::string_view text) {
  auto values = ParseStepValues(text);
  EXPECT_THAT(values, IsOk()) << text;
  if (!values.ok()) return {};
  SetResetHints(&*values);
  return Texts(*values);
}

TEST(SeriesNotationTest, RunsHaveTheirFirstValueAndAsManyMoreAsTheySay) {
  EXPECT_THAT(Floats("1 2"), ElementsAre(1, 2));
  EXPECT_THAT(Floats("5x2"), ElementsAre(5, 5, 5));
  // Zeros, not sixteen.
  EXPECT_THAT(Floats("0x3"), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Floats("1+2x3"), ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(Floats(" 1-1x2\n-3+0x1 "), ElementsAre(1, 0, -1, -3, -3));
  EXPECT_THAT(Floats("1e-3x1"), ElementsAre(1e-3, 1e-3));
  EXPECT_THAT(Floats(""), ElementsAre());
}

TEST(SeriesNotationTest, AGapIsNoSampleAndStaleIsAMarker) {
  EXPECT_THAT(Floats("1 _ _x2 stale"),
              ElementsAre(1, std::nullopt, std::nullopt, std::nullopt,
                          ::testing::Truly([](const auto& value) {
                            return value.has_value() && IsStaleMarker(*value);
                          })));
}

TEST(SeriesNotationTest, WhatIsNoValueIsRefused) {
  for (const std::string text :
       {"1x", "0x1F", "x3", "1+2", "1x-1", "one", "1x100001",
        "1x9999999999999999999", "stale stales", "__"}) {
    EXPECT_THAT(ParseStepValues(text), HasCode(kInvalid)) << text;
  }
}

TEST(SeriesNotationTest, AHistogramIsWhatItSays) {
  const auto values = ParseStepValues(
      "{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 "
      "buckets:[5.1 10 7] offset:-3 n_buckets:[4.1 5] n_offset:-5 "
      "counter_reset_hint:gauge}}");

  ASSERT_THAT(values, IsOk());
  ASSERT_EQ(values->size(), 1u);
  EXPECT_EQ(std::get<FloatHistogram>(*values->at(0)),
            (FloatHistogram{.reset_hint = CounterResetHint::kGauge,
                            .schema = 1,
                            .zero_threshold = 0.05,
                            .zero_count = 7.1,
                            .count = 3.1,
                            .sum = -0.3,
                            .positive_spans = {{-3, 3}},
                            .negative_spans = {{-5, 2}},
                            .positive_buckets = {5.1, 10, 7},
                            .negative_buckets = {4.1, 5},
                            .custom_values = {}}));
}

TEST(SeriesNotationTest, HistogramsReadBackFromTheirOneText) {
  for (const std::string text :
       {"{{}}", "{{schema:-53 custom_values:[0.1 0.2]}}",
        "{{schema:-53 count:3 custom_values:[] offset:1 buckets:[3]}}",
        "{{schema:8 count:1e+09 sum:NaN buckets:[1 0 0 2.5]}}",
        "{{sum:+Inf z_bucket_w:2.9e-39 counter_reset_hint:reset n_offset:-2 "
        "n_buckets:[1]}}"}) {
    EXPECT_THAT(Histograms(text), ElementsAre(text));
  }
  // What says the same in other words.
  EXPECT_THAT(Histograms("{{ }}  {{ buckets:[0  1 2 0 ]\n sum:0x10 }}x0"),
              ElementsAre("{{}}", "{{sum:16 offset:1 buckets:[1 2]}}"));
  // Far apart they are no longer written out.
  FloatHistogram far;
  far.positive_spans = {{0, 1}, {1'000'000'000, 1}};
  far.positive_buckets = {1, 2};
  EXPECT_EQ(HistogramNotation(far), "{{buckets:[1 (1000000000 empty) 2]}}");
}

TEST(SeriesNotationTest, HistogramsMakeRunsAsNumbersDo) {
  EXPECT_THAT(Histograms("1 {{count:1}}x1 _ stale {{sum:2}}"),
              ElementsAre("1", "{{count:1}}", "{{count:1}}", "_", "stale",
                          "{{sum:2}}"));
  EXPECT_THAT(Histograms("{{sum:4 count:4 buckets:[1 2 1]}}+"
                         "{{sum:2 count:1 buckets:[1] offset:1}}x2"),
              ElementsAre("{{count:4 sum:4 buckets:[1 2 1]}}",
                          "{{count:5 sum:6 buckets:[1 3 1]}}",
                          "{{count:6 sum:8 buckets:[1 4 1]}}"));
  EXPECT_THAT(Histograms("{{count:5 sum:3 z_bucket:2 buckets:[3]}}-"
                         "{{count:2 sum:1 z_bucket:1 buckets:[1]}}x2"),
              ElementsAre("{{count:5 sum:3 z_bucket:2 buckets:[3]}}",
                          "{{count:3 sum:2 z_bucket:1 buckets:[2]}}",
                          "{{count:1 sum:1 buckets:[1]}}"));
  // A finer step is made coarser: buckets (1,2] and (2,4] are one of (1,4].
  EXPECT_THAT(Histograms("{{schema:-1 sum:4 count:1 buckets:[1] offset:1}}+"
                         "{{schema:0 sum:4 count:4 buckets:[2 2] offset:1}}x1"),
              ElementsAre("{{schema:-1 count:1 sum:4 offset:1 buckets:[1]}}",
                          "{{schema:-1 count:5 sum:8 offset:1 buckets:[5]}}"));
  // As promtool adds: each step is rounded, 0.1 + 0.2 to 0.3 and a bit.
  EXPECT_THAT(Histograms("{{sum:0.1}}+{{sum:0.1}}x2").back(),
              "{{sum:0.30000000000000004}}");
}

TEST(SeriesNotationTest, WhatIsNoHistogramIsRefused) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"{{", "expected }}"},
      {"{{count:1", "expected }}"},
      {"{{count:1}", "expected key:value or }}, got \"}\""},
      {"{{count}}", "expected key:value"},
      {"{{count:1sum:2}}", "not a number: \"1sum:2\""},
      {"{{buckets:[1]sum:2}}", "expected key:value"},
      {"{{cuont:1}}", "unknown key \"cuont\""},
      {"{{count:1 count:2}}", "\"count\" is there twice"},
      {"{{count:x}}", "not a number: \"x\""},
      {"{{count:--1}}", "not a number"},
      {"{{count:}}", "not a number"},
      {"{{schema:0.5}}", "not an integer: \"0.5\""},
      {"{{schema:9}}", "unknown schema 9"},
      {"{{offset:99999999999}}", "not an integer"},
      {"{{buckets:1}}", "expected ["},
      {"{{buckets:[1 2}}", "not a number"},
      {"{{counter_reset_hint:maybe}}", "counter_reset_hint \"maybe\""},
      {"{{count:1}}{{count:1}}", "unexpected"},
      {"{{count:1}}y", "unexpected \"y\""},
      {"{{count:1}}x", "bad repetition"},
      {"{{count:1}}x100001", "bad repetition"},
      {"{{count:1}}+{{count:1}}", "step without a run"},
      {"{{count:1}}+1x3", "unexpected"},
      {"{{schema:1}}+{{schema:0}}x1", "a step of schema 0"},
      {"{{schema:-53}}+{{schema:0}}x1", "exponential and custom"},
  };
  for (const auto& [text, message] : wrong) {
    EXPECT_THAT(ParseStepValues(text), HasError(kInvalid, HasSubstr(message)))
        << text;
  }
  std::string runs;
  for (int i = 0; i < 10; ++i) runs += "1x99999 ";
  EXPECT_THAT(ParseStepValues(runs), IsOk());
  EXPECT_THAT(ParseStepValues(runs + "1"),
              HasError(kInvalid, HasSubstr("more than 1000000 values")));
  std::string many = "{{buckets:[";
  for (int i = 0; i < 200; ++i) many += "1 ";
  EXPECT_THAT(ParseStepValues(many + "]}}x30000 " + many + "]}}x30000"),
              HasError(kInvalid, HasSubstr("more than 10000000 buckets")));
}

TEST(SeriesNotationTest, StoredHistogramsSayWhatPrometheusKnowsOfResets) {
  EXPECT_THAT(
      Stored("{{count:1}} {{count:2}} _ {{count:2}} {{count:1}} {{count:3}}"),
      ElementsAre("{{count:1}}", "{{count:2 counter_reset_hint:not_reset}}",
                  "_", "{{count:2 counter_reset_hint:not_reset}}",
                  "{{count:1}}", "{{count:3 counter_reset_hint:not_reset}}"));
  // A bucket that fell, although the count did not.
  EXPECT_THAT(Stored("{{count:1 buckets:[1]}} {{count:9 buckets:[0 9]}}"),
              ElementsAre("{{count:1 buckets:[1]}}",
                          "{{count:9 offset:1 buckets:[9]}}"));
  EXPECT_THAT(Stored("{{schema:-53 count:1 custom_values:[1]}} "
                     "{{schema:-53 count:1 custom_values:[2]}}"),
              ElementsAre("{{schema:-53 count:1 custom_values:[1]}}",
                          "{{schema:-53 count:1 custom_values:[2]}}"));
  // After another schema, a float, a marker or a gauge nothing is known.
  EXPECT_THAT(
      Stored("{{schema:1 count:1}} {{count:1}} 5 {{count:1}} stale "
             "{{count:1}} {{count:1 counter_reset_hint:gauge}} {{count:1}}"),
      ElementsAre("{{schema:1 count:1}}", "{{count:1}}", "5", "{{count:1}}",
                  "stale", "{{count:1}}",
                  "{{count:1 counter_reset_hint:gauge}}", "{{count:1}}"));
  // What the file says of a reset counts, of none it does not.
  EXPECT_THAT(
      Stored("{{count:1 counter_reset_hint:not_reset}} "
             "{{count:2 counter_reset_hint:reset}}"),
      ElementsAre("{{count:1}}", "{{count:2 counter_reset_hint:reset}}"));
}

TEST(SeriesNotationTest, AMetricHasLabelsAndNoMatchers) {
  EXPECT_EQ(*ParseSeriesLabels("up{job=\"a b\", instance='x'}"),
            Labels({{"__name__", "up"}, {"job", "a b"}, {"instance", "x"}}));
  EXPECT_EQ(*ParseSeriesLabels("{}"), Labels());
  EXPECT_EQ(*ParseSeriesLabels("{a=\"b\"}"), Labels({{"a", "b"}}));
  EXPECT_THAT(ParseSeriesLabels("up{job=~\"x\"}"), HasCode(kInvalid));
  EXPECT_THAT(ParseSeriesLabels("up{"), HasCode(kInvalid));

  const auto line = ParseSeriesLine("up{job=\"}\"} 1 2x1");
  ASSERT_THAT(line, IsOk());
  EXPECT_EQ(line->labels, Labels({{"__name__", "up"}, {"job", "}"}}));
  EXPECT_THAT(Texts(line->values), ElementsAre("1", "2", "2"));
  for (const std::string metric : {"h", "h{}", "h {}", "{__name__=\"h\"}"}) {
    const auto histogram = ParseSeriesLine(metric + " {{sum:1}} 2");
    ASSERT_THAT(histogram, IsOk());
    EXPECT_EQ(histogram->labels, Labels({{"__name__", "h"}}));
    EXPECT_THAT(Texts(histogram->values), ElementsAre("{{sum:1}}", "2"));
  }
}

}  // namespace
}  // namespace vigie::query

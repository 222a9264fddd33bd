// A store in memory, an engine on it and a clock that stands still, for the
// tests of the engine.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "query/engine.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::testing {

class EngineFixture : public ::testing::Test {
 protected:
  using Pairs =
      std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Samples every `gap_ms` from 0 on; nullopt leaves a gap.
  void Load(Pairs labels, int64_t gap_ms,
            const std::vector<std::optional<double>>& values) {
    std::vector<Sample> samples;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].has_value()) {
        samples.push_back({static_cast<int64_t>(i) * gap_ms, *values[i]});
      }
    }
    LoadSamples(labels, samples);
  }

  void LoadSamples(Pairs labels, const std::vector<Sample>& samples) {
    store::AppendBatch batch;
    batch.series.push_back({.labels = Labels(labels), .ref = {}});
    for (const Sample& sample : samples) {
      batch.floats.push_back({.series = 0, .sample = sample, .start_ms = 0});
    }
    const size_t count = samples.size();
    store_.Append(std::move(batch), [count](store::AppendOutcome outcome) {
      EXPECT_THAT(outcome.status, IsOk());
      EXPECT_EQ(outcome.floats_accepted, count);
    });
  }

  query::Engine MakeEngine() const {
    return query::Engine(store_, clock_, options_);
  }

  absl::StatusOr<query::QueryResult> Instant(std::string_view text,
                                             int64_t time_ms) const {
    query::InstantQuery query;
    query.query = text;
    query.time_ms = time_ms;
    return MakeEngine().Run(query);
  }

  absl::StatusOr<query::QueryResult> Range(std::string_view text,
                                           int64_t start_ms, int64_t end_ms,
                                           int64_t step_ms) const {
    query::RangeQuery query;
    query.query = text;
    query.start_ms = start_ms;
    query.end_ms = end_ms;
    query.step_ms = step_ms;
    return MakeEngine().Run(query);
  }

  // `{a="b"} 1`, an element a line, in the order of the result; an error as
  // its message.
  std::string At(int64_t time_ms, std::string_view text) const {
    return Text(Instant(text, time_ms));
  }
  // `{a="b"} 1@0 2@60000`.
  std::string Over(std::string_view text, int64_t start_ms, int64_t end_ms,
                   int64_t step_ms) const {
    return Text(Range(text, start_ms, end_ms, step_ms));
  }

  static std::string Text(const absl::StatusOr<query::QueryResult>& result) {
    if (!result.ok()) return std::string(MessageOf(result.status()));
    std::string text;
    const auto line = [&](const std::string& one) {
      if (!text.empty()) text += "\n";
      text += one;
    };
    if (const auto* scalar = std::get_if<query::Scalar>(&result->value)) {
      line("scalar " + Number(scalar->sample.value));
    } else if (const auto* string =
                   std::get_if<query::String>(&result->value)) {
      line(fmt::format("string {}", string->value));
    } else if (const auto* vector =
                   std::get_if<query::Vector>(&result->value)) {
      for (const query::VectorElement& element : *vector) {
        line(fmt::format("{} {}", element.labels.ToString(),
                         Number(element.sample.value)));
      }
    } else {
      for (const query::MatrixSeries& series :
           std::get<query::Matrix>(result->value)) {
        std::string one = series.labels.ToString();
        for (const Sample& sample : series.floats) {
          one += fmt::format(" {}@{}", Number(sample.value), sample.time_ms);
        }
        line(one);
      }
    }
    return text;
  }

  // As all NaN are one here, whatever their sign.
  static std::string Number(double value) {
    return std::isnan(value) ? "nan" : fmt::format("{}", value);
  }

  static std::vector<std::string> Warnings(
      const absl::StatusOr<query::QueryResult>& result) {
    EXPECT_THAT(result, IsOk());
    return result.ok() ? result->warnings : std::vector<std::string>();
  }
  static std::vector<std::string> Infos(
      const absl::StatusOr<query::QueryResult>& result) {
    EXPECT_THAT(result, IsOk());
    return result.ok() ? result->infos : std::vector<std::string>();
  }

  MemoryStore store_;
  SimulatedClock clock_{0};
  query::EngineOptions options_;
};

}  // namespace vigie::testing

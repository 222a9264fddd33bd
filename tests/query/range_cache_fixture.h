// Two engines on one store on disk: one keeps answers, the other none. What
// they answer must be the same to the bit.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <bit>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "query/engine.h"
#include "store/local_store.h"
#include "tests/store/store_fixture.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::testing {

inline constexpr int64_t kMinute = 60'000;
// A whole day, so that days and windows begin where it is easy to see.
inline constexpr int64_t kBeginMs = 1'700'006'400'000;

class RangeCacheFixture : public ::testing::Test {
 protected:
  RangeCacheFixture() : directory_(store::TempDirectory::InMemory()) {
    store_options_.store.durability = store::StoreOptions::Durability::kOs;
    engine_options_.experimental = true;
    engine_options_.threads = 2;
  }

  void Open() {
    auto store = store::LocalStore::Open(directory_.data(), store_options_,
                                         clock_, store_registry_);
    ASSERT_THAT(store, IsOk());
    store_ = *std::move(store);
    query::EngineOptions without = engine_options_;
    without.cache_bytes_max = 0;
    whole_ =
        std::make_unique<query::Engine>(store_->queryable(), clock_, without);
    cached_ = std::make_unique<query::Engine>(store_->queryable(), clock_,
                                              engine_options_, &registry_);
  }

  // All of it is acknowledged when it returns.
  store::AppendOutcome Append(store::AppendBatch batch) {
    store::AppendOutcome outcome =
        store::AppendAndWait(store_->appender(), std::move(batch));
    EXPECT_THAT(outcome.status, IsOk());
    return outcome;
  }
  void Append(const Labels& labels, const std::vector<Sample>& samples) {
    const auto outcome = Append(store::FloatsOf(labels, samples));
    EXPECT_EQ(outcome.floats_accepted, samples.size());
  }

  static query::RangeQuery RangeOf(std::string_view text, int64_t start_ms,
                                   int64_t end_ms, int64_t step_ms) {
    query::RangeQuery query;
    query.query = text;
    query.start_ms = start_ms;
    query.end_ms = end_ms;
    query.step_ms = step_ms;
    return query;
  }

  // Both answers are the same; the one that may be kept.
  std::string Same(const query::RangeQuery& query) {
    const auto kept = cached_->Run(query);
    const std::string text = TextOf(kept);
    EXPECT_EQ(text, TextOf(whole_->Run(query)))
        << query.query << " from " << query.start_ms << " to " << query.end_ms
        << " by " << query.step_ms;
    return text;
  }
  std::string Same(std::string_view text, int64_t start_ms, int64_t end_ms,
                   int64_t step_ms) {
    return Same(RangeOf(text, start_ms, end_ms, step_ms));
  }

  double Count(const std::string& result) const {
    for (const auto& family : registry_.Collect()) {
      if (family.name != "vigie_query_cache_requests_total") continue;
      for (const auto& metric : family.metric) {
        if (metric.label[0].value == result) return metric.counter.value;
      }
    }
    return -1;
  }

  // All that an answer says, values by their bits.
  static std::string TextOf(const absl::StatusOr<query::QueryResult>& result) {
    if (!result.ok()) return result.status().ToString();
    std::string text;
    for (const query::MatrixSeries& series :
         std::get<query::Matrix>(result->value)) {
      text += series.labels.ToString();
      for (const Sample& sample : series.floats) {
        text += fmt::format(" {}:{:x}", sample.time_ms,
                            std::bit_cast<uint64_t>(sample.value));
      }
      for (const query::HistogramSample& sample : series.histograms) {
        text += fmt::format(" {}:{} {:x} {:x}", sample.time_ms,
                            static_cast<int>(sample.histogram.reset_hint),
                            std::bit_cast<uint64_t>(sample.histogram.count),
                            std::bit_cast<uint64_t>(sample.histogram.sum));
      }
      text += "\n";
    }
    for (const std::string& warning : result->warnings) text += warning + "\n";
    for (const std::string& info : result->infos) text += info + "\n";
    return text;
  }

  store::TempDirectory directory_;
  store::LocalStoreOptions store_options_;
  query::EngineOptions engine_options_;
  SimulatedClock clock_{kBeginMs};
  prometheus::Registry store_registry_;
  prometheus::Registry registry_;
  std::unique_ptr<store::LocalStore> store_;
  std::unique_ptr<query::Engine> whole_;
  std::unique_ptr<query::Engine> cached_;
};

}  // namespace vigie::testing

// The store against a plain map: whatever order appends, duplicates, seals,
// failed seals and restarts come in, both say the same, accept the same and
// refuse the same.
#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

// What the rules of admission say, in the shortest words.
class Model {
 public:
  explicit Model(const StoreOptions& options) : options_(options) {}

  struct Verdict {
    uint64_t accepted = 0;
    std::map<RefusalReason, uint64_t> refused;
  };

  Verdict Append(const AppendBatch& batch, int64_t now_ms) {
    Verdict verdict;
    for (const FloatPoint& point : batch.floats) {
      const Labels& labels = batch.series[point.series].labels;
      const int64_t time_ms = point.sample.time_ms;
      const uint64_t bits = BitsOf(point.sample.value);
      Series* series = series_.contains(labels) ? &series_[labels] : nullptr;
      if (time_ms > now_ms + options_.future_window_ms) {
        ++verdict.refused[RefusalReason::kTooFarInFuture];
      } else if (series != nullptr &&
                 time_ms <
                     series->newest_ms - options_.out_of_order_window_ms) {
        ++verdict.refused[RefusalReason::kTooOld];
      } else if (series != nullptr && series->in_head.contains(time_ms) &&
                 series->in_head[time_ms] != bits) {
        ++verdict.refused[RefusalReason::kDuplicateTime];
      } else {
        ++verdict.accepted;
        series = &series_[labels];
        series->newest_ms = std::max(series->newest_ms, time_ms);
        series->in_head.emplace(time_ms, bits);
        contents_[labels].emplace(time_ms, bits);  // the first wins
      }
    }
    return verdict;
  }
  void Seal() {
    for (auto& [labels, series] : series_) series.in_head.clear();
  }
  const Contents& contents() const { return contents_; }
  Contents Within(TimeRange range) const {
    Contents cut;
    for (const auto& [labels, samples] : contents_) {
      for (const auto& [time_ms, bits] : samples) {
        if (range.Contains(time_ms)) cut[labels][time_ms] = bits;
      }
    }
    return cut;
  }

 private:
  struct Series {
    int64_t newest_ms = std::numeric_limits<int64_t>::min() / 2;
    std::map<int64_t, uint64_t> in_head;
  };
  const StoreOptions options_;
  std::map<Labels, Series> series_;
  Contents contents_;
};

class StoreModelTest : public StoreTest,
                       public ::testing::WithParamInterface<uint64_t> {
 protected:
  AppendBatch RandomBatch() {
    AppendBatch batch;
    const size_t series = 1 + random_() % 5;
    for (size_t i = 0; i < series; ++i) {
      batch.series.push_back(
          {SeriesNamed("m" + std::to_string(random_() % 8)), {}});
    }
    const size_t points = 1 + random_() % 60;
    for (size_t i = 0; i < points; ++i) {
      // Mostly forwards, on a coarse grid so that times meet; sometimes late,
      // sometimes much too late or too early.
      int64_t time_ms = now_ms_ + static_cast<int64_t>(random_() % 40) * 1000;
      const uint64_t dice = random_() % 100;
      if (dice < 15) time_ms -= static_cast<int64_t>(random_() % 3'600) * 1000;
      if (dice == 99) time_ms += 3'600'000;
      const double value = dice % 9 == 0 ? std::bit_cast<double>(random_())
                                         : static_cast<double>(random_() % 3);
      batch.floats.push_back(
          {static_cast<uint32_t>(random_() % series), {time_ms, value}, 0});
    }
    return batch;
  }

  void Forward() {
    const auto ms = static_cast<int64_t>(random_() % 600'000);
    now_ms_ += ms;
    clock_.SetNowMs(now_ms_);
  }

  std::mt19937_64 random_{GetParam()};
  // Near the end of a window, so that seals cut across it.
  int64_t now_ms_ = kNowMs / kWindowMs * kWindowMs + kWindowMs - 3'600'000;
};

TEST_P(StoreModelTest, SaysWhatAPlainMapSays) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  options_.store.chunk_samples_max = 16;
  options_.store.retention_ms = 0;
  clock_.SetNowMs(now_ms_);
  Open();
  Model model(options_.store);

  for (int step = 0; step < 120; ++step) {
    const uint64_t dice = random_() % 100;
    if (dice < 80) {
      const AppendBatch batch = RandomBatch();
      const Model::Verdict expected = model.Append(batch, now_ms_);
      const AppendOutcome outcome = Append(batch);
      ASSERT_THAT(outcome.status, IsOk());
      ASSERT_EQ(outcome.floats_accepted, expected.accepted);
      std::map<RefusalReason, uint64_t> refused;
      for (const Refusal& r : outcome.refusals) refused[r.reason] = r.count;
      ASSERT_EQ(refused, expected.refused);
    } else if (dice < 90) {
      ASSERT_THAT(store_->Seal(), IsOk());
      model.Seal();
    } else if (dice < 94) {
      Open();
      if (HasFatalFailure()) return;
    } else {
      Forward();
    }
    if (step % 10 == 9) {
      ASSERT_EQ(Query(), model.contents()) << "step " << step;
      const int64_t from =
          now_ms_ - static_cast<int64_t>(random_() % 3'600'000);
      const TimeRange range{from, from + 600'000};
      ASSERT_EQ(Query(range), model.Within(range)) << "step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreModelTest,
                         ::testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace vigie::store

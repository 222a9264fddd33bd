// The store against a plain map: whatever order appends of all kinds,
// duplicates, late samples, deletes, seals, failed seals, merges, restarts and
// jumps of the clock come in, both say the same, accept the same and refuse
// the same.
#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/store/batch_maker.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

// Without the start time, which does not tell duplicates apart.
std::string ValueOf(const std::string& bytes) {
  return bytes.substr(0, 1) + bytes.substr(9);
}

// What the rules of admission say, in the shortest words.
class Model {
 public:
  explicit Model(const StoreOptions& options) : options_(options) {}

  struct Verdict {
    uint64_t floats = 0, histograms = 0, deltas = 0;
    std::map<RefusalReason, uint64_t> refused;
  };

  Verdict Append(const AppendBatch& batch, int64_t now_ms) {
    Verdict verdict;
    const auto labels_of = [&](uint32_t series) -> const Labels& {
      return batch.series[series].labels;
    };
    const auto decide = [&](uint32_t series, int64_t time_ms,
                            const std::string& bytes, uint64_t* accepted) {
      if (const auto refusal =
              Refusal(labels_of(series), time_ms, bytes, now_ms)) {
        ++verdict.refused[*refusal];
      } else {
        ++*accepted;
        Take(labels_of(series), time_ms, bytes);
      }
    };
    for (const FloatPoint& point : batch.floats) {
      decide(point.series, point.sample.time_ms,
             BytesOfFloat(point.sample.value, point.start_ms), &verdict.floats);
    }
    for (const IntegerHistogramPoint& point : batch.integer_histograms) {
      decide(point.series, point.time_ms,
             BytesOfHistogram(point.histogram, point.start_ms),
             &verdict.histograms);
    }
    for (const FloatHistogramPoint& point : batch.float_histograms) {
      decide(point.series, point.time_ms,
             BytesOfHistogram(point.histogram, point.start_ms),
             &verdict.histograms);
    }
    std::vector<DeltaPoint> deltas = batch.deltas;
    std::stable_sort(deltas.begin(), deltas.end(),
                     [](const DeltaPoint& a, const DeltaPoint& b) {
                       return a.end_ms < b.end_ms;
                     });
    for (const DeltaPoint& point : deltas) {
      Sum& sum = sums_[labels_of(point.series)];
      if (point.end_ms <= sum.end_ms) {
        ++verdict.deltas;  // counted before
      } else if (point.start_ms < sum.end_ms) {
        ++verdict.refused[RefusalReason::kOverlappingDelta];
      } else if (point.end_ms > now_ms + options_.future_window_ms) {
        ++verdict.refused[RefusalReason::kTooFarInFuture];
      } else {
        if (sum.end_ms == kNever) sum.start_ms = point.start_ms;
        sum.end_ms = point.end_ms;
        sum.total += point.increment;
        ++verdict.deltas;
        Take(labels_of(point.series), point.end_ms,
             BytesOfFloat(sum.total, sum.start_ms));
      }
    }
    return verdict;
  }

  void Seal() {
    for (auto& [labels, series] : series_) series.in_head.clear();
  }
  // Seals first, as a store does.
  uint64_t Delete(std::string_view metric, TimeRange range) {
    Seal();
    uint64_t touched = 0;
    for (auto it = contents_.begin(); it != contents_.end();) {
      auto& [labels, samples] = *it;
      if (labels.Get("__name__") == metric) {
        touched += std::erase_if(samples, [&](const auto& sample) {
                     return range.Contains(sample.first);
                   }) > 0;
      }
      it = samples.empty() ? contents_.erase(it) : std::next(it);
    }
    return touched;
  }
  Stored Within(TimeRange range) const {
    Stored cut;
    for (const auto& [labels, samples] : contents_) {
      for (const auto& [time_ms, bytes] : samples) {
        if (range.Contains(time_ms)) cut[labels][time_ms] = bytes;
      }
    }
    return cut;
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::min() / 2;
  struct Series {
    int64_t newest_ms = kNever;
    std::map<int64_t, std::string> in_head;  // values
  };
  struct Sum {
    int64_t start_ms = 0;
    int64_t end_ms = kNever;
    double total = 0;
  };

  std::optional<RefusalReason> Refusal(const Labels& labels, int64_t time_ms,
                                       const std::string& bytes,
                                       int64_t now_ms) const {
    if (time_ms > now_ms + options_.future_window_ms) {
      return RefusalReason::kTooFarInFuture;
    }
    const auto series = series_.find(labels);
    if (series == series_.end()) return std::nullopt;
    if (time_ms < series->second.newest_ms - options_.out_of_order_window_ms) {
      return RefusalReason::kTooOld;
    }
    const auto held = series->second.in_head.find(time_ms);
    if (held != series->second.in_head.end() &&
        held->second != ValueOf(bytes)) {
      return RefusalReason::kDuplicateTime;
    }
    return std::nullopt;
  }

  void Take(const Labels& labels, int64_t time_ms, const std::string& bytes) {
    Series& series = series_[labels];
    series.newest_ms = std::max(series.newest_ms, time_ms);
    series.in_head.emplace(time_ms, ValueOf(bytes));
    contents_[labels].emplace(time_ms, bytes);  // the first wins
  }

  const StoreOptions options_;
  std::map<Labels, Series> series_;
  std::map<Labels, Sum> sums_;
  Stored contents_;
};

class StoreModelTest : public StoreTest,
                       public ::testing::WithParamInterface<uint64_t> {
 protected:
  StoreModelTest() : StoreTest(TempDirectory::InMemory()) {}

  uint64_t Below(uint64_t n) { return random_() % n; }

  // Mostly forwards, on a coarse grid so that times meet; sometimes late,
  // sometimes much too late or too early.
  int64_t RandomTime() {
    int64_t time_ms = now_ms_ + static_cast<int64_t>(Below(40)) * 1000;
    const uint64_t dice = Below(100);
    if (dice < 15) time_ms -= static_cast<int64_t>(Below(3'600)) * 1000;
    if (dice == 99) time_ms += 3'600'000;
    return time_ms;
  }

  template <class Count>
  BasicHistogram<Count> RandomHistogram() {
    BasicHistogram<Count> histogram;
    histogram.schema = static_cast<int32_t>(Below(2));
    histogram.reset_hint = static_cast<CounterResetHint>(Below(2));
    histogram.positive_spans = {
        {static_cast<int32_t>(Below(2)), static_cast<uint32_t>(1 + Below(3))}};
    for (uint32_t i = 0; i < histogram.positive_spans[0].length; ++i) {
      const auto count = static_cast<Count>(Below(3));
      histogram.positive_buckets.push_back(count);
      histogram.count += count;
    }
    histogram.sum = static_cast<double>(Below(3));
    return histogram;
  }

  AppendBatch RandomBatch() {
    AppendBatch batch;
    const size_t count = 1 + Below(5);
    for (size_t i = 0; i < count; ++i) {
      const uint64_t number = Below(10);
      const auto series = static_cast<uint32_t>(i);
      batch.series.push_back({SeriesNamed("m" + std::to_string(number)), {}});
      const size_t points = 1 + Below(15);
      // m8 and m9 are sums of deltas, m6 and m7 switch kinds, m0 to m3 floats.
      if (number >= 8) {
        AddDeltas(series, number, points, &batch);
        continue;
      }
      for (size_t k = 0; k < points; ++k) {
        const int64_t time_ms = RandomTime();
        const uint64_t kind = number < 4   ? 0
                              : number < 6 ? number - 3
                                           : Below(3);
        if (kind == 0) {
          const double value = Below(9) == 0 ? std::bit_cast<double>(random_())
                                             : static_cast<double>(Below(3));
          batch.floats.push_back({series, {time_ms, value}, 0});
        } else if (kind == 1) {
          batch.integer_histograms.push_back(
              {series, time_ms, RandomHistogram<uint64_t>(), 0});
        } else {
          batch.float_histograms.push_back(
              {series, time_ms, RandomHistogram<double>(), 0});
        }
      }
    }
    return batch;
  }

  // Intervals that follow each other, come again, overlap or leave a gap.
  void AddDeltas(uint32_t series, uint64_t number, size_t points,
                 AppendBatch* batch) {
    int64_t& end_ms = delta_end_ms_[number];
    end_ms = std::max(end_ms, now_ms_ - 60'000);
    for (size_t k = 0; k < points; ++k) {
      int64_t start_ms = end_ms;
      const uint64_t dice = Below(10);
      if (dice == 0) start_ms -= 500;    // overlaps
      if (dice == 1) start_ms += 2'000;  // a gap
      int64_t stop_ms = start_ms + 1'000;
      if (dice == 2) {  // again
        start_ms -= 1'000;
        stop_ms -= 1'000;
      }
      end_ms = std::max(end_ms, stop_ms);
      batch->deltas.push_back(
          {series, start_ms, stop_ms, static_cast<double>(Below(1'000))});
    }
  }

  void AppendToBoth() {
    const AppendBatch batch = RandomBatch();
    const Model::Verdict expected = model_->Append(batch, now_ms_);
    const AppendOutcome outcome = Append(batch);
    ASSERT_THAT(outcome.status, IsOk());
    ASSERT_EQ(outcome.floats_accepted, expected.floats);
    ASSERT_EQ(outcome.histograms_accepted, expected.histograms);
    ASSERT_EQ(outcome.deltas_accepted, expected.deltas);
    std::map<RefusalReason, uint64_t> refused;
    for (const Refusal& r : outcome.refusals) refused[r.reason] = r.count;
    ASSERT_EQ(refused, expected.refused);
  }

  void DeleteInBoth() {
    const std::string metric = "m" + std::to_string(Below(10));
    const int64_t from = now_ms_ - static_cast<int64_t>(Below(3'600)) * 1000;
    const TimeRange range{from,
                          from + static_cast<int64_t>(Below(1'800)) * 1000};
    const auto touched = store_->DeleteSeries(
        {.tenant = {},
         .selectors = {{Matcher::Equal("__name__", metric)}},
         .range = range},
        {});
    if (absl::IsUnimplemented(touched.status())) return;
    ASSERT_THAT(touched, IsOk());
    model_->Delete(metric, range);
  }

  void MergeBoth() {
    ASSERT_THAT(store_->Seal(), IsOk());
    model_->Seal();
    const absl::Status merged = store_->Compact({});
    ASSERT_TRUE(merged.ok() || absl::IsUnimplemented(merged)) << merged;
  }

  // Never so far that a series counts as idle: when that leaves the head is
  // the store's to say.
  void MoveClock() {
    now_ms_ += static_cast<int64_t>(Below(60'000)) - 20'000;
    clock_.SetNowMs(now_ms_);
  }

  void ExpectTheSame() {
    ASSERT_EQ(StoredIn(store_->queryable()), model_->Within({}));
    const int64_t from = now_ms_ - static_cast<int64_t>(Below(3'600'000));
    const TimeRange range{from, from + 600'000};
    ASSERT_EQ(StoredIn(store_->queryable(), range), model_->Within(range));
    for (const int64_t max_ms : {range.max_ms, from, now_ms_ + 40'000}) {
      const TimeRange before{max_ms - 300'000, max_ms};
      const WindowHint newest{.function = "", .first_ms = max_ms};
      ASSERT_EQ(
          NewestOf(StoredIn(store_->queryable(), before, {}, nullptr, newest)),
          NewestOf(model_->Within(before)));
    }
  }

  static Stored NewestOf(Stored stored) {
    for (auto& [labels, samples] : stored) {
      samples.erase(samples.begin(), std::prev(samples.end()));
    }
    return stored;
  }

  std::mt19937_64 random_{GetParam()};
  // Near the end of a window and of a day, so that seals and merges cut across.
  int64_t now_ms_ = kNowMs / 86'400'000 * 86'400'000 + 86'400'000 - 1'200'000;
  std::map<uint64_t, int64_t> delta_end_ms_;
  std::unique_ptr<Model> model_;
};

TEST_P(StoreModelTest, SaysWhatAPlainMapSays) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  options_.store.chunk_samples_max = 16;
  options_.store.retention_ms = 0;
  clock_.SetNowMs(now_ms_);
  Open();
  model_ = std::make_unique<Model>(options_.store);

  for (int step = 0; step < 120 && !HasFatalFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const uint64_t dice = Below(100);
    if (dice < 76) {
      AppendToBoth();
    } else if (dice < 85) {
      ASSERT_THAT(store_->Seal(), IsOk());
      model_->Seal();
    } else if (dice < 88) {
      MergeBoth();
    } else if (dice < 91) {
      DeleteInBoth();
    } else if (dice < 94) {
      Open();
    } else {
      MoveClock();
    }
    if (step % 10 == 9 && !HasFatalFailure()) ExpectTheSame();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreModelTest,
                         ::testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace vigie::store

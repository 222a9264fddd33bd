// What a query holds by its own account, over a store that makes its samples
// as they are read and charges nothing itself.
#include <string>
#include <utility>
#include <vector>

#include "tests/query/engine_fixture.h"

namespace vigie::testing {
namespace {

constexpr int64_t kMinute = 60'000;

// `series` counters, a sample every 15 s of the last `samples` before an hour.
class MadeUpStore final : public store::Queryable {
 public:
  MadeUpStore(size_t series, size_t samples) : samples_(samples) {
    for (size_t i = 0; i < series; ++i) {
      labels_.push_back(Labels({{"__name__", "x_total"},
                                {"id", fmt::format("{:06}", i)},
                                {"parity", i % 2 != 0 ? "odd" : "even"}}));
    }
  }

  absl::StatusOr<std::unique_ptr<store::SeriesSnapshot>> Select(
      const store::SelectRequest&, const store::ReadContext&) const override {
    return std::make_unique<Snapshot>(*this);
  }
  absl::StatusOr<store::NameList> LabelNames(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      uint64_t, const store::ReadContext&) const override {
    return absl::UnimplementedError("names");
  }
  absl::StatusOr<store::NameList> LabelValues(
      const Tenant&, std::string_view, const TimeRange&,
      const std::vector<std::vector<Matcher>>&, uint64_t,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("values");
  }
  absl::StatusOr<std::vector<Labels>> Series(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      uint64_t, const store::ReadContext&, bool*) const override {
    return absl::UnimplementedError("series");
  }
  absl::StatusOr<std::vector<store::ExemplarSeries>> Exemplars(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("exemplars");
  }
  absl::StatusOr<std::vector<store::MetricMetadata>> ListMetadata(
      const Tenant&, std::string_view,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("metadata");
  }
  absl::StatusOr<store::Cardinality> CountCardinality(
      const Tenant&, uint64_t, const store::ReadContext&) const override {
    return absl::UnimplementedError("cardinality");
  }

 private:
  class Samples final : public store::SampleIterator {
   public:
    explicit Samples(size_t left) : left_(left) {}
    absl::StatusOr<bool> Next(store::SampleBatch* batch) override {
      *batch = {};
      for (size_t i = 0; i < store::kBatchSamplesMax && left_ > 0; ++i) {
        --left_;
        batch->times_ms.push_back(60 * kMinute -
                                  static_cast<int64_t>(left_) * 15'000);
        batch->values.push_back(static_cast<double>(batch->times_ms.back()));
      }
      return !batch->times_ms.empty();
    }

   private:
    size_t left_;
  };

  class Snapshot final : public store::SeriesSnapshot {
   public:
    explicit Snapshot(const MadeUpStore& store) : store_(store) {}
    size_t size() const override { return store_.labels_.size(); }
    const Labels& labels(size_t series) const override {
      return store_.labels_[series];
    }
    std::unique_ptr<store::SampleIterator> Samples(size_t) const override {
      return std::make_unique<MadeUpStore::Samples>(store_.samples_);
    }
    const std::vector<std::string>& warnings() const override {
      return warnings_;
    }

   private:
    const MadeUpStore& store_;
    const std::vector<std::string> warnings_;
  };

  std::vector<Labels> labels_;
  const size_t samples_;
};

class EngineBytesTest : public ::testing::Test {
 protected:
  query::QueryStats StatsOf(const store::Queryable& store,
                            std::string_view text) const {
    query::RangeQuery query;
    query.query = text;
    query.start_ms = 50 * kMinute;
    query.end_ms = 60 * kMinute;
    query.step_ms = 15'000;
    const auto result = query::Engine(store, clock_, options_).Run(query);
    EXPECT_THAT(result, IsOk());
    return result.ok() ? result->stats : query::QueryStats();
  }

  SimulatedClock clock_{0};
  query::EngineOptions options_;
};

TEST_F(EngineBytesTest,
       AggregationsHoldGroupsAndAFewSeriesWhateverTheirNumber) {
  const MadeUpStore few(800, 60);
  const MadeUpStore many(8'000, 60);
  for (const char* text :
       {"count(x_total)", "sum by (parity) (rate(x_total[5m]))",
        "avg(x_total) by (parity)", "max(max_over_time(x_total[2m]))",
        "sum(x_total * 2 > 0)", "scalar(count(x_total)) + count(x_total)"}) {
    SCOPED_TRACE(text);
    for (const int64_t threads : {1, 2}) {
      options_.threads = threads;
      const query::QueryStats of_few = StatsOf(few, text);
      const query::QueryStats of_many = StatsOf(many, text);

      EXPECT_EQ(of_many.series_read, 10 * of_few.series_read);
      // At most two blocks of 32 series a thread are in its hands.
      const int64_t cells = 41 * static_cast<int64_t>(9 + sizeof(double));
      const int64_t in_hand = threads * 2 * 32 * (cells + 400);
      EXPECT_LT(of_many.bytes_peak, of_few.bytes_peak + in_hand);
      EXPECT_LT(of_many.bytes_peak, 8'000 * 41);
      EXPECT_LT(of_many.samples_peak, 8'000);
    }
  }
}

TEST_F(EngineBytesTest, SamplesOfOneSeriesAreHeldAndNotThoseOfAll) {
  options_.threads = 1;
  const MadeUpStore series(500, 2'000);

  const query::QueryStats stats =
      StatsOf(series, "sum by (parity) (rate(x_total[5m]))");

  EXPECT_EQ(stats.samples_read, 500 * 2'000);
  EXPECT_LT(stats.bytes_peak, 4 * 2'000 * 40);
}

TEST_F(EngineBytesTest, AVectorAsTheAnswerIsHeldWhole) {
  const MadeUpStore series(1'000, 60);

  EXPECT_GT(StatsOf(series, "x_total").bytes_peak, 1'000 * 41 * 9);
}

}  // namespace
}  // namespace vigie::testing

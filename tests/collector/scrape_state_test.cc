#include "collector/scrape_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/collector/stored_samples.h"
#include "tests/support/memory_store.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::MemoryStore;

class ScrapeStateTest : public ::testing::Test {
 protected:
  // One scrape of `body`, appended and settled; batches are kept.
  ScrapeReading ScrapeText(int64_t time_ms, std::string body,
                           TextFormat format = TextFormat::kPrometheus) {
    return Run({time_ms, 0.25, absl::OkStatus(), std::move(body), format});
  }
  ScrapeReading ScrapeFailure(int64_t time_ms, absl::Status status) {
    return Run({time_ms, 0.25, std::move(status), "", {}});
  }
  ScrapeReading Run(const Scrape& scrape) {
    store::AppendBatch batch;
    const ScrapeReading reading = state_.Compose(job_, scrape, &batch);
    batch_ = batch;
    std::optional<store::AppendBatch> next = std::move(batch);
    resent_ = 0;
    while (next) {
      const store::AppendOutcome outcome =
          store::AppendAndWait(store_, *std::move(next));
      next = state_.Settle(job_, outcome);
      if (next) ++resent_;
    }
    return reading;
  }
  // What the store has, the scrape_* series and `up` left out.
  std::map<std::string, std::string> Exposed() const {
    auto stored = StoredSamples(store_);
    std::erase_if(stored, [](const auto& pair) {
      return pair.first.starts_with("scrape_") || pair.first.starts_with("up{");
    });
    return stored;
  }

  MemoryStore store_;
  ScrapeJob job_;
  ScrapeState state_{Labels{{"instance", "h:1"}, {"job", "j"}}, "group"};
  store::AppendBatch batch_;
  int resent_ = 0;
};

TEST_F(ScrapeStateTest, StoresSamplesWithTheTargetsLabelsAndReports) {
  EXPECT_THAT(ScrapeText(1000, "a 1\nb{x=\"1\"} 2\n").status, IsOk());

  EXPECT_THAT(
      StoredSamples(store_),
      UnorderedElementsAre(
          Pair("a{instance=\"h:1\", job=\"j\"}", "1000 1"),
          Pair("b{instance=\"h:1\", job=\"j\", x=\"1\"}", "1000 2"),
          Pair("up{instance=\"h:1\", job=\"j\"}", "1000 1"),
          Pair("scrape_duration_seconds{instance=\"h:1\", job=\"j\"}",
               "1000 0.25"),
          Pair("scrape_samples_scraped{instance=\"h:1\", job=\"j\"}", "1000 2"),
          Pair("scrape_samples_post_metric_relabeling{instance=\"h:1\", "
               "job=\"j\"}",
               "1000 2"),
          Pair("scrape_series_added{instance=\"h:1\", job=\"j\"}", "1000 2")));
  EXPECT_EQ(batch_.group, "group");
}

TEST_F(ScrapeStateTest, SendsKnownSeriesByReference) {
  ScrapeText(1000, "a 1\nb 2\n");
  ScrapeText(2000, "a 3\nb 4\n");

  for (const auto& series : batch_.series) {
    EXPECT_NE(series.ref.id, 0u);
    EXPECT_TRUE(series.labels.empty());
  }
  EXPECT_THAT(Exposed(),
              UnorderedElementsAre(
                  Pair("a{instance=\"h:1\", job=\"j\"}", "1000 1 2000 3"),
                  Pair("b{instance=\"h:1\", job=\"j\"}", "1000 2 2000 4")));
  EXPECT_THAT(StoredSamples(store_),
              Contains(Pair("scrape_series_added{instance=\"h:1\", job=\"j\"}",
                            "1000 2 2000 0")));
}

TEST_F(ScrapeStateTest, SaysLabelsAgainForReferencesThatTheStoreForgot) {
  ScrapeText(1000, "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n");
  store_.ForgetReferences();
  ScrapeText(2000, "# TYPE h histogram\nh_bucket{le=\"1\"} 2\n");

  EXPECT_EQ(resent_, 1);
  EXPECT_THAT(Exposed(),
              ElementsAre(Pair("h_bucket{instance=\"h:1\", job=\"j\", "
                               "le=\"1.0\"}",
                               "1000 1 2000 2")));
  EXPECT_THAT(
      StoredSamples(store_),
      Contains(Pair("up{instance=\"h:1\", job=\"j\"}", "1000 1 2000 1")));
}

TEST_F(ScrapeStateTest, EndsSeriesThatVanishAndLetsThemComeBack) {
  ScrapeText(1000, "a 1\nb 2\n");
  ScrapeText(2000, "a 1\n");
  ScrapeText(3000, "a 1\n");
  EXPECT_EQ(state_.known_series(), 1u);
  ScrapeText(4000, "a 1\nb 5\n");

  EXPECT_THAT(Exposed(), Contains(Pair("b{instance=\"h:1\", job=\"j\"}",
                                       "1000 2 2000 stale 4000 5")));
}

TEST_F(ScrapeStateTest, EndsEverySeriesOfATargetThatFails) {
  ScrapeText(1000, "a 1\n");
  const ScrapeReading reading = ScrapeFailure(
      2000, absl::DeadlineExceededError("no complete answer within 10s"));
  ScrapeFailure(3000, absl::UnavailableError("Connection refused"));

  EXPECT_EQ(reading.outcome, "timeout");
  EXPECT_THAT(Exposed(), ElementsAre(Pair("a{instance=\"h:1\", job=\"j\"}",
                                          "1000 1 2000 stale")));
  EXPECT_THAT(StoredSamples(store_),
              Contains(Pair("up{instance=\"h:1\", job=\"j\"}",
                            "1000 1 2000 0 3000 0")));
}

TEST_F(ScrapeStateTest, AppliesNothingOfAMalformedExposition) {
  ScrapeText(1000, "a 1\n");
  const ScrapeReading reading = ScrapeText(2000, "a 2\nnew 1\nb{x} 3\n");

  EXPECT_EQ(reading.outcome, "malformed");
  EXPECT_EQ(reading.samples, 2u);
  EXPECT_THAT(reading.status,
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("exposition: 3:4: expected '=' after label "
                                 "name")));
  EXPECT_THAT(Exposed(), ElementsAre(Pair("a{instance=\"h:1\", job=\"j\"}",
                                          "1000 1 2000 stale")));
  EXPECT_EQ(state_.known_series(), 0u);
}

TEST_F(ScrapeStateTest, ReportsThePlaceOfLabelsThatCannotBe) {
  const ScrapeReading reading = ScrapeText(1000, "a 1\nb{x=\"\xFF\"} 2\n");

  EXPECT_THAT(reading.status, HasError(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("exposition: 2:6:")));
  EXPECT_THAT(Exposed(), IsEmpty());
}

TEST_F(ScrapeStateTest, RenamesExposedLabelsThatTheTargetHasToo) {
  ScrapeText(1000, "a{job=\"x\",exported_job=\"y\",instance=\"\"} 1\n");

  EXPECT_THAT(Exposed(),
              ElementsAre(Key("a{exported_exported_job=\"x\", "
                              "exported_job=\"y\", instance=\"h:1\", "
                              "job=\"j\"}")));
}

TEST_F(ScrapeStateTest, HonorsExposedLabelsEmptyOnesToo) {
  job_.honor_labels = true;
  ScrapeText(1000, "a{job=\"x\",instance=\"\"} 1\nb 2\n");

  EXPECT_THAT(Exposed(),
              UnorderedElementsAre(Key("a{job=\"x\"}"),
                                   Key("b{instance=\"h:1\", job=\"j\"}")));
}

TEST_F(ScrapeStateTest, KeepsExposedTimesAndDoesNotEndSuchSeries) {
  ScrapeText(5000, "a 1 4000\nb 2\n");
  ScrapeText(6000, "");

  EXPECT_THAT(Exposed(),
              UnorderedElementsAre(
                  Pair("a{instance=\"h:1\", job=\"j\"}", "4000 1"),
                  Pair("b{instance=\"h:1\", job=\"j\"}", "5000 2 6000 stale")));
}

TEST_F(ScrapeStateTest, EndsSeriesWithExposedTimesIfAskedTo) {
  job_.track_timestamps_staleness = true;
  ScrapeText(5000, "a 1 4000\n");
  ScrapeText(6000, "");

  EXPECT_THAT(Exposed(), ElementsAre(Pair("a{instance=\"h:1\", job=\"j\"}",
                                          "4000 1 6000 stale")));
}

TEST_F(ScrapeStateTest, IgnoresExposedTimesWithoutHonorTimestamps) {
  job_.honor_timestamps = false;
  ScrapeText(5000, "a 1 4000\n");
  ScrapeText(6000, "");

  EXPECT_THAT(Exposed(), ElementsAre(Pair("a{instance=\"h:1\", job=\"j\"}",
                                          "5000 1 6000 stale")));
}

TEST_F(ScrapeStateTest, TakesAsManySamplesAsTheLimitSays) {
  job_.sample_limit = 2;
  EXPECT_THAT(ScrapeText(1000, "a 1\nb 2\n").status, IsOk());
  const ScrapeReading reading = ScrapeText(2000, "a 1\nb 2\nc 3\n");

  EXPECT_EQ(reading.outcome, "sample_limit");
  EXPECT_THAT(reading.status, HasError(absl::StatusCode::kOutOfRange,
                                       HasSubstr("sample_limit exceeded")));
  EXPECT_THAT(Exposed(), Not(Contains(Key(HasSubstr("c{")))));
  EXPECT_THAT(Exposed(), Contains(Pair("a{instance=\"h:1\", job=\"j\"}",
                                       "1000 1 2000 stale")));
}

TEST_F(ScrapeStateTest, HoldsLabelsToTheirLimits) {
  const auto outcome = [&](ScrapeJob job, const std::string& text) {
    ScrapeState state(Labels{{"job", "j"}}, "g");
    store::AppendBatch batch;
    return state
        .Compose(job, {1, 0, absl::OkStatus(), text, TextFormat::kPrometheus},
                 &batch)
        .outcome;
  };
  ScrapeJob count, name, value;
  count.label_limit = 3;
  name.label_name_length_limit = 8;
  value.label_value_length_limit = 4;

  EXPECT_EQ(outcome(count, "a{x=\"1\"} 1"), "ok");
  EXPECT_EQ(outcome(count, "a{x=\"1\",y=\"2\"} 1"), "label_limit");
  EXPECT_EQ(outcome(name, "a{abcdefgh=\"1\"} 1"), "ok");
  EXPECT_EQ(outcome(name, "a{abcdefghi=\"1\"} 1"), "label_limit");
  EXPECT_EQ(outcome(value, "a{x=\"1234\"} 1"), "ok");
  EXPECT_EQ(outcome(value, "a{x=\"12345\"} 1"), "label_limit");
}

TEST_F(ScrapeStateTest, RelabelsAndDropsSeries) {
  job_.metric_relabel_configs = {
      *Relabel::Create({.action = RelabelOptions::Action::kDrop,
                        .source_labels = {"__name__"},
                        .regex = "go_.*"}),
      *Relabel::Create({.source_labels = {"x"}, .target_label = "y"})};
  for (int64_t time_ms : {1000, 2000}) {
    EXPECT_THAT(ScrapeText(time_ms, "go_a 1\nb{x=\"1\"} 2\n").status, IsOk());
  }

  EXPECT_THAT(Exposed(), ElementsAre(Pair("b{instance=\"h:1\", job=\"j\", "
                                          "x=\"1\", y=\"1\"}",
                                          "1000 2 2000 2")));
  EXPECT_THAT(
      StoredSamples(store_),
      AllOf(
          Contains(Pair(HasSubstr("samples_scraped"), "1000 2 2000 2")),
          Contains(Pair(HasSubstr("post_metric_relabeling"), "1000 1 2000 1")),
          Contains(Pair(HasSubstr("series_added"), "1000 1 2000 0"))));
}

TEST_F(ScrapeStateTest, FailsIfRelabellingTakesTheName) {
  job_.metric_relabel_configs = {*Relabel::Create(
      {.action = RelabelOptions::Action::kLabelDrop, .regex = "__name__"})};

  EXPECT_EQ(ScrapeText(1000, "a 1\n").outcome, "invalid_labels");
}

TEST_F(ScrapeStateTest, EndsLaterWhatARefusedBatchShouldHaveEnded) {
  ScrapeText(1000, "a 1\nb 2\n");
  store_.RefuseWith(absl::UnavailableError("disk full"));
  ScrapeText(2000, "a 1\nc 3\n");
  store_.RefuseWith(absl::OkStatus());
  ScrapeText(3000, "a 1\nc 3\n");

  EXPECT_THAT(Exposed(),
              UnorderedElementsAre(
                  Pair("a{instance=\"h:1\", job=\"j\"}", "1000 1 3000 1"),
                  Pair("b{instance=\"h:1\", job=\"j\"}", "1000 2 3000 stale"),
                  Pair("c{instance=\"h:1\", job=\"j\"}", "3000 3")));
}

TEST_F(ScrapeStateTest, AppendsMetadataOnceAndWhenItChanges) {
  const std::string text = "# TYPE a counter\n# HELP a one\na 1\n";
  ScrapeText(1000, text);
  EXPECT_THAT(batch_.metadata, SizeIs(1));
  EXPECT_EQ(batch_.metadata[0].metadata,
            (Metadata{MetricType::kCounter, "one", ""}));
  ScrapeText(2000, text);
  EXPECT_THAT(batch_.metadata, IsEmpty());
  ScrapeText(3000, "# TYPE a counter\n# HELP a two\na 1\n");
  EXPECT_THAT(batch_.metadata, SizeIs(1));

  store_.RefuseWith(absl::UnavailableError("disk full"));
  ScrapeText(4000, text);
  store_.RefuseWith(absl::OkStatus());
  ScrapeText(5000, text);
  EXPECT_THAT(batch_.metadata, SizeIs(1));
}

TEST_F(ScrapeStateTest, AppendsExemplars) {
  ScrapeText(1000,
             "# TYPE a counter\na_total 1 # {trace_id=\"t\"} 0.5 0.9\n"
             "b_total 1 # {trace_id=\"u\"} 0.5\n# EOF\n",
             TextFormat::kOpenMetrics);

  ASSERT_THAT(batch_.exemplars, SizeIs(2));
  EXPECT_EQ(batch_.exemplars[0].exemplar,
            (Exemplar{Labels{{"trace_id", "t"}}, 0.5, 900}));
  EXPECT_EQ(batch_.exemplars[1].exemplar.time_ms, 1000);
}

TEST_F(ScrapeStateTest, KeepsBothSamplesOfASeriesWithTwoTimes) {
  ScrapeText(9000, "a 1 1000\na 2 2000\n");

  EXPECT_THAT(Exposed(), ElementsAre(Pair("a{instance=\"h:1\", job=\"j\"}",
                                          "1000 1 2000 2")));
}

TEST_F(ScrapeStateTest, RetiresEverySeriesAndReport) {
  ScrapeText(1000, "a 1\nb 2 500\n");
  store::AppendAndWait(store_, state_.Retire(1500));

  EXPECT_THAT(StoredSamples(store_),
              AllOf(Contains(Pair("a{instance=\"h:1\", job=\"j\"}",
                                  "1000 1 1500 stale")),
                    Contains(Pair("b{instance=\"h:1\", job=\"j\"}", "500 2")),
                    Contains(Pair("up{instance=\"h:1\", job=\"j\"}",
                                  "1000 1 1500 stale"))));
}

}  // namespace
}  // namespace vigie::collector

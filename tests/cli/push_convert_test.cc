#include "cli/push_convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "collector/otlp_decode.h"
#include "tests/support/status_matchers.h"

namespace vigie::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

constexpr int64_t kNowMs = 1'700'000'000'000;

// What the server makes of the request: series -> value, without the labels
// job and instance. Times are checked apart.
std::map<std::string, double> Stored(std::string_view text,
                                     store::AppendBatch* batch = nullptr) {
  const auto request = ExpositionToOtlp(text, kNowMs, "j", "i");
  EXPECT_THAT(request, IsOk());
  if (!request.ok()) return {};
  const auto decoded = collector::DecodeOtlp(request->SerializeAsString(),
                                             Tenant(), int64_t{1} << 30);
  EXPECT_THAT(decoded, IsOk());
  EXPECT_TRUE(decoded->refusals.empty());
  std::map<std::string, double> out;
  for (const auto& one : decoded->batches) {
    for (const auto& point : one.batch.floats) {
      const Labels& labels = one.batch.series[point.series].labels;
      EXPECT_EQ(labels.Get("job"), "j");
      EXPECT_EQ(labels.Get("instance"), "i");
      out[LabelsBuilder(labels)
              .Remove("job")
              .Remove("instance")
              .Build()
              .ToString()] = point.sample.value;
    }
    if (batch != nullptr) *batch = one.batch;
  }
  return out;
}

TEST(ExpositionToOtlpTest, KeepsNamesLabelsAndValues) {
  EXPECT_THAT(
      Stored("# TYPE a_total counter\n"
             "a_total{x=\"1\"} 5\n"
             "# TYPE b gauge\n"
             "b 2.5\n"
             "c{y=\"z\"} -1\n"
             "# TYPE queue_total gauge\n"
             "queue_total 3\n"
             "# TYPE d_seconds counter\n"
             "d_seconds 4\n"
             "job:rate5m:sum 7\n"),
      UnorderedElementsAre(Pair("a_total{x=\"1\"}", 5), Pair("b", 2.5),
                           Pair("c{y=\"z\"}", -1), Pair("queue_total", 3),
                           Pair("d_seconds", 4), Pair("job:rate5m:sum", 7)));
}

TEST(ExpositionToOtlpTest, KeepsClassicHistograms) {
  EXPECT_THAT(Stored("# TYPE h histogram\n"
                     "h_bucket{x=\"1\",le=\"0.5\"} 1\n"
                     "h_bucket{x=\"1\",le=\"2\"} 3\n"
                     "h_bucket{x=\"1\",le=\"+Inf\"} 4\n"
                     "h_sum{x=\"1\"} 6.5\n"
                     "h_count{x=\"1\"} 4\n"
                     "h_bucket{x=\"2\",le=\"+Inf\"} 0\n"
                     "h_sum{x=\"2\"} 0\n"
                     "h_count{x=\"2\"} 0\n"),
              UnorderedElementsAre(
                  Pair("h_bucket{le=\"0.5\", x=\"1\"}", 1),
                  Pair("h_bucket{le=\"2\", x=\"1\"}", 3),
                  Pair("h_bucket{le=\"+Inf\", x=\"1\"}", 4),
                  Pair("h_sum{x=\"1\"}", 6.5), Pair("h_count{x=\"1\"}", 4),
                  Pair("h_bucket{le=\"+Inf\", x=\"2\"}", 0),
                  Pair("h_sum{x=\"2\"}", 0), Pair("h_count{x=\"2\"}", 0)));
}

TEST(ExpositionToOtlpTest, KeepsSummaries) {
  EXPECT_THAT(Stored("# TYPE s summary\n"
                     "s{quantile=\"0.5\"} 1.5\n"
                     "s{quantile=\"0.99\"} 9\n"
                     "s_sum 20\n"
                     "s_count 8\n"),
              UnorderedElementsAre(Pair("s{quantile=\"0.5\"}", 1.5),
                                   Pair("s{quantile=\"0.99\"}", 9),
                                   Pair("s_sum", 20), Pair("s_count", 8)));
}

TEST(ExpositionToOtlpTest, KeepsTypeHelpAndTime) {
  store::AppendBatch batch;
  Stored(
      "# HELP a_total what it counts\n# TYPE a_total counter\n"
      "a_total 5 1700000001500\n",
      &batch);
  ASSERT_EQ(batch.floats.size(), 1u);
  EXPECT_EQ(batch.floats[0].sample.time_ms, 1'700'000'001'500);
  ASSERT_EQ(batch.metadata.size(), 1u);
  EXPECT_EQ(batch.metadata[0].metric, "a_total");
  EXPECT_EQ(batch.metadata[0].metadata.type, MetricType::kCounter);
  EXPECT_EQ(batch.metadata[0].metadata.help, "what it counts");

  Stored("a 5\n", &batch);
  EXPECT_EQ(batch.floats[0].sample.time_ms, kNowMs);
}

TEST(ExpositionToOtlpTest, ReadsOpenMetricsByItsEnd) {
  store::AppendBatch batch;
  EXPECT_THAT(
      Stored("# TYPE a counter\na_total 5 1700000001.5\n# EOF\n", &batch),
      UnorderedElementsAre(Pair("a_total", 5)));
  EXPECT_EQ(batch.floats[0].sample.time_ms, 1'700'000'001'500);
}

TEST(ExpositionToOtlpTest, KeepsAStraySampleNamedAsAHistogram) {
  EXPECT_THAT(Stored("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh 9\n"),
              UnorderedElementsAre(Pair("h_bucket{le=\"+Inf\"}", 1),
                                   Pair("h_count", 1), Pair("h", 9)));
}

TEST(ExpositionToOtlpTest, GivesNothingForNothing) {
  EXPECT_TRUE(Stored("").empty());
  EXPECT_TRUE(Stored("# a comment\n").empty());
}

TEST(ExpositionToOtlpTest, NamesThePlaceOfWhatCannotBeSent) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"a 1\nb{x} 2\n", "2:4: expected '='"},
      {"a 1\n  a__b 2\n", "2:3: OTLP would store metric \"a__b\" as \"a_b\""},
      {"{\"http.x\"} 2\n",
       "1:1: OTLP would store metric \"http.x\" as "
       "\"http_x\""},
      {"a{_x=\"1\"} 2\n", "1:1: OTLP would store label \"_x\" as \"key_x\""},
      {"a{job=\"x\"} 2\n", "1:1: label \"job\" comes from --job"},
      {"a{instance=\"x\"} 2\n", "1:1: label \"instance\" comes from"},
      {"a 1 -5\n", "1:1: OTLP has no time at or before 1970"},
      {"a{x=\"\xFF\"} 2\n", "1:6: "},
      {"# TYPE h histogram\nh_sum 1\n",
       "2:1: histogram h: neither _count nor a bucket with le=\"+Inf\""},
      {"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 2\n",
       "2:1: histogram h: _count differs"},
      {"# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\n",
       "2:1: histogram h: the bucket with le=\"1\" counts 3"},
      {"# TYPE h histogram\nh_bucket{le=\"x\"} 3\n",
       "2:1: le=\"x\" is not a number"},
      {"# TYPE h histogram\nh_bucket 3\n", "2:1: label \"le\" is missing"},
      {"# TYPE h histogram\nh_count 1.5\n", "2:1: 1.5 is not a count"},
      {"# TYPE h histogram\nh_count 1\nh_count 2\n",
       "3:1: the same sample comes twice"},
      {"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\n"
       "h_count 1\n",
       "2:1: histogram h: two buckets with le=\"1\""},
      {"# TYPE s summary\ns_sum 1\n", "2:1: summary s: _count is missing"},
      {"# TYPE s summary\ns 1\n", "2:1: label \"quantile\" is missing"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(
        ExpositionToOtlp(one.text, kNowMs, "j", "i"),
        HasError(absl::StatusCode::kInvalidArgument, HasSubstr(one.message)))
        << one.text;
  }
}

TEST(ExpositionToOtlpTest, LeavesTheLabelInstanceToTheTextIfNoneIsGiven) {
  EXPECT_THAT(ExpositionToOtlp("a{instance=\"x\"} 1\n", kNowMs, "j", ""),
              IsOk());
}

}  // namespace
}  // namespace vigie::cli

#include "server/result_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::HasSubstr;
using vigie::testing::HasError;

// All pieces, each checked to be short.
std::string Drain(BodySource& source) {
  std::string all;
  bool more = true;
  while (more) {
    std::string piece;
    more = source.Next(&piece);
    EXPECT_LT(piece.size(), kPieceBytes + 4096);
    all += piece;
  }
  return all;
}

std::string Write(query::Value value, StatsBlock stats = {}) {
  query::QueryResult result;
  result.value = std::move(value);
  ResultSource source(std::move(result), stats);
  return Drain(source);
}

TEST(ResultJsonTest, WritesAScalarAsGrafanasHealthCheckWantsIt) {
  EXPECT_EQ(Write(query::Scalar{{4000, 2}}),
            R"({"status":"success","data":{"resultType":"scalar",)"
            R"("result":[4,"2"]}})");
}

TEST(ResultJsonTest, WritesAString) {
  EXPECT_EQ(Write(query::String{1500, "a\"b"}),
            R"({"status":"success","data":{"resultType":"string",)"
            R"("result":[1.500,"a\"b"]}})");
}

TEST(ResultJsonTest, WritesAVectorAndAnEmptyOneAsAList) {
  query::Vector vector;
  vector.push_back({Labels{{"a", "1"}}, {1000, 0.5}, {}});
  vector.push_back({Labels{}, {1000, -0.0}, {}});

  EXPECT_EQ(Write(vector),
            R"({"status":"success","data":{"resultType":"vector","result":[)"
            R"({"metric":{"a":"1"},"value":[1,"0.5"]},)"
            R"({"metric":{},"value":[1,"-0"]}]}})");
  EXPECT_THAT(Write(query::Vector{}), HasSubstr(R"("result":[]})"));
}

TEST(ResultJsonTest, WritesFloatsAndHistogramsOfASeries) {
  FloatHistogram histogram;
  histogram.count = 1;
  query::Matrix matrix;
  matrix.push_back({Labels{{"a", "1"}},
                    {{1000, 1}, {2000, 2}},
                    {{3000, histogram}, {4000, histogram}}});
  matrix.push_back({Labels{{"a", "2"}}, {}, {{3000, histogram}}});

  EXPECT_EQ(
      Write(matrix),
      R"({"status":"success","data":{"resultType":"matrix","result":[)"
      R"({"metric":{"a":"1"},"values":[[1,"1"],[2,"2"]],"histograms":)"
      R"([[3,{"count":"1","sum":"0"}],[4,{"count":"1","sum":"0"}]]},)"
      R"({"metric":{"a":"2"},"histograms":[[3,{"count":"1","sum":"0"}]]}]}})");
}

TEST(ResultJsonTest, WritesWarningsAndInfosBehindTheData) {
  query::QueryResult result;
  result.value = query::Vector{};
  result.warnings = {"w"};
  result.infos = {"i"};
  ResultSource source(std::move(result), {});

  EXPECT_EQ(Drain(source),
            R"({"status":"success","data":{"resultType":"vector","result":[]},)"
            R"("warnings":["w"],"infos":["i"]})");
}

TEST(ResultJsonTest, WritesStatsWhereAsked) {
  EXPECT_THAT(
      Write(query::Scalar{}, {.wanted = true, .queued_ns = 500'000'000}),
      HasSubstr(
          R"("stats":{"timings":{"evalTotalTime":0,"resultSortTime":0,)"
          R"("queryPreparationTime":0,"innerEvalTime":0,"execQueueTime":0.5,)"
          R"("execTotalTime":0.5},"samples":{"totalQueryableSamples":0,)"
          R"("peakSamples":0}})"));
}

TEST(ResultJsonTest, WritesThePlanAndTheSamplesOfEachStepIfAllIsAsked) {
  query::QueryResult result;
  result.value = query::Matrix();
  result.samples_per_step = {3, 4};
  result.start_ms = 1'500;
  result.step_ms = 1'000;
  result.stats.samples_peak = 6;
  query::PlanNode plan;
  query::PlanNode& sum = plan.children.emplace_back();
  sum.text = "a{b=\"c\"}";
  sum.kind = "aggregation";
  sum.steps = 2;
  sum.time_ns = 1'500'000'000;
  sum.part = 0;
  sum.reused = true;
  query::PlanNode& selector = sum.children.emplace_back();
  selector.text = "x @ 5";
  selector.kind = "selector";
  selector.once = true;
  result.plan = std::make_shared<const query::PlanNode>(plan);
  ResultSource source(std::move(result), {.wanted = true, .all = true});

  EXPECT_THAT(
      Drain(source),
      HasSubstr(
          R"("samples":{"totalQueryableSamplesPerStep":[[1.500,3],[2.500,4]],)"
          R"("totalQueryableSamples":7,"peakSamples":6},"seriesRead":0,)"
          R"("samplesRead":0,"bytesPeak":0,"threadsMax":1,"plan":{"expr":)"
          R"("a{b=\"c\"}","kind":"aggregation","steps":2,"timeSeconds":1.5,)"
          R"("series":0,"samples":0,"seriesRead":0,"samplesRead":0,)"
          R"("bytesPeak":0,"part":0,"reused":true,"children":[{"expr":"x @ 5",)"
          R"("kind":"selector","steps":0,"timeSeconds":0,"series":0,)"
          R"("samples":0,"seriesRead":0,"samplesRead":0,"bytesPeak":0,)"
          R"("once":true}]}})"));
}

// Cutting anywhere must not change the text: the same values as one series and
// as many, long enough for several pieces.
TEST(ResultJsonTest, WritesALongResultInShortPiecesThatJoin) {
  query::Matrix matrix;
  std::string expected =
      R"({"status":"success","data":{"resultType":"matrix","result":[)";
  FloatHistogram histogram;
  for (int series = 0; series < 3; ++series) {
    query::MatrixSeries one;
    one.labels = Labels{{"s", std::to_string(series)}};
    expected += (series > 0 ? "," : "") + std::string(R"({"metric":{"s":")") +
                std::to_string(series) + R"("},"values":[)";
    for (int i = 0; i < 10'000; ++i) {
      one.floats.push_back({i * 1000, 0.5 + i});
      expected += (i > 0 ? ",[" : "[") + std::to_string(i) + ",\"" +
                  std::to_string(i) + ".5\"]";
    }
    expected += R"(],"histograms":[)";
    for (int i = 0; i < 5'000; ++i) {
      one.histograms.push_back({i * 1000, histogram});
      expected += (i > 0 ? ",[" : "[") + std::to_string(i) +
                  R"(,{"count":"0","sum":"0"}])";
    }
    expected += "]}";
    matrix.push_back(std::move(one));
  }
  expected += "]}}";

  EXPECT_TRUE(Write(std::move(matrix)) == expected);
}

TEST(ResultJsonTest, WritesAListInPiecesWithWarnings) {
  ListSource source(
      30'000, [](size_t i, std::string* out) { *out += std::to_string(i); },
      {"cut"});

  const std::string text = Drain(source);

  EXPECT_TRUE(text.starts_with(R"({"status":"success","data":[0,1,2,)"));
  EXPECT_TRUE(text.ends_with(R"(,29999],"warnings":["cut"]})"));
}

TEST(ResultJsonTest, ChargesWhatALongAnswerHoldsUntilItIsSent) {
  query::Matrix matrix(1);
  matrix[0].floats.resize(10'000);
  query::QueryResult result;
  result.value = std::move(matrix);
  const int64_t bytes = BytesOf(result);
  ByteAccount account("results being sent", bytes);
  const auto stream = [&] {
    return StreamAnswer(std::make_unique<ResultSource>(result, StatsBlock{}),
                        bytes, account);
  };

  EXPECT_GE(bytes, 160'000);
  {
    const absl::StatusOr<HttpAnswer> sending = stream();
    ASSERT_TRUE(sending.ok());
    EXPECT_EQ(account.bytes(), bytes);
    EXPECT_THAT(stream(), HasError(absl::StatusCode::kResourceExhausted,
                                   HasSubstr("results being sent")));
  }
  EXPECT_EQ(account.bytes(), 0);
}

TEST(ResultJsonTest, AShortAnswerIsOneBodyAndChargesNothing) {
  ByteAccount account("results being sent", 0);

  const absl::StatusOr<HttpAnswer> answer = StreamAnswer(
      std::make_unique<ResultSource>(query::QueryResult{}, StatsBlock{}), 100,
      account);

  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->rest, nullptr);
}

TEST(ResultJsonTest, GivesErrorsPrometheussTypeAndStatus) {
  const auto check = [](absl::Status error, int status, std::string type) {
    const HttpAnswer answer = ErrorAnswer(error);
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.body, R"({"status":"error","errorType":")" + type +
                               R"(","error":"why \"x\""})");
  };
  const char* why = "why \"x\"";
  check(absl::InvalidArgumentError(why), 400, "bad_data");
  check(absl::FailedPreconditionError(why), 422, "execution");
  check(absl::UnimplementedError(why), 422, "execution");
  check(absl::CancelledError(why), 499, "canceled");
  check(absl::DeadlineExceededError(why), 503, "timeout");
  check(absl::ResourceExhaustedError(why), 503, "unavailable");
  check(absl::NotFoundError(why), 404, "not_found");
  check(absl::DataLossError(why), 500, "internal");
}

}  // namespace
}  // namespace vigie::server

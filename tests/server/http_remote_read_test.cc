// /api/v1/read over a real socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/compress/compress.h"
#include "prometheus/remote/read.pb.h"
#include "tests/server/http_frontend_fixture.h"

namespace vigie::server {
namespace {

namespace wire = prometheus::remote;
using ::testing::HasSubstr;
using vigie::testing::RawReply;
using Pairs = std::vector<std::pair<std::string, std::string>>;

class HttpRemoteReadTest : public HttpFrontendTest {
 protected:
  void SetUp() override {
    options_.remote_read = true;
    Start(store_);
  }

  static void AddQuery(wire::LabelMatcher::Type type, const std::string& name,
                       const std::string& value, wire::ReadRequest* request) {
    wire::Query* query = request->add_queries();
    query->set_start_timestamp_ms(kNowMs - 1'000);
    query->set_end_timestamp_ms(kNowMs);
    wire::LabelMatcher* matcher = query->add_matchers();
    matcher->set_type(type);
    matcher->set_name(name);
    matcher->set_value(value);
  }

  RawReply Post(const std::string& body, const std::string& headers = "") {
    return Client().Ask("POST /api/v1/read HTTP/1.1\r\nHost: x\r\n" + headers +
                        "Content-Length: " + std::to_string(body.size()) +
                        "\r\n\r\n" + body);
  }
  RawReply Post(const wire::ReadRequest& request) {
    return Post(compress::CompressSnappyBlock(request.SerializeAsString()),
                "Accept-Encoding: gzip\r\n");
  }
  static wire::ReadResponse Decode(const RawReply& reply) {
    wire::ReadResponse response;
    const auto body = compress::DecompressSnappyBlock(reply.body, 1 << 26);
    EXPECT_TRUE(body.ok()) << reply.status << ' ' << reply.body;
    EXPECT_TRUE(body.ok() && response.ParseFromString(*body));
    return response;
  }
  static Pairs LabelsOf(const wire::TimeSeries& series) {
    Pairs pairs;
    for (const wire::Label& label : series.labels()) {
      pairs.emplace_back(label.name(), label.value());
    }
    return pairs;
  }
};

TEST_F(HttpRemoteReadTest, GivesSamplesAsTheyAreQueryByQuery) {
  Append({{"__name__", "up"}, {"job", "a"}},
         {{kNowMs - 1'001, 1}, {kNowMs - 1'000, 2}, {kNowMs, StaleMarker()}});
  Append({{"__name__", "down"}}, {{kNowMs - 5, -0.0}});
  wire::ReadRequest request;
  AddQuery(wire::LabelMatcher::EQ, "__name__", "up", &request);
  AddQuery(wire::LabelMatcher::NRE, "__name__", "u.", &request);

  const RawReply reply = Post(request);
  const wire::ReadResponse response = Decode(reply);

  EXPECT_EQ(reply.headers.at("Content-Type"), "application/x-protobuf");
  EXPECT_EQ(reply.headers.at("Content-Encoding"), "snappy");
  ASSERT_EQ(response.results_size(), 2);
  ASSERT_EQ(response.results(0).timeseries_size(), 1);
  const wire::TimeSeries& up = response.results(0).timeseries(0);
  EXPECT_EQ(LabelsOf(up), (Pairs{{"__name__", "up"}, {"job", "a"}}));
  ASSERT_EQ(up.samples_size(), 2);
  EXPECT_EQ(up.samples(0).timestamp(), kNowMs - 1'000);
  EXPECT_EQ(up.samples(0).value(), 2);
  EXPECT_TRUE(IsStaleMarker(up.samples(1).value()));
  ASSERT_EQ(response.results(1).timeseries_size(), 1);
  EXPECT_TRUE(
      std::signbit(response.results(1).timeseries(0).samples(0).value()));
}

TEST_F(HttpRemoteReadTest, GivesNativeHistogramsWithTheirDeltas) {
  store::AppendBatch batch;
  batch.series.push_back({Labels{{"__name__", "h"}}, {}});
  IntegerHistogram histogram;
  histogram.schema = 3;
  histogram.zero_threshold = 0.5;
  histogram.zero_count = 1;
  histogram.count = 10;
  histogram.sum = 2.5;
  histogram.positive_spans = {{.offset = -2, .length = 3}};
  histogram.positive_buckets = {4, 2, 3};
  batch.integer_histograms.push_back({0, kNowMs, histogram});
  store_.Append(std::move(batch), [](const store::AppendOutcome& outcome) {
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  });
  wire::ReadRequest request;
  AddQuery(wire::LabelMatcher::EQ, "__name__", "h", &request);

  const wire::ReadResponse response = Decode(Post(request));

  const wire::TimeSeries& series = response.results(0).timeseries(0);
  ASSERT_EQ(series.histograms_size(), 1);
  const wire::Histogram& got = series.histograms(0);
  EXPECT_EQ(got.timestamp(), kNowMs);
  EXPECT_EQ(got.schema(), 3);
  EXPECT_EQ(got.count_int(), 10);
  EXPECT_EQ(got.zero_count_int(), 1);
  EXPECT_EQ(got.sum(), 2.5);
  EXPECT_EQ(got.positive_spans(0).offset(), -2);
  EXPECT_EQ(got.positive_spans(0).length(), 3);
  EXPECT_THAT(got.positive_deltas(), ::testing::ElementsAre(4, -2, 1));
}

TEST_F(HttpRemoteReadTest, SpeaksUnderTheExternalLabels) {
  external_labels_ = {{"region", "eu"}, {"job", "mine"}};
  Append({{"__name__", "up"}, {"job", "a"}}, {{kNowMs, 1}});
  wire::ReadRequest request;
  AddQuery(wire::LabelMatcher::EQ, "region", "eu", &request);
  AddQuery(wire::LabelMatcher::EQ, "region", "us", &request);

  const wire::ReadResponse response = Decode(Post(request));

  ASSERT_EQ(response.results(0).timeseries_size(), 1);
  EXPECT_EQ(LabelsOf(response.results(0).timeseries(0)),
            (Pairs{{"__name__", "up"}, {"job", "a"}, {"region", "eu"}}));
  EXPECT_EQ(response.results(1).timeseries_size(), 0);
}

TEST_F(HttpRemoteReadTest, AnswersWithSamplesWhereTheReaderTakesThem) {
  wire::ReadRequest request;
  request.add_accepted_response_types(wire::ReadRequest::STREAMED_XOR_CHUNKS);
  EXPECT_EQ(Post(request).status, 400);
  EXPECT_THAT(Post(request).body, HasSubstr("SAMPLES alone"));

  request.add_accepted_response_types(wire::ReadRequest::SAMPLES);

  EXPECT_EQ(Post(request).status, 200);
}

TEST_F(HttpRemoteReadTest, NamesTheLimitItStopsAt) {
  for (int i = 0; i < 100; ++i) {
    Append({{"__name__", "up"}, {"i", std::to_string(i)}},
           {{kNowMs - 1, 1}, {kNowMs, 2}});
  }
  wire::ReadRequest request;
  AddQuery(wire::LabelMatcher::EQ, "__name__", "up", &request);

  options_.remote_read_samples_max = 199;
  Start(store_);
  const RawReply samples = Post(request);
  options_.remote_read_samples_max = 200;
  options_.remote_read_bytes_max = 5'000;
  Start(store_);
  const RawReply bytes = Post(request);
  options_.remote_read_bytes_max = 500'000;
  Start(store_);

  EXPECT_EQ(samples.status, 400);
  EXPECT_EQ(samples.body,
            "exceeded sample limit (199; http.remote_read_samples_max)\n");
  EXPECT_EQ(bytes.status, 400);
  EXPECT_THAT(bytes.body, HasSubstr("http.remote_read_bytes_max"));
  EXPECT_EQ(Decode(Post(request)).results(0).timeseries_size(), 100);
}

TEST_F(HttpRemoteReadTest, SendsALongAnswerInPieces) {
  // Values that do not compress.
  uint64_t state = 1;
  for (int i = 0; i < 200; ++i) {
    std::vector<Sample> samples;
    for (int j = 0; j < 100; ++j) {
      state = state * 6364136223846793005 + 1442695040888963407;
      samples.push_back({kNowMs - 100 + j, static_cast<double>(state)});
    }
    Append({{"__name__", "up"}, {"i", std::to_string(i)}}, samples);
  }
  wire::ReadRequest request;
  AddQuery(wire::LabelMatcher::RE, "__name__", "u.*", &request);

  const RawReply reply = Post(request);

  EXPECT_EQ(reply.headers.at("Transfer-Encoding"), "chunked");
  const wire::ReadResponse response = Decode(reply);
  ASSERT_EQ(response.results(0).timeseries_size(), 200);
  EXPECT_EQ(response.results(0).timeseries(199).samples_size(), 100);
}

TEST_F(HttpRemoteReadTest, RefusesWhatIsNoRequest) {
  EXPECT_EQ(Post("not snappy").status, 400);
  EXPECT_EQ(Post(compress::CompressSnappyBlock("\xff\xff\xff")).status, 400);
  wire::ReadRequest request;
  AddQuery(wire::LabelMatcher::RE, "a", "(", &request);
  EXPECT_EQ(Post(request).status, 400);
}

TEST_F(HttpFrontendTest, ReadsNothingRemotelyUnlessThatIsOn) {
  const RawReply reply = Client().Ask(
      "POST /api/v1/read HTTP/1.1\r\nHost: x\r\n"
      "Content-Length: 0\r\n\r\n");

  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(reply.body,
            "remote read is not enabled (vigie.yml: http.remote_read)\n");
}

}  // namespace
}  // namespace vigie::server

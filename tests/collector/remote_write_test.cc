#include "collector/remote_write.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/compress/compress.h"
#include "collector/remote_write_decode.h"
#include "prometheus/remote/write.pb.h"
#include "tests/collector/remote_write_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
namespace pb = prometheus::remote;

constexpr int64_t kBytesMax = 64 << 20;

absl::StatusOr<WriteRequestDecoded> Decode(const std::string& bytes) {
  WriteMessage message;
  message.bytes = bytes;
  message.batch_bytes_max = kBytesMax;
  return DecodeWriteRequest(message);
}

TEST_F(RemoteWriteTest, AppendsTheWholeRequestAsOneBatch) {
  pb::WriteRequest request;
  auto* up = AddSeries(&request, {{"__name__", "up"}, {"job", "a"}});
  AddSample(up, 1);
  AddSample(up, StaleMarker(), kT + 1'000);
  AddSample(AddSeries(&request, {{"__name__", "up"}, {"job", "b"}}), -0.0);

  const DoorAnswer answer = Send(request);

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
  ASSERT_THAT(appender_.batches, SizeIs(1));
  const store::AppendBatch& batch = appender_.batches[0];
  EXPECT_EQ(batch.group, "remote_write");
  ASSERT_THAT(batch.series, SizeIs(2));
  EXPECT_EQ(batch.series[1].labels, Labels({{"__name__", "up"}, {"job", "b"}}));
  ASSERT_THAT(batch.floats, SizeIs(3));
  EXPECT_EQ(batch.floats[1].sample, (Sample{kT + 1'000, StaleMarker()}));
  EXPECT_EQ(batch.floats[2].sample, (Sample{kT, -0.0}));
  EXPECT_EQ(batch.floats[2].series, 1u);
  EXPECT_THAT(Metrics(), AllOf(HasSubstr("vigie_collector_points_received_total"
                                         "{door=\"remote_write\"} 3"),
                               HasSubstr("code=\"204\"")));
}

TEST_F(RemoteWriteTest, KeepsExemplarsAndMetadata) {
  pb::WriteRequest request;
  auto* series = AddSeries(&request, {{"__name__", "orders_total"}});
  AddSample(series, 1);
  auto* exemplar = series->add_exemplars();
  exemplar->set_value(2);
  exemplar->set_timestamp(kT);
  auto* label = exemplar->add_labels();
  label->set_name("trace_id");
  label->set_value("ab");
  auto* metadata = request.add_metadata();
  metadata->set_metric_family_name("orders");
  metadata->set_type(pb::MetricMetadata::COUNTER);
  metadata->set_help("Orders.");
  metadata->set_unit("orders");

  EXPECT_EQ(Send(request).status, 204);

  const store::AppendBatch& batch = appender_.batches.at(0);
  ASSERT_THAT(batch.exemplars, SizeIs(1));
  EXPECT_EQ(batch.exemplars[0].exemplar,
            (Exemplar{Labels({{"trace_id", "ab"}}), 2, kT}));
  ASSERT_THAT(batch.metadata, SizeIs(1));
  EXPECT_EQ(batch.metadata[0].metric, "orders");
  EXPECT_EQ(batch.metadata[0].metadata,
            (Metadata{MetricType::kCounter, "Orders.", "orders"}));
}

TEST_F(RemoteWriteTest, TranslatesNativeHistograms) {
  pb::WriteRequest request;
  auto* series = AddSeries(&request, {{"__name__", "h"}});
  auto* integer = series->add_histograms();
  integer->set_count_int(8);
  integer->set_sum(4.5);
  integer->set_schema(-2);
  integer->set_zero_threshold(0.25);
  integer->set_zero_count_int(1);
  auto* span = integer->add_positive_spans();
  span->set_offset(-3);
  span->set_length(3);
  for (const int delta : {2, 1, -1}) integer->add_positive_deltas(delta);
  integer->set_reset_hint(pb::Histogram::NO);
  integer->set_timestamp(kT);
  auto* floating = series->add_histograms();
  floating->set_count_float(1.5);
  floating->set_schema(-53);
  floating->add_custom_values(10);
  span = floating->add_positive_spans();
  span->set_length(1);
  floating->add_positive_counts(1.5);
  floating->set_timestamp(kT + 1);

  Send(request);

  const store::AppendBatch& batch = appender_.batches.at(0);
  ASSERT_THAT(batch.integer_histograms, SizeIs(1));
  EXPECT_EQ(batch.integer_histograms[0].time_ms, kT);
  EXPECT_EQ(batch.integer_histograms[0].histogram,
            (IntegerHistogram{.reset_hint = CounterResetHint::kNotReset,
                              .schema = -2,
                              .zero_threshold = 0.25,
                              .zero_count = 1,
                              .count = 8,
                              .sum = 4.5,
                              .positive_spans = {{-3, 3}},
                              .negative_spans = {},
                              .positive_buckets = {2, 3, 2},
                              .negative_buckets = {},
                              .custom_values = {}}));
  ASSERT_THAT(batch.float_histograms, SizeIs(1));
  EXPECT_EQ(batch.float_histograms[0].histogram.custom_values,
            std::vector<double>{10});
  EXPECT_EQ(batch.float_histograms[0].histogram.positive_buckets,
            std::vector<double>{1.5});
}

TEST_F(RemoteWriteTest, RefusesBadSeriesAloneAndSaysWhy) {
  struct Case {
    LabelList labels;
    const char* why;
  };
  const std::vector<Case> cases = {
      {{{"__name__", "x"}, {"b", "1"}, {"a", "2"}},
       "timeseries[1] \"x\": label \"a\" is not in sorted order"},
      {{{"__name__", "x"}, {"a", "1"}, {"a", "2"}},
       "timeseries[1] \"x\": label \"a\" occurs twice"},
      {{{"", "v"}, {"__name__", "x"}},
       "timeseries[1] \"x\": labels[0] has no name"},
      {{{"job", "x"}}, "timeseries[1]: no metric name"},
      {{}, "timeseries[1]: no metric name"},
  };
  for (const Case& c : cases) {
    pb::WriteRequest request;
    AddSample(AddSeries(&request, {{"__name__", "fine"}}), 1);
    auto* bad = AddSeries(&request, c.labels);
    AddSample(bad, 1);
    AddSample(bad, 2, kT + 1);

    const DoorAnswer answer = Send(request);

    EXPECT_EQ(answer.status, 400) << c.why;
    EXPECT_EQ(answer.body,
              fmt::format("2 of 3 samples refused, the rest is stored\n"
                          "invalid_labels: 2, first: {}\n",
                          c.why));
    EXPECT_THAT(appender_.batches.back().floats, SizeIs(1)) << c.why;
  }
  EXPECT_THAT(Metrics(), HasSubstr("vigie_collector_points_refused_total{door="
                                   "\"remote_write\",reason=\"invalid_labels\"}"
                                   " 10"));
}

TEST_F(RemoteWriteTest, RefusesLabelsThatAreNotUtf8) {
  pb::WriteRequest request;
  AddSample(AddSeries(&request, {{"__name__", "x"}, {"k", "MARK"}}), 1);
  std::string bytes = request.SerializeAsString();
  bytes[bytes.find("MARK")] = '\xFF';

  const DoorAnswer answer = SendBytes(bytes);

  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("the value of label \"k\" is not UTF-8"));
  EXPECT_THAT(appender_.batches, IsEmpty());
}

TEST_F(RemoteWriteTest, TakesAnEmptyValueAsNoLabel) {
  pb::WriteRequest request;
  AddSample(AddSeries(&request, {{"__name__", "x"}, {"a", ""}}), 1);

  EXPECT_EQ(Send(request).status, 204);
  EXPECT_EQ(appender_.batches.at(0).series.at(0).labels,
            Labels({{"__name__", "x"}}));
}

TEST_F(RemoteWriteTest, RefusesHistogramsWhoseCountsAreNone) {
  const std::vector<std::pair<const char*, std::function<void(pb::Histogram*)>>>
      cases = {
          {"below zero",
           [](auto* h) {
             h->add_positive_spans()->set_length(1);
             h->add_positive_deltas(-1);
           }},
          {"reset hint",
           [](auto* h) {
             h->set_reset_hint(static_cast<pb::Histogram::ResetHint>(4));
           }},
      };
  for (const auto& [why, change] : cases) {
    pb::WriteRequest request;
    change(AddSeries(&request, {{"__name__", "h"}})->add_histograms());

    const DoorAnswer answer = Send(request);

    EXPECT_EQ(answer.status, 400);
    EXPECT_THAT(answer.body,
                AllOf(HasSubstr("invalid_histogram: 1"),
                      HasSubstr("timeseries[0] h: "), HasSubstr(why)));
  }
}

TEST_F(RemoteWriteTest, PassesOnWhatTheStoreRefuses) {
  pb::WriteRequest request;
  AddSample(AddSeries(&request, {{"__name__", "x"}}), 1);
  ASSERT_EQ(Send(request).status, 204);
  AddSample(AddSeries(&request, {{"__name__", "y"}}), 1);
  request.mutable_timeseries(0)->mutable_samples(0)->set_value(2);

  const DoorAnswer answer = Send(request);

  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, AllOf(HasSubstr("1 of 2 samples refused"),
                                 HasSubstr("duplicate_time: 1, first: x")));
}

TEST_F(RemoteWriteTest, TellsASenderToComeAgainUnderPressure) {
  pb::WriteRequest request;
  AddSample(AddSeries(&request, {{"__name__", "x"}}), 1);

  appender_.store.RefuseWith(absl::ResourceExhaustedError("queue is full"));
  const DoorAnswer pressed = Send(request);
  appender_.store.RefuseWith(absl::UnavailableError("disk is full"));
  const DoorAnswer unavailable = Send(request);
  appender_.store.RefuseWith(absl::InternalError("broken"));
  const DoorAnswer internal = Send(request);

  EXPECT_EQ(pressed.status, 429);
  EXPECT_EQ(pressed.body, "queue is full\n");
  EXPECT_THAT(pressed.headers, Contains(Pair("Retry-After", "1")));
  EXPECT_EQ(unavailable.status, 503);
  EXPECT_THAT(unavailable.headers, Contains(Pair("Retry-After", "1")));
  EXPECT_EQ(internal.status, 500);
}

TEST_F(RemoteWriteTest, RefusesAMalformedBodyWholeWithTheByte) {
  pb::WriteRequest request;
  AddSample(AddSeries(&request, {{"__name__", "x"}}), 1);
  std::string bytes = request.SerializeAsString();
  const size_t place = bytes.size();
  bytes += "\x0B";

  const DoorAnswer malformed = SendBytes(bytes);
  const DoorAnswer not_snappy = SendBody("\x05garbage");

  EXPECT_EQ(malformed.status, 400);
  EXPECT_EQ(malformed.body,
            fmt::format("malformed body: request: byte {}: groups are not "
                        "supported\n",
                        place));
  EXPECT_EQ(not_snappy.status, 400);
  EXPECT_THAT(not_snappy.body, HasSubstr("malformed body: snappy"));
  EXPECT_THAT(appender_.batches, IsEmpty());
}

TEST_F(RemoteWriteTest, RefusesABodyThatDeclaresTooMuchBeforeAllocating) {
  // Snappy's length, 4 GiB - 1, and nothing else.
  const DoorAnswer declared = SendBody("\xFF\xFF\xFF\xFF\x0F");
  const DoorAnswer real = SendBytes(std::string(2 << 20, '\0'));

  EXPECT_EQ(declared.status, 413);
  EXPECT_THAT(declared.body, HasSubstr("more than 1048576 bytes"));
  EXPECT_EQ(real.status, 413);
}

TEST_F(RemoteWriteTest, RefusesABodyWhoseSamplesTakeTooMuchMemory) {
  // An empty sample takes two bytes on the wire.
  pb::WriteRequest request;
  auto* series = AddSeries(&request, {{"__name__", "x"}});
  for (int i = 0; i < 300'000; ++i) series->add_samples();

  const DoorAnswer answer = Send(request);

  EXPECT_EQ(answer.status, 413);
  EXPECT_THAT(answer.body, HasSubstr("more than 4194304 bytes of samples"));
  EXPECT_THAT(appender_.batches, IsEmpty());
}

TEST_F(RemoteWriteTest, TakesTheContentTypesOfVersionOne) {
  for (const char* type :
       {"", "application/x-protobuf",
        "application/x-protobuf;proto=prometheus.WriteRequest",
        "Application/X-Protobuf; proto=\"prometheus.WriteRequest\""}) {
    EXPECT_EQ(SendBody(compress::CompressSnappyBlock(""), type).status, 204)
        << type;
  }
  EXPECT_EQ(SendBody(compress::CompressSnappyBlock(""), "", "").status, 204);
}

TEST_F(RemoteWriteTest, NamesWhatItTakesWhenItIsSentSomethingElse) {
  for (const char* type :
       {"application/json", "text/plain",
        "application/x-protobuf;proto=io.prometheus.write.v3.Request"}) {
    const DoorAnswer answer = SendBody(compress::CompressSnappyBlock(""), type);

    EXPECT_EQ(answer.status, 415);
    EXPECT_THAT(answer.body, AllOf(HasSubstr(type),
                                   HasSubstr("proto=prometheus.WriteRequest")));
  }
  EXPECT_EQ(SendBody("", "application/x-protobuf", "gzip").status, 415);
}

// --- the hand decoder against the generated classes ---

std::string Describe(const LabelList& labels, int64_t time_ms, double value) {
  std::string out;
  for (const auto& [name, text] : labels) {
    if (!text.empty()) out += name + "=" + text + ",";
  }
  return fmt::format("{} {:016x} @{}", out, std::bit_cast<uint64_t>(value),
                     time_ms);
}

TEST(RemoteWriteDifferentialTest, GivesTheSamplesThatTheGeneratedClassesGive) {
  uint64_t samples = 0, refused = 0;
  for (uint32_t seed = 1; seed <= 2'000; ++seed) {
    std::mt19937 random(seed);
    pb::WriteRequest request;
    std::vector<std::string> want;
    uint64_t want_refused = 0;
    for (uint32_t i = random() % 6; i > 0; --i) {
      LabelList labels;
      for (const char* name : {"__name__", "a", "b", "b", "caf\xC3\xA9"}) {
        const char* values[] = {"x", "y", "", "\xE6\xB8\xA9"};
        if (random() % 4 != 0) labels.emplace_back(name, values[random() % 4]);
      }
      if (random() % 8 == 0) std::shuffle(labels.begin(), labels.end(), random);
      bool fine = std::is_sorted(
          labels.begin(), labels.end(),
          [](const auto& a, const auto& b) { return a.first < b.first; });
      for (size_t j = 1; j < labels.size(); ++j) {
        fine = fine && labels[j].first != labels[j - 1].first;
      }
      fine = fine && !labels.empty() && labels[0].first == "__name__" &&
             !labels[0].second.empty();
      auto* series = AddSeries(&request, labels);
      for (uint32_t j = random() % 5; j > 0; --j) {
        const auto value = std::bit_cast<double>(
            static_cast<uint64_t>(random()) << 32 | random());
        const auto time_ms = static_cast<int64_t>(random()) - (1LL << 31);
        AddSample(series, value, time_ms);
        if (fine) want.push_back(Describe(labels, time_ms, value));
        want_refused += !fine;
      }
    }

    auto decoded = Decode(request.SerializeAsString());

    ASSERT_THAT(decoded, IsOk()) << "seed " << seed;
    std::vector<std::string> got;
    for (const store::FloatPoint& point : decoded->batch.floats) {
      LabelList labels;
      for (const LabelView& label :
           decoded->batch.series.at(point.series).labels) {
        labels.emplace_back(label.name, label.value);
      }
      got.push_back(Describe(labels, point.sample.time_ms, point.sample.value));
    }
    ASSERT_EQ(got, want) << "seed " << seed;
    uint64_t got_refused = 0;
    for (const auto& refusal : decoded->refusals) got_refused += refusal.count;
    ASSERT_EQ(got_refused, want_refused) << "seed " << seed;
    samples += got.size();
    refused += got_refused;
  }
  EXPECT_GT(samples, 2'000u);
  EXPECT_GT(refused, 2'000u);
}

TEST(RemoteWriteDifferentialTest, TakesACutMessageOnlyWhereItsFieldsEnd) {
  uint64_t refused = 0;
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    pb::WriteRequest request;
    for (int i = 0; i < 5; ++i) {
      AddSample(AddSeries(&request, {{"__name__", std::to_string(random())}}),
                static_cast<double>(random()));
    }
    std::string bytes = request.SerializeAsString();
    bytes.resize(random() % bytes.size());

    const bool taken = Decode(bytes).ok();

    pb::WriteRequest parsed;
    ASSERT_EQ(taken, parsed.ParseFromString(bytes)) << "seed " << seed;
    refused += !taken;
  }
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace vigie::collector

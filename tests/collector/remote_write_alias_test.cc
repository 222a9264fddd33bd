// Known series go by their alias: what the store sees must be the same as if
// every message were decoded in full.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "collector/remote_write.h"
#include "collector/remote_write_decode.h"
#include "prometheus/remote/write.pb.h"
#include "tests/collector/remote_write_fixture.h"
#include "tests/collector/stored_samples.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
namespace pb = ::prometheus::remote;

pb::WriteRequest UpAt(int64_t time_ms, const LabelList& labels = {
                                           {"__name__", "up"}, {"job", "a"}}) {
  pb::WriteRequest request;
  AddSample(AddSeries(&request, labels), 1, time_ms);
  return request;
}

TEST_F(RemoteWriteTest, ASecondRequestNamesItsSeriesByReferenceAlone) {
  ASSERT_EQ(Send(UpAt(kT)).status, 204);
  ASSERT_EQ(Send(UpAt(kT + 1'000)).status, 204);

  const store::BatchSeries& second = appender_.batches.at(1).series.at(0);
  EXPECT_NE(second.ref.id, 0u);
  EXPECT_TRUE(second.labels.empty());
  ASSERT_NE(appender_.batches[1].label_source, nullptr);
  EXPECT_EQ(appender_.batches[1].label_source->LabelsOf(0),
            Labels({{"__name__", "up"}, {"job", "a"}}));
  EXPECT_GT(appender_.batches[1].label_source->bytes(), 0);
  EXPECT_THAT(StoredSamples(appender_.store),
              UnorderedElementsAre(
                  Pair("up{job=\"a\"}", "1700000000000 1 1700000001000 1")));
}

TEST_F(RemoteWriteTest, ASeriesThatTheStoreForgotIsTakenByItsLabels) {
  ASSERT_EQ(Send(UpAt(kT)).status, 204);
  appender_.store.ForgetReferences();

  EXPECT_EQ(Send(UpAt(kT + 1'000)).status, 204);
  const store::SeriesRef given = appender_.batches.at(1).series.at(0).ref;
  EXPECT_EQ(Send(UpAt(kT + 2'000)).status, 204);
  const store::SeriesRef then = appender_.batches.at(2).series.at(0).ref;

  EXPECT_NE(given, then);
  EXPECT_THAT(StoredSamples(appender_.store), SizeIs(1));
}

TEST_F(RemoteWriteTest, AnAliasIsOfItsTenant) {
  const std::string body =
      compress::CompressSnappyBlock(UpAt(kT).SerializeAsString());
  ASSERT_EQ(SendBody(body).status, 204);

  ASSERT_EQ(SendBody(body, "application/x-protobuf", "snappy", Tenant{"other"})
                .status,
            204);

  EXPECT_EQ(appender_.batches.at(1).series.at(0).ref.id, 0u);
}

TEST_F(RemoteWriteTest, ARefusedSeriesIsRefusedEachTimeWithItsName) {
  const pb::WriteRequest bad =
      UpAt(kT, {{"__name__", "x"}, {"b", "1"}, {"a", "2"}});

  for (int i = 0; i < 2; ++i) {
    const DoorAnswer answer = Send(bad);

    EXPECT_EQ(answer.status, 400);
    EXPECT_THAT(answer.body, HasSubstr("label \"a\" is not in sorted order"));
  }
}

TEST_F(RemoteWriteTest, AKnownSeriesWithABadHistogramIsNamed) {
  ASSERT_EQ(Send(UpAt(kT)).status, 204);
  pb::WriteRequest request = UpAt(kT + 1'000);
  request.mutable_timeseries(0)->add_histograms()->add_positive_deltas(-1);

  const DoorAnswer answer = Send(request);

  EXPECT_THAT(answer.body,
              HasSubstr("timeseries[0] up{job=\"a\"}: a bucket's"));
}

TEST_F(RemoteWriteTest, ARefusalOfTheStoreDoesNotTouchTheAlias) {
  ASSERT_EQ(Send(UpAt(kT)).status, 204);
  appender_.store.RefuseWith(absl::ResourceExhaustedError("queue is full"));
  ASSERT_EQ(Send(UpAt(kT + 1'000)).status, 429);
  appender_.store.RefuseWith(absl::OkStatus());

  EXPECT_EQ(Send(UpAt(kT + 2'000)).status, 204);
  EXPECT_NE(appender_.batches.at(2).series.at(0).ref.id, 0u);
}

// Field by field as a sender may write it, so that labels after samples, long
// lengths and unknown fields occur.
std::string Field(int number, const std::string& bytes, bool long_length) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7) {
    out += static_cast<char>((size & 0x7F) | 0x80);
  }
  out += static_cast<char>(size | (long_length ? 0x80 : 0));
  if (long_length) out += '\0';
  return out + bytes;
}

struct Writer {
  std::mt19937& random;
  std::string Series(int number, int64_t time_ms) {
    const bool odd = random() % 8 == 0;
    std::vector<std::string> fields;
    const auto label = [&](const std::string& name, const std::string& value) {
      pb::Label pair;
      pair.set_name(name);
      pair.set_value(value);
      fields.push_back(
          Field(1, pair.SerializeAsString(), odd && random() % 4 == 0));
    };
    label("__name__", "m" + std::to_string(number % 7));
    label("empty", number % 3 == 0 ? "" : "v");
    label("n", std::to_string(number));
    if (number % 11 == 0) label("b", "unsorted");
    pb::Sample sample;
    sample.set_value(
        random() % 4 == 0
            ? 0
            : std::bit_cast<double>(uint64_t{random()} << 32 | random()));
    sample.set_timestamp(time_ms);
    fields.push_back(Field(2, sample.SerializeAsString(), false));
    if (random() % 4 == 0) {
      sample.set_timestamp(time_ms + 1);
      fields.push_back(Field(2, sample.SerializeAsString(), odd));
    }
    if (odd && random() % 2 == 0) fields.push_back(Field(9, "unknown", false));
    if (odd && random() % 2 == 0) std::swap(fields.front(), fields.back());
    std::string body;
    for (const std::string& field : fields) body += field;
    return Field(1, body, odd);
  }
};

// "labels bits @time" of everything in the batch, by the batch's own means.
std::vector<std::string> Described(const WriteRequestDecoded& decoded) {
  std::vector<std::string> out;
  for (const store::FloatPoint& point : decoded.batch.floats) {
    const store::BatchSeries& series = decoded.batch.series.at(point.series);
    const Labels labels =
        series.ref.id == 0 ? series.labels
                           : decoded.batch.label_source->LabelsOf(point.series);
    out.push_back(fmt::format("{} {:016x} @{}", labels.ToString(),
                              std::bit_cast<uint64_t>(point.sample.value),
                              point.sample.time_ms));
  }
  return out;
}

TEST(RemoteWriteAliasTest, GivesWhatADecoderWithoutAliasesGives) {
  uint64_t known = 0, samples = 0, refused = 0;
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    Writer writer{random};
    testing::SimulatedClock clock(kT);
    SeriesAliases aliases({.entries_max = 200, .idle = absl::Hours(1)}, clock);
    std::map<Labels, uint64_t> ids;
    for (int round = 0; round < 8; ++round) {
      std::string bytes;
      const int first = static_cast<int>(random() % 200);
      const auto count = static_cast<int>(random() % 300);
      for (int i = 0; i < count; ++i) {
        if (random() % 20 == 0) continue;
        bytes += writer.Series(first + i, kT + 1'000 * round);
      }
      WriteMessage message;
      message.bytes = bytes;
      message.batch_bytes_max = 64 << 20;

      const auto plain = DecodeWriteRequest(message);
      message.aliases = &aliases;
      message.salt = aliases.SaltOf("door", "");
      const auto quick = DecodeWriteRequest(message);

      ASSERT_THAT(plain, testing::IsOk());
      ASSERT_THAT(quick, testing::IsOk());
      ASSERT_EQ(Described(*quick), Described(*plain));
      ASSERT_EQ(quick->samples, plain->samples);
      ASSERT_EQ(quick->refusals.size(), plain->refusals.size());
      for (size_t i = 0; i < plain->refusals.size(); ++i) {
        EXPECT_EQ(quick->refusals[i].count, plain->refusals[i].count);
        EXPECT_EQ(quick->refusals[i].example, plain->refusals[i].example);
        refused += plain->refusals[i].count;
      }
      samples += plain->samples;
      std::vector<store::SeriesRef> given, refs;
      ASSERT_EQ(quick->aliases.size(), quick->batch.series.size());
      for (size_t i = 0; i < quick->batch.series.size(); ++i) {
        const store::BatchSeries& series = quick->batch.series[i];
        const Labels& labels = plain->batch.series[i].labels;
        if (series.ref.id != 0) {
          ASSERT_EQ(series.ref.id, ids.at(labels));
          ++known;
        }
        given.push_back(series.ref);
        refs.push_back({ids.emplace(labels, ids.size() + 1).first->second});
      }
      aliases.Learn(quick->aliases, given, refs);
    }
  }
  EXPECT_GT(known, 10'000u);
  EXPECT_GT(samples, 50'000u);
  EXPECT_GT(refused, 1'000u);
}

}  // namespace
}  // namespace vigie::collector

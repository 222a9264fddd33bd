#include "store/replay.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

Labels Named(uint64_t id) {
  return Labels{{"__name__", "m" + std::to_string(id % 7)},
                {"id", std::to_string(id)}};
}

// What a head holds of series 1 to `series`, as text.
std::string Told(const Head& head, uint64_t series) {
  std::string told;
  for (uint64_t id = 1; id <= series; ++id) {
    const MemSeries* one = head.Find(id);
    if (one == nullptr) continue;
    told += head.index().LabelsOf(id).ToString();
    told += fmt::format(" {} {}:", one->first_ms, one->newest_ms);
    SampleRuns runs;
    head.Read(id, TimeRange(), &runs);
    for (const SampleColumns& run : runs) {
      for (size_t i = 0; i < run.size(); ++i) {
        told += run.kind == SampleKind::kFloat
                    ? fmt::format(" {}={}", run.times_ms[i], run.values[i])
                    : fmt::format(" {}=h{}", run.times_ms[i],
                                  run.integer_histograms[i].count);
      }
    }
    told += '\n';
  }
  return told;
}

class ReplayTest : public ::testing::Test {
 protected:
  static std::string Secret() { return std::string(kIdentitySecretBytes, 's'); }
  Head head_{Secret()};
};

TEST_F(ReplayTest, TwoThreadsTellWhatOneAfterTheOtherTells) {
  constexpr uint64_t kSeries = 3'000, kSeed = 7;
  std::mt19937_64 random(kSeed);
  Head expected(Secret());
  Replay replay(head_);
  uint64_t defined = 0;
  for (LogPosition position = 1; position <= 600; ++position) {
    BatchRecord record;
    record.tenant = "default";
    std::vector<SeriesIdentity> identities;
    for (int i = 0; i < 5 && defined < kSeries; ++i) {
      record.definitions.push_back({++defined, Named(defined)});
      identities.push_back(
          expected.Identity("default", Named(defined).bytes()));
    }
    for (int i = 0; i < 1'000; ++i) {
      const uint64_t id = 1 + random() % defined;
      // Mostly forwards, some late; each time is given once.
      const auto time_ms = static_cast<int64_t>(
          position * 100'000 + random() % 100 * 1'000 + (i % 1'000));
      if (random() % 50 == 0) {
        IntegerHistogram h;
        h.count = random() % 100;
        record.integer_histograms.Add(id, time_ms, 0, h);
      } else {
        record.floats.Add(id, time_ms, 0, static_cast<double>(random() % 1000));
      }
    }
    ASSERT_THAT(expected.Apply(position, record, identities), IsOk());
    ASSERT_THAT(replay.Add(position, EncodeBatchRecord(record)), IsOk());
  }
  ASSERT_THAT(replay.Finish(), IsOk());

  EXPECT_EQ(Told(head_, kSeries), Told(expected, kSeries)) << "seed " << kSeed;
  EXPECT_EQ(head_.samples(), expected.samples());
  EXPECT_EQ(head_.next_series_id(), expected.next_series_id());
}

TEST_F(ReplayTest, DamageIsNamedByItsPosition) {
  for (const uint64_t id : {uint64_t{64}, uint64_t{128}}) {  // of each thread
    Head head(Secret());
    BatchRecord record;
    record.tenant = "default";
    record.floats.Add(id, 1, 0, 1);
    BatchRecord fine;
    fine.tenant = "default";
    fine.definitions.push_back({1, Named(1)});
    fine.floats.Add(1, 1, 0, 1);
    Replay replay(head);
    ASSERT_THAT(replay.Add(41, EncodeBatchRecord(fine)), IsOk());
    ASSERT_THAT(replay.Add(42, EncodeBatchRecord(record)), IsOk());

    EXPECT_THAT(replay.Finish(),
                HasError(absl::StatusCode::kDataLoss,
                         HasSubstr("log position 42: series")));
  }
  Replay replay(head_);
  const std::string version = EncodeBatchRecord(BatchRecord()).substr(0, 1);
  ASSERT_THAT(replay.Add(43, version + "garbage"), IsOk());
  EXPECT_THAT(replay.Finish(), HasError(absl::StatusCode::kDataLoss,
                                        HasSubstr("log position 43: batch")));
}

TEST_F(ReplayTest, ANumberNoSeriesHasIsDamage) {
  BatchRecord record;
  record.tenant = "default";
  record.definitions.push_back({uint64_t{1} << 60, Named(1)});
  Replay replay(head_);
  ASSERT_THAT(replay.Add(1, EncodeBatchRecord(record)), IsOk());

  EXPECT_THAT(replay.Finish(), HasError(absl::StatusCode::kDataLoss,
                                        HasSubstr("no such number")));
}

}  // namespace
}  // namespace vigie::store

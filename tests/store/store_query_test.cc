#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

Matcher Make(Matcher::Type type, std::string_view name,
             std::string_view value) {
  return *Matcher::Create(type, name, value);
}

class StoreQueryTest : public StoreTest {
 protected:
  ReadContext Context() { return {&account_, {}}; }
  const Queryable& queryable() { return store_->queryable(); }

  ByteAccount account_{"query", 1 << 30};
};

TEST_F(StoreQueryTest, SelectFindsWhatTheMatchersSayOneByOne) {
  Open();
  std::mt19937_64 random(5);
  std::vector<Labels> all;
  AppendBatch batch;
  for (uint32_t i = 0; i < 300; ++i) {
    LabelsBuilder builder;
    builder.Set("__name__", "m" + std::to_string(random() % 4));
    builder.Set("i", std::to_string(i));
    if (random() % 2 == 0) builder.Set("a", std::to_string(random() % 5));
    if (random() % 3 == 0) builder.Set("b", std::to_string(random() % 40));
    all.push_back(builder.Build());
    batch.series.push_back({all.back(), {}});
    batch.floats.push_back({i, {kNowMs, 1}, 0});
  }
  ASSERT_EQ(Append(std::move(batch)).floats_accepted, 300u);

  using enum Matcher::Type;
  const std::vector<Matcher> choices = {
      Make(kEqual, "__name__", "m1"), Make(kEqual, "a", "3"),
      Make(kEqual, "a", ""),          Make(kEqual, "no", "x"),
      Make(kNotEqual, "a", "3"),      Make(kNotEqual, "a", ""),
      Make(kNotEqual, "no", "x"),     Make(kRegex, "b", "1.*"),
      Make(kRegex, "b", ".*"),        Make(kRegex, "b", ".+"),
      Make(kRegex, "a", "1|2"),       Make(kRegex, "a", "1|"),
      Make(kNotRegex, "a", "1|2"),    Make(kNotRegex, "b", ".+"),
      Make(kNotRegex, "b", "2.*"),    Make(kRegex, "__name__", "m[12]"),
      Make(kNotRegex, "i", "1.*"),    Make(kRegex, "i", ".*7")};
  for (int round = 0; round < 300; ++round) {
    std::vector<Matcher> matchers;
    std::string shown;
    for (size_t n = random() % 4 + (round == 0 ? 0 : 1); n > 0; --n) {
      matchers.push_back(choices[random() % choices.size()]);
      shown += matchers.back().ToString() + " ";
    }
    SCOPED_TRACE(shown);
    std::vector<Labels> expected;
    for (const Labels& labels : all) {
      if (MatchesAll(matchers, labels)) expected.push_back(labels);
    }
    std::sort(expected.begin(), expected.end());
    bool truncated = true;
    const auto series =
        queryable().Series({}, {}, {matchers}, 0, Context(), &truncated);
    const auto snapshot = queryable().Select({{}, {}, matchers}, Context());
    ASSERT_THAT(series, IsOk());
    ASSERT_THAT(snapshot, IsOk());
    EXPECT_FALSE(truncated);
    ASSERT_EQ(*series, expected);
    ASSERT_EQ((*snapshot)->size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ((*snapshot)->labels(i), expected[i]);
    }
  }
}

TEST_F(StoreQueryTest, NamesAndValuesAreThoseOfTheRangeAndTheSelectors) {
  Open();
  Append(Labels{{"__name__", "old"}, {"era", "past"}},
         {{kNowMs - 3 * kWindowMs, 1}});
  Append(Labels{{"__name__", "new"}, {"job", "b"}}, {{kNowMs, 1}});
  Append(Labels{{"__name__", "new"}, {"job", "a"}}, {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  const TimeRange recent{kNowMs - 60'000, kNowMs};

  const auto names = queryable().LabelNames({}, recent, {}, 0, Context());
  const auto all = queryable().LabelNames({}, {}, {}, 0, Context());
  const auto jobs =
      queryable().LabelValues({}, "job", recent, {}, 1, Context());
  const auto eras =
      queryable().LabelValues({}, "era", recent, {}, 0, Context());
  const auto selected = queryable().LabelValues(
      {}, "__name__", {}, {{Matcher::Equal("era", "past")}}, 0, Context());

  EXPECT_THAT(names->names, ElementsAre("__name__", "job"));
  EXPECT_THAT(all->names, ElementsAre("__name__", "era", "job"));
  EXPECT_THAT(jobs->names, ElementsAre("a"));
  EXPECT_TRUE(jobs->truncated);
  EXPECT_THAT(eras->names, IsEmpty());
  EXPECT_THAT(selected->names, ElementsAre("old"));
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(StoreQueryTest, CardinalityCountsSeriesByMetricLabelAndPair) {
  Open();
  Append(Labels{{"__name__", "m"}, {"job", "a"}}, {{kNowMs, 1}});
  Append(Labels{{"__name__", "m"}, {"job", "b"}}, {{kNowMs, 1}});
  Append(Labels{{"__name__", "n"}, {"job", "b"}}, {{kNowMs, 1}});

  const auto found = queryable().CountCardinality({}, 1, Context());

  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->series, 3u);
  EXPECT_EQ(found->label_pairs, 4u);
  ASSERT_EQ(found->series_by_metric.size(), 1u);
  EXPECT_EQ(found->series_by_metric[0].name, "m");
  EXPECT_EQ(found->series_by_metric[0].count, 2u);
  EXPECT_EQ(found->series_by_pair[0].count, 2u);
}

TEST_F(StoreQueryTest, AQueryOverItsAccountEndsAndReleasesWhatItHeld) {
  Open();
  std::vector<Sample> samples;
  for (int i = 0; i < 5000; ++i)
    samples.push_back({kNowMs - 5000 + i, 0.1 * i});
  Append(SeriesNamed("up"), samples);
  ByteAccount small("query", 10'000);

  // Samples are charged when they are read, those of the head too.
  for (const bool sealed : {false, true}) {
    if (sealed) {
      ASSERT_THAT(store_->Seal(), IsOk());
    }
    {
      auto snapshot = queryable().Select({}, {&small, {}});
      ASSERT_THAT(snapshot, IsOk());
      SampleBatch batch;
      EXPECT_THAT((*snapshot)->Samples(0)->Next(&batch).status(),
                  HasCode(absl::StatusCode::kFailedPrecondition));
    }
    EXPECT_EQ(small.bytes(), 0);
  }
}

// A seal, or more samples, between a Select and the reading of its series.
TEST_F(StoreQueryTest, ASnapshotSeesWhatWasThereHoweverLateItReads) {
  Open();
  constexpr int kSeries = 12, kBefore = 300;
  auto append = [&](int begin, int end) {
    for (int s = 0; s < kSeries; ++s) {
      std::vector<Sample> samples;
      for (int i = begin; i < end; ++i) {
        samples.push_back({kNowMs - 1'000'000 + 1000 * i, 1.0 * s + i});
      }
      Append(SeriesNamed("up", std::to_string(s)), samples);
    }
  };
  append(0, 100);
  ASSERT_THAT(store_->Seal(), IsOk());
  append(100, kBefore);
  auto snapshot = queryable().Select({}, Context());
  ASSERT_THAT(snapshot, IsOk());
  ASSERT_EQ((*snapshot)->size(), size_t{kSeries});

  std::unique_ptr<SampleIterator> iterator;
  for (size_t s = 0; s < kSeries; ++s) {
    const int at = static_cast<int>(s);
    switch (s % 4) {
      case 1:
        append(kBefore + at, kBefore + at + 3);
        break;
      case 2:
        ASSERT_THAT(store_->Seal(), IsOk());
        break;
      case 3:  // late, into what others have read
        Append(SeriesNamed("up", "0"), {{kNowMs - 1'000'001 - at, 7}});
        break;
      default:
        break;
    }
    (*snapshot)->Reuse(s, &iterator);
    std::vector<int64_t> times;
    SampleBatch batch;
    while (*iterator->Next(&batch)) {
      times.insert(times.end(), batch.times_ms.begin(), batch.times_ms.end());
    }
    ASSERT_EQ(times.size(), size_t{kBefore}) << s;
    for (int i = 0; i < kBefore; ++i) {
      ASSERT_EQ(times[static_cast<size_t>(i)], kNowMs - 1'000'000 + 1000 * i);
    }
    EXPECT_THAT(iterator->warnings(), IsEmpty());
  }
  iterator.reset();
  snapshot->reset();
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(StoreQueryTest, AStoppedQueryIsCancelled) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  std::stop_source source;
  auto snapshot = queryable().Select({}, {&account_, source.get_token()});
  source.request_stop();
  SampleBatch batch;

  EXPECT_THAT((*snapshot)->Samples(0)->Next(&batch).status(),
              HasCode(absl::StatusCode::kCancelled));
  EXPECT_THAT(queryable().Select({}, {&account_, source.get_token()}).status(),
              HasCode(absl::StatusCode::kCancelled));
}

TEST_F(StoreQueryTest, ASnapshotIsReadOnAfterClose) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  ASSERT_THAT(store_->Seal(), IsOk());
  auto snapshot = queryable().Select({}, Context());
  ASSERT_THAT(snapshot, IsOk());
  ASSERT_THAT(store_->Close(), IsOk());
  SampleBatch batch;

  EXPECT_TRUE(*(*snapshot)->Samples(0)->Next(&batch));
  EXPECT_THAT(batch.times_ms, ElementsAre(kNowMs));
}

TEST_F(StoreQueryTest, ADamagedBlockIsNamedAndOtherSeriesAreServed) {
  Open();
  // Far more than one file block, so that the damage hits some series only.
  std::mt19937_64 random(1);
  for (int s = 0; s < 40; ++s) {
    std::vector<Sample> noise;
    for (int i = 0; i < 1000; ++i) {
      noise.push_back({kNowMs - 1000 + i, std::bit_cast<double>(random())});
    }
    Append(SeriesNamed("noise", std::to_string(s)), noise);
  }
  ASSERT_THAT(store_->Seal(), IsOk());
  store_.reset();
  std::filesystem::path largest;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory_.data() + "/blocks")) {
    if (entry.path().extension() == ".sst" &&
        (largest.empty() || entry.file_size() > file_size(largest))) {
      largest = entry.path();
    }
  }
  {
    std::FILE* file = std::fopen(largest.c_str(), "r+b");
    ASSERT_NE(file, nullptr);
    std::fseek(file, static_cast<long>(file_size(largest) / 2), SEEK_SET);
    std::fputs("damaged", file);
    std::fclose(file);
  }
  Open();

  auto snapshot = queryable().Select({}, Context());
  ASSERT_THAT(snapshot, IsOk());
  size_t served = 0, lost = 0;
  for (size_t i = 0; i < (*snapshot)->size(); ++i) {
    SampleBatch batch;
    const auto samples = (*snapshot)->Samples(i);
    size_t found = 0;
    absl::StatusOr<bool> more = true;
    while ((more = samples->Next(&batch)).ok() && *more) {
      found += batch.times_ms.size();
    }
    ASSERT_THAT(more, IsOk());
    if (found == 1000) {  // warned of, perhaps, as its neighbour is lost
      ++served;
      continue;
    }
    ++lost;
    EXPECT_THAT(
        samples->warnings(),
        ::testing::ElementsAre(::testing::AllOf(
            ::testing::HasSubstr("hot-"), ::testing::HasSubstr("Corruption"),
            ::testing::HasSubstr(largest.filename().string()))));
  }
  EXPECT_GT(served, 0u);
  EXPECT_GT(lost, 0u);
}

// A read begins behind the chunks that end before it: whatever their lengths
// are, sealed and merged, no sample may be missed.
TEST_F(StoreQueryTest, EveryRangeFindsItsSamplesAmongChunksOfEveryLength) {
  constexpr uint32_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  options_.store.chunk_samples_max = 40;
  Open();
  std::mt19937_64 random(kSeed);
  const int64_t day_ms = DayStartMs(DayOf(kNowMs) - 1);
  clock_.AdvanceMs(day_ms + 1000 - kNowMs);
  std::map<int64_t, uint64_t> written;
  int64_t time_ms = day_ms;
  for (int seal = 0; seal < 12; ++seal) {
    std::vector<Sample> samples;
    const auto add = [&](int64_t at_ms) {
      const double value = static_cast<double>(random() % 1000);
      if (written.try_emplace(at_ms, BitsOf(value)).second) {
        samples.push_back({at_ms, value});
      }
    };
    const int64_t step_ms = int64_t{1000} << random() % 8;
    for (uint64_t i = random() % 90 + 1; i > 0; --i) {
      time_ms += step_ms;
      add(time_ms);
      if (random() % 8 == 0) {
        add(std::max(day_ms,
                     time_ms - 1 - static_cast<int64_t>(random() % 600'000)));
      }
    }
    clock_.AdvanceMs(time_ms - clock_.NowMs());
    ASSERT_EQ(Append(SeriesNamed("m"), samples).floats_accepted,
              samples.size());
    ASSERT_THAT(store_->Seal(), IsOk());
  }
  const auto check_all = [&] {
    for (int round = 0; round < 200; ++round) {
      const int64_t first =
          day_ms + static_cast<int64_t>(random() % 14'400'000);
      const TimeRange range{first, first + (int64_t{1} << random() % 24)};
      std::map<int64_t, uint64_t> expected(written.lower_bound(range.min_ms),
                                           written.upper_bound(range.max_ms));
      const Contents found = Query(range);
      const auto it = found.find(SeriesNamed("m"));
      const auto samples =
          it == found.end() ? std::map<int64_t, uint64_t>() : it->second;
      EXPECT_EQ(samples, expected) << range.min_ms << " to " << range.max_ms;
    }
  };
  check_all();
  Open();  // what a window's row says of its chunks is read again
  check_all();
  clock_.AdvanceMs(3 * kDayMs);
  ASSERT_THAT(store_->Compact({}), IsOk());
  check_all();
}

}  // namespace
}  // namespace vigie::store

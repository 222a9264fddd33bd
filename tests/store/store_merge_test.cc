// Merges, deletions and retention of sealed samples: answers stay what they
// were, and what is gone is gone from the disk.
#include <gmock/gmock.h>
#include <rocksdb/db.h>
#include <rocksdb/metadata.h>

#include <filesystem>
#include <map>
#include <random>

#include "store/day_index.h"
#include "store/windows.h"
#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::IsEmpty;
using ::vigie::testing::IsOk;

constexpr int64_t kHourMs = 3'600'000;

class StoreMergeTest : public StoreTest {
 protected:
  StoreMergeTest() {
    options_.store.retention_ms = 0;
    options_.store.out_of_order_window_ms = 7 * kDayMs;
    options_.store.chunk_samples_max = 32;
  }

  void AppendAndSeal(const Labels& labels, const std::vector<Sample>& samples) {
    ASSERT_THAT(Append(labels, samples).status, IsOk());
    ASSERT_THAT(store_->Seal(), IsOk());
  }
  void Compact() { ASSERT_THAT(store_->Compact({}), IsOk()); }

  // `touched`: there is something to delete, of one series, whatever its ids.
  void Delete(const std::string& name, TimeRange range, bool touched = true) {
    const auto count = store_->DeleteSeries(
        {{}, {{Matcher::Equal("__name__", name)}}, range}, {});
    ASSERT_THAT(count, IsOk());
    EXPECT_LE(*count, 1u);
    EXPECT_GE(*count, touched ? 1u : 0u);
  }

  // With the store closed: files by family.
  std::map<std::string, std::vector<rocksdb::LiveFileMetaData>> Files() {
    store_.reset();
    std::map<std::string, std::vector<rocksdb::LiveFileMetaData>> files;
    auto blocks = Blocks::Open(directory_.data() + "/blocks",
                               directory_.data() + "/staging");
    EXPECT_TRUE(blocks.ok()) << blocks.status();
    if (!blocks.ok()) return files;
    std::vector<rocksdb::LiveFileMetaData> all;
    (*blocks)->database().db->GetLiveFilesMetaData(&all);
    for (auto& file : all) files[file.column_family_name].push_back(file);
    return files;
  }
  static bool HasHot(const auto& files) {
    for (const auto& [family, list] : files) {
      if (family.starts_with("hot-")) return true;
    }
    return false;
  }

  static void ExpectOneGenerationOfEachDay(
      const std::vector<rocksdb::LiveFileMetaData>& cold) {
    std::map<std::string, std::string> generations;
    for (const auto& file : cold) {
      const std::string day = file.smallestkey.substr(0, 4);
      const std::string place = file.smallestkey.substr(0, 8);
      EXPECT_EQ(generations.emplace(day, place).first->second, place);
      EXPECT_EQ(file.largestkey.substr(0, 8), place);
    }
    EXPECT_EQ(generations.size(), 4u);  // late ones reach into the day before
  }

  // What a kill at this moment leaves; a file may go while it is copied.
  // Every file below `directory`: when it was written, and its size. What goes
  // while one looks is left out.
  using Image = std::map<std::string,
                         std::pair<std::filesystem::file_time_type, uintmax_t>>;
  static Image ImageOf(const std::string& directory) {
    Image files;
    std::error_code gone;
    std::filesystem::recursive_directory_iterator entry(directory, gone);
    for (; entry != std::filesystem::recursive_directory_iterator();
         entry.increment(gone)) {
      if (!entry->is_regular_file(gone)) continue;
      const auto written = entry->last_write_time(gone);
      const uintmax_t size = gone ? 0 : entry->file_size(gone);
      if (!gone) files[entry->path().string()] = {written, size};
    }
    return files;
  }

  // The directory as a crash would leave it. RocksDB compacts meanwhile: a copy
  // beside which anything changed, which no crash leaves, is made again.
  static void CopyImage(const std::string& from, const std::string& to) {
    Image before;
    do {
      before = ImageOf(from);
      std::filesystem::remove_all(to);
      for (const auto& [path, state] : before) {
        const std::string target = to + path.substr(from.size());
        std::filesystem::create_directories(
            std::filesystem::path(target).parent_path());
        std::error_code gone;
        std::filesystem::copy_file(path, target, gone);
      }
    } while (ImageOf(from) != before);
  }

  // Two days and a bit, one series steady, one with gaps, one late.
  void Fill() {
    std::mt19937_64 random(3);
    for (int part = 0; part < 10; ++part) {
      const int64_t from_ms = start_ms_ + part * 5 * kHourMs;
      std::vector<Sample> steady, rare, late;
      for (int i = 0; i < 60; ++i) {
        steady.push_back(
            {from_ms + i * 5 * 60'000, static_cast<double>(random() % 1000)});
        if (i % 7 == 0) rare.push_back({from_ms + i * 301'000, 0.5 * i});
        // Into what was sealed before, sometimes at the same time.
        late.push_back({from_ms - 3 * kHourMs + i * 6 * 60'000,
                        static_cast<double>(part * 100 + i % 3)});
      }
      clock_.SetNowMs(from_ms + 6 * kHourMs);
      Append(SeriesNamed("steady"), steady);
      Append(SeriesNamed("rare"), rare);
      AppendAndSeal(SeriesNamed("late"), late);
    }
  }

  const int64_t start_ms_ = kNowMs / kDayMs * kDayMs;
};

TEST_F(StoreMergeTest, AnswersStayTheSameOverMergesAndRestarts) {
  Open();
  Fill();
  const Contents before = Query();
  const TimeRange range{start_ms_ + 5 * kHourMs, start_ms_ + 9 * kHourMs};
  const Contents cut = Query(range);
  ASSERT_EQ(before.size(), 3u);

  Compact();
  EXPECT_EQ(Query(), before);
  EXPECT_EQ(Query(range), cut);
  Open();
  EXPECT_EQ(Query(), before);
  EXPECT_EQ(Query(range), cut);

  // What comes late into merged days is read with them, and merged again.
  AppendAndSeal(SeriesNamed("rare"), {{start_ms_ + 1, 7}, {start_ms_ + 2, 8}});
  Contents with_late = before;
  with_late[SeriesNamed("rare")][start_ms_ + 1] = BitsOf(7);
  with_late[SeriesNamed("rare")][start_ms_ + 2] = BitsOf(8);
  EXPECT_EQ(Query(), with_late);
  Compact();
  EXPECT_EQ(Query(), with_late);
  Open();
  EXPECT_EQ(Query(), with_late);
}

TEST_F(StoreMergeTest, LeavesOneGenerationOfEachDayAndNothingInLevelZero) {
  Open();
  Fill();
  Compact();
  AppendAndSeal(SeriesNamed("rare"), {{start_ms_ + 1, 7}});
  Compact();
  // A second one of the same days finds nothing to do.
  const double merges = MetricOf("vigie_store_merges_total");
  Compact();
  EXPECT_EQ(MetricOf("vigie_store_merges_total"), merges);

  const auto files = Files();
  EXPECT_FALSE(HasHot(files));
  ASSERT_TRUE(files.contains("cold"));
  for (const auto& file : files.at("cold")) {
    EXPECT_GT(file.level, 0) << "DeleteFilesInRange would leave it";
  }
  ExpectOneGenerationOfEachDay(files.at("cold"));
}

TEST_F(StoreMergeTest, ACrashAtEachStepLeavesTheOldOrTheNewAndNoGarbage) {
  std::vector<std::string> images;
  bool take = false;
  options_.after_merge_step = [&](MergeStep) {
    if (!take) return;
    images.push_back(directory_.path() + "/" + std::to_string(images.size()));
    CopyImage(directory_.data(), images.back());
  };
  Open();
  Fill();
  Compact();
  AppendAndSeal(SeriesNamed("rare"), {{start_ms_ + 1, 7}});
  const Contents expected = Query();
  take = true;
  Compact();
  ASSERT_EQ(images.size(), 2u);
  store_.reset();
  options_.after_merge_step = nullptr;

  for (const std::string& image : images) {
    SCOPED_TRACE(image);
    prometheus::Registry registry;
    {
      auto store = LocalStore::Open(image, options_, clock_, registry);
      ASSERT_THAT(store, IsOk());
      EXPECT_EQ(ContentsOf((*store)->queryable()), expected);
      ASSERT_THAT((*store)->Compact({}), IsOk());
      EXPECT_EQ(ContentsOf((*store)->queryable()), expected);
    }
    EXPECT_TRUE(std::filesystem::is_empty(image + "/staging"));
    auto blocks = Blocks::Open(image + "/blocks", image + "/staging");
    ASSERT_THAT(blocks, IsOk());
    std::vector<rocksdb::LiveFileMetaData> files;
    (*blocks)->database().db->GetLiveFilesMetaData(&files);
    std::vector<rocksdb::LiveFileMetaData> cold;
    for (const auto& file : files) {
      EXPECT_FALSE(file.column_family_name.starts_with("hot-"));
      if (file.column_family_name == "cold") cold.push_back(file);
    }
    ExpectOneGenerationOfEachDay(cold);
  }
}

TEST_F(StoreMergeTest, AQueryFromBeforeAMergeReadsOnAfterIt) {
  Open();
  Fill();
  const Contents before = Query();
  ByteAccount account("query", int64_t{1} << 32);
  auto snapshot = store_->queryable().Select({}, {&account, {}});
  ASSERT_THAT(snapshot, IsOk());

  Compact();
  AppendAndSeal(SeriesNamed("rare"), {{start_ms_ + 1, 7}});
  Compact();

  for (size_t i = 0; i < (*snapshot)->size(); ++i) {
    size_t found = 0;
    SampleBatch batch;
    auto samples = (*snapshot)->Samples(i);
    absl::StatusOr<bool> more = true;
    while ((more = samples->Next(&batch)).ok() && *more) {
      found += batch.times_ms.size();
    }
    ASSERT_THAT(more, IsOk());
    EXPECT_THAT(samples->warnings(), IsEmpty());
    EXPECT_EQ(found, before.at((*snapshot)->labels(i)).size());
  }
}

TEST_F(StoreMergeTest, WhatIsDeletedStaysAwayAndWhatComesLaterStays) {
  Open();
  Fill();
  Contents expected = Query();
  const TimeRange range{start_ms_ + kHourMs, start_ms_ + 30 * kHourMs};
  Delete("steady", range);
  std::erase_if(expected[SeriesNamed("steady")], [&](const auto& sample) {
    return range.Contains(sample.first);
  });
  EXPECT_EQ(Query(), expected);
  Open();
  EXPECT_EQ(Query(), expected);

  // Of the same time, acknowledged after it.
  const int64_t again_ms = start_ms_ + 2 * kHourMs;
  AppendAndSeal(SeriesNamed("steady"), {{again_ms, 42}});
  expected[SeriesNamed("steady")][again_ms] = BitsOf(42);
  EXPECT_EQ(Query(), expected);
  Compact();
  EXPECT_EQ(Query(), expected);
  Open();
  EXPECT_EQ(Query(), expected);
  // And in merged days.
  Delete("steady", range);
  expected[SeriesNamed("steady")].erase(again_ms);
  EXPECT_EQ(Query(), expected);
  Compact();
  EXPECT_EQ(Query(), expected);
  store_.reset();
  auto blocks = Blocks::Open(directory_.data() + "/blocks",
                             directory_.data() + "/staging");
  ASSERT_THAT(blocks, IsOk());
  for (const DayState& day : (*blocks)->Days()) {
    EXPECT_FALSE(day.has_tombstones);
  }
}

TEST_F(StoreMergeTest, DeletedWhileAMergeReadsIsDeletedInItsResult) {
  const TimeRange range{start_ms_, start_ms_ + 30 * kHourMs};
  bool once = true;
  options_.after_merge_step = [&](MergeStep step) {
    if (step != MergeStep::kWritten || !std::exchange(once, false)) return;
    Delete("steady", range);
  };
  Open();
  Fill();
  Contents expected = Query();
  std::erase_if(expected[SeriesNamed("steady")], [&](const auto& sample) {
    return range.Contains(sample.first);
  });

  Compact();
  EXPECT_EQ(Query(), expected);
  Open();
  EXPECT_EQ(Query(), expected);
  Compact();
  EXPECT_EQ(Query(), expected);
}

TEST_F(StoreMergeTest, ADayWithoutAnythingLeftIsGone) {
  Open();
  const Labels labels = SeriesNamed("up");
  clock_.SetNowMs(start_ms_ + 3 * kDayMs);
  AppendAndSeal(labels, {{start_ms_, 1}, {start_ms_ + 2 * kDayMs, 2}});
  Delete("up", {start_ms_, start_ms_ + kDayMs});
  Compact();

  EXPECT_EQ(Query(),
            (Contents{{labels, {{start_ms_ + 2 * kDayMs, BitsOf(2)}}}}));
  EXPECT_EQ(Files()["cold"].size(), 1u);
}

TEST_F(StoreMergeTest, RetentionDropsDaysWithTheirNames) {
  options_.store.retention_ms = 36 * kHourMs;
  Open();
  Fill();
  Compact();
  const int64_t last_ms = start_ms_ + 50 * kHourMs;
  clock_.SetNowMs(last_ms + 38 * kHourMs);
  ASSERT_THAT(store_->ApplyRetention(), IsOk());

  for (const auto& [labels, samples] : Query()) {
    EXPECT_GE(samples.begin()->first, start_ms_ + 2 * kDayMs);
  }
  store_.reset();
  auto blocks = Blocks::Open(directory_.data() + "/blocks",
                             directory_.data() + "/staging");
  ASSERT_THAT(blocks, IsOk());
  EXPECT_EQ((*blocks)->Days().size(), 1u);
  const auto snapshot = (*blocks)->TakeSnapshot();
  EXPECT_EQ(*DayIndex(snapshot->index()).Days(INT32_MIN, INT32_MAX),
            (std::vector<int32_t>{DayOf(start_ms_) + 2}));
}

TEST_F(StoreMergeTest, RetentionBySizeDropsTheOldestDays) {
  options_.store.retention_bytes = 1;  // nothing fits: the newest day stays
  Open();
  Fill();
  Compact();
  ASSERT_THAT(store_->ApplyRetention(), IsOk());

  const Contents left = Query();
  ASSERT_FALSE(left.empty());
  for (const auto& [labels, samples] : left) {
    EXPECT_GE(samples.begin()->first, start_ms_ + 2 * kDayMs);
  }
}

TEST_F(StoreMergeTest, ATenantOfWhomLessIsKeptLosesItAtTheMerge) {
  options_.store.tenant_retention_ms["brief"] = 30 * kHourMs;
  Open();
  const Labels labels = SeriesNamed("up");
  clock_.SetNowMs(start_ms_ + 10 * kHourMs);
  for (const char* tenant : {"brief", "default"}) {
    AppendBatch batch = FloatsOf(labels, {{start_ms_, 1}});
    batch.tenant = {tenant};
    ASSERT_THAT(Append(std::move(batch)).status, IsOk());
  }
  ASSERT_THAT(store_->Seal(), IsOk());
  clock_.SetNowMs(start_ms_ + 2 * kDayMs);
  Compact();

  EXPECT_EQ(Query().size(), 1u);
  EXPECT_THAT(ContentsOf(store_->queryable(), {}, {}, {"brief"}), IsEmpty());
}

TEST_F(StoreMergeTest, SamplesOfManyOldWindowsMakeNoFamilyEach) {
  Open();
  const Labels labels = SeriesNamed("old");
  clock_.SetNowMs(start_ms_);
  std::vector<Sample> spread;
  for (int i = 0; i < 200; ++i) {
    spread.push_back({start_ms_ - (200 - i) * 11 * kHourMs, 1.0 * i});
  }
  AppendAndSeal(labels, spread);
  const Contents before = Query();
  ASSERT_EQ(before.at(labels).size(), 200u);
  size_t hot = 0;
  for (const auto& [family, files] : Files()) {
    if (family.starts_with("hot-")) ++hot;
  }
  EXPECT_LE(hot, static_cast<size_t>(kHotWindowsMax));
  EXPECT_GE(hot, 1u);

  Open();
  EXPECT_EQ(Query(), before);
  Compact();
  EXPECT_EQ(Query(), before);
  const auto files = Files();
  EXPECT_FALSE(HasHot(files));
  EXPECT_FALSE(files.contains("late")) << "merged, so its keys are gone";
}

class StoreMergeModelTest : public StoreMergeTest,
                            public ::testing::WithParamInterface<uint64_t> {};

// Merging by the thread that does so in the background included, as the clock
// moves on.
TEST_P(StoreMergeModelTest, SaysWhatAPlainMapSays) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  Open();
  Contents model;
  int64_t now_ms = start_ms_;
  for (int step = 0; step < 60; ++step) {
    const uint64_t dice = random() % 100;
    if (dice < 60) {
      const Labels labels = SeriesNamed("m" + std::to_string(random() % 4));
      std::vector<Sample> samples;
      int64_t time_ms = now_ms - static_cast<int64_t>(random() % (3 * kDayMs)) /
                                     60'000 * 60'000;
      const size_t count = 1 + random() % 80;
      for (size_t i = 0; i < count && time_ms <= now_ms; ++i) {
        // One value a time, so that it does not matter which one wins.
        samples.push_back({time_ms, static_cast<double>(time_ms % 977)});
        time_ms += static_cast<int64_t>(1 + random() % 5) * 60'000;
      }
      const AppendOutcome outcome = Append(labels, samples);
      ASSERT_THAT(outcome.status, IsOk());
      ASSERT_THAT(outcome.refusals, IsEmpty());
      for (const Sample& sample : samples) {
        model[labels][sample.time_ms] = BitsOf(sample.value);
      }
    } else if (dice < 75) {
      ASSERT_THAT(store_->Seal(), IsOk());
    } else if (dice < 82) {
      Compact();
    } else if (dice < 88 && !model.empty()) {
      auto victim = std::next(
          model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()));
      const int64_t from = now_ms - static_cast<int64_t>(random() % kDayMs);
      const TimeRange range{from, from + 6 * kHourMs};
      const auto within = victim->second.lower_bound(range.min_ms);
      Delete(std::string(victim->first.Get("__name__")), range,
             within != victim->second.end() && range.Contains(within->first));
      std::erase_if(victim->second, [&](const auto& sample) {
        return range.Contains(sample.first);
      });
      if (victim->second.empty()) model.erase(victim);
    } else if (dice < 93) {
      Open();
    } else {
      now_ms += static_cast<int64_t>(random() % (8 * kHourMs));
      clock_.SetNowMs(now_ms);
    }
    if (step % 6 == 5) {
      ASSERT_EQ(Query(), model) << "step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreMergeModelTest,
                         ::testing::Range<uint64_t>(1, 7));

}  // namespace
}  // namespace vigie::store

// Import, verification, restoration and repair of whole data directories.
#include <gmock/gmock.h>

#include <fstream>

#include "store/prometheus_block.h"
#include "store/verify.h"
#include "tests/store/store_fixture.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kDayMs = 86'400'000;

// Series as an import brings them.
class ListSource final : public ImportSource {
 public:
  explicit ListSource(std::vector<ImportedSeries> series)
      : series_(std::move(series)) {}
  const Tenant& tenant() const override { return tenant_; }
  absl::StatusOr<bool> Next(ImportedSeries* series) override {
    if (next_ == series_.size()) return false;
    *series = series_[next_++];
    return true;
  }

 private:
  const Tenant tenant_;
  std::vector<ImportedSeries> series_;
  size_t next_ = 0;
};

SampleBatch BatchOf(const std::vector<Sample>& samples) {
  SampleBatch batch;
  for (const Sample& sample : samples) {
    batch.times_ms.push_back(sample.time_ms);
    batch.values.push_back(sample.value);
  }
  return batch;
}

class StoreVerifyTest : public StoreTest {
 protected:
  absl::StatusOr<ImportOutcome> Import(std::vector<ImportedSeries> series) {
    ListSource source(std::move(series));
    Progress progress;
    progress.warn = [&](const std::string& text) { warnings_.push_back(text); };
    return store_->Import(source, progress);
  }

  std::vector<std::string> Verify() {
    std::vector<std::string> found;
    const auto outcome =
        VerifyDirectory(directory_.data(), clock_, {},
                        [&](const std::string& d) { found.push_back(d); });
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    if (outcome.ok()) {
      outcome_ = *outcome;
      EXPECT_EQ(outcome->damages > 0, !found.empty());
    }
    EXPECT_FALSE(fs::exists(directory_.data() + "/verify"));
    return found;
  }

  // The largest file of the folder with that ending.
  std::string FileOf(const std::string& folder, const std::string& ending) {
    std::string path;
    for (const auto& entry :
         fs::directory_iterator(directory_.data() + "/" + folder)) {
      const std::string name = entry.path().string();
      if (!name.ends_with(ending)) continue;
      if (path.empty() || fs::file_size(name) > fs::file_size(path)) {
        path = name;
      }
    }
    EXPECT_FALSE(path.empty());
    return path;
  }

  static void Flip(const std::string& path, uint64_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 0x20));
  }

  // Two series, one of them sealed, both continued in the log.
  void Fill() {
    Open();
    for (const char* name : {"up", "down"}) {
      std::vector<Sample> samples;
      for (int i = 0; i < 500; ++i) {
        samples.push_back({kNowMs + 1000 * i, i * 1.25});
      }
      Append(SeriesNamed(name), samples);
    }
    ASSERT_TRUE(store_->Seal().ok());
    for (int i = 0; i < 20; ++i) {
      Append(SeriesNamed("up"), {{kNowMs + 580'000 + i, 1.0 * i}});
    }
    contents_ = Query();
    store_.reset();
  }

  Contents contents_;
  VerifyOutcome outcome_;
  std::vector<std::string> warnings_;
};

TEST_F(StoreVerifyTest, AnImportBringsSamplesOfAnyAgeOnceAndForGood) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  const std::vector<ImportedSeries> series = {
      {SeriesNamed("up"),
       {BatchOf({{kNowMs - 9 * kDayMs, 5}, {kNowMs - kDayMs, 6}})}},
      {SeriesNamed("old"), {BatchOf({{kNowMs - 8 * kDayMs, 7}})}},
      {SeriesNamed("up"), {BatchOf({{kNowMs - 5 * kDayMs, 8}})}},
  };

  for (int again = 0; again < 2; ++again) {
    const auto outcome = Import(series);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->samples, 4u);
  }

  const Contents expected = {
      {SeriesNamed("up"),
       {{kNowMs - 9 * kDayMs, BitsOf(5)},
        {kNowMs - 5 * kDayMs, BitsOf(8)},
        {kNowMs - kDayMs, BitsOf(6)},
        {kNowMs, BitsOf(1)}}},
      {SeriesNamed("old"), {{kNowMs - 8 * kDayMs, BitsOf(7)}}}};
  EXPECT_EQ(Query(), expected);
  Append(SeriesNamed("old"), {{kNowMs, 9}});
  Open();
  Contents later = expected;
  later[SeriesNamed("old")][kNowMs] = BitsOf(9);
  EXPECT_EQ(Query(), later);
  ASSERT_TRUE(store_->Seal().ok());
  EXPECT_EQ(Query(), later);
}

TEST_F(StoreVerifyTest, AnImportLeavesWhatIsThere) {
  Open();
  Append(SeriesNamed("up"), {{kNowMs, 1}});
  ASSERT_TRUE(store_->Seal().ok());

  ASSERT_TRUE(Import({{SeriesNamed("up"), {BatchOf({{kNowMs, 2}})}}}).ok());

  EXPECT_EQ(Query().at(SeriesNamed("up")).at(kNowMs), BitsOf(1));
}

TEST_F(StoreVerifyTest, AnImportRefusesAndCountsWhatCannotBeKept) {
  options_.store.retention_ms = 10 * kDayMs;
  Open();

  const auto outcome = Import(
      {{SeriesNamed("up"),
        {BatchOf(
            {{kNowMs - 11 * kDayMs, 1}, {kNowMs, 2}, {kNowMs + kDayMs, 3}})}},
       {Labels{{"job", "a"}}, {BatchOf({{kNowMs, 4}})}}});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->samples, 1u);
  EXPECT_EQ(outcome->samples_refused, 3u);
  EXPECT_EQ(warnings_.size(), 3u);
  EXPECT_THAT(warnings_,
              Contains(AllOf(HasSubstr("1 samples refused"),
                             HasSubstr("retention"), HasSubstr("up{"))));
}

TEST_F(StoreVerifyTest, ASoundDirectoryIsSoundAndStaysAsItWas) {
  Fill();

  EXPECT_THAT(Verify(), IsEmpty());

  EXPECT_EQ(outcome_.series, 2u);
  EXPECT_EQ(outcome_.samples, 1020u);
  Open();
  EXPECT_EQ(Query(), contents_);
}

TEST_F(StoreVerifyTest, ARunningStoreIsVerifiedWhileItTakesSamples) {
  Fill();
  Open();
  Append(SeriesNamed("up"), {{kNowMs + 590'000, 1}});
  std::vector<std::string> found;
  Progress progress;
  progress.report = [&](std::string_view what, uint64_t, uint64_t,
                        std::string_view) {
    if (what == "comparing checksums") {
      Append(SeriesNamed("up"), {{clock_.NowMs() + 590'001, 2}});
    }
  };

  const auto outcome = store_->Verify(
      progress, [&](const std::string& d) { found.push_back(d); });

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(found, IsEmpty());
  EXPECT_EQ(outcome->samples, 1021u);
  EXPECT_FALSE(fs::exists(directory_.data() + "/verify"));
}

TEST_F(StoreVerifyTest, NamesADamagedTableFileAndItsRange) {
  Fill();
  const std::string path = FileOf("blocks", ".sst");
  Flip(path, 100);

  EXPECT_THAT(Verify(), Contains(AllOf(HasSubstr(path), HasSubstr("checksum"),
                                       HasSubstr("offset"))));
}

TEST_F(StoreVerifyTest, NamesATableFileThatIsMissingOrCutShort) {
  Fill();
  const std::string path = FileOf("blocks", ".sst");
  const std::string moved = directory_.path() + "/moved";
  fs::rename(path, moved);
  // RocksDB then asks for it by an older ending.
  EXPECT_THAT(Verify(), Contains(HasSubstr(fs::path(path).stem().string())));

  fs::rename(moved, path);
  fs::resize_file(path, fs::file_size(path) / 2);
  EXPECT_THAT(Verify(), Contains(HasSubstr(path)));
}

TEST_F(StoreVerifyTest, NamesDamageInTheLogAndRepairSaysWhatIsLost) {
  Fill();
  const std::string path = FileOf("log", ".log");
  // Within the frames: the header is 72 bytes, and twenty appends follow.
  Flip(path, 72 + 40 + 10);
  const std::vector<std::string> found = Verify();
  ASSERT_THAT(found, Contains(AllOf(HasSubstr(path), HasSubstr("bytes "))));

  const auto told = RepairDirectory(directory_.data(), false, {});
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_THAT(*told, Contains(HasSubstr("would be moved")));
  EXPECT_TRUE(fs::exists(path));

  const auto done = RepairDirectory(directory_.data(), true, {});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(directory_.data() + "/damaged-1"));
  EXPECT_THAT(Verify(), IsEmpty());
  Open();
  // What was sealed is there, and the store goes on.
  EXPECT_EQ(Query().at(SeriesNamed("down")), contents_.at(SeriesNamed("down")));
  EXPECT_TRUE(Append(SeriesNamed("up"), {{kNowMs + 595'000, 1}}).status.ok());
}

TEST_F(StoreVerifyTest, RepairLeavesASoundDirectoryAlone) {
  Fill();

  const auto lost = RepairDirectory(directory_.data(), true, {});

  ASSERT_TRUE(lost.ok()) << lost.status();
  EXPECT_THAT(*lost, IsEmpty());
  Open();
  EXPECT_EQ(Query(), contents_);
}

TEST_F(StoreVerifyTest, RepairDoesNotTouchBlocks) {
  Fill();
  Flip(FileOf("blocks", ".sst"), 100);

  EXPECT_EQ(RepairDirectory(directory_.data(), true, {}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(StoreVerifyTest, ARestoredDirectoryIsACopyOfItsOwn) {
  Fill();
  const std::string target = directory_.path() + "/restored";

  ASSERT_TRUE(RestoreDirectory(directory_.data(), target, clock_, {}).ok());

  // No byte is shared.
  for (const auto& entry : fs::recursive_directory_iterator(target)) {
    if (entry.is_regular_file()) {
      EXPECT_EQ(entry.hard_link_count(), 1u) << entry.path();
    }
  }
  prometheus::Registry registry;
  auto restored = LocalStore::Open(target, options_, clock_, registry);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(ContentsOf((*restored)->queryable()), contents_);
}

TEST_F(StoreVerifyTest, WhatIsDamagedIsNotRestored) {
  Fill();
  Flip(FileOf("blocks", ".sst"), 100);
  const std::string target = directory_.path() + "/restored";

  const absl::Status status =
      RestoreDirectory(directory_.data(), target, clock_, {});

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(fs::exists(target));
}

TEST_F(StoreVerifyTest, ADirectoryInUseIsLeftAlone) {
  Fill();
  Open();
  EXPECT_EQ(VerifyDirectory(directory_.data(), clock_, {}, [](const auto&) {})
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(RepairDirectory(directory_.data(), true, {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(PrometheusBlockTest, NamesWhatIsNoBlock) {
  const TempDirectory directory;
  EXPECT_EQ(FindPrometheusBlocks(directory.path()).status().code(),
            absl::StatusCode::kNotFound);
  std::ofstream(directory.path() + "/meta.json") << "{}";
  const auto block = PrometheusBlock::Open(directory.path(), {});
  EXPECT_EQ(block.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(block.status().message()), HasSubstr("meta.json"));
}

}  // namespace
}  // namespace vigie::store

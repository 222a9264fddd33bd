// Every file of a data directory is truncated and changed at random places, by
// seed. The store opens or refuses, naming the file; what it then gives out is
// what was stored, and where something is missing it says so.
//
// VIGIE_DAMAGE_SEEDS=N damages each file N times; VIGIE_DAMAGE_SHOW=1 prints
// what the store says of each.
#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>

#include "base/log.h"
#include "tests/store/batch_maker.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

constexpr int kRecords = 40;

std::string RecordKey(int i) { return "key" + std::to_string(i); }
std::string RecordValue(int i) {
  return std::string(static_cast<size_t>(20 + i),
                     static_cast<char>('a' + i % 26));
}

class StoreDamageTest : public StoreTest {
 protected:
  using Points = std::set<std::pair<Labels, int64_t>>;
  static constexpr const char* kLogFile = "log/00000000000000000001.log";

  StoreDamageTest() : StoreTest(TempDirectory::InMemory()) {
    spdlog::set_level(spdlog::level::off);
    options_.store.chunk_samples_max = 32;
    options_.store.retention_ms = 0;
  }
  ~StoreDamageTest() override { spdlog::set_level(spdlog::level::info); }

  // Three seals over some windows, records, and a log that is not sealed.
  void MakeData(const std::string& copy, bool closed) {
    Open();
    for (int part = 0; part < 4; ++part) {
      for (int i = 0; i < 25; ++i) AppendOne();
      for (int i = part * 10; i < part * 10 + 10; ++i) {
        RecordBatch records;
        records.Put({}, "table", RecordKey(i), RecordValue(i));
        ASSERT_THAT(store_->records().Write(records), IsOk());
      }
      if (part == 3) break;
      ASSERT_THAT(store_->Seal(), IsOk());
      unsealed_.clear();
      sealed_log_bytes_ = fs::file_size(directory_.data() + "/" + kLogFile);
      maker_.Forward(4 * 3'600'000);
      clock_.SetNowMs(maker_.now_ms());
    }
    // A directory that is copied while it is open is one that was killed.
    if (closed) store_.reset();
    fs::copy(directory_.data(), copy, fs::copy_options::recursive);
    store_.reset();
  }

  void AppendOne() {
    const MadeBatch made = maker_.Make();
    clock_.SetNowMs(maker_.now_ms());
    const AppendOutcome outcome = Append(made.batch);
    ASSERT_THAT(outcome.status, IsOk());
    ASSERT_THAT(outcome.refusals, ::testing::IsEmpty());
    last_.clear();
    for (const MadeBatch::Point& point : made.points) {
      last_.emplace(point.labels, point.time_ms);
      unsealed_.emplace(point.labels, point.time_ms);
    }
  }

  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  // What is done to `bytes`, in words; they change.
  std::string Damage(std::string* bytes) {
    const size_t at = random_() % bytes->size();
    switch (random_() % 4) {
      case 0:
        bytes->resize(at);
        return "cut to " + std::to_string(at);
      case 1: {
        const size_t count = std::min<size_t>(bytes->size() - at, 512);
        const std::string before = bytes->substr(at, count);
        bytes->replace(at, count, std::string(count, '\0'));
        if (bytes->substr(at, count) == before) (*bytes)[at] ^= 1;
        return std::to_string(count) + " zeros at " + std::to_string(at);
      }
      default: {
        const unsigned bit = random_() % 8;
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << bit));
        return "bit " + std::to_string(bit) + " of byte " + std::to_string(at);
      }
    }
  }

  // Whether `found` is a part of what was stored. Counts what is missing and
  // does not belong to `may_be_lost`.
  size_t Missing(const Stored& found, const Points& may_be_lost) {
    for (const auto& [labels, samples] : found) {
      const auto stored = stored_.find(labels);
      for (const auto& [time_ms, bytes] : samples) {
        const bool known =
            stored != stored_.end() && stored->second.contains(time_ms);
        EXPECT_TRUE(known) << labels.ToString() << " at " << time_ms
                           << " is made up";
        if (known) {
          EXPECT_EQ(stored->second.at(time_ms), bytes)
              << labels.ToString() << " at " << time_ms << " is wrong";
        }
      }
    }
    size_t missing = 0;
    for (const auto& [labels, samples] : stored_) {
      const auto series = found.find(labels);
      for (const auto& [time_ms, bytes] : samples) {
        if (series != found.end() && series->second.contains(time_ms)) continue;
        missing += may_be_lost.contains({labels, time_ms}) ? 0 : 1;
      }
    }
    return missing;
  }

  // The end of RocksDB's write-ahead log may be missing unseen: it would look
  // the same had the power gone.
  void CheckRecords(bool end_may_be_lost, std::vector<std::string>* losses) {
    for (int i = 0; i < kRecords; ++i) {
      const auto value = store_->records().Get({}, "table", RecordKey(i));
      if (value.ok()) {
        EXPECT_EQ(*value, RecordValue(i));
      } else if (absl::IsNotFound(value.status()) && end_may_be_lost) {
        ++records_lost_;
      } else {
        EXPECT_THAT(value.status(), HasCode(absl::StatusCode::kDataLoss));
        losses->push_back(std::string(value.status().message()));
      }
    }
  }

  // After a kill, what stood at the end of the log cannot be told from what was
  // being written: the last batch, or all that was cut off. What the blocks are
  // known to follow is not lost unseen.
  Points MayBeLost(const std::string& file, size_t cut_to) const {
    if (!killed_ || file != kLogFile) return {};
    return cut_to >= sealed_log_bytes_ ? unsealed_ : last_;
  }

  // Opens the damaged directory and holds it to the rules.
  void Try(const std::string& file, const std::string& damage,
           const Points& may_be_lost) {
    SCOPED_TRACE(file + ": " + damage);
    std::vector<std::string> losses;
    auto opened =
        LocalStore::Open(directory_.data(), options_, clock_, registry_);
    size_t missing = 0;
    if (opened.ok()) {
      store_ = *std::move(opened);
      ++opened_;
      missing =
          Missing(StoredIn(store_->queryable(), {}, {}, &losses), may_be_lost);
      CheckRecords(file.starts_with("blocks/") && file.ends_with(".log"),
                   &losses);
      store_.reset();
      served_in_part_ += missing > 0;
      EXPECT_TRUE(missing == 0 || !losses.empty())
          << missing << " samples are missing, and nothing says so";
    } else {
      ++refused_;
      EXPECT_THAT(
          opened.status(),
          ::testing::AnyOf(HasCode(absl::StatusCode::kDataLoss),
                           HasCode(absl::StatusCode::kFailedPrecondition)));
      losses.push_back(std::string(opened.status().message()));
    }
    for (const std::string& loss : losses) {
      EXPECT_THAT(loss, ::testing::HasSubstr(fs::path(file).filename()));
    }
    if (std::getenv("VIGIE_DAMAGE_SHOW") != nullptr) {
      std::printf("%s: %s: %zu missing; %s\n", file.c_str(), damage.c_str(),
                  missing, losses.empty() ? "-" : losses.front().c_str());
    }
  }

  // Puts `bytes` in the place of a file of an intact copy, and tries that.
  void TryWith(const std::string& intact, const std::string& file,
               const std::string& damage, const std::string& bytes) {
    fs::remove_all(directory_.data());
    fs::copy(intact, directory_.data(), fs::copy_options::recursive);
    Write(directory_.data() + "/" + file, bytes);
    const bool cut = damage.starts_with("cut");
    Try(file, damage, MayBeLost(file, cut ? bytes.size() : 0));
  }

  void DamageEachFile(bool closed) {
    killed_ = !closed;
    const std::string intact = directory_.path() + "/intact";
    ASSERT_NO_FATAL_FAILURE(MakeData(intact, closed));
    const char* seeds = std::getenv("VIGIE_DAMAGE_SEEDS");
    const int times = seeds == nullptr ? 4 : std::atoi(seeds);
    Open();
    stored_ = StoredIn(store_->queryable());
    store_.reset();
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(intact)) {
      if (entry.is_regular_file() && entry.file_size() > 0) {
        files.push_back(entry.path().lexically_relative(intact).string());
      }
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      for (int i = 0; i < times; ++i) {
        std::string bytes = Read(intact + "/" + file);
        const std::string damage = Damage(&bytes);
        TryWith(intact, file, damage, bytes);
      }
    }
    std::printf("%zu files, %d opened, %d of them served in part, %d refused\n",
                files.size(), opened_, served_in_part_, refused_);
    EXPECT_GT(opened_, 0);
    EXPECT_GT(served_in_part_ + refused_, 0);
  }

  std::mt19937_64 random_{20'261'121};
  BatchMaker maker_{random_, kNowMs};
  Stored stored_;
  Points last_;      // of the last batch
  Points unsealed_;  // of those since the last seal
  uint64_t sealed_log_bytes_ = 0;
  bool killed_ = false;
  int opened_ = 0;
  int refused_ = 0;
  int served_in_part_ = 0;
  int records_lost_ = 0;
};

TEST_F(StoreDamageTest, ADamagedFileOfAClosedStoreIsNamedAndTheRestIsServed) {
  DamageEachFile(/*closed=*/true);
}

TEST_F(StoreDamageTest, ADamagedFileOfAKilledStoreIsNamedAndTheRestIsServed) {
  DamageEachFile(/*closed=*/false);
}

// What RocksDB itself would take for a younger database, or for a failing disk.
TEST_F(StoreDamageTest, JournalsCutAnywhereAndAnyBitOfCurrentAreNamed) {
  const std::string intact = directory_.path() + "/intact";
  ASSERT_NO_FATAL_FAILURE(MakeData(intact, /*closed=*/true));
  Open();
  stored_ = StoredIn(store_->queryable());
  store_.reset();
  std::vector<std::string> journals;
  for (const auto& entry : fs::directory_iterator(intact + "/blocks")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("MANIFEST-") || name.ends_with(".log")) {
      journals.push_back("blocks/" + name);
    }
  }
  ASSERT_GE(journals.size(), 2u);

  for (const std::string& file : journals) {
    const std::string bytes = Read(intact + "/" + file);
    // Densely where tables and the first rows begin.
    for (size_t at = 0; at < bytes.size(); at += 5 + at / 6) {
      TryWith(intact, file, "cut to " + std::to_string(at),
              bytes.substr(0, at));
    }
  }
  const std::string current = Read(intact + "/blocks/CURRENT");
  for (size_t bit = 0; bit < current.size() * 8; bit += 3) {
    std::string bytes = current;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    TryWith(intact, "blocks/CURRENT", "bit " + std::to_string(bit), bytes);
  }
  EXPECT_GT(refused_, 60);
}

}  // namespace
}  // namespace vigie::store

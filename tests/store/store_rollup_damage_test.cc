// The files of a store with rollups are cut and changed at random places, by
// seed. What a query then gets of buckets is what was stored, whatever of it is
// left, and what is missing is said to be.
//
// VIGIE_DAMAGE_SEEDS=N damages each file N times.
#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string_view>

#include "base/log.h"
#include "store/windows.h"
#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

namespace fs = std::filesystem;
using ::testing::SizeIs;
using ::vigie::testing::IsOk;

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int kSeries = 16;
// One whose samples are gone, one whose samples are there.
constexpr int64_t kDays = 2;

class StoreRollupDamageTest : public StoreTest {
 protected:
  StoreRollupDamageTest() : StoreTest(TempDirectory::InMemory()) {
    options_.store.retention_ms = 2 * kDayMs;
    options_.store.rollups = {{5 * kMinuteMs, 400 * kDayMs, {}},
                              {kHourMs, 4000 * kDayMs, {}}};
    spdlog::set_level(spdlog::level::off);
  }
  ~StoreRollupDamageTest() override { spdlog::set_level(spdlog::level::info); }

  void Fill() {
    Open();
    for (int64_t at = 0; at < kDays * kDayMs; at += 4 * kHourMs) {
      clock_.SetNowMs(start_ms_ + at + 4 * kHourMs);
      for (int i = 0; i < kSeries; ++i) {
        std::vector<Sample> samples;
        for (int64_t t = 0; t < 4 * kHourMs; t += 2 * kMinuteMs) {
          samples.push_back(
              {start_ms_ + at + t, static_cast<double>(random_() % 100'000)});
        }
        for (const Sample& sample : samples) {
          put_[SeriesNamed("gauge", std::to_string(i))].push_back(sample);
        }
        ASSERT_THAT(
            Append(SeriesNamed("gauge", std::to_string(i)), samples).status,
            IsOk());
      }
      ASSERT_THAT(store_->Seal(), IsOk());
    }
    ASSERT_THAT(store_->Compact({}), IsOk());
    // The first day's samples are past their retention, the second's not.
    clock_.SetNowMs(start_ms_ + 3 * kDayMs + kHourMs);
    ASSERT_THAT(store_->ApplyRetention(), IsOk());
  }

  // What an answer is computed from, with the windows that it is asked for.
  struct Question {
    std::string_view function;
    int64_t range_ms = 0;
  };
  Contents Ask(const Question& question, std::vector<std::string>* losses) {
    Contents contents;
    ByteAccount account("query", int64_t{1} << 32);
    const int64_t step_ms = std::max(question.range_ms, 5 * kMinuteMs);
    const TimeRange range{start_ms_ - step_ms + 1, start_ms_ + kDays * kDayMs};
    const auto lost = [&](const absl::Status& status) {
      EXPECT_TRUE(absl::IsDataLoss(status)) << status;
      losses->push_back(std::string(status.message()));
    };
    const auto snapshot = store_->queryable().Select(
        {{},
         range,
         {},
         WindowHint{question.function, start_ms_, step_ms, question.range_ms}},
        {&account, {}});
    if (!snapshot.ok()) {
      lost(snapshot.status());
      return contents;
    }
    for (size_t i = 0; i < (*snapshot)->size(); ++i) {
      const auto samples = (*snapshot)->Samples(i);
      auto& found = contents[(*snapshot)->labels(i)];
      SampleBatch batch;
      while (true) {
        const auto more = samples->Next(&batch);
        if (!more.ok()) lost(more.status());
        if (!more.ok() || !*more) break;
        for (size_t k = 0; k < batch.times_ms.size(); ++k) {
          found[batch.times_ms[k]] = BitsOf(batch.values[k]);
        }
      }
      for (const std::string& warning : samples->warnings()) {
        losses->push_back(warning);
      }
    }
    for (const std::string& warning : (*snapshot)->warnings()) {
      losses->push_back(warning);
    }
    return contents;
  }

  // The windows' values, by their ends.
  static Contents Windows(const Question& question, const Contents& samples) {
    Contents windows;
    const int64_t range_ms = std::max(question.range_ms, 5 * kMinuteMs);
    for (const auto& [labels, points] : samples) {
      std::map<int64_t, double> found;
      for (const auto& [time_ms, bits] : points) {
        const double value = std::bit_cast<double>(bits);
        const int64_t end_ms = (time_ms + range_ms - 1) / range_ms * range_ms;
        const auto [it, is_new] = found.emplace(end_ms, value);
        if (!is_new) {
          it->second = Folded(question.function, it->second, value);
        }
      }
      for (const auto& [end_ms, value] : found) {
        windows[labels][end_ms] = BitsOf(value);
      }
    }
    return windows;
  }

  // Holds what is answered against what was: equal, or missing by name. A
  // window is made of 12 buckets at most, so one may be there in part.
  void Check(size_t question, std::vector<std::string>* losses) {
    const Question& asked = kQuestions[question];
    const Contents samples = Ask(asked, losses);
    for (const auto& [labels, points] : samples) {
      for (const auto& [time_ms, bits] : points) {
        EXPECT_TRUE(known_[question][labels].contains({time_ms, bits}))
            << asked.function << " of " << labels.ToString() << " at "
            << time_ms << ": " << std::bit_cast<double>(bits);
      }
    }
    const Contents windows = Windows(asked, samples);
    bool equal = true;
    for (const auto& [labels, ends] : answers_[question]) {
      const auto found = windows.find(labels);
      equal = equal && found != windows.end() && found->second == ends;
    }
    differing_ += !equal;
    EXPECT_TRUE(equal || !losses->empty())
        << asked.function << " lacks something, and nothing says so";
  }

  // What a function makes of samples one after the other.
  static double Folded(std::string_view function, double so_far, double value) {
    if (function == "max_over_time") return std::max(so_far, value);
    if (function == "min_over_time") return std::min(so_far, value);
    return function == "sum_over_time" ? so_far + value : value;
  }

  // Of each question what may be given: a day's buckets, as long as they may
  // be, or its samples.
  void Learn() {
    std::vector<std::string> losses;
    for (const Question& asked : kQuestions) {
      answers_.push_back(Windows(asked, Ask(asked, &losses)));
      ASSERT_THAT(answers_.back(), SizeIs(kSeries)) << asked.function;
      auto& known = known_.emplace_back();
      for (const auto& [labels, samples] : put_) {
        for (const int64_t long_ms : {int64_t{1}, 5 * kMinuteMs, kHourMs}) {
          std::map<std::pair<int32_t, int64_t>, Sample> buckets;
          for (const Sample& sample : samples) {
            const auto [it, is_new] = buckets.emplace(
                std::pair(DayOf(sample.time_ms),
                          (sample.time_ms + long_ms - 1) / long_ms),
                sample);
            if (is_new) continue;
            it->second = {
                sample.time_ms,
                Folded(asked.function, it->second.value, sample.value)};
          }
          for (const auto& [bucket, sample] : buckets) {
            known[labels].emplace(sample.time_ms, BitsOf(sample.value));
          }
        }
      }
    }
    ASSERT_THAT(losses, ::testing::IsEmpty());
    // The first day is answered from buckets alone.
    ASSERT_GE(Query().begin()->second.begin()->first, start_ms_ + kDayMs);
    ASSERT_EQ(answers_[0].begin()->second.size(), 24u * kDays + 1);
  }
  using Known = std::map<Labels, std::set<std::pair<int64_t, uint64_t>>>;

  std::string Damage(std::string* bytes) {
    const size_t at = random_() % bytes->size();
    if (random_() % 4 == 0) {
      bytes->resize(at);
      return "cut to " + std::to_string(at);
    }
    (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << random_() % 8));
    return "a bit of byte " + std::to_string(at);
  }

  static constexpr Question kQuestions[] = {{"max_over_time", kHourMs},
                                            {"min_over_time", 5 * kMinuteMs},
                                            {"sum_over_time", kHourMs},
                                            {"", 0}};
  const int64_t start_ms_ = kNowMs / kDayMs * kDayMs;
  std::mt19937_64 random_{20'261'121};
  std::map<Labels, std::vector<Sample>> put_;
  std::vector<Contents> answers_;  // of each question, by window
  std::vector<Known> known_;       // of each question
  int opened_ = 0, refused_ = 0, differing_ = 0;
};

TEST_F(StoreRollupDamageTest, NoBucketIsEverWrongAndWhatIsMissingIsSaid) {
  ASSERT_NO_FATAL_FAILURE(Fill());
  ASSERT_NO_FATAL_FAILURE(Learn());
  store_.reset();
  const std::string intact = directory_.path() + "/intact";
  fs::rename(directory_.data(), intact);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(intact + "/blocks")) {
    if (entry.path().extension() != ".sst") continue;
    files.push_back("blocks/" + entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  const char* seeds = std::getenv("VIGIE_DAMAGE_SEEDS");
  const int times = seeds == nullptr ? 3 : std::atoi(seeds);
  for (const std::string& file : files) {
    std::ifstream stream(intact + "/" + file, std::ios::binary);
    const std::string before{std::istreambuf_iterator<char>(stream), {}};
    // Of large files, which have chunks, more often.
    const int larger = before.size() > (16 << 10) ? 8 : 1;
    for (int i = 0; i < times * larger && !HasFailure(); ++i) {
      std::string bytes = before;
      const std::string damage = Damage(&bytes);
      SCOPED_TRACE(file + ": " + damage);
      fs::remove_all(directory_.data());
      fs::copy(intact, directory_.data(), fs::copy_options::recursive);
      std::ofstream(directory_.data() + "/" + file,
                    std::ios::binary | std::ios::trunc)
          << bytes;
      auto opened =
          LocalStore::Open(directory_.data(), options_, clock_, registry_);
      if (!opened.ok()) {
        ++refused_;
        EXPECT_THAT(opened.status(),
                    testing::HasCode(absl::StatusCode::kDataLoss));
        continue;
      }
      ++opened_;
      store_ = *std::move(opened);
      for (size_t question = 0; question < std::size(kQuestions); ++question) {
        std::vector<std::string> losses;
        Check(question, &losses);
        for (const std::string& loss : losses) {
          EXPECT_THAT(loss, ::testing::HasSubstr(fs::path(file).filename()));
        }
      }
      store_.reset();
    }
  }
  std::printf("%zu files: %d times opened, %d refused; %d answers in part\n",
              files.size(), opened_, refused_, differing_);
  EXPECT_GT(opened_, 0);
  EXPECT_GT(differing_, 0);
}

}  // namespace
}  // namespace vigie::store

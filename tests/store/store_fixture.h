// What the tests of the whole store share: a directory of their own, short
// ways to append, and what a query sees as a plain map.
#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <bit>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/local_store.h"
#include "tests/support/simulated_clock.h"

namespace vigie::store {

inline constexpr int64_t kNowMs = 1'700'000'000'000;

// Series -> time -> bits of the value.
using Contents = std::map<Labels, std::map<int64_t, uint64_t>>;

inline uint64_t BitsOf(double value) { return std::bit_cast<uint64_t>(value); }

class TempDirectory {
 public:
  TempDirectory() : TempDirectory(std::filesystem::temp_directory_path()) {}
  explicit TempDirectory(const std::filesystem::path& parent) {
    std::string name = (parent / "vigie-store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  // Where files cost least, for tests whose disk is a simulation anyhow.
  static std::filesystem::path InMemory() {
    return ::access("/dev/shm", W_OK | X_OK) == 0
               ? "/dev/shm"
               : std::filesystem::temp_directory_path();
  }
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  std::string data() const { return path_ + "/data"; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Labels SeriesNamed(std::string_view name, std::string_view job = "a") {
  return Labels{{"__name__", name}, {"job", job}};
}

inline AppendBatch FloatsOf(const Labels& labels,
                            const std::vector<Sample>& samples) {
  AppendBatch batch;
  batch.series.push_back({labels, {}});
  for (const Sample& sample : samples) batch.floats.push_back({0, sample, 0});
  return batch;
}

// Everything that a Select finds; a failure ends the test.
inline Contents ContentsOf(const Queryable& queryable, TimeRange range = {},
                           std::vector<Matcher> matchers = {},
                           Tenant tenant = {}) {
  Contents contents;
  ByteAccount account("query", int64_t{1} << 32);
  {
    auto snapshot = queryable.Select({tenant, range, matchers}, {&account, {}});
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    if (!snapshot.ok()) return contents;
    for (size_t i = 0; i < (*snapshot)->size(); ++i) {
      auto samples = (*snapshot)->Samples(i);
      SampleBatch batch;
      std::map<int64_t, uint64_t> found;
      int64_t last_ms = std::numeric_limits<int64_t>::min();
      while (true) {
        const auto more = samples->Next(&batch);
        EXPECT_TRUE(more.ok()) << more.status();
        if (!more.ok() || !*more) break;
        EXPECT_LE(batch.times_ms.size(), kBatchSamplesMax);
        EXPECT_EQ(batch.times_ms.size(), batch.values.size());
        for (size_t j = 0; j < batch.times_ms.size(); ++j) {
          EXPECT_LT(last_ms, batch.times_ms[j]) << "times must ascend";
          EXPECT_TRUE(range.Contains(batch.times_ms[j]));
          last_ms = batch.times_ms[j];
          found[last_ms] = BitsOf(batch.values[j]);
        }
      }
      if (i > 0) {
        EXPECT_LT((*snapshot)->labels(i - 1), (*snapshot)->labels(i));
      }
      if (!found.empty()) contents[(*snapshot)->labels(i)] = std::move(found);
    }
  }
  EXPECT_EQ(account.bytes(), 0) << "everything charged is released";
  return contents;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : StoreTest(std::filesystem::temp_directory_path()) {}
  explicit StoreTest(const std::filesystem::path& parent) : directory_(parent) {
    options_.store.seal_interval_ms = 86'400'000;
  }

  void Open() {
    store_.reset();
    auto store =
        LocalStore::Open(directory_.data(), options_, clock_, registry_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  AppendOutcome Append(AppendBatch batch) {
    return AppendAndWait(store_->appender(), std::move(batch));
  }
  AppendOutcome Append(const Labels& labels,
                       const std::vector<Sample>& samples) {
    return Append(FloatsOf(labels, samples));
  }
  Contents Query(TimeRange range = {}, std::vector<Matcher> matchers = {}) {
    return ContentsOf(store_->queryable(), range, std::move(matchers));
  }

  // The only refusal of `outcome`.
  static RefusalReason ReasonOf(const AppendOutcome& outcome) {
    EXPECT_EQ(outcome.refusals.size(), 1u);
    return outcome.refusals.empty() ? RefusalReason::kLimit
                                    : outcome.refusals[0].reason;
  }

  // The value of a metric of the store; -1 if there is none.
  double MetricOf(const std::string& name, const std::string& reason = "") {
    for (const auto& family : registry_.Collect()) {
      if (family.name != name) continue;
      for (const auto& metric : family.metric) {
        if (!reason.empty() && metric.label[0].value != reason) continue;
        return metric.counter.value + metric.gauge.value;
      }
    }
    return -1;
  }

  TempDirectory directory_;
  testing::SimulatedClock clock_{kNowMs};
  prometheus::Registry registry_;
  LocalStoreOptions options_;
  std::mutex mutex_;  // for what hooks tell, with the two below
  std::condition_variable changed_;
  bool sealed_ = false;
  std::unique_ptr<LocalStore> store_;
};

}  // namespace vigie::store

// Appends of every kind, seals, merges, deletes, retention, snapshots and
// queries at once. Each series has one writer, whose n-th sample follows from
// n, so that an answer can be held against what had been acknowledged when the
// query began and what had been sent when it ended.
//
// VIGIE_CONCURRENCY_SECONDS=3600 runs an hour of each test.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <set>
#include <thread>

#include "base/log.h"
#include "store/windows.h"
#include "tests/store/batch_maker.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::vigie::testing::IsOk;

constexpr size_t kWriters = 3;
constexpr int64_t kStepMs = 60'000;
constexpr int64_t kEnded = int64_t{1} << 60;
// What retention keeps where there is one, in samples.
constexpr int64_t kKept = 100;
// How far back most queries look, in samples.
constexpr int64_t kLookback = 1'500;
// A churning series ends after so many samples and is never seen again.
constexpr int64_t kGeneration = 40;
constexpr std::array<std::string_view, 4> kKinds = {"float", "integer",
                                                    "histogram", "delta"};

// Of each of the two tests: a minute together under a sanitizer.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kSeconds = 30;
#else
constexpr int kSeconds = 4;
#endif

int64_t TimeOf(int64_t n) { return kNowMs + n * kStepMs; }

Labels SeriesOf(size_t writer, std::string_view kind) {
  return SeriesNamed(kind, std::to_string(writer));
}
Labels ChurningOf(size_t writer, int64_t n) {
  return Labels{{"__name__", "churning"},
                {"generation", std::to_string(n / kGeneration)},
                {"job", std::to_string(writer)}};
}

template <class Count>
BasicHistogram<Count> HistogramOf(int64_t n) {
  BasicHistogram<Count> histogram;
  histogram.schema = static_cast<int32_t>(n / 100 % 3);
  histogram.positive_spans = {{0, 2}, {1, 1}};
  histogram.positive_buckets = {static_cast<Count>(n),
                                static_cast<Count>(2 * n),
                                static_cast<Count>(n / 7)};
  histogram.count = static_cast<Count>(3 * n + n / 7);
  histogram.sum = static_cast<double>(n) * 1.5;
  return histogram;
}

// What the n-th sample of a series is as bytes. The total of the deltas 1 to n
// is n * (n + 1) / 2.
std::string BytesOf(std::string_view kind, int64_t n) {
  if (kind == "integer") return BytesOfHistogram(HistogramOf<uint64_t>(n));
  if (kind == "histogram") return BytesOfHistogram(HistogramOf<double>(n));
  if (kind == "delta") {
    return BytesOfFloat(static_cast<double>(n * (n + 1) / 2));
  }
  return BytesOfFloat(static_cast<double>(n) / 8);
}

AppendBatch BatchOf(size_t writer, int64_t n) {
  AppendBatch batch;
  for (const std::string_view kind : kKinds) {
    batch.series.push_back({SeriesOf(writer, kind), {}});
  }
  batch.series.push_back({ChurningOf(writer, n), {}});
  batch.floats.push_back({0, {TimeOf(n), static_cast<double>(n) / 8}, 0});
  batch.integer_histograms.push_back(
      {1, TimeOf(n), HistogramOf<uint64_t>(n), 0});
  batch.float_histograms.push_back({2, TimeOf(n), HistogramOf<double>(n), 0});
  batch.deltas.push_back({3, TimeOf(n - 1), TimeOf(n), static_cast<double>(n)});
  batch.floats.push_back({4, {TimeOf(n), static_cast<double>(n) / 8}, 0});
  return batch;
}

class StoreConcurrencyTest : public StoreTest {
 protected:
  // Of one writer: samples 1..n.
  struct Progressed {
    std::atomic<int64_t> sent{0};
    std::atomic<int64_t> acknowledged{0};  // kEnded: see `last`
    std::atomic<int64_t> last{0};
    int64_t done() const {
      const int64_t now = acknowledged;
      return now == kEnded ? last.load() : now;
    }
    // Samples up to this one are being deleted, or are.
    std::atomic<int64_t> deleting{0};
    std::atomic<int64_t> deleted{0};
  };
  struct Moment {
    int64_t acknowledged = 0;
    int64_t deleted = 0;
    int64_t first_kept = 0;
  };

  StoreConcurrencyTest() {
    options_.store.retention_ms = 0;
    options_.store.chunk_samples_max = 64;
    spdlog::set_level(spdlog::level::warn);
  }
  ~StoreConcurrencyTest() override { spdlog::set_level(spdlog::level::info); }

  void Write(size_t w, std::stop_token stop) {
    for (int64_t n = 1; !stop.stop_requested() && !HasFailure(); ++n) {
      AwaitOthers(n);
      {
        // Retention that goes back would bring something back.
        std::lock_guard lock(clock_mutex_);
        clock_.SetNowMs(std::max(clock_.NowMs(), TimeOf(n)));
      }
      writers_[w].sent = n;
      const AppendOutcome outcome = Append(BatchOf(w, n));
      EXPECT_THAT(outcome.status, IsOk());
      EXPECT_TRUE(outcome.refusals.empty())
          << outcome.refusals.front().example << " at " << n;
      writers_[w].acknowledged = n;
      writers_[w].acknowledged.notify_all();
    }
    writers_[w].last = writers_[w].acknowledged.exchange(kEnded);
    writers_[w].acknowledged.notify_all();
  }

  // Keeps the writers within half an hour of each other.
  void AwaitOthers(int64_t n) {
    for (Progressed& other : writers_) {
      int64_t there = other.acknowledged;
      while (there < n - 30) {
        other.acknowledged.wait(there);
        there = other.acknowledged;
      }
    }
  }

  Moment Now(size_t w) const {
    return {writers_[w].done(), writers_[w].deleted, FirstKept()};
  }

  // The first sample that retention leaves now.
  int64_t FirstKept() const {
    if (options_.store.retention_ms == 0) return 0;
    return (clock_.NowMs() - options_.store.retention_ms - kNowMs) / kStepMs;
  }

  // One series of a writer against the moments around the query. Gives the
  // newest sample.
  int64_t CheckSeries(size_t w, std::string_view kind, const Moment& before,
                      int64_t from,
                      const std::map<int64_t, std::string>& found) {
    const int64_t gone = std::max(writers_[w].deleting.load(), FirstKept() - 1);
    int64_t first =
        found.empty() ? 0 : (found.begin()->first - kNowMs) / kStepMs;
    int64_t n = first - 1;
    for (const auto& [time_ms, bytes] : found) {
      ++n;
      EXPECT_EQ(time_ms, TimeOf(n)) << kind << ": a hole";
      if (time_ms != TimeOf(n)) return n;
      const std::string expected = BytesOf(kind, n);
      // When a delta's counter began is the store's to say.
      const size_t skip = kind == "delta" ? 9 : 0;
      EXPECT_EQ(bytes.substr(skip), expected.substr(skip)) << kind << " " << n;
    }
    if (found.empty()) {
      EXPECT_GE(gone, before.acknowledged) << kind << " is lost";
      return 0;
    }
    EXPECT_GT(first, before.deleted) << kind << ": deleted and still there";
    EXPECT_GE(first, before.first_kept)
        << kind << ": no longer kept, and there";
    EXPECT_LE(first, std::max(gone + 1, from)) << kind << " is lost";
    EXPECT_GE(n, before.acknowledged) << kind << " is lost";
    EXPECT_LE(n, writers_[w].sent) << kind << " is made up";
    return n;
  }

  void Query(int64_t lookback) {
    std::array<Moment, kWriters> before;
    int64_t from = std::numeric_limits<int64_t>::max();
    for (size_t w = 0; w < kWriters; ++w) {
      before[w] = Now(w);
      from = std::min(from, before[w].acknowledged);
    }
    from = std::max<int64_t>(1, from - lookback);
    const Stored stored = StoredIn(
        store_->queryable(), {.min_ms = TimeOf(from)},
        {*Matcher::Create(Matcher::Type::kNotEqual, "__name__", "churning")});
    for (size_t w = 0; w < kWriters; ++w) {
      std::set<int64_t> newest;
      for (const std::string_view kind : kKinds) {
        const auto it = stored.find(SeriesOf(w, kind));
        const int64_t n = CheckSeries(
            w, kind, before[w], from,
            it == stored.end() ? std::map<int64_t, std::string>() : it->second);
        // What is deleted may reach the newest sample.
        if (n > writers_[w].deleting) newest.insert(n);
      }
      EXPECT_LE(newest.size(), 1u) << "a batch is visible in part";
    }
    ++queries_;
  }

  // A series that has ended, perhaps left the head, perhaps merged.
  void QueryEnded(std::mt19937_64& random) {
    const size_t w = random() % kWriters;
    const int64_t ended = writers_[w].done() / kGeneration;
    if (ended == 0) return;
    // Retention leaves the last ones.
    const int64_t back = static_cast<int64_t>(
        random() % static_cast<uint64_t>(
                       FirstKept() > 0 ? std::min<int64_t>(ended, 4) : ended));
    const int64_t first = (ended - 1 - back) * kGeneration;
    const Labels labels = ChurningOf(w, first);
    std::vector<Matcher> matchers;
    for (const LabelView& label : labels) {
      matchers.push_back(Matcher::Equal(label.name, label.value));
    }
    const int64_t kept_before = FirstKept();
    const Stored stored = StoredIn(store_->queryable(), {}, matchers);
    const int64_t kept_after = FirstKept();
    // The very first sample is number 1.
    std::set<int64_t> missing;
    for (int64_t n = std::max({first, kept_after, int64_t{1}});
         n < first + kGeneration; ++n) {
      missing.insert(n);
    }
    const auto series = stored.find(labels);
    if (series != stored.end()) {
      for (const auto& [time_ms, bytes] : series->second) {
        const int64_t n = (time_ms - kNowMs) / kStepMs;
        EXPECT_EQ(bytes, BytesOf("float", n));
        EXPECT_GE(n, std::max(first, kept_before));
        EXPECT_LT(n, first + kGeneration);
        missing.erase(n);
      }
    }
    EXPECT_THAT(missing, ::testing::IsEmpty()) << labels.ToString();
  }

  // Whether the store does that yet.
  static bool Did(const absl::Status& status) {
    if (absl::IsUnimplemented(status)) return false;
    EXPECT_THAT(status, IsOk());
    return status.ok();
  }

  // One at a time, or a smaller one would hide that a larger one is under way.
  void Delete(std::mt19937_64& random) {
    std::lock_guard lock(delete_mutex_);
    const size_t w = random() % kWriters;
    const int64_t newest = writers_[w].done();
    const bool keeps_all = options_.store.retention_ms == 0;
    const int64_t up_to =
        std::max(writers_[w].deleted + static_cast<int64_t>(random() % 50),
                 newest - (keeps_all ? 2 * kLookback : kKept));
    if (up_to > newest - (keeps_all ? 100 : 50)) return;
    DeleteRequest request;
    for (const std::string_view kind : kKinds) {
      request.selectors.push_back({Matcher::Equal("__name__", kind),
                                   Matcher::Equal("job", std::to_string(w))});
    }
    request.range = {std::numeric_limits<int64_t>::min(), TimeOf(up_to)};
    const int64_t before = writers_[w].deleting;
    writers_[w].deleting = up_to;
    if (!Did(store_->DeleteSeries(request, {}).status())) {
      writers_[w].deleting = before;
      return;
    }
    writers_[w].deleted = up_to;
    ++deletes_;
  }

  // A copy opens and holds what was acknowledged when it was begun.
  void Snapshot(int number) {
    const std::string path =
        directory_.path() + "/copy" + std::to_string(number);
    std::array<Moment, kWriters> before;
    for (size_t w = 0; w < kWriters; ++w) before[w] = Now(w);
    if (!Did(store_->Snapshot(path, {}))) return;
    {
      prometheus::Registry registry;
      LocalStoreOptions options;
      options.store = options_.store;
      auto copy = LocalStore::Open(path, options, clock_, registry);
      ASSERT_THAT(copy, IsOk());
      const Stored stored = StoredIn((*copy)->queryable());
      for (size_t w = 0; w < kWriters; ++w) {
        for (const std::string_view kind : kKinds) {
          const auto it = stored.find(SeriesOf(w, kind));
          CheckSeries(w, kind, before[w], 1,
                      it == stored.end() ? std::map<int64_t, std::string>()
                                         : it->second);
        }
      }
    }
    std::filesystem::remove_all(path);
    ++snapshots_;
  }

  void Operate(std::mt19937_64& random) {
    switch (random() % 9) {
      case 8:
        // Only once a whole window is past it, it drops something.
        sweeps_ +=
            options_.store.retention_ms != 0 &&
            NearestWindowOf(TimeOf(FirstKept())) != NearestWindowOf(kNowMs);
        EXPECT_THAT(store_->ApplyRetention(), IsOk());
        return;
      case 0:
        return Snapshot(static_cast<int>(snapshot_number_++));
      case 1:
      case 2:
        merges_ += Did(store_->Compact({}));
        return;
      case 3:
      case 4:
        return Delete(random);
      default:
        EXPECT_THAT(store_->Seal(), IsOk());
        ++seals_;
    }
  }

  bool EnoughHappened() const {
    for (const Progressed& writer : writers_) {
      if (writer.done() < 2 * kGeneration) return false;
    }
    return queries_ > 1 && seals_ > 1 && snapshots_ > 0 &&
           (options_.store.retention_ms == 0 || sweeps_ > 0);
  }

  template <class Action>
  void Loop(std::vector<std::jthread>* threads, Action action) {
    threads->emplace_back([action](std::stop_token stop) mutable {
      while (!stop.stop_requested() && !HasFailure()) action();
    });
  }

  void Run();

  std::mutex delete_mutex_;
  std::mutex clock_mutex_;
  std::array<Progressed, kWriters> writers_;
  std::atomic<int> queries_{0}, seals_{0}, merges_{0}, deletes_{0};
  std::atomic<int> snapshots_{0}, snapshot_number_{0}, sweeps_{0};
};

void StoreConcurrencyTest::Run() {
  const char* asked = std::getenv("VIGIE_CONCURRENCY_SECONDS");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(asked ? std::atoi(asked) : kSeconds);
  Open();
  {
    std::vector<std::jthread> threads;
    for (size_t w = 0; w < kWriters; ++w) {
      threads.emplace_back([this, w](std::stop_token stop) { Write(w, stop); });
    }
    Loop(&threads, [this] { Query(kLookback); });
    Loop(&threads,
         [this, random = std::mt19937_64(1)]() mutable { QueryEnded(random); });
    for (uint64_t seed = 2; seed < 4; ++seed) {
      Loop(&threads, [this, random = std::mt19937_64(seed)]() mutable {
        Operate(random);
      });
    }

    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    // On a busy machine, until there is something to judge by.
    const auto latest = end + std::chrono::seconds(120);
    while (!HasFailure()) {
      const auto now = std::chrono::steady_clock::now();
      if (now > latest || (now > end && EnoughHappened())) break;
      never.wait_for(lock, std::chrono::milliseconds(50));
    }
  }

  Query(kEnded);
  Open();
  Query(kEnded);
  int64_t acknowledged = 0;
  for (const Progressed& writer : writers_) acknowledged += writer.done();
  std::printf(
      "%lld batches, %d queries, %d seals, %d merges, %d deletes, %d sweeps, "
      "%d snapshots\n",
      static_cast<long long>(acknowledged), queries_.load(), seals_.load(),
      merges_.load(), deletes_.load(), sweeps_.load(), snapshots_.load());
  EXPECT_TRUE(EnoughHappened());
}

TEST_F(StoreConcurrencyTest, EveryAnswerIsWhatTheStoreHeldMeanwhile) { Run(); }

TEST_F(StoreConcurrencyTest, EveryAnswerEndsWhereRetentionBeginsAndHasNoHole) {
  options_.store.retention_ms = kKept * kStepMs;
  Run();
}

}  // namespace
}  // namespace vigie::store

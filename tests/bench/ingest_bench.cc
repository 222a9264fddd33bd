// What the store alone costs: batches made beforehand go through its door, so
// that neither sockets nor decoders count. Every stage prints CPU seconds of
// the whole process a million samples (series, for the stage `new`), wall
// seconds, heap in use and anonymous memory a series.
//
// Usage: ingest_bench [--series N] [--steps N] [--batch N] [--inflight N]
//                     [--log memory|disk] [--directory DIR]
// `--log memory` keeps the log in /dev/shm, the rest stays in DIR.
// CPU figures of a busy machine are upper bounds; `perf record` shows where
// they go.
#include <malloc.h>
#include <prometheus/registry.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_account.h"
#include "base/check.h"
#include "base/strings.h"
#include "model/matcher.h"
#include "store/local_store.h"
#include "tests/bench/fleet.h"
#include "tests/bench/moved_file_layer.h"
#include "tests/support/simulated_clock.h"

namespace {

using vigie::bench::Fleet;
namespace store = vigie::store;

constexpr int64_t kStartMs = 1'700'000'000'000;

struct Flags {
  uint32_t series = 100'000;
  int64_t steps = 20;
  uint32_t batch = 2'000;
  size_t inflight = 4;
  bool log_in_memory = true;
  std::string directory;
};

Flags Parse(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--series") {
      flags.series = static_cast<uint32_t>(std::stoul(value));
    } else if (name == "--steps") {
      flags.steps = std::stol(value);
    } else if (name == "--batch") {
      flags.batch = static_cast<uint32_t>(std::stoul(value));
    } else if (name == "--inflight") {
      flags.inflight = std::stoul(value);
    } else if (name == "--log") {
      flags.log_in_memory = value == "memory";
    } else if (name == "--directory") {
      flags.directory = value;
    } else {
      std::fprintf(stderr, "ingest_bench: unknown flag %s\n", argv[i]);
      std::exit(2);
    }
  }
  return flags;
}

double CpuSeconds() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) +
           1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) * 1024;
  }
  return 0;
}

double HeapBytes() {
  const struct mallinfo2 heap = mallinfo2();
  return static_cast<double>(heap.uordblks + heap.hblkhd);
}

class Bench {
 public:
  Bench(const Flags& flags, std::string directory, const std::string& memory)
      : flags_(flags),
        directory_(std::move(directory)),
        log_files_(directory_ + "/log", memory + "/log"),
        clock_(kStartMs + Fleet::kIntervalMs),
        fleet_(flags.series, kStartMs),
        refs_(flags.series) {}

  void Run() {
    Open();
    std::printf("%-26s %12s %9s %11s %11s\n", "stage", "CPU-s/M", "wall s",
                "heap B/ser", "anon B/ser");
    empty_heap_ = HeapBytes();
    empty_anonymous_ = AnonymousBytes();
    Scrape("new series", ByLabels::kYes);
    for (int64_t i = 0; i < flags_.steps; ++i) Scrape("", ByLabels::kNo);
    Print("known, by reference");
    Scrape("known, by labels", ByLabels::kYes);
    Replay("replay");
    Select("select 12 a pod, head");
    const double samples = static_cast<double>(step_) * fleet_.size();
    Measure([&] { VIGIE_CHECK(store_->Seal().ok()); }, samples);
    Print("seal");
    Select("select 12 a pod, sealed");
    Scrape("after the seal, by ref.", ByLabels::kNo);
    Replay("open after a seal");
  }

 private:
  enum class ByLabels { kNo, kYes };

  void Open() {
    registry_ = std::make_unique<prometheus::Registry>();
    store::LocalStoreOptions options;
    if (flags_.log_in_memory) options.files = &log_files_;
    auto opened =
        store::LocalStore::Open(directory_, options, clock_, *registry_);
    if (!opened.ok()) {
      std::fprintf(stderr, "open: %s\n",
                   std::string(vigie::MessageOf(opened.status())).c_str());
      std::exit(1);
    }
    store_ = *std::move(opened);
  }

  // Adds to what Print shows next.
  template <class Work>
  void Measure(Work work, double units) {
    const double cpu = CpuSeconds();
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> wall =
        std::chrono::steady_clock::now() - begin;
    cpu_ += CpuSeconds() - cpu;
    wall_ += wall.count();
    units_ += units;
  }

  void Print(const char* stage) {
    const double series = fleet_.size();
    std::printf("%-26s %12.4f %9.3f %11.0f %11.0f\n", stage,
                1e6 * cpu_ / units_, wall_,
                (HeapBytes() - empty_heap_) / series,
                (AnonymousBytes() - empty_anonymous_) / series);
    std::fflush(stdout);
    cpu_ = wall_ = units_ = 0;
  }

  // One sample of every series; prints if there is a name for it.
  void Scrape(const char* stage, ByLabels by_labels) {
    const int64_t step = step_++;
    clock_.SetNowMs(kStartMs + (step + 1) * Fleet::kIntervalMs);
    std::vector<store::AppendBatch> batches;
    for (uint32_t first = 0; first < fleet_.size(); first += flags_.batch) {
      store::AppendBatch& batch = batches.emplace_back();
      const uint32_t end = std::min(fleet_.size(), first + flags_.batch);
      batch.tenant.name = "default";
      batch.series.resize(end - first);
      batch.floats.resize(end - first);
      for (uint32_t i = first; i < end; ++i) {
        if (by_labels == ByLabels::kYes) {
          batch.series[i - first].labels = fleet_.LabelsOf(i);
        } else {
          batch.series[i - first].ref = refs_[i];
        }
        batch.floats[i - first] = {.series = i - first,
                                   .sample = fleet_.Next(i, step)};
      }
    }
    Measure([&] { AppendAll(&batches); }, fleet_.size());
    batches.clear();
    batches.shrink_to_fit();
    malloc_trim(0);  // what this benchmark held is not the store's
    if (*stage != '\0') Print(stage);
  }

  void AppendAll(std::vector<store::AppendBatch>* batches) {
    std::mutex mutex;
    std::condition_variable wake;
    size_t inflight = 0;
    uint32_t first = 0;
    for (store::AppendBatch& batch : *batches) {
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return inflight < flags_.inflight; });
        ++inflight;
      }
      const size_t count = batch.series.size();
      store_->appender().Append(
          std::move(batch), [&, first, count](store::AppendOutcome outcome) {
            VIGIE_CHECK(outcome.status.ok());
            VIGIE_CHECK(outcome.floats_accepted == count);
            std::copy(outcome.refs.begin(), outcome.refs.end(),
                      refs_.begin() + first);
            std::lock_guard lock(mutex);
            --inflight;
            wake.notify_one();
          });
      first += count;
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return inflight == 0; });
  }

  void Replay(const char* stage) {
    store_.reset();
    malloc_trim(0);
    Measure([&] { Open(); }, static_cast<double>(step_) * fleet_.size());
    Print(stage);
  }

  void Select(const char* stage) {
    uint64_t samples = 0;
    const auto select = [&] {
      vigie::ByteAccount account("bench", int64_t{8} << 30);
      store::SelectRequest request;
      request.tenant.name = "default";
      request.range = {kStartMs, kStartMs + (step_ + 1) * Fleet::kIntervalMs};
      request.matchers = {
          vigie::Matcher::Equal("__name__", Fleet::OneMetric())};
      auto found = store_->queryable().Select(
          request, {.account = &account, .stop = {}});
      VIGIE_CHECK(found.ok());
      store::SampleBatch batch;
      for (size_t i = 0; i < (*found)->size(); ++i) {
        const auto iterator = (*found)->Samples(i);
        while (*iterator->Next(&batch)) samples += batch.times_ms.size();
      }
    };
    Measure(select, 0);
    units_ = static_cast<double>(samples);
    VIGIE_CHECK(samples ==
                static_cast<uint64_t>(step_) * (fleet_.size() / 100) * 12);
    Print(stage);
  }

  const Flags flags_;
  const std::string directory_;
  vigie::bench::MovedFileLayer log_files_;
  vigie::testing::SimulatedClock clock_;
  Fleet fleet_;
  std::vector<store::SeriesRef> refs_;
  std::unique_ptr<prometheus::Registry> registry_;
  std::unique_ptr<store::LocalStore> store_;
  int64_t step_ = 0;
  double cpu_ = 0;
  double wall_ = 0;
  double units_ = 0;
  double empty_heap_ = 0;
  double empty_anonymous_ = 0;
};

// Removed with all that is in it.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::filesystem::path& parent)
      : path_(parent / "vigie-bench-XXXXXX") {
    VIGIE_CHECK(mkdtemp(path_.data()) != nullptr);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags = Parse(argc, argv);
  flags.series -= flags.series % Fleet::kSeriesPerPod;
  const TemporaryDirectory directory(
      flags.directory.empty() ? std::filesystem::temp_directory_path()
                              : std::filesystem::path(flags.directory));
  const TemporaryDirectory memory("/dev/shm");
  Bench(flags, directory.path() + "/data", memory.path()).Run();
  return 0;
}

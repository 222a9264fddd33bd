// What lists of names, series and selections cost when half of the series have
// left the head and are in the index of their day alone: CPU of the process a
// call, and per name or series of the answer.
//
// `names_bench --seals SECONDS` tells whether RocksDB keeps up with the tables
// of names: seals of 2 000 new series each as fast as they go, and how many
// files the tables have. To be run beside busy loops.
//
// Usage: names_bench [SERIES] | --seals SECONDS
#include <prometheus/registry.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_account.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/local_store.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/fleet.h"
#include "tests/support/simulated_clock.h"

namespace {

using vigie::Labels;
using vigie::Matcher;
using vigie::bench::CpuNs;
using vigie::bench::Fleet;
namespace store = vigie::store;

constexpr int64_t kStartMs = 1'700'000'000'000;
constexpr uint32_t kBatch = 2'000;
constexpr int kCalls = 5;

void AppendFleet(store::Store& store, const Fleet& fleet, uint32_t begin,
                 uint32_t end, int64_t time_ms) {
  for (uint32_t i = begin; i < end;) {
    store::AppendBatch batch;
    for (uint32_t j = 0; j < kBatch && i < end; ++i, ++j) {
      batch.series.push_back({fleet.LabelsOf(i), {}});
      batch.floats.push_back({j, {time_ms, 1.0 * i}, 0});
    }
    const auto outcome =
        store::AppendAndWait(store.appender(), std::move(batch));
    VIGIE_CHECK(outcome.status.ok() && outcome.refusals.empty());
  }
}

// `call` gives how much it found.
template <class Call>
void Measure(const char* name, Call call) {
  size_t found = call();
  double best = 1e300;
  for (int i = 0; i < kCalls; ++i) {
    const double begin = CpuNs();
    found = call();
    best = std::min(best, CpuNs() - begin);
  }
  std::printf("%-34s %10.2f ms %9zu found %8.0f ns each\n", name, best / 1e6,
              found, best / static_cast<double>(std::max<size_t>(found, 1)));
}

class Opened {
 public:
  Opened() {
    VIGIE_CHECK(::mkdtemp(directory_.data()) != nullptr);
    store::LocalStoreOptions options;
    options.store.seal_interval_ms = 86'400'000;
    auto opened = store::LocalStore::Open(directory_ + "/data", options, clock_,
                                          registry_);
    VIGIE_CHECK(opened.ok());
    store_ = *std::move(opened);
  }
  ~Opened() {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  store::LocalStore& store() { return *store_; }
  vigie::testing::SimulatedClock& clock() { return clock_; }

 private:
  std::string directory_ =
      std::filesystem::temp_directory_path() / "vigie-names-XXXXXX";
  vigie::testing::SimulatedClock clock_{kStartMs};
  prometheus::Registry registry_;
  std::unique_ptr<store::LocalStore> store_;
};

void MeasureSeals(int64_t seconds) {
  Opened opened;
  const Fleet fleet(1, 0);
  const vigie::SystemClock time;
  const int64_t end_ns = time.MonotonicNs() + seconds * 1'000'000'000;
  std::map<std::string, std::pair<uint64_t, uint64_t>> files;  // now, at most
  uint32_t seals = 0;
  for (; time.MonotonicNs() < end_ns; ++seals) {
    AppendFleet(opened.store(), fleet, seals * kBatch, (seals + 1) * kBatch,
                opened.clock().NowMs());
    VIGIE_CHECK(opened.store().Seal().ok());
    const auto report = opened.store().Inspect();
    VIGIE_CHECK(report.ok());
    for (const store::TableReport& table : report->tables) {
      auto& [now, most] = files[table.name];
      now = table.files;
      most = std::max(most, now);
    }
  }
  std::printf("%u seals in %lld s\n", seals, static_cast<long long>(seconds));
  for (const char* table : {"index", "names", "active"}) {
    std::printf("%-10s %6llu files, %6llu at most\n", table,
                static_cast<unsigned long long>(files[table].first),
                static_cast<unsigned long long>(files[table].second));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--seals") {
    MeasureSeals(std::atol(argv[2]));
    return 0;
  }
  const uint32_t n =
      argc > 1 ? static_cast<uint32_t>(std::atol(argv[1])) : 100'000;
  Opened opened;
  store::LocalStore& store = opened.store();
  vigie::testing::SimulatedClock& clock = opened.clock();
  const Fleet fleet(1, 0);
  AppendFleet(store, fleet, 0, n / 2, kStartMs);
  VIGIE_CHECK(store.Seal().ok());
  clock.SetNowMs(kStartMs + 7'200'000);
  AppendFleet(store, fleet, n / 2, n, clock.NowMs());
  VIGIE_CHECK(store.Seal().ok());
  std::printf("%u series, %llu of them in the head\n", n,
              static_cast<unsigned long long>(store.Inspect()->head_series));

  const store::Queryable& reader = store.queryable();
  vigie::ByteAccount account("bench", int64_t{8} << 30);
  const store::ReadContext context{&account, {}};
  const std::vector<Matcher> metric = {
      Matcher::Equal("__name__", Fleet::OneMetric())};
  const std::vector<Matcher> pod = {
      Matcher::Equal("instance", "10.0.1.7:8080")};
  const std::vector<Matcher> job = {Matcher::Equal("job", "service-07")};
  Measure("names", [&] {
    return reader.LabelNames({}, {}, {}, 0, context)->names.size();
  });
  Measure("names where metric", [&] {
    return reader.LabelNames({}, {}, {metric}, 0, context)->names.size();
  });
  const auto values = [&](const char* label,
                          const std::vector<std::vector<Matcher>>& where) {
    return reader.LabelValues({}, label, {}, where, 0, context)->names.size();
  };
  Measure("values of pod", [&] { return values("pod", {}); });
  Measure("values of __name__", [&] { return values("__name__", {}); });
  Measure("values of pod where metric",
          [&] { return values("pod", {metric}); });
  Measure("values of __name__ where pod",
          [&] { return values("__name__", {pod}); });
  const auto series = [&](const std::vector<Matcher>& where) {
    bool truncated = false;
    return reader.Series({}, {}, {where}, 0, context, &truncated)->size();
  };
  Measure("series of a pod", [&] { return series(pod); });
  Measure("series of a metric", [&] { return series(metric); });
  Measure("series of a job", [&] { return series(job); });
  const auto select = [&](const std::vector<Matcher>& where) {
    return (*reader.Select({{}, {}, where}, context))->size();
  };
  Measure("select a pod", [&] { return select(pod); });
  Measure("select a metric", [&] { return select(metric); });
  Measure("select a job", [&] { return select(job); });
  Measure("cardinality", [&] {
    return reader.CountCardinality({}, 10, context)->label_pairs;
  });
}

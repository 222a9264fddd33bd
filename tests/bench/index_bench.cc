// What the names of a fleet cost: bytes of heap and CPU nanoseconds a series
// for each thing that the index of the head does, and for the rows of a day.
//
// Usage: index_bench [SERIES]
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "store/day_index_builder.h"
#include "store/label_order.h"
#include "store/series_index.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/fleet.h"

namespace {

using vigie::Labels;
using vigie::Matcher;
using vigie::bench::CpuNs;
namespace store = vigie::store;

double HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

template <class Work>
void Stage(const char* name, double per, Work work) {
  const double heap = HeapBytes();
  const double begin = CpuNs();
  work();
  std::printf("%-16s %9.0f ns %9.1f bytes of heap\n", name,
              (CpuNs() - begin) / per, (HeapBytes() - heap) / per);
}

}  // namespace

int main(int argc, char** argv) {
  const uint32_t n =
      argc > 1 ? static_cast<uint32_t>(std::atol(argv[1])) : 100'000;
  const vigie::bench::Fleet fleet(1, 0);
  const std::string secret(store::kIdentitySecretBytes, 's');
  std::vector<store::SeriesIdentity> identities(n);
  std::vector<Labels> labels(n);
  for (uint32_t i = 0; i < n; ++i) {
    labels[i] = fleet.LabelsOf(i);
    identities[i] = store::IdentityOf("t", labels[i].bytes(), secret);
  }
  uint64_t sum = 0;
  store::SeriesIndex index;
  Stage("add", n, [&] {
    for (uint32_t i = 0; i < n; ++i) {
      index.Add(i + 1, identities[i], "t", labels[i]);
    }
  });
  Stage("find", n, [&] {
    for (uint32_t i = 0; i < n; ++i) sum += index.Find(identities[i]);
  });
  Stage("find, scattered", n, [&] {
    for (uint64_t i = 0; i < n; ++i) {
      sum += index.Find(identities[i * 7'919 % n]);
    }
  });
  Stage("is", n, [&] {
    for (uint32_t i = 0; i < n; ++i) sum += index.Is(i + 1, "t", labels[i]);
  });
  Stage("labels", n, [&] {
    for (uint32_t i = 0; i < n; ++i) {
      sum += index.LabelsOf(i + 1).bytes().size();
    }
  });
  const auto match = [&](const char* name, const std::vector<Matcher>& all) {
    const double begin = CpuNs();
    size_t found = 0;
    for (int i = 0; i < 10; ++i) found = index.Match("t", all, {})->size();
    std::printf("%-16s %9.1f us, %zu series\n", name,
                (CpuNs() - begin) / 10 / 1e3, found);
  };
  const std::string metric = vigie::bench::Fleet::OneMetric();
  const auto make = [](Matcher::Type type, const char* name,
                       const char* value) {
    return *Matcher::Create(type, name, value);
  };
  match("one of a pod", {Matcher::Equal("__name__", metric),
                         Matcher::Equal("instance", "10.0.1.7:8080")});
  match("one metric", {Matcher::Equal("__name__", metric)});
  match("regex", {Matcher::Equal("__name__", metric),
                  make(Matcher::Type::kRegex, "job", "service-0.*")});
  match("all but", {make(Matcher::Type::kNotEqual, "part", "3")});

  Stage("sort", n, [&] {
    store::LabelOrder order;
    for (uint64_t i = 0; i < n; ++i) order.Add(index, i + 1);
    sum += order.Sort().front();
  });

  store::DayIndexBuilder builder;
  Stage("day: add", n, [&] {
    for (uint32_t i = 0; i < n; ++i) builder.Add(1, i + 1, "t", labels[i]);
  });
  double bytes = 0;
  Stage("day: rows", n, [&] {
    const absl::Status status =
        builder.Finish(1, [&](std::string_view key, std::string_view value) {
          bytes += static_cast<double>(key.size() + value.size());
          return absl::OkStatus();
        });
    sum += status.ok();
  });
  std::printf("%-16s %9.1f bytes, not compressed\n", "day: rows", bytes / n);

  Stage("remove half", n / 2, [&] {
    std::vector<uint64_t> ids(n / 2);
    for (uint32_t i = 0; i < n / 2; ++i) ids[i] = i + 1;
    index.Remove(ids);
  });
  return sum == 0 ? 1 : 0;
}

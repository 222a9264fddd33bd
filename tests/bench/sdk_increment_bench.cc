// What one event costs the program that counts it: the SDK beside
// prometheus-cpp in one run, the rounds of all cases interleaved so that
// whatever else the machine does meets them alike. Prints the fastest and the
// middle round in nanoseconds an operation, for one thread and for two.
//
// Usage: sdk_increment_bench [ROUNDS]
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "sdk/meter.h"

namespace {

constexpr int kOperations = 1'000'000;  // a thread and round

// The compiler may not fold the loop into one addition.
void Barrier() { asm volatile("" ::: "memory"); }

struct Case {
  std::string name;
  std::function<void(int thread)> loop;  // kOperations of it
  std::vector<double> ns[2] = {};        // a round, with one thread, with two
};

template <class Operation>
std::function<void(int)> Loop(Operation operation) {
  return [operation](int thread) {
    for (int i = 0; i < kOperations; ++i) {
      operation(thread, i);
      Barrier();
    }
  };
}

// Nanoseconds an operation, as each thread sees it.
double Measure(const Case& c, int threads) {
  std::barrier begin(threads);
  std::vector<double> ns(threads);
  {
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        begin.arrive_and_wait();
        const auto from = std::chrono::steady_clock::now();
        c.loop(t);
        const std::chrono::duration<double, std::nano> took =
            std::chrono::steady_clock::now() - from;
        ns[t] = took.count() / kOperations;
      });
    }
  }
  return *std::max_element(ns.begin(), ns.end());
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;

  vigie::sdk::Meter meter(vigie::sdk::Resource("bench", "bench-0"));
  auto orders = meter.AddCounter<"site", "version">({.name = "orders"});
  const vigie::sdk::BoundCounter own[] = {orders.Bind("fr", "v1"),
                                          orders.Bind("es", "v1")};
  const auto seconds =
      meter.AddHistogram<"route">({.name = "seconds"}).Bind("/checkout");

  prometheus::Registry registry;
  auto& family = prometheus::BuildCounter().Name("orders").Register(registry);
  prometheus::Counter* const theirs[] = {
      &family.Add({{"site", "fr"}, {"version", "v1"}}),
      &family.Add({{"site", "es"}, {"version", "v1"}})};
  auto& their_seconds =
      prometheus::BuildHistogram().Name("seconds").Register(registry).Add(
          {{"route", "/checkout"}}, vigie::sdk::SecondsBounds());

  const auto value = [](int i) { return 0.001 * (i & 1023); };
  std::vector<Case> cases = {
      {"vigie counter, own series",
       Loop([&](int t, int) { own[t].Increment(); })},
      {"prometheus-cpp counter, own series",
       Loop([&](int t, int) { theirs[t]->Increment(); })},
      {"vigie counter, one series",
       Loop([&](int, int) { own[0].Increment(); })},
      {"prometheus-cpp counter, one series",
       Loop([&](int, int) { theirs[0]->Increment(); })},
      {"vigie counter, fractions", Loop([&](int t, int) { own[t].Add(0.5); })},
      {"prometheus-cpp counter, fractions",
       Loop([&](int t, int) { theirs[t]->Increment(0.5); })},
      {"vigie histogram, 14 bounds",
       Loop([&](int, int i) { seconds.Observe(value(i)); })},
      {"prometheus-cpp histogram, 14 bounds",
       Loop([&](int, int i) { their_seconds.Observe(value(i)); })},
      {"vigie Bind and increment",
       Loop([&](int, int) { orders.Bind("fr", "v1").Increment(); })},
      {"prometheus-cpp Add and increment", Loop([&](int, int) {
         family.Add({{"site", "fr"}, {"version", "v1"}}).Increment();
       })},
  };
  for (int round = 0; round < rounds; ++round) {
    for (Case& c : cases) {
      for (const int threads : {1, 2}) {
        c.ns[threads - 1].push_back(Measure(c, threads));
      }
    }
  }

  std::printf("%-38s %17s %17s\n", "ns an operation: fastest (middle)",
              "1 thread", "2 threads");
  for (Case& c : cases) {
    std::printf("%-38s", c.name.c_str());
    for (auto& ns : c.ns) {
      std::sort(ns.begin(), ns.end());
      std::printf(" %8.1f (%6.1f)", ns.front(), ns[ns.size() / 2]);
    }
    std::printf("\n");
  }
  return 0;
}

// Random lives: alerts come and go, receivers fail in every way, the process
// crashes at any write, the configuration changes. In the end each receiver
// holds to be firing what fires; it was told twice at most once for each
// attempt that a crash cut off, and for each message it took without saying so
// (a lie; every third life has them). VIGIE_SEED=n runs one life again.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "alerting/dispatch_state.h"
#include "tests/alerting/dispatch_bench.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using vigie::testing::CrashingRecords;
using vigie::testing::DispatchBench;
using vigie::testing::IsOk;
using vigie::testing::kHour;
using vigie::testing::kMinute;
using vigie::testing::kSecond;
using vigie::testing::Listener;

constexpr int kLives = 120;
constexpr int kSteps = 120;

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed), may_lie_(seed % 3 == 0) {
    bench_.options.seed = seed + 1;
    bench_.root().key = "{}";
    bench_.root().repeat_interval_ms = kHour;
    bench_.listeners["team"] = {&listeners_[0], &listeners_[1]};
    bench_.listeners["other"] = {&listeners_[2]};
    listeners_[1].send_resolved = Chance(50);
    Configure();
    EXPECT_THAT(bench_.Start(), IsOk());
  }

  void Live() {
    for (int step = 0; step < kSteps; ++step) {
      const uint64_t kind = random_() % 100;
      if (kind < 45) {
        ChangeAnAlert();
      } else if (kind < 60) {
        ChangeAReceiver();
      } else if (kind < 68 && !crash_planned_) {
        crash_planned_ = true;
        // In this order, whatever the compiler thinks of arguments.
        const int write = static_cast<int>(random_() % 12) + 1;
        const bool after = Chance(50);
        bench_.records.CrashAt(write,
                               after ? CrashingRecords::Crash::kAfterWrite
                                     : CrashingRecords::Crash::kBeforeWrite);
      } else if (kind < 70) {
        Configure();
        (void)bench_.Apply();
        RestartIfCrashed();
      } else {
        Pass(static_cast<int64_t>(random_() % 400) * kSecond);
      }
    }
    for (Listener& listener : listeners_) listener.ComeBack();
    lying_ = {};
    Pass(5 * kHour);
    if (crash_planned_) {
      bench_.records.Revive();
      Pass(5 * kHour);
    }
    // A repeat may be on its way just now.
    for (int s = 0; s < 120 && !open_.empty(); ++s) Pass(0);
  }

  void Check() {
    std::set<std::string> truth;
    for (const auto& [name, alert] : rules_) {
      if (alert.firing()) truth.insert(name);
    }
    const std::string current = bench_.root().receiver;
    for (size_t i = 0; i < listeners_.size(); ++i) {
      const Listener& listener = listeners_[i];
      const bool is_current = (current == "team") == (i < 2);
      // By group: the last word on each alert.
      std::map<std::string, std::set<std::string>> believed;
      std::set<std::string> anywhere;
      for (const Notification& message : listener.taken) {
        for (const Alert& alert : message.alerts) {
          auto& group = believed[message.group_key];
          const std::string name(alert.labels.Get("alertname"));
          alert.firing() ? (void)group.insert(name) : (void)group.erase(name);
        }
      }
      for (const auto& [group, names] : believed) {
        for (const std::string& name : names) {
          anywhere.insert(name);
          if (listener.send_resolved) {
            EXPECT_TRUE(truth.contains(name))
                << "receiver " << i << ", " << group << ": " << name
                << " has ended and it was not told";
          }
        }
      }
      if (is_current) {
        for (const std::string& name : truth) {
          EXPECT_TRUE(anywhere.contains(name))
              << "receiver " << i << " was not told of " << name;
        }
      }
    }
    if (::testing::Test::HasFailure()) PrintLedger();
    int repeats = 0;
    for (const Listener& listener : listeners_) {
      for (const auto& [id, times] : listener.times_taken) repeats += times - 1;
    }
    EXPECT_LE(repeats, in_flight_at_crash_ + lies_);
    EXPECT_EQ(bench_.records.RowsOf(kOwedTable), 0);
    total_repeats += repeats;
    total_lies += lies_;
    total_crashes += crashes_;
    total_taken += static_cast<int>(listeners_[0].taken.size() +
                                    listeners_[1].taken.size() +
                                    listeners_[2].taken.size());
  }

  static int total_repeats;
  static int total_lies;
  static int total_crashes;
  static int total_taken;

 private:
  void PrintLedger() {
    for (const LedgerEntry& entry : bench_.Ledger()) {
      std::printf("%8ld %s %s %s %s %ld %s +%zu -%zu\n",
                  (entry.time_ms - vigie::testing::kStartMs) / 1000,
                  entry.receiver.c_str(), entry.integration.c_str(),
                  entry.group_key.c_str(), entry.event.c_str(), entry.attempt,
                  entry.detail.c_str(), entry.firing.size(),
                  entry.resolved.size());
    }
  }

  struct Open {
    Attempt attempt;
    DeliveryOutcome outcome;
    int64_t ends_ns;
  };

  bool Chance(uint64_t percent) { return random_() % 100 < percent; }

  void Configure() {
    bench_.root().receiver = Chance(70) ? "team" : "other";
    bench_.root().group_by.clear();
    if (Chance(50)) bench_.root().group_by.push_back("site");
    bench_.root().group_wait_ms = Chance(50) ? 30 * kSecond : 0;
  }

  void ChangeAnAlert() {
    const std::string name = "a" + std::to_string(random_() % 8);
    LabelsBuilder more;
    more.Set("site", name < "a4" ? "fr" : "de");
    const auto known = rules_.find(name);
    if (known == rules_.end() || !known->second.firing()) {
      rules_[name] = bench_.Firing(name, more);
    } else {
      known->second.ends_at_ms = bench_.now_ms();
    }
    Tell();
  }

  // What a rule group does at each evaluation.
  void Tell() {
    std::vector<Alert> alerts;
    for (const auto& [name, alert] : rules_) alerts.push_back(alert);
    while (!bench_.Take(alerts).ok()) {
      ASSERT_TRUE(bench_.records.crashed());
      RestartIfCrashed();
    }
  }

  void ChangeAReceiver() {
    const size_t which = random_() % listeners_.size();
    Listener& listener = listeners_[which];
    listener.takes_anyway = false;
    lying_[which] = false;
    switch (random_() % 5) {
      case 0:
        listener.GoDown();
        break;
      case 1:
        listener.answer = {absl::InvalidArgumentError("400"), false, {}, "400"};
        break;
      case 2:
        listener.answer = {absl::UnavailableError("429"), true,
                           absl::Seconds(random_() % 300), "429"};
        break;
      case 3:
        listener.answer = {absl::DeadlineExceededError("slow"), true, {}, ""};
        listener.takes_anyway = may_lie_ && Chance(50);
        lying_[which] = listener.takes_anyway;
        break;
      default:
        listener.ComeBack();
    }
  }

  void RestartIfCrashed() {
    if (!bench_.records.crashed()) return;
    ++crashes_;
    crash_planned_ = false;
    in_flight_at_crash_ += static_cast<int>(open_.size());
    open_.clear();
    ASSERT_THAT(bench_.Start(), IsOk());
  }

  // Everything that is due now. The receiver hears an attempt when it begins;
  // the dispatcher learns of its end later.
  void Do() {
    DispatchState& state = bench_.state();
    state.Tick(bench_.now());
    while (std::optional<Attempt> attempt = state.NextAttempt(bench_.now())) {
      const DeliveryOutcome outcome =
          attempt->integration->Deliver(attempt->notification, {});
      for (size_t i = 0; i < listeners_.size(); ++i) {
        if (lying_[i] &&
            bench_.listeners[attempt->notification.receiver].at(
                attempt->channel == "test[1]" ? 1 : 0) == &listeners_[i]) {
          ++lies_;
        }
      }
      const int64_t takes_ns =
          static_cast<int64_t>(random_() % 40) * kSecond * 1'000'000;
      open_.push_back(
          {*std::move(attempt), outcome, bench_.now().mono_ns + takes_ns});
    }
    for (size_t i = 0; i < open_.size();) {
      if (open_[i].ends_ns <= bench_.now().mono_ns &&
          state.Finish(open_[i].attempt, open_[i].outcome, bench_.now()).ok()) {
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }

  void Pass(int64_t ms) {
    for (int64_t passed = 0; passed <= ms; passed += kSecond) {
      Do();
      RestartIfCrashed();
      if (passed % kMinute == 0) Tell();
      bench_.MoveMs(kSecond);
    }
  }

  std::mt19937_64 random_;
  const bool may_lie_;
  std::array<Listener, 3> listeners_;
  std::array<bool, 3> lying_ = {};
  DispatchBench bench_;
  std::map<std::string, Alert> rules_;
  std::vector<Open> open_;
  bool crash_planned_ = false;
  int crashes_ = 0;
  int in_flight_at_crash_ = 0;
  int lies_ = 0;
};

int Life::total_repeats = 0;
int Life::total_lies = 0;
int Life::total_crashes = 0;
int Life::total_taken = 0;

TEST(DispatchPropertyTest, EachReceiverKnowsTheTruthInTheEnd) {
  uint64_t first = 1;
  uint64_t last = kLives;
  if (const char* text = std::getenv("VIGIE_SEED")) {
    first = last = std::strtoull(text, nullptr, 10);
  }
  spdlog::set_level(spdlog::level::err);
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("VIGIE_SEED=" + std::to_string(seed));
    Life life(seed);
    life.Live();
    life.Check();
    if (::testing::Test::HasFailure()) break;
  }
  std::printf(
      "seeds %lu..%lu: %d messages taken, %d crashes, %d lies, %d repeats\n",
      first, last, Life::total_taken, Life::total_crashes, Life::total_lies,
      Life::total_repeats);
}

}  // namespace
}  // namespace vigie::alerting

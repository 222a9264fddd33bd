#include "alerting/rule_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

#include "alerting/alert_state.h"
#include "tests/alerting/rule_fixture.h"

namespace vigie::alerting {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

// A clock that moves only when told to, and then waits until everybody who has
// a reason to wake up has done so, and his work, and sleeps again.
class SettlingClock final : public Clock {
 public:
  explicit SettlingClock(int64_t now_ms) : now_ms_(now_ms) {}

  void AdvanceMs(int64_t ms) {
    {
      std::lock_guard lock(mutex_);
      now_ms_ += ms;
      monotonic_ns_ += ms * 1'000'000;
    }
    moved_.notify_all();
  }
  void SetNowMs(int64_t now_ms) {
    std::lock_guard lock(mutex_);
    now_ms_ = now_ms;
  }
  void AwaitAsleep(size_t count) {
    std::unique_lock lock(mutex_);
    sleeping_.wait(lock, [&] {
      return static_cast<size_t>(
                 std::count_if(sleepers_.begin(), sleepers_.end(),
                               [&](const Sleeper& sleeper) {
                                 return sleeper.until_ns > monotonic_ns_ &&
                                        !sleeper.stop.stop_requested();
                               })) >= count;
    });
  }

  int64_t NowMs() const override {
    std::lock_guard lock(mutex_);
    return now_ms_;
  }
  int64_t MonotonicNs() const override {
    std::lock_guard lock(mutex_);
    return monotonic_ns_;
  }
  bool SleepFor(absl::Duration delay, std::stop_token stop) const override {
    return SleepUntil(MonotonicNs() + absl::ToInt64Nanoseconds(delay), stop);
  }
  bool SleepUntil(int64_t until_ns, std::stop_token stop) const override {
    std::unique_lock lock(mutex_);
    const auto self = sleepers_.insert(sleepers_.end(), {until_ns, stop});
    sleeping_.notify_all();
    moved_.wait(lock, stop, [&] { return monotonic_ns_ >= until_ns; });
    sleepers_.erase(self);
    return !stop.stop_requested();
  }

 private:
  struct Sleeper {
    int64_t until_ns;
    std::stop_token stop;
  };
  mutable std::mutex mutex_;
  mutable std::condition_variable_any moved_;
  mutable std::condition_variable_any sleeping_;
  mutable std::list<Sleeper> sleepers_;
  int64_t now_ms_;
  int64_t monotonic_ns_ = 0;
};

class RuleRunnerTest : public RuleFixture {
 protected:
  static constexpr int kThreads = 2;
  const RuleRunnerOptions options_{.threads = kThreads,
                                   .evaluation_interval_ms = kMinute};

  std::unique_ptr<RuleRunner> Runner() {
    return std::make_unique<RuleRunner>(Context(), time_, registry_);
  }
  absl::Status Apply(RuleRunner& runner, const std::string& text) {
    return runner.Apply(Parse(text), options_, external_labels_,
                        "http://vigie:9090");
  }
  void Pass(int64_t ms) {
    time_.AwaitAsleep(kThreads);
    time_.AdvanceMs(ms);
    time_.AwaitAsleep(kThreads);
  }
  // A group of an interval of a minute is evaluated once in each.
  void PassMinutes(int64_t count) {
    for (int64_t i = 0; i < count; ++i) Pass(kMinute);
  }
  double Metric(const std::string& line) {
    const std::string text =
        prometheus::TextSerializer().Serialize(registry_.Collect());
    const size_t at = text.find("\n" + line + " ");
    if (at == std::string::npos) return -1;
    return std::stod(text.substr(at + line.size() + 2));
  }

  SettlingClock time_{kStart};
  prometheus::Registry registry_;
};

TEST_F(RuleRunnerTest, EvaluatesEachGroupOnItsOwnGrid) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, R"(
groups:
- {name: slow, rules: [{record: 'r:slow', expr: time()}]}
- {name: fast, interval: 20s, rules: [{record: 'r:fast', expr: time()}]}
)"),
              IsOk());

  // The timestamps are those of the grid, whenever the threads woke up.
  for (int i = 0; i < 120; ++i) Pass(1'000);
  runner->Stop();

  EXPECT_THAT(Ask("count_over_time(r:slow[3m])", time_.NowMs()),
              ElementsAre("{} 2"));
  EXPECT_THAT(Ask("count_over_time(r:fast[3m])", time_.NowMs()),
              ElementsAre("{} 6"));
  EXPECT_THAT(Ask("r:fast == timestamp(r:fast)", time_.NowMs()), SizeIs(1));
  EXPECT_EQ(Metric("vigie_rule_evaluations_total{rule_group=\"r.yml;fast\"}"),
            6);
  EXPECT_EQ(
      Metric("vigie_rule_group_iterations_missed_total{rule_group=\"r.yml;"
             "fast\"}"),
      0);
  EXPECT_EQ(Metric("vigie_rule_group_interval_seconds{rule_group=\"r.yml;"
                   "slow\"}"),
            60);
}

TEST_F(RuleRunnerTest, SpreadsGroupsOverTheInterval) {
  auto runner = Runner();
  std::string text = "groups:\n";
  for (int i = 0; i < 20; ++i) {
    text += "- {name: g" + std::to_string(i) +
            ", rules: [{record: 'r:x', labels: {g: g" + std::to_string(i) +
            "}, expr: time() % 60}]}\n";
  }
  ASSERT_THAT(Apply(*runner, text), IsOk());
  for (int i = 0; i < 60; ++i) Pass(1'000);
  runner->Stop();

  EXPECT_THAT(Ask("count(r:x)", time_.NowMs()), ElementsAre("{} 20"));
  // Not all in one place: the same hash in every process makes this certain.
  EXPECT_THAT(Ask("count(count by (at) (count_values by (g) ('at', r:x))) > 10",
                  time_.NowMs()),
              SizeIs(1));
}

TEST_F(RuleRunnerTest, CountsWhatItMissedAndGoesOnWithTheLatest) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner,
                    "groups: [{name: g, interval: 10s, rules: "
                    "[{record: 'r:t', expr: time()}]}]"),
              IsOk());
  Pass(10'000);

  Pass(45'000);
  runner->Stop();

  EXPECT_EQ(Metric("vigie_rule_group_iterations_missed_total{rule_group=\"r."
                   "yml;g\"}"),
            3);
  EXPECT_EQ(Metric("vigie_rule_group_iterations_total{rule_group=\"r.yml;g\"}"),
            5);
  EXPECT_THAT(
      Ask("r:t > " + std::to_string(time_.NowMs() / 1000 - 10), time_.NowMs()),
      SizeIs(1));
}

TEST_F(RuleRunnerTest, GoesOnWhenTheWallClockStepsBack) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner,
                    "groups: [{name: g, interval: 10s, rules: "
                    "[{record: 'r:t', expr: time()}]}]"),
              IsOk());
  Pass(10'000);
  time_.AwaitAsleep(kThreads);
  time_.SetNowMs(time_.NowMs() - 3600'000);

  Pass(10'000);
  Pass(10'000);
  runner->Stop();

  EXPECT_THAT(Ask("count_over_time(r:t[1m])", time_.NowMs()),
              ElementsAre("{} 2"));
}

TEST_F(RuleRunnerTest, CountsFailures) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner,
                    "groups: [{name: g, rules: [{record: 'r:a', expr: "
                    "'up[5m]'}, {record: 'r:b', expr: '1'}]}]"),
              IsOk());
  PassMinutes(1);
  runner->Stop();

  EXPECT_EQ(Metric("vigie_rule_evaluation_failures_total{rule_group=\"r.yml;"
                   "g\"}"),
            1);
  EXPECT_EQ(Metric("vigie_rule_evaluations_total{rule_group=\"r.yml;g\"}"), 2);
  const auto groups = runner->Groups();
  EXPECT_EQ(groups.at(0).rules.at(0).health, "err");
  EXPECT_EQ(groups.at(0).interval_ms, kMinute);
  EXPECT_NE(groups.at(0).last_evaluation_ms, 0);
}

constexpr char kPending[] =
    "groups: [{name: g, rules: [{alert: A, expr: vector(1), for: 5m}]}]";

TEST_F(RuleRunnerTest, KeepsStateOverAReloadAndARestart) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kPending), IsOk());
  PassMinutes(3);
  const int64_t active_at =
      runner->Groups().at(0).rules.at(0).alerts.at(0).active_at_ms;

  // An annotation is new: the group is another one, its alerts are not.
  ASSERT_THAT(Apply(*runner,
                    "groups: [{name: g, rules: [{alert: A, expr: "
                    "vector(1), for: 5m, annotations: {a: b}}]}]"),
              IsOk());
  PassMinutes(1);
  EXPECT_EQ(runner->Groups().at(0).rules.at(0).alerts.at(0).active_at_ms,
            active_at);
  runner.reset();
  runner = Runner();
  ASSERT_THAT(Apply(*runner, kPending), IsOk());
  PassMinutes(2);

  const auto alert = runner->Groups().at(0).rules.at(0).alerts.at(0);
  EXPECT_EQ(alert.state, AlertState::kFiring);
  EXPECT_EQ(alert.active_at_ms, active_at);
  EXPECT_EQ(alert.fired_at_ms, active_at + 5 * kMinute);
}

TEST_F(RuleRunnerTest, LeavesAGroupAloneThatAReloadDoesNotChange) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kPending), IsOk());
  PassMinutes(1);

  ASSERT_THAT(Apply(*runner, kPending), IsOk());

  EXPECT_EQ(runner->Groups().at(0).rules.at(0).health, "ok");
  EXPECT_NE(runner->Groups().at(0).last_evaluation_ms, 0);
}

constexpr char kFiring[] =
    "groups: [{name: g, rules: [{alert: A, expr: vector(1)}]}]";

TEST_F(RuleRunnerTest, EndsTheAlertsOfAGroupThatIsGone) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(1);
  ASSERT_THAT(sink_.TakeWords(), SizeIs(1));

  ASSERT_THAT(Apply(*runner, "groups: []"), IsOk());

  EXPECT_THAT(sink_.TakeWords(),
              ElementsAre(Field(&Alert::ends_at_ms, time_.NowMs())));
  EXPECT_THAT(runner->Groups(), IsEmpty());
  EXPECT_THAT(Ask("ALERTS", time_.NowMs()), IsEmpty());
  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
  EXPECT_EQ(Metric("vigie_rule_evaluations_total{rule_group=\"r.yml;g\"}"), -1);
}

TEST_F(RuleRunnerTest, EndsItLaterIfTheSinkRefusesAtFirst) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(1);
  sink_.TakeWords();
  sink_.RefuseNext(1);
  const int64_t ended_ms = time_.NowMs();
  ASSERT_THAT(Apply(*runner, "groups: []"), IsOk());
  EXPECT_THAT(sink_.words(), IsEmpty());

  PassMinutes(2);

  EXPECT_THAT(sink_.words(), ElementsAre(Field(&Alert::ends_at_ms, ended_ms)));
  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
}

TEST_F(RuleRunnerTest, TakesAGroupBackThatHasNotLeftYet) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(1);
  sink_.RefuseNext(1);
  ASSERT_THAT(Apply(*runner, "groups: []"), IsOk());

  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(2);

  ASSERT_THAT(sink_.newest(), SizeIs(1));
  EXPECT_TRUE(sink_.newest().begin()->second.firing());
  EXPECT_EQ(Metric("vigie_rule_evaluations_total{rule_group=\"r.yml;g\"}"), 2);
}

TEST_F(RuleRunnerTest, EndsTheAlertsOfAGroupThatWentWhileNobodyRan) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(1);
  sink_.TakeWords();
  runner.reset();
  runner = Runner();

  ASSERT_THAT(Apply(*runner, "groups: [{name: other}]"), IsOk());

  EXPECT_THAT(sink_.words(),
              ElementsAre(Field(&Alert::ends_at_ms, time_.NowMs())));
  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
}

TEST_F(RuleRunnerTest, EndsAlertsUnderTheirOldExternalLabels) {
  external_labels_ = {{"region", "fr"}};
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(1);
  external_labels_ = {{"region", "de"}};

  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  PassMinutes(1);

  const auto newest = sink_.newest();
  EXPECT_FALSE(newest.at({{"alertname", "A"}, {"region", "fr"}}).firing());
  EXPECT_TRUE(newest.at({{"alertname", "A"}, {"region", "de"}}).firing());
}

TEST_F(RuleRunnerTest, StopsInTheMiddleOfAWaitForTheStore) {
  auto runner = Runner();
  ASSERT_THAT(Apply(*runner, kFiring), IsOk());
  time_.AwaitAsleep(kThreads);
  store_.Hold();
  time_.AdvanceMs(kMinute);
  store_.AwaitBatches(1);

  std::thread stop([&] { runner->Stop(); });
  store_.Release();
  stop.join();

  EXPECT_THAT(Apply(*runner, kFiring), HasCode(absl::StatusCode::kUnavailable));
}

// For ThreadSanitizer: everything at once.
TEST_F(RuleRunnerTest, ReloadsAndShowsWhileItEvaluates) {
  auto runner = Runner();
  std::string text = "groups:\n";
  for (int i = 0; i < 8; ++i) {
    text += "- {name: g" + std::to_string(i) +
            ", interval: 1s, rules: [{alert: A, expr: vector(1), labels: {g: '"
            "{{ $value }}" +
            std::to_string(i) + "'}}]}\n";
  }
  ASSERT_THAT(Apply(*runner, text), IsOk());
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) runner->Groups();
  });
  for (int i = 0; i < 50; ++i) {
    time_.AdvanceMs(500);
    ASSERT_THAT(Apply(*runner, i % 3 == 0   ? kFiring
                               : i % 3 == 1 ? text
                                            : text + "- {name: z}\n"),
                IsOk());
  }
  done = true;
  reader.join();
  runner->Stop();

  EXPECT_THAT(runner->Groups(), SizeIs(8));
}

}  // namespace
}  // namespace vigie::alerting

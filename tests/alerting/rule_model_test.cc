// Random lives of alerts against a model that looks at the whole history each
// time: expressions that come, go and fail, restarts, outages, refusing disks
// and sinks, reloads of `for` and `keep_firing_for`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "alerting/alert_state.h"
#include "tests/alerting/rule_fixture.h"

namespace vigie::alerting {
namespace {

using ::vigie::testing::IsOk;

constexpr int kJobs = 3;

// One evaluation as the outside saw it.
struct Moment {
  int64_t time_ms = 0;
  bool failed = false;  // the expression could not be evaluated
  bool holds[kJobs] = {};
  int64_t for_ms = 0;
  int64_t keep_firing_for_ms = 0;
};

struct Expected {
  AlertState state = AlertState::kInactive;
  int64_t active_at_ms = 0;
};

// From the first moment to the last, anew for each question.
Expected Model(const std::vector<Moment>& history, int job) {
  Expected now;
  std::optional<int64_t> kept_since;
  for (const Moment& moment : history) {
    if (moment.failed) continue;
    if (moment.holds[job]) {
      kept_since.reset();
      if (now.state == AlertState::kInactive) {
        now = {AlertState::kPending, moment.time_ms};
      }
    } else if (now.state == AlertState::kFiring &&
               moment.keep_firing_for_ms > 0) {
      if (!kept_since) kept_since = moment.time_ms;
      if (moment.time_ms - *kept_since >= moment.keep_firing_for_ms) now = {};
    } else {
      now = {};
    }
    if (now.state == AlertState::kInactive) {
      kept_since.reset();
      continue;
    }
    const bool due = moment.time_ms - now.active_at_ms >= moment.for_ms;
    now.state = due ? AlertState::kFiring : AlertState::kPending;
    if (!due) kept_since.reset();
  }
  return now;
}

class RuleModelTest : public RuleFixture,
                      public ::testing::WithParamInterface<uint64_t> {
 protected:
  static Labels AlertOf(int job) {
    return {{"alertname", "A"}, {"job", std::to_string(job)}};
  }
  static RuleGroupSpec SpecOf(const Moment& moment) {
    return Spec(
        "  - alert: A\n    expr: (m > 0) and on() (vector(1) * on() guard)\n" +
        std::string("    for: ") + std::to_string(moment.for_ms) +
        "ms\n    keep_firing_for: " +
        std::to_string(moment.keep_firing_for_ms) + "ms\n");
  }
  static std::string StateSeriesText(const Labels& alert, AlertState state) {
    return LabelsBuilder(alert)
               .Set("__name__", "ALERTS")
               .Set("alertstate", AlertStateName(state))
               .Build()
               .ToString() +
           " 1";
  }
  // What the expression sees: two guards are one too many for it.
  void Write(const Moment& moment) {
    for (int job = 0; job < kJobs; ++job) {
      Put({{"__name__", "m"}, {"job", std::to_string(job)}}, moment.time_ms,
          moment.holds[job] ? 1 : 0);
    }
    Put({{"__name__", "guard"}, {"n", "1"}}, moment.time_ms, 1);
    Put({{"__name__", "guard"}, {"n", "2"}}, moment.time_ms,
        moment.failed ? 1 : StaleMarker());
  }
};

INSTANTIATE_TEST_SUITE_P(Seeds, RuleModelTest,
                         ::testing::Range<uint64_t>(1, 41));

TEST_P(RuleModelTest, LivesAsTheModelSays) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  const auto one_in = [&](uint64_t n) { return random() % n == 0; };
  const auto minutes = [&](uint64_t below) {
    return static_cast<int64_t>(random() % below) * kMinute;
  };
  std::vector<Moment> history;
  Moment moment{.time_ms = kStart, .for_ms = minutes(5)};
  auto group = Group(SpecOf(moment));
  for (int step = 0; step < 120; ++step) {
    moment.time_ms += kMinute;
    moment.failed = one_in(12);
    for (bool& holds : moment.holds) {
      if (one_in(4)) holds = !holds;
    }
    if (one_in(15)) {  // a reload
      moment.for_ms = minutes(5);
      moment.keep_firing_for_ms = minutes(4);
      auto next = Group(SpecOf(moment));
      next->TakeOver(*group);
      group = std::move(next);
    }
    if (one_in(10)) {  // kill -9, and up to half an hour of nobody there
      moment.time_ms += minutes(30);
      group = Restarted(SpecOf(moment), moment.time_ms);
    }
    const bool refuses = one_in(10);
    if (refuses && one_in(2)) records_.FailWrites(0, 1);
    if (refuses) sink_.RefuseNext(1);
    Write(moment);
    Evaluate(*group, moment.time_ms).IgnoreError();
    // What was refused is made up for; a moment after, nothing has changed.
    records_.FailWrites(0, 0);
    sink_.RefuseNext(0);
    history.push_back(moment);
    if (refuses) {
      moment.time_ms += 1'000;
      moment.failed = false;
      Write(moment);
      ASSERT_THAT(Evaluate(*group, moment.time_ms), IsOk());
      history.push_back(moment);
    }

    const RuleStatus rule = group->Status().rules.at(0);
    EXPECT_EQ(rule.health, moment.failed ? "err" : "ok");
    std::map<Labels, ActiveAlert> active;
    for (const ActiveAlert& alert : rule.alerts) active[alert.labels] = alert;
    const auto newest = sink_.newest();
    std::vector<std::string> series;
    for (int job = 0; job < kJobs; ++job) {
      const Labels labels = AlertOf(job);
      const Expected expected = Model(history, job);
      const auto found = active.find(labels);
      const AlertState state =
          found == active.end() ? AlertState::kInactive : found->second.state;
      ASSERT_EQ(AlertStateName(state), AlertStateName(expected.state))
          << "step " << step << ", job " << job;
      if (found != active.end()) {
        ASSERT_EQ(found->second.active_at_ms, expected.active_at_ms) << step;
        series.push_back(StateSeriesText(labels, state));
      }
      const auto word = newest.find(labels);
      const bool told = word != newest.end() && word->second.firing();
      // Nobody is told in an evaluation that fails, but later.
      if (!moment.failed) {
        ASSERT_EQ(told, state == AlertState::kFiring)
            << "step " << step << ", job " << job;
      }
    }
    if (!moment.failed) {
      std::sort(series.begin(), series.end());
      ASSERT_EQ(Ask("ALERTS", moment.time_ms), series) << step;
    }
  }
  EXPECT_LE(records_.Size(kAlertStateTable), static_cast<size_t>(kJobs));
}

}  // namespace
}  // namespace vigie::alerting

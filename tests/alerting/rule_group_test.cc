#include "alerting/rule_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "alerting/alert_state.h"
#include "tests/alerting/rule_fixture.h"

namespace vigie::alerting {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Pair;
using ::testing::SizeIs;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

constexpr int64_t kSecond = 1'000;

class RuleGroupTest : public RuleFixture {
 protected:
  static constexpr char kDownFor5m[] =
      "  - {alert: Down, expr: up == 0, for: 5m}\n";

  static int64_t At(int64_t minutes) { return kStart + minutes * kMinute; }

  void Up(const std::string& job, int64_t minutes, double value) {
    Put({{"__name__", "up"}, {"job", job}}, At(minutes), value);
  }
  // Evaluates at each minute of [from, to], `up` of job "a" being `value`.
  void Run(RuleGroup& group, int64_t from, int64_t to, double value) {
    for (int64_t minute = from; minute <= to; ++minute) {
      Up("a", minute, value);
      ASSERT_THAT(Evaluate(group, At(minute)), IsOk()) << minute;
    }
  }
  static AlertState StateOf(const RuleGroup& group) {
    return group.Status().rules.at(0).state;
  }
  static ActiveAlert OnlyAlert(const RuleGroup& group) {
    const RuleStatus rule = group.Status().rules.at(0);
    EXPECT_THAT(rule.alerts, SizeIs(1));
    return rule.alerts.empty() ? ActiveAlert() : rule.alerts[0];
  }
};

// --- recording rules, order, staleness ---

TEST_F(RuleGroupTest, RecordsUnderNameAndLabelsOfTheRule) {
  Up("a", 0, 7);
  auto group =
      Group("  - {record: 'job:up', expr: up, labels: {job: '', x: y}}");

  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());

  EXPECT_THAT(Ask("job:up", At(0)), ElementsAre("job:up{x=\"y\"} 7"));
}

TEST_F(RuleGroupTest, ALaterRuleSeesWhatAnEarlierOneWrote) {
  Up("a", 0, 1);
  auto group = Group(
      "  - {record: 'r:one', expr: up + 1}\n"
      "  - {record: 'r:two', expr: 'r:one * 10'}\n"
      "  - {alert: Two, expr: 'r:two == 20'}\n"
      "  - {record: 'r:alerts', expr: 'count(ALERTS{alertname=\"Two\"})'}\n");

  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());

  EXPECT_THAT(Ask("r:two", At(0)), ElementsAre("r:two{job=\"a\"} 20"));
  EXPECT_THAT(Ask("r:alerts", At(0)), ElementsAre("r:alerts 1"));
}

TEST_F(RuleGroupTest, WaitsUntilTheSamplesAreVisible) {
  auto group = Group(
      "  - {record: 'r:one', expr: '1'}\n"
      "  - {record: 'r:two', expr: 'r:one'}\n");
  store_.Hold();

  std::thread evaluation([&] { EXPECT_THAT(Evaluate(*group, At(0)), IsOk()); });
  store_.AwaitBatches(1);
  EXPECT_EQ(store_.batches(), 1u);
  store_.Release();
  evaluation.join();

  EXPECT_THAT(Ask("r:two", At(0)), ElementsAre("r:two 1"));
}

TEST_F(RuleGroupTest, MarksASeriesAsStaleWhenTheRuleGivesItNoMore) {
  auto group = Group("  - {record: 'r:up', expr: 'up > 0'}");
  Up("a", 0, 1);
  Up("b", 0, 1);
  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());
  Up("a", 1, 0);
  Up("b", 1, 1);

  ASSERT_THAT(Evaluate(*group, At(1)), IsOk());

  EXPECT_THAT(Ask("r:up", At(1)), ElementsAre("r:up{job=\"b\"} 1"));
}

TEST_F(RuleGroupTest, WritesNothingAndMarksNothingWhenARuleFails) {
  auto group = Group(
      "  - {record: 'r:up', expr: 'up + on() group_left() one'}\n"
      "  - {record: 'r:after', expr: '1'}\n");
  Up("a", 0, 1);
  Put({{"__name__", "one"}, {"n", "1"}}, At(0), 1);
  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());
  Put({{"__name__", "one"}, {"n", "2"}}, At(1), 1);

  const absl::Status failed = Evaluate(*group, At(1));

  EXPECT_THAT(failed, HasError(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("r:up: ")));
  const RuleGroupStatus status = group->Status();
  EXPECT_EQ(status.rules[0].health, "err");
  EXPECT_THAT(status.rules[0].last_error, HasSubstr("many-to-many"));
  EXPECT_EQ(status.rules[1].health, "ok");
  EXPECT_THAT(Ask("r:up", At(1)), ElementsAre("r:up{job=\"a\"} 2"));
  EXPECT_EQ(group->totals().evaluations, 4);
  EXPECT_EQ(group->totals().failures, 1);
}

TEST_F(RuleGroupTest, FailsARuleThatGivesOneLabelSetTwice) {
  auto group = Group(
      "  - {record: 'r:up', expr: up, labels: {job: x}}\n"
      "  - {alert: Up, expr: up, labels: {job: x}}\n");
  Up("a", 0, 1);
  Up("b", 0, 1);

  EXPECT_THAT(Evaluate(*group, At(0)),
              HasCode(absl::StatusCode::kFailedPrecondition));

  const auto rules = group->Status().rules;
  EXPECT_EQ(rules[0].last_error,
            "vector contains metrics with the same labelset after applying "
            "rule labels");
  EXPECT_EQ(rules[1].last_error,
            "vector contains metrics with the same labelset after applying "
            "alert labels");
  EXPECT_THAT(rules[1].alerts, IsEmpty());
  EXPECT_THAT(Ask("{__name__=~'r:up|ALERTS'}", At(0)), IsEmpty());
}

TEST_F(RuleGroupTest, TakesAScalarAndRefusesARange) {
  auto group = Group(
      "  - {record: 'r:scalar', expr: '3'}\n"
      "  - {record: 'r:range', expr: 'up[5m]'}\n");

  Evaluate(*group, At(0)).IgnoreError();

  EXPECT_THAT(Ask("r:scalar", At(0)), ElementsAre("r:scalar 3"));
  EXPECT_EQ(group->Status().rules[1].last_error,
            "rule result is not a vector or scalar");
}

TEST_F(RuleGroupTest, LooksBackByItsOffset) {
  auto group = Group(
      "  - {record: 'r:up', expr: 'up'}\n"
      "  - {alert: Up, expr: 'up > 0'}\n",
      "  query_offset: 1m\n");
  Up("a", 0, 5);
  Up("a", 1, 6);

  ASSERT_THAT(Evaluate(*group, At(1)), IsOk());

  EXPECT_THAT(Ask("timestamp(r:up) == " + std::to_string(At(0) / 1000), At(1)),
              SizeIs(1));
  EXPECT_THAT(Ask("r:up", At(0)), ElementsAre("r:up{job=\"a\"} 5"));
  EXPECT_THAT(Ask("ALERTS", At(0)), SizeIs(1));
  EXPECT_EQ(group->Status().rules[1].alerts.at(0).value, 5);
  EXPECT_EQ(group->Status().rules[1].alerts.at(0).active_at_ms, At(1));
}

TEST_F(RuleGroupTest, DiscardsWhatExceedsTheLimit) {
  auto group = Group(
      "  - {record: 'r:up', expr: up}\n"
      "  - {alert: Up, expr: 'up > 0'}\n",
      "  limit: 1\n");
  Up("a", 0, 1);
  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());
  EXPECT_THAT(sink_.TakeWords(), ElementsAre(Field(&Alert::ends_at_ms, 0)));
  Up("a", 1, 1);
  Up("b", 1, 1);

  Evaluate(*group, At(1)).IgnoreError();

  const auto rules = group->Status().rules;
  EXPECT_EQ(rules[0].last_error, "exceeded limit of 1 with 2 series");
  EXPECT_EQ(rules[1].last_error, "exceeded limit of 1 with 2 alerts");
  EXPECT_THAT(rules[1].alerts, IsEmpty());
  // What fired is over, and nobody else was ever told of.
  EXPECT_THAT(sink_.TakeWords(), ElementsAre(Field(&Alert::ends_at_ms, At(1))));
}

// --- the life of an alert ---

TEST_F(RuleGroupTest, IsPendingForAsLongAsTheRuleSaysThenFires) {
  auto group = Group(kDownFor5m);

  Run(*group, 0, 4, 0);

  EXPECT_EQ(StateOf(*group), AlertState::kPending);
  EXPECT_THAT(Ask("ALERTS", At(4)),
              ElementsAre("ALERTS{alertname=\"Down\", alertstate=\"pending\", "
                          "job=\"a\"} 1"));
  EXPECT_THAT(sink_.words(), IsEmpty());
  Run(*group, 5, 5, 0);
  const ActiveAlert alert = OnlyAlert(*group);
  EXPECT_EQ(alert.state, AlertState::kFiring);
  EXPECT_EQ(alert.active_at_ms, At(0));
  EXPECT_EQ(alert.fired_at_ms, At(5));
  EXPECT_THAT(Ask("ALERTS", At(5)),
              ElementsAre("ALERTS{alertname=\"Down\", alertstate=\"firing\", "
                          "job=\"a\"} 1"));
  EXPECT_THAT(Ask("ALERTS_FOR_STATE", At(5)),
              ElementsAre("ALERTS_FOR_STATE{alertname=\"Down\", job=\"a\"} " +
                          std::to_string(At(0) / 1000)));
  const auto words = sink_.words();
  ASSERT_THAT(words, SizeIs(1));
  EXPECT_EQ(words[0].labels, (Labels{{"alertname", "Down"}, {"job", "a"}}));
  EXPECT_EQ(words[0].starts_at_ms, At(5));
  EXPECT_TRUE(words[0].firing());
  EXPECT_EQ(words[0].generator_url,
            "http://vigie:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
}

TEST_F(RuleGroupTest, BeginsAgainWhenTheExpressionStoppedHoldingOnce) {
  auto group = Group(kDownFor5m);

  Run(*group, 0, 4, 0);
  Run(*group, 5, 5, 1);
  EXPECT_EQ(StateOf(*group), AlertState::kInactive);
  EXPECT_THAT(Ask("{__name__=~'ALERTS.*'}", At(5)), IsEmpty());
  Run(*group, 6, 10, 0);

  EXPECT_EQ(StateOf(*group), AlertState::kPending);
  EXPECT_EQ(OnlyAlert(*group).active_at_ms, At(6));
  EXPECT_THAT(sink_.words(), IsEmpty());
}

TEST_F(RuleGroupTest, FiresAtOnceWithoutFor) {
  auto group = Group("  - {alert: Down, expr: up == 0}\n");

  Run(*group, 0, 0, 0);

  EXPECT_EQ(StateOf(*group), AlertState::kFiring);
  EXPECT_THAT(sink_.words(), SizeIs(1));
  EXPECT_EQ(records_.writes(), 1u);
}

TEST_F(RuleGroupTest, KeepsFiringForAsLongAsTheRuleSays) {
  auto group = Group("  - {alert: Down, expr: up == 0, keep_firing_for: 3m}\n");
  Run(*group, 0, 0, 0);

  Run(*group, 1, 3, 1);
  EXPECT_EQ(StateOf(*group), AlertState::kFiring);
  EXPECT_EQ(OnlyAlert(*group).keep_firing_since_ms, At(1));
  Run(*group, 4, 4, 1);

  EXPECT_EQ(StateOf(*group), AlertState::kInactive);
  EXPECT_EQ(sink_.words().back().ends_at_ms, At(4));
}

TEST_F(RuleGroupTest, ForgetsThatItOnlyKeptFiringWhenTheExpressionHoldsAgain) {
  auto group = Group("  - {alert: Down, expr: up == 0, keep_firing_for: 3m}\n");
  Run(*group, 0, 0, 0);
  Run(*group, 1, 2, 1);
  Run(*group, 3, 3, 0);

  Run(*group, 4, 6, 1);

  EXPECT_EQ(StateOf(*group), AlertState::kFiring);
  EXPECT_EQ(OnlyAlert(*group).fired_at_ms, At(0));
}

TEST_F(RuleGroupTest, ExpandsLabelsAndAnnotationsEachTime) {
  external_labels_ = {{"region", "fr"}, {"job", "shadowed"}};
  Put({{"__name__", "limit"}, {"job", "a"}}, At(0), 9);
  auto group = Group(R"(
  - alert: Load
    expr: load > 1
    labels: {severity: '{{ if gt $value 5.0 }}page{{ else }}info{{ end }}',
             alertname: other}
    annotations:
      summary: '{{ $labels.job }} of {{ $externalLabels.region }}: {{ $value }}'
      limit: '{{ with query "limit" }}{{ . | first | value }}{{ end }}'
      broken: '{{ index .Nothing 3 }}'
)");
  Put({{"__name__", "load"}, {"job", "a"}}, At(0), 2);
  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());
  Put({{"__name__", "load"}, {"job", "a"}}, At(1), 3);
  ASSERT_THAT(Evaluate(*group, At(1)), IsOk());

  const ActiveAlert alert = OnlyAlert(*group);

  EXPECT_EQ(alert.value, 3);
  EXPECT_EQ(
      alert.labels,
      (Labels{{"alertname", "Load"}, {"job", "a"}, {"severity", "info"}}));
  EXPECT_THAT(
      alert.annotations,
      ElementsAre(Pair("broken", HasSubstr("<error expanding template: ")),
                  Pair("limit", "9"), Pair("summary", "a of fr: 3")));
  // To others it goes with the external labels that it does not have itself.
  EXPECT_EQ(sink_.words().at(0).labels, (Labels{{"alertname", "Load"},
                                                {"job", "a"},
                                                {"region", "fr"},
                                                {"severity", "info"}}));
}

// --- telling the sink ---

TEST_F(RuleGroupTest, TellsAgainEachMinuteWhatFires) {
  auto group = Group("  - {alert: Down, expr: up == 0}\n");
  Put({{"__name__", "up"}, {"job", "a"}}, kStart, 0);
  int words = 0;
  for (int64_t t = 0; t <= 200 * kSecond; t += 20 * kSecond) {
    ASSERT_THAT(Evaluate(*group, kStart + t), IsOk());
    words += static_cast<int>(sink_.TakeWords().size());
  }

  // At 0, and at the first evaluation more than a minute after the last word.
  EXPECT_EQ(words, 3);
}

TEST_F(RuleGroupTest, TellsTheEndUntilSomebodyHasHeardIt) {
  auto group = Group("  - {alert: Down, expr: up == 0}\n");
  Run(*group, 0, 0, 0);
  sink_.TakeWords();
  sink_.RefuseNext(30);
  for (int64_t minute = 1; minute <= 30; ++minute) {
    Up("a", minute, 1);
    EXPECT_THAT(Evaluate(*group, At(minute)),
                HasCode(absl::StatusCode::kUnavailable));
  }
  EXPECT_THAT(sink_.words(), IsEmpty());

  Run(*group, 31, 40, 1);

  const auto words = sink_.words();
  ASSERT_THAT(words, SizeIs(1));
  EXPECT_EQ(words[0].starts_at_ms, At(0));
  EXPECT_EQ(words[0].ends_at_ms, At(1));
  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
}

TEST_F(RuleGroupTest, ForgetsAnEndThatWasHeardAfterAQuarterOfAnHour) {
  auto group = Group("  - {alert: Down, expr: up == 0}\n");
  Run(*group, 0, 0, 0);
  Run(*group, 1, 16, 1);
  EXPECT_EQ(records_.Size(kAlertStateTable), 1u);

  Run(*group, 17, 17, 1);

  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
}

TEST_F(RuleGroupTest, StillTellsAnEndWhenTheAlertIsPendingAgain) {
  auto group = Group("  - {alert: Down, expr: up == 0, for: 1m}\n");
  Run(*group, 0, 1, 0);
  sink_.TakeWords();
  sink_.RefuseNext(1);
  Up("a", 2, 1);
  Evaluate(*group, At(2)).IgnoreError();

  Run(*group, 3, 3, 0);

  EXPECT_EQ(StateOf(*group), AlertState::kPending);
  EXPECT_THAT(sink_.TakeWords(), ElementsAre(Field(&Alert::ends_at_ms, At(2))));
  Run(*group, 4, 4, 0);
  EXPECT_THAT(sink_.TakeWords(),
              ElementsAre(Field(&Alert::starts_at_ms, At(4))));
}

// --- over restarts ---

TEST_F(RuleGroupTest, FiresOnTimeThoughTheProcessWasKilledInBetween) {
  const RuleGroupSpec spec = Spec(kDownFor5m);
  auto group = Group(spec);
  Run(*group, 0, 3, 0);

  group = Restarted(spec, At(4));
  Run(*group, 4, 4, 0);
  EXPECT_EQ(StateOf(*group), AlertState::kPending);
  Run(*group, 5, 5, 0);

  EXPECT_EQ(OnlyAlert(*group).active_at_ms, At(0));
  EXPECT_THAT(sink_.words(), ElementsAre(Field(&Alert::starts_at_ms, At(5))));
  EXPECT_THAT(Ask("ALERTS", At(5)), SizeIs(1));
}

TEST_F(RuleGroupTest, KeepsWhatFiresOverARestartAndEndsItIfItIsOver) {
  const RuleGroupSpec spec = Spec(
      "  - {alert: Down, expr: up == 0, annotations: {s: '{{ $value }}'}}\n");
  auto group = Group(spec);
  Run(*group, 0, 2, 0);
  sink_.TakeWords();

  group = Restarted(spec, At(200));
  EXPECT_EQ(OnlyAlert(*group).fired_at_ms, At(0));
  Run(*group, 200, 200, 1);

  EXPECT_EQ(StateOf(*group), AlertState::kInactive);
  const auto words = sink_.words();
  ASSERT_THAT(words, SizeIs(1));
  EXPECT_EQ(words[0].starts_at_ms, At(0));
  EXPECT_EQ(words[0].ends_at_ms, At(200));
  EXPECT_THAT(words[0].annotations, ElementsAre(Pair("s", "0")));
}

TEST_F(RuleGroupTest, MarksTheSeriesOfTheProcessBeforeAsStale) {
  const RuleGroupSpec spec = Spec(kDownFor5m);
  auto group = Group(spec);
  Run(*group, 0, 2, 0);

  group = Restarted(spec, At(3));
  Run(*group, 3, 3, 1);

  EXPECT_THAT(Ask("{__name__=~'ALERTS.*'}", At(3)), IsEmpty());
}

TEST_F(RuleGroupTest, TellsAnEndThatNobodyHeardBeforeTheRestart) {
  const RuleGroupSpec spec = Spec("  - {alert: Down, expr: up == 0}\n");
  auto group = Group(spec);
  Run(*group, 0, 0, 0);
  sink_.TakeWords();
  sink_.RefuseNext(1);
  Up("a", 1, 1);
  Evaluate(*group, At(1)).IgnoreError();

  group = Restarted(spec, At(2));
  Run(*group, 2, 2, 1);

  EXPECT_THAT(sink_.words(), ElementsAre(Field(&Alert::ends_at_ms, At(1))));
}

TEST_F(RuleGroupTest, BeginsAnewWhenNobodyLookedForMoreThanAnHour) {
  const RuleGroupSpec spec =
      Spec("  - {alert: Down, expr: up == 0, for: 3h}\n");
  auto group = Group(spec);
  Run(*group, 0, 90, 0);

  // Last seen at 90: an hour and an interval later is still in time.
  EXPECT_EQ(OnlyAlert(*Restarted(spec, At(150))).active_at_ms, At(0));
  group = Restarted(spec, At(152));
  EXPECT_EQ(StateOf(*group), AlertState::kInactive);
  Run(*group, 152, 152, 0);

  EXPECT_EQ(OnlyAlert(*group).active_at_ms, At(152));
}

TEST_F(RuleGroupTest, RestoresByRuleNameAndLabelsAndEndsWhatHasNoRule) {
  auto group = Group(
      "  - {alert: Down, expr: up == 0, labels: {severity: page}}\n"
      "  - {alert: Down, expr: up == 0, labels: {severity: info}}\n");
  Run(*group, 0, 0, 0);
  sink_.TakeWords();

  // Another order, one label changed; what an alert needs is the same.
  group = Restarted(
      Spec("  - {alert: Down, expr: up == 0, labels: {severity: info}}\n"
           "  - {alert: Down, expr: up == 0, labels: {severity: warn}}\n"),
      At(1));
  Run(*group, 1, 1, 0);

  const auto newest = sink_.newest();
  const auto ends = [&](const std::string& severity) {
    return newest
        .at({{"alertname", "Down"}, {"job", "a"}, {"severity", severity}})
        .ends_at_ms;
  };
  EXPECT_EQ(group->Status().rules[0].alerts.at(0).fired_at_ms, At(0));
  EXPECT_EQ(ends("info"), 0);
  EXPECT_EQ(ends("warn"), 0);
  EXPECT_EQ(ends("page"), At(1));
  EXPECT_THAT(Ask("ALERTS{severity='page'}", At(1)), IsEmpty());
  Run(*group, 2, 2, 0);
  EXPECT_EQ(records_.Size(kAlertStateTable), 2u);
}

TEST_F(RuleGroupTest, TellsApartRulesThatAreEqualInNameAndLabels) {
  const RuleGroupSpec spec = Spec(
      "  - {alert: Bad, expr: up == 0, for: 5m}\n"
      "  - {alert: Bad, expr: up == 0, for: 2m}\n");
  auto group = Group(spec);
  Run(*group, 0, 3, 0);

  group = Restarted(spec, At(4));

  EXPECT_EQ(group->Status().rules[0].state, AlertState::kPending);
  EXPECT_EQ(group->Status().rules[1].state, AlertState::kFiring);
}

TEST_F(RuleGroupTest, NamesARecordItCannotReadAndTakesTheOthers) {
  const RuleGroupSpec spec = Spec(kDownFor5m);
  auto group = Group(spec);
  Run(*group, 0, 0, 0);
  store::RecordBatch batch;
  TrackedAlert alert;
  std::string future = EncodeAlertRecord(alert);
  future[0] = 2;
  const Labels labels{{"alertname", "Down"}, {"job", "new"}};
  batch.Put(Tenant{}, kAlertStateTable,
            EncodeAlertKey({"r.yml", "g", RuleId(spec.rules[0], 0), labels}),
            future);
  ASSERT_THAT(records_.Write(batch), IsOk());

  group = Group(spec);

  EXPECT_THAT(group->Restore(At(1)),
              HasError(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("r.yml;g"), HasSubstr("job=\"new\""),
                             HasSubstr("version 2"))));
  EXPECT_EQ(StateOf(*group), AlertState::kPending);
}

TEST_F(RuleGroupTest, WritesARecordOnlyWhenAnAlertChanges) {
  auto group = Group(
      "  - alert: Down\n    expr: up == 0\n    for: 5m\n"
      "    annotations: {s: '{{ $value }}{{ now }}'}\n");
  Run(*group, 0, 4, 0);
  EXPECT_EQ(records_.changes(), 1u);

  Run(*group, 5, 60, 0);

  EXPECT_EQ(records_.changes(), 2u);
}

// --- when store or disk refuse ---

TEST_F(RuleGroupTest, LetsNothingRestOnAStateThatIsNotDurable) {
  auto group = Group("  - {alert: Down, expr: up == 0}\n");
  Up("a", 0, 0);
  records_.FailWrites(0, 1);

  EXPECT_THAT(Evaluate(*group, At(0)), HasCode(absl::StatusCode::kUnavailable));

  EXPECT_EQ(group->Status().rules[0].health, "err");
  EXPECT_THAT(sink_.words(), IsEmpty());
  EXPECT_THAT(Ask("ALERTS", At(0)), IsEmpty());
}

TEST_F(RuleGroupTest, LosesNoTimeWhileTheDiskRefuses) {
  auto group = Group(kDownFor5m);
  records_.FailWrites(0, 5);
  for (int64_t minute = 0; minute <= 4; ++minute) {
    Up("a", minute, 0);
    Evaluate(*group, At(minute)).IgnoreError();
  }

  Run(*group, 5, 5, 0);

  EXPECT_EQ(OnlyAlert(*group).active_at_ms, At(0));
  EXPECT_THAT(sink_.words(), ElementsAre(Field(&Alert::starts_at_ms, At(5))));
}

TEST_F(RuleGroupTest, ReportsThatTheStoreRefusesAndGoesOnAfterwards) {
  auto group = Group(
      "  - {record: 'r:up', expr: up}\n"
      "  - {alert: Up, expr: up == 1}\n");
  Up("a", 0, 1);
  ASSERT_THAT(Evaluate(*group, At(0)), IsOk());
  store_.RefuseWith(absl::UnavailableError("disk full"));
  EXPECT_THAT(Evaluate(*group, At(1)), HasCode(absl::StatusCode::kUnavailable));
  EXPECT_EQ(group->Status().rules[0].health, "err");
  store_.RefuseWith(absl::OkStatus());
  Put({{"__name__", "up"}, {"job", "a"}}, At(2), StaleMarker());

  ASSERT_THAT(Evaluate(*group, At(2)), IsOk());

  EXPECT_EQ(group->Status().rules[0].health, "ok");
  EXPECT_THAT(Ask("{__name__=~'r:up|ALERTS'}", At(2)), IsEmpty());
}

TEST_F(RuleGroupTest, StopsBetweenRulesWithoutAWord) {
  auto group = Group("  - {alert: Down, expr: up == 0}\n");
  Up("a", 0, 0);
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(group->Evaluate(At(0), stop.get_token()),
              HasCode(absl::StatusCode::kCancelled));

  EXPECT_EQ(group->Status().rules[0].health, "unknown");
  EXPECT_THAT(sink_.words(), IsEmpty());
}

// Whatever step to the outside the process dies at, the one that follows
// brings every receiver to the same end.
constexpr int kScriptSteps = 14;

class RuleGroupKillTest : public RuleGroupTest,
                          public ::testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(AtEachStep, RuleGroupKillTest,
                         ::testing::Range(0, kScriptSteps + 1));

TEST_P(RuleGroupKillTest, LosesNothing) {
  // Down from 0 to 5: pending at 0, firing from 2, over at 6.
  const RuleGroupSpec spec =
      Spec("  - {alert: Down, expr: up == 0, for: 2m}\n");
  const Labels labels{{"alertname", "Down"}, {"job", "a"}};
  gate_.DieAfter(GetParam());
  auto group = Group(spec);
  int deaths = 0;
  for (int64_t minute = 0; minute <= 8; ++minute) {
    Up("a", minute, minute <= 5 ? 0 : 1);
    Evaluate(*group, At(minute)).IgnoreError();
    if (!gate_.dead()) continue;
    ++deaths;
    gate_.Revive();
    group = Restarted(spec, At(minute) + 1);
  }

  EXPECT_EQ(deaths, GetParam() < kScriptSteps ? 1 : 0);
  const auto words = sink_.words();
  ASSERT_GE(words.size(), 2u);
  for (const Alert& word : words) EXPECT_EQ(word.labels, labels);
  // It fires at 2 and is over at 6; what the dead process had not made
  // durable, the next look finds.
  EXPECT_THAT(words.front().starts_at_ms, AllOf(Ge(At(2)), Le(At(3))));
  EXPECT_TRUE(words.front().firing());
  const Alert last = sink_.newest().at(labels);
  EXPECT_EQ(last.starts_at_ms, words.front().starts_at_ms);
  EXPECT_THAT(last.ends_at_ms, AllOf(Ge(At(6)), Le(At(7))));
  EXPECT_THAT(Ask("{__name__=~'ALERTS.*'}", At(8)), IsEmpty());
}

// --- reload ---

TEST_F(RuleGroupTest, KeepsStateOverAReload) {
  auto before = Group(kDownFor5m);
  Run(*before, 0, 3, 0);

  auto after = Group(
      "  - {record: 'r:new', expr: '1'}\n"
      "  - {alert: Down, expr: up == 0 or vector(0) > 1, for: 4m,\n"
      "     annotations: {a: b}}\n");
  after->TakeOver(*before);
  Run(*after, 4, 4, 0);

  EXPECT_EQ(after->Status().rules[1].state, AlertState::kFiring);
  EXPECT_EQ(after->Status().rules[1].alerts.at(0).active_at_ms, At(0));
}

TEST_F(RuleGroupTest, GoesBackToPendingWhenAReloadRaisesFor) {
  auto before = Group("  - {alert: Down, expr: up == 0, for: 1m}\n");
  Run(*before, 0, 3, 0);
  sink_.TakeWords();

  auto after = Group(kDownFor5m);
  after->TakeOver(*before);
  Run(*after, 4, 4, 0);
  EXPECT_EQ(StateOf(*after), AlertState::kPending);
  EXPECT_THAT(sink_.TakeWords(), ElementsAre(Field(&Alert::ends_at_ms, At(4))));
  Run(*after, 5, 5, 0);

  EXPECT_EQ(StateOf(*after), AlertState::kFiring);
  EXPECT_THAT(sink_.TakeWords(),
              ElementsAre(Field(&Alert::starts_at_ms, At(5))));
}

TEST_F(RuleGroupTest, EndsTheAlertsAndSeriesOfARuleThatIsGone) {
  auto before = Group(
      "  - {alert: Down, expr: up == 0}\n"
      "  - {record: 'r:up', expr: up}\n"
      "  - {record: 'r:kept', expr: up}\n");
  Run(*before, 0, 0, 0);
  sink_.TakeWords();

  auto after = Group("  - {record: 'r:kept', expr: up}\n");
  after->TakeOver(*before);
  Run(*after, 1, 1, 0);

  EXPECT_THAT(sink_.words(), ElementsAre(Field(&Alert::ends_at_ms, At(1))));
  EXPECT_THAT(Ask("{__name__=~'ALERTS.*|r:.*'}", At(1)),
              ElementsAre("r:kept{job=\"a\"} 0"));
  Run(*after, 2, 2, 0);
  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
}

TEST_F(RuleGroupTest, DoesNotMarkASeriesThatAnotherRuleGoesOnWith) {
  auto before = Group("  - {record: 'r:up', expr: up}\n");
  Run(*before, 0, 0, 1);

  auto after = Group("  - {record: 'r:up', expr: up, labels: {job: a}}\n");
  after->TakeOver(*before);
  Run(*after, 1, 1, 1);

  EXPECT_THAT(Ask("r:up", At(1)), SizeIs(1));
}

TEST_F(RuleGroupTest, EndsAnAlertUnderTheExternalLabelsItWasToldWith) {
  external_labels_ = {{"region", "fr"}};
  const RuleGroupSpec spec = Spec("  - {alert: Down, expr: up == 0}\n");
  auto group = Group(spec);
  Run(*group, 0, 0, 0);
  sink_.TakeWords();

  external_labels_ = {{"region", "de"}};
  group = Restarted(spec, At(1));
  Run(*group, 1, 1, 0);

  const auto newest = sink_.newest();
  const auto in = [](const std::string& region) {
    return Labels{{"alertname", "Down"}, {"job", "a"}, {"region", region}};
  };
  EXPECT_EQ(newest.at(in("fr")).ends_at_ms, At(1));
  EXPECT_EQ(newest.at(in("de")).starts_at_ms, At(0));
  EXPECT_TRUE(newest.at(in("de")).firing());
}

TEST_F(RuleGroupTest, LeavesNothingBehindWhenItGoes) {
  auto group = Group(
      "  - {alert: Down, expr: up == 0}\n"
      "  - {record: 'r:up', expr: up}\n");
  Run(*group, 0, 0, 0);
  sink_.TakeWords();
  sink_.RefuseNext(1);

  EXPECT_THAT(group->Retire(At(0)), HasCode(absl::StatusCode::kUnavailable));
  EXPECT_EQ(records_.Size(kAlertStateTable), 1u);
  EXPECT_THAT(group->Retire(At(1)), IsOk());

  EXPECT_THAT(sink_.words(), ElementsAre(Field(&Alert::ends_at_ms, At(0))));
  EXPECT_EQ(records_.Size(kAlertStateTable), 0u);
  EXPECT_THAT(Ask("{__name__=~'ALERTS.*|r:.*'}", At(1)), IsEmpty());
}

// --- the record ---

TEST(AlertStateTest, ReadsBackWhatItWrote) {
  TrackedAlert alert;
  alert.times = {AlertState::kPending, -5, 7, 0, 1'700'000'000'000};
  alert.value = -0.0;
  alert.annotations = {{"a", ""}, {"b", std::string("x\0y", 3)}};
  alert.told_labels = {{"alertname", "A"}};
  alert.generator_url = "http://x";
  RuleSpec rule;
  rule.name = "r";
  rule.labels = {{"a", "b"}};
  const AlertKey key{
      "f;", "g\n", RuleId(rule, 3), {{"alertname", "r"}, {"a", "b"}}};

  const auto record = DecodeAlertRecord(EncodeAlertRecord(alert));
  const auto read = DecodeAlertKey(EncodeAlertKey(key));

  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->times, alert.times);
  EXPECT_EQ(record->stored, alert.times);
  EXPECT_TRUE(std::signbit(record->value));
  EXPECT_EQ(record->annotations, alert.annotations);
  EXPECT_EQ(record->told_labels, alert.told_labels);
  EXPECT_EQ(record->generator_url, alert.generator_url);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->file, key.file);
  EXPECT_EQ(read->group, key.group);
  EXPECT_EQ(read->rule_id, key.rule_id);
  EXPECT_EQ(read->labels, key.labels);
}

TEST(AlertStateTest, RefusesWhatIsCutOrLonger) {
  TrackedAlert alert;
  alert.annotations = {{"a", "b"}};
  alert.told_labels = {{"alertname", "A"}};
  const std::string whole = EncodeAlertRecord(alert);

  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(DecodeAlertRecord(whole.substr(0, size)),
                HasCode(absl::StatusCode::kDataLoss))
        << size;
  }
  EXPECT_THAT(DecodeAlertRecord(whole + "x"),
              HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(DecodeAlertKey("\x05"), HasCode(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace vigie::alerting

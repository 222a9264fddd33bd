#include "alerting/dispatch_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/alerting/dispatch_bench.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vigie::testing::CrashingRecords;
using vigie::testing::DispatchBench;
using vigie::testing::HasError;
using vigie::testing::IsOk;
using vigie::testing::kHour;
using vigie::testing::kMinute;
using vigie::testing::kSecond;
using vigie::testing::Listener;

// Root route to "team": group_wait 30s, group_interval 5m, repeat_interval 1h,
// one group.
class DispatchStateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bench_.root().repeat_interval_ms = kHour;
    bench_.root().key = "{}";
    bench_.listeners["team"] = {&team_};
    ASSERT_THAT(bench_.Start(), IsOk());
  }

  DispatchBench bench_;
  Listener team_;
};

// --- groups and their times ---

TEST_F(DispatchStateTest, GathersWhatFiresWithinTheGroupWaitIntoOneMessage) {
  ASSERT_THAT(bench_.Fire("b"), IsOk());
  bench_.Run(20 * kSecond);
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(9 * kSecond);
  EXPECT_THAT(team_.taken, IsEmpty());
  bench_.Run(1 * kSecond);

  ASSERT_EQ(team_.taken.size(), 1);
  EXPECT_EQ(team_.Last(), "first_notification: a b");
  EXPECT_EQ(team_.taken[0].group_key, "{}:{}");
  EXPECT_EQ(team_.taken[0].external_url, "http://vigie");
}

TEST_F(DispatchStateTest, GroupsByTheLabelsOfTheRoute) {
  bench_.root().group_by = {"alertname", "site"};
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(
      bench_.Take({bench_.Firing(
                       "a", LabelsBuilder().Set("site", "fr").Set("pod", "1")),
                   bench_.Firing(
                       "a", LabelsBuilder().Set("site", "fr").Set("pod", "2")),
                   bench_.Firing("a")}),
      IsOk());
  bench_.Run(30 * kSecond);

  ASSERT_EQ(team_.taken.size(), 2);
  EXPECT_EQ(team_.taken[0].group_key, R"({}:{alertname="a", site="fr"})");
  EXPECT_EQ(team_.taken[0].alerts.size(), 2);
  EXPECT_EQ(team_.taken[1].group_key, R"({}:{alertname="a"})");
}

TEST_F(DispatchStateTest, TellsChangesAtTheGroupIntervalOnly) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(40 * kSecond);
  ASSERT_THAT(bench_.Fire("b"), IsOk());
  bench_.Run(4 * kMinute);
  EXPECT_EQ(team_.taken.size(), 1);
  bench_.Run(1 * kMinute);
  EXPECT_EQ(team_.Last(), "new_alerts_in_group: a b");

  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.Last(), "new_resolved_alerts: b -a");
  ASSERT_THAT(bench_.End("b"), IsOk());
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.Last(), "all_alerts_resolved: -b");
  bench_.Run(5 * kHour);
  EXPECT_EQ(team_.taken.size(), 4);
}

TEST_F(DispatchStateTest, SaysNothingOfWhatEndedWithinTheGroupWait) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(10 * kSecond);
  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(kHour);

  EXPECT_THAT(team_.taken, IsEmpty());
  EXPECT_EQ(bench_.Events(), "");
  EXPECT_THAT(bench_.state().Alerts(), IsEmpty());
}

TEST_F(DispatchStateTest, SaysNothingOfAnEndWhoseBeginningNobodyHeardOf) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(31 * kSecond);
  ASSERT_THAT(bench_.Fire("short"), IsOk());
  bench_.Run(10 * kSecond);
  ASSERT_THAT(bench_.Take({bench_.Ended("short"), bench_.Firing("b")}), IsOk());
  bench_.Run(5 * kMinute);

  EXPECT_EQ(team_.Last(), "new_alerts_in_group: a b");
}

TEST_F(DispatchStateTest, RepeatsAfterTheRepeatIntervalToTheTick) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(30 * kSecond + kHour - kSecond);
  EXPECT_EQ(team_.taken.size(), 1);
  bench_.Run(kSecond);

  ASSERT_EQ(team_.taken.size(), 2);
  EXPECT_EQ(team_.Last(), "repeat_interval_elapsed: a");
  EXPECT_NE(team_.taken[0].id, team_.taken[1].id);
}

TEST_F(DispatchStateTest, TellsAtOnceWhatHasBeenFiringForLongerThanTheWait) {
  Alert alert = bench_.Firing("a");
  alert.starts_at_ms -= 31 * kSecond;
  ASSERT_THAT(bench_.Take({alert}), IsOk());
  bench_.Run(0);

  EXPECT_EQ(team_.Last(), "first_notification: a");
}

TEST_F(DispatchStateTest, DoesNotTellEndsToWhomDoesNotWantThem) {
  team_.send_resolved = false;
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(bench_.Take({bench_.Firing("a"), bench_.Firing("b")}), IsOk());
  bench_.Run(kMinute);
  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(10 * kMinute);
  EXPECT_EQ(team_.taken.size(), 1);

  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.Last(), "new_alerts_in_group: a b");
}

TEST_F(DispatchStateTest, TellsEachReceiverOfRoutesThatContinue) {
  Listener audit;
  bench_.listeners["audit"] = {&audit};
  Route child = bench_.root();
  child.receiver = "audit";
  child.key = "{}/{}";
  child.continue_matching = true;
  Route other = bench_.root();
  other.key = "{}/{x}";
  bench_.root().routes = {child, other};
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kMinute);

  EXPECT_EQ(audit.taken.at(0).group_key, "{}/{}:{}");
  EXPECT_EQ(team_.taken.at(0).group_key, "{}/{x}:{}");
}

TEST_F(DispatchStateTest, RefusesMoreAlertsThanItMayHoldAndTakesTheRest) {
  bench_.options.alerts_max = 2;
  ASSERT_THAT(bench_.Start(), IsOk());

  EXPECT_THAT(
      bench_.Take({bench_.Firing("a"), bench_.Firing("b"), bench_.Firing("c")}),
      HasError(absl::StatusCode::kResourceExhausted, HasSubstr("1 refused")));
  EXPECT_EQ(bench_.state().Alerts().size(), 2);
  EXPECT_THAT(bench_.End("a"), IsOk());
}

// --- inhibition ---

class InhibitionTest : public DispatchStateTest {
 protected:
  void SetUp() override {
    bench_.config().inhibit_rules = {
        {.source = {Matcher::Equal("severity", "critical")},
         .target = {*Matcher::Create(Matcher::Type::kRegex, "severity",
                                     "warning|info")},
         .equal = {"site"}}};
    DispatchStateTest::SetUp();
  }
  static LabelsBuilder Of(const std::string& severity,
                          const std::string& site) {
    return LabelsBuilder().Set("severity", severity).Set("site", site);
  }
};

TEST_F(InhibitionTest, KeepsQuietWhatFollowsFromWhatFires) {
  ASSERT_THAT(bench_.Take({bench_.Firing("cause", Of("critical", "fr")),
                           bench_.Firing("same", Of("warning", "fr")),
                           bench_.Firing("other", Of("warning", "de"))}),
              IsOk());
  bench_.Run(kMinute);
  EXPECT_EQ(team_.Last(), "first_notification: cause other");

  ASSERT_THAT(bench_.Take({bench_.Ended("cause", Of("critical", "fr"))}),
              IsOk());
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.Last(), "new_alerts_in_group: other same -cause");
}

TEST_F(InhibitionTest, StillTellsTheEndOfWhatItHasTold) {
  ASSERT_THAT(bench_.Take({bench_.Firing("told", Of("warning", "fr"))}),
              IsOk());
  bench_.Run(kMinute);
  ASSERT_THAT(bench_.Take({bench_.Firing("cause", Of("critical", "fr"))}),
              IsOk());
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.Last(), "new_alerts_in_group: cause");
  ASSERT_THAT(bench_.Take({bench_.Ended("told", Of("warning", "fr"))}), IsOk());
  bench_.Run(5 * kMinute);

  EXPECT_EQ(team_.Last(), "new_resolved_alerts: cause -told");
}

TEST(InhibitionRulesTest, WhatMatchesBothSidesIsNotInhibitedByItsLike) {
  const std::vector<InhibitRule> rules = {
      {.source = {Matcher::Equal("a", "1")},
       .target = {*Matcher::Create(Matcher::Type::kRegex, "b", ".+")},
       .equal = {}}};
  const Labels both{{"a", "1"}, {"b", "x"}};
  const Labels like{{"a", "1"}, {"b", "y"}};
  const Labels source{{"a", "1"}};
  const Labels target{{"b", "z"}};

  EXPECT_FALSE(Inhibition(rules, {&both, &like}).Mutes(both));
  EXPECT_TRUE(Inhibition(rules, {&both}).Mutes(target));
  EXPECT_TRUE(Inhibition(rules, {&source}).Mutes(both));
  EXPECT_FALSE(Inhibition(rules, {&source}).Mutes(source));
  EXPECT_FALSE(Inhibition(rules, {&target}).Mutes(target));
}

// --- time intervals ---

// The clock of the bench starts at 22:13:20 UTC.
TEST_F(DispatchStateTest, IsQuietInMuteTimesAndTellsAllOfItAfterwards) {
  TimeInterval night;
  night.minutes = {{22 * 60, 24 * 60 - 1}};
  bench_.config().time_intervals["night"] = {night};
  Route child = bench_.root();
  child.mute_time_intervals = {"night"};
  bench_.root().routes = {child};
  ASSERT_THAT(bench_.Fire("told"), IsOk());
  bench_.Run(kMinute);
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(bench_.Take({bench_.Ended("told"), bench_.Firing("a")}), IsOk());
  bench_.Run(105 * kMinute);  // 23:59:20
  EXPECT_EQ(team_.taken.size(), 1);
  bench_.Run(6 * kMinute);

  EXPECT_EQ(team_.Last(), "new_alerts_in_group: a -told");
}

TEST_F(DispatchStateTest, IsQuietOutsideActiveTimes) {
  TimeInterval morning;
  morning.minutes = {{6 * 60, 12 * 60 - 1}};
  bench_.config().time_intervals["morning"] = {morning};
  Route child = bench_.root();
  child.active_time_intervals = {"morning"};
  bench_.root().routes = {child};
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(7 * kHour);
  EXPECT_THAT(team_.taken, IsEmpty());
  bench_.Run(kHour);

  EXPECT_EQ(team_.Last(), "first_notification: a");
}

// --- receivers that fail ---

TEST_F(DispatchStateTest, TellsAReceiverThatWasDownWhatIsStillTrue) {
  team_.GoDown();
  ASSERT_THAT(bench_.Take({bench_.Firing("a"), bench_.Firing("gone")}), IsOk());
  bench_.Run(5 * kMinute);
  ASSERT_THAT(bench_.Take({bench_.Firing("b"), bench_.Ended("gone")}), IsOk());
  bench_.Run(5 * kMinute);
  team_.ComeBack();
  bench_.Run(30 * kSecond);

  ASSERT_EQ(team_.taken.size(), 1);
  EXPECT_EQ(team_.Last(), "first_notification: a b");
  // One attempt every half minute at the most.
  EXPECT_GE(team_.attempts, 20);
  EXPECT_LE(team_.attempts, 50);
  EXPECT_EQ(bench_.Ledger().back().attempt, team_.attempts);
}

TEST_F(DispatchStateTest, TellsTheEndToAReceiverThatWasDownIfItKnewOfIt) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kMinute);
  team_.GoDown();
  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(2 * kHour);
  EXPECT_EQ(team_.taken.size(), 1);
  team_.ComeBack();
  bench_.Run(30 * kSecond);

  EXPECT_EQ(team_.Last(), "all_alerts_resolved: -a");
}

TEST_F(DispatchStateTest, DropsWhatIsOverBeforeTheReceiverEverHeardOfIt) {
  team_.GoDown();
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(2 * kMinute);
  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(2 * kMinute);
  team_.ComeBack();
  bench_.Run(kHour);

  EXPECT_THAT(team_.taken, IsEmpty());
  EXPECT_EQ(bench_.Ledger().back().event, "superseded");
}

TEST_F(DispatchStateTest, TellsTheEndIfTheReceiverMayHaveHeardTheBeginning) {
  team_.answer = {absl::DeadlineExceededError("no answer"), true, {}, ""};
  team_.takes_anyway = true;
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(35 * kSecond);
  ASSERT_GE(team_.taken.size(), 1);
  ASSERT_THAT(bench_.End("a"), IsOk());
  team_.ComeBack();
  bench_.Run(kMinute);

  EXPECT_EQ(team_.Last(), "all_alerts_resolved: -a");
  EXPECT_THAT(team_.firing, IsEmpty());
}

// It has the message, and answers too late to be heard.
TEST_F(DispatchStateTest, ReceiverThatIsTooSlowIsToldAgainLessAndLessOften) {
  team_.answer = {absl::DeadlineExceededError("no answer"), true, {}, ""};
  team_.takes_anyway = true;
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kHour);

  EXPECT_GE(team_.attempts, 10);
  EXPECT_LE(team_.attempts, 22);
}

TEST_F(DispatchStateTest, WaitsAsLongAsTheReceiverAsksButNotForEver) {
  team_.answer = {absl::UnavailableError("429"), true, absl::Minutes(10), ""};
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(10 * kMinute);
  EXPECT_EQ(team_.attempts, 1);
  team_.answer.retry_after = absl::Hours(100);
  bench_.Run(kMinute);
  EXPECT_EQ(team_.attempts, 2);
  bench_.Run(kHour);

  EXPECT_EQ(team_.attempts, 3);
}

TEST_F(DispatchStateTest, GivesUpWhatIsRefusedUntilItChangesOrRepeats) {
  team_.answer = {absl::InvalidArgumentError("400 no_text"), false, {}, "400"};
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(50 * kMinute);
  EXPECT_EQ(team_.attempts, 1);
  EXPECT_EQ(bench_.Events(), "owed given_up");
  EXPECT_EQ(bench_.Ledger().back().detail, "400 no_text");

  ASSERT_THAT(bench_.Fire("b"), IsOk());
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.attempts, 2);
  team_.ComeBack();
  bench_.Run(kHour + 5 * kMinute);
  EXPECT_EQ(team_.Last(), "first_notification: a b");
}

TEST_F(DispatchStateTest, GivesUpAtItsOwnDeadlineNotAtTheGroupInterval) {
  team_.GoDown();
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(23 * kHour);
  EXPECT_EQ(bench_.Ledger().back().event, "failed");
  bench_.Run(kHour + kMinute);

  EXPECT_EQ(bench_.Ledger().back().event, "given_up");
  EXPECT_THAT(bench_.Ledger().back().detail, HasSubstr("deadline"));
}

TEST_F(DispatchStateTest, OneDeadReceiverDoesNotHoldUpAnother) {
  Listener second;
  bench_.listeners["team"] = {&team_, &second};
  ASSERT_THAT(bench_.Apply(), IsOk());
  team_.GoDown();
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(30 * kSecond);

  EXPECT_EQ(second.taken.size(), 1);
  EXPECT_THAT(team_.taken, IsEmpty());
}

TEST_F(DispatchStateTest, AMessageThatFailsAlwaysDoesNotHoldUpTheOthers) {
  bench_.root().group_by = {"alertname"};
  ASSERT_THAT(bench_.Apply(), IsOk());
  team_.GoDown();
  std::vector<Alert> alerts;
  for (int i = 0; i < 20; ++i) {
    alerts.push_back(bench_.Firing("a" + std::to_string(i)));
  }
  ASSERT_THAT(bench_.Take(alerts), IsOk());
  bench_.Run(10 * kMinute);
  EXPECT_LE(team_.attempts, 50);  // for all of them together
  team_.ComeBack();
  bench_.Run(30 * kSecond);

  EXPECT_EQ(team_.taken.size(), 20);
}

TEST_F(DispatchStateTest, NeverTellsTwiceBecauseTheDiskIsFull) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(29 * kSecond);
  const Moment due{bench_.now().wall_ms + kSecond,
                   bench_.now().NsAfterMs(kSecond)};
  bench_.state().Tick(due);
  std::optional<Attempt> attempt = bench_.state().NextAttempt(due);
  ASSERT_TRUE(attempt.has_value());
  bench_.records.Refuse(true);

  const DeliveryOutcome taken = {absl::OkStatus(), false, {}, "200"};
  EXPECT_FALSE(bench_.state().Finish(*attempt, taken, due).ok());
  EXPECT_FALSE(bench_.state().NextAttempt(due).has_value());
  bench_.records.Refuse(false);
  EXPECT_THAT(bench_.state().Finish(*attempt, taken, due), IsOk());
  bench_.Run(50 * kMinute);
  EXPECT_EQ(bench_.Events(), "owed delivered");
}

TEST_F(DispatchStateTest, RefusesAlertsItCannotWriteDown) {
  bench_.records.Refuse(true);

  EXPECT_THAT(bench_.Fire("a"),
              HasError(absl::StatusCode::kUnavailable, HasSubstr("alerts")));
  EXPECT_THAT(bench_.state().Alerts(), IsEmpty());
}

// --- restarts and new configurations ---

TEST_F(DispatchStateTest, KeepsItsTimesOverARestart) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(20 * kSecond);
  ASSERT_THAT(bench_.Start(), IsOk());
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(9 * kSecond);
  EXPECT_THAT(team_.taken, IsEmpty());
  bench_.Run(kSecond);
  EXPECT_EQ(team_.taken.size(), 1);

  bench_.Run(4 * kMinute);
  ASSERT_THAT(bench_.Start(), IsOk());
  ASSERT_THAT(bench_.Fire("b"), IsOk());
  bench_.Run(59 * kSecond);
  EXPECT_EQ(team_.taken.size(), 1);
  bench_.Run(kSecond);
  EXPECT_EQ(team_.Last(), "new_alerts_in_group: a b");
}

TEST_F(DispatchStateTest, EndsAfterARestartWhatNoRuleGivesAgain) {
  ASSERT_THAT(bench_.Take({bench_.Firing("kept"), bench_.Firing("lost")}),
              IsOk());
  bench_.Run(kMinute);
  ASSERT_THAT(bench_.Start(), IsOk());
  ASSERT_THAT(bench_.Fire("kept"), IsOk());
  bench_.Run(14 * kMinute);
  EXPECT_EQ(team_.taken.size(), 1);
  bench_.Run(10 * kMinute);

  EXPECT_EQ(team_.Last(), "new_resolved_alerts: kept -lost");
}

TEST_F(DispatchStateTest, GivesUpWhatAReceiverThatIsGoneWasOwed) {
  team_.GoDown();
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kMinute);
  Listener other;
  bench_.root().receiver = "other";
  bench_.listeners = {{"other", {&other}}};
  ASSERT_THAT(bench_.Apply(), IsOk());
  EXPECT_EQ(bench_.Ledger().back().event, "given_up");
  bench_.Run(kMinute);

  EXPECT_EQ(other.Last(), "first_notification: a");
  EXPECT_EQ(bench_.records.RowsOf(kOwedTable), 0);
}

TEST_F(DispatchStateTest, TellsTheEndInTheGroupThatHeardTheBeginning) {
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kMinute);
  Listener other;
  bench_.root().receiver = "other";
  bench_.listeners["other"] = {&other};
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(bench_.Start(), IsOk());
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(2 * kHour);
  EXPECT_EQ(team_.taken.size(), 1);
  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(5 * kMinute);

  EXPECT_EQ(team_.Last(), "all_alerts_resolved: -a");
  EXPECT_EQ(other.Last(), "all_alerts_resolved: -a");
  bench_.Run(kHour);
  EXPECT_EQ(bench_.records.RowsOf(kToldTable), 0);
  EXPECT_EQ(bench_.records.RowsOf(kAlertTable), 0);
}

TEST_F(DispatchStateTest, KeepsTheOldConfigurationIfTheNewCannotBeWritten) {
  team_.GoDown();
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kMinute);
  bench_.listeners.clear();
  bench_.root().receiver = "other";
  bench_.records.Refuse(true);
  EXPECT_THAT(bench_.Apply(), HasError(absl::StatusCode::kUnavailable,
                                       HasSubstr("configuration not applied")));
  bench_.records.Refuse(false);
  team_.ComeBack();
  bench_.Run(kMinute);

  EXPECT_EQ(team_.Last(), "first_notification: a");
}

TEST_F(DispatchStateTest, NamesAHundredAlertsInALedgerEntryAndCountsTheRest) {
  std::vector<Alert> alerts;
  for (int i = 0; i < 1'000; ++i) {
    alerts.push_back(bench_.Firing("a" + std::to_string(i)));
  }
  ASSERT_THAT(bench_.Take(alerts), IsOk());
  bench_.Run(kMinute);

  EXPECT_EQ(team_.taken.at(0).alerts.size(), 1'000);
  EXPECT_EQ(bench_.Ledger().back().firing.size(), 101);
  EXPECT_EQ(bench_.Ledger().back().firing.back(), "+900");
}

TEST_F(DispatchStateTest, TriesAgainWhenTheDiskTakesWritesAgain) {
  bench_.root().group_by = {"alertname"};
  ASSERT_THAT(bench_.Apply(), IsOk());
  ASSERT_THAT(bench_.Take({bench_.Firing("a"), bench_.Firing("b")}), IsOk());
  bench_.records.Refuse(true);
  bench_.Run(5 * kMinute);
  EXPECT_EQ(team_.attempts, 0);
  bench_.records.Refuse(false);
  bench_.Run(3 * kSecond);

  EXPECT_EQ(team_.taken.size(), 2);
}

TEST_F(DispatchStateTest, BoundsItsLedgerByNumberAndAge) {
  bench_.options.ledger_entries_max = 10;
  bench_.options.ledger_age_max_ms = 3 * kHour;
  ASSERT_THAT(bench_.Start(), IsOk());
  team_.GoDown();
  ASSERT_THAT(bench_.Fire("a"), IsOk());
  bench_.Run(kHour);
  EXPECT_LE(bench_.Ledger().size(), 14);
  EXPECT_GE(bench_.Ledger().size(), 10);
  team_.ComeBack();
  bench_.Run(kMinute);
  ASSERT_THAT(bench_.End("a"), IsOk());
  bench_.Run(10 * kMinute);
  EXPECT_EQ(bench_.Ledger().back().event, "delivered");
  bench_.Run(4 * kHour);

  EXPECT_THAT(bench_.Ledger(), IsEmpty());
}

// --- crashes ---

struct CrashCase {
  int write;
  CrashingRecords::Crash crash;
};

class DispatchCrashTest : public ::testing::TestWithParam<CrashCase> {};

// A life of one alert has eleven writes; whichever is the last one before a
// crash, the receiver hears of both ends, and of none of them three times.
TEST_P(DispatchCrashTest, LosesNothingAndRepeatsAtMostOnce) {
  DispatchBench bench;
  Listener team;
  bench.listeners["team"] = {&team};
  ASSERT_THAT(bench.Start(), IsOk());
  bench.records.CrashAt(GetParam().write, GetParam().crash);
  bool crashed = false;
  // A rule gives its word again until it is taken.
  const auto give = [&](const Alert& alert) {
    if (bench.Take({alert}).ok()) return;
    crashed = true;
    ASSERT_THAT(bench.Start(), IsOk());
    ASSERT_THAT(bench.Take({alert}), IsOk());
  };
  const auto run = [&](int64_t ms) {
    bench.Run(ms);
    if (!bench.records.crashed()) return;
    crashed = true;
    ASSERT_THAT(bench.Start(), IsOk());
    bench.Run(ms);
  };

  give(bench.Firing("a"));
  run(6 * kMinute);
  EXPECT_THAT(team.firing, ElementsAre("a"));
  give(bench.Ended("a"));
  run(6 * kMinute);

  EXPECT_THAT(team.firing, IsEmpty());
  EXPECT_GE(team.taken.size(), 2);
  EXPECT_LE(team.taken.size(), crashed ? 3 : 2);
  EXPECT_EQ(crashed, GetParam().write <= 8);
  run(kHour);
  EXPECT_EQ(bench.records.RowsOf(kOwedTable), 0);
  EXPECT_EQ(bench.records.RowsOf(kToldTable), 0);
  EXPECT_EQ(bench.records.RowsOf(kAlertTable), 0);
}

std::vector<CrashCase> CrashCases() {
  std::vector<CrashCase> cases;
  for (int write = 1; write <= 12; ++write) {
    cases.push_back({write, CrashingRecords::Crash::kBeforeWrite});
    cases.push_back({write, CrashingRecords::Crash::kAfterWrite});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(EachWrite, DispatchCrashTest,
                         ::testing::ValuesIn(CrashCases()),
                         [](const auto& info) {
                           return std::to_string(info.param.write) +
                                  (info.param.crash ==
                                           CrashingRecords::Crash::kAfterWrite
                                       ? "After"
                                       : "Before");
                         });

}  // namespace
}  // namespace vigie::alerting

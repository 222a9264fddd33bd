// The threads of the dispatcher, on a clock that moves when told to.
#include "alerting/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "tests/support/memory_records.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vigie::testing::HasError;
using vigie::testing::IsOk;
using vigie::testing::MemoryRecords;
using vigie::testing::SimulatedClock;

constexpr int64_t kStartMs = 1'700'000'000'000;

// A receiver that may be slow: it then answers nothing until it is let go or
// told to stop. Outlives the dispatcher.
class Mailbox {
 public:
  void SetSlow(bool slow) {
    std::lock_guard lock(mutex_);
    slow_ = slow;
    changed_.notify_all();
  }
  void AwaitTaken(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return taken_.size() >= count; });
  }
  void AwaitWaiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }
  std::vector<Notification> taken() {
    std::lock_guard lock(mutex_);
    return taken_;
  }
  int waiting_max() {
    std::lock_guard lock(mutex_);
    return waiting_max_;
  }

  DeliveryOutcome Deliver(const Notification& notification,
                          const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    waiting_max_ = std::max(waiting_max_, ++waiting_);
    changed_.notify_all();
    changed_.wait(lock, stop, [&] { return !slow_; });
    --waiting_;
    if (slow_) return {absl::CancelledError("stopped"), true, {}, ""};
    taken_.push_back(notification);
    changed_.notify_all();
    return {absl::OkStatus(), false, {}, "200"};
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Notification> taken_;
  int waiting_ = 0;
  int waiting_max_ = 0;
  bool slow_ = false;
};

class MailboxIntegration final : public Integration {
 public:
  explicit MailboxIntegration(Mailbox& box) : box_(box) {}
  std::string_view type() const override { return "box"; }
  bool send_resolved() const override { return true; }
  DeliveryOutcome Deliver(const Notification& notification,
                          std::stop_token stop) override {
    return box_.Deliver(notification, stop);
  }

 private:
  Mailbox& box_;
};

class DispatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.root.receiver = "all";
    config_.root.key = "{}";
    config_.root.group_by = {"alertname"};
    config_.root.group_wait_ms = 0;
    Start();
  }

  void Start() {
    auto dispatcher = Dispatcher::Start(
        records_,
        [this](const RoutingConfig&) -> absl::StatusOr<Integrations> {
          if (!factory_status_.ok()) return factory_status_;
          return Integrations{
              {"all",
               {std::make_shared<MailboxIntegration>(first_),
                std::make_shared<MailboxIntegration>(second_)}}};
        },
        clock_, registry_, "http://vigie",
        std::make_shared<RoutingConfig>(config_), {.seed = 1});
    ASSERT_THAT(dispatcher, IsOk());
    dispatcher_ = *std::move(dispatcher);
  }

  Alert Firing(const std::string& name) {
    return {.labels = Labels{{"alertname", name}},
            .annotations = {},
            .starts_at_ms = clock_.NowMs(),
            .ends_at_ms = 0,
            .generator_url = ""};
  }
  // Waits until as many entries are in the ledger.
  std::vector<LedgerEntry> AwaitLedger(size_t entries) {
    while (true) {
      auto ledger = dispatcher_->Ledger(1'000);
      EXPECT_THAT(ledger, IsOk());
      if (!ledger.ok() || ledger->size() >= entries) return *std::move(ledger);
      std::this_thread::yield();
    }
  }

  SimulatedClock clock_{kStartMs};
  MemoryRecords records_;
  prometheus::Registry registry_;
  Mailbox first_;
  Mailbox second_;
  RoutingConfig config_;
  absl::Status factory_status_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

TEST_F(DispatcherTest, DeliversAndKeepsTheLedgerOfIt) {
  ASSERT_THAT(dispatcher_->Take({Firing("a")}), IsOk());
  first_.AwaitTaken(1);
  second_.AwaitTaken(1);

  EXPECT_THAT(AwaitLedger(4),
              ElementsAre(Field(&LedgerEntry::event, "owed"),
                          Field(&LedgerEntry::event, "owed"),
                          Field(&LedgerEntry::event, "delivered"),
                          Field(&LedgerEntry::event, "delivered")));
  const LedgerEntry last = AwaitLedger(4).back();
  EXPECT_EQ(last.group_key, R"({}:{alertname="a"})");
  EXPECT_EQ(last.receiver, "all");
  EXPECT_THAT(last.integration, HasSubstr("box["));
  EXPECT_EQ(last.attempt, 1);
  EXPECT_THAT(last.firing, ElementsAre(Fingerprint(Firing("a").labels)));
  EXPECT_EQ(dispatcher_->Alerts(), std::vector<Alert>{Firing("a")});
}

TEST_F(DispatcherTest, OneSlowIntegrationHoldsUpNobodyAndHasOneAttempt) {
  first_.SetSlow(true);
  std::vector<Alert> alerts;
  for (int i = 0; i < 20; ++i) alerts.push_back(Firing(std::to_string(i)));
  ASSERT_THAT(dispatcher_->Take(alerts), IsOk());
  first_.AwaitWaiting(1);
  second_.AwaitTaken(20);

  EXPECT_THAT(first_.taken(), IsEmpty());
  EXPECT_EQ(first_.waiting_max(), 1);
  first_.SetSlow(false);
  first_.AwaitTaken(20);
  EXPECT_EQ(first_.waiting_max(), 1);
}

TEST_F(DispatcherTest, StopEndsAttemptsAndTheNextStartGoesOn) {
  first_.SetSlow(true);
  ASSERT_THAT(dispatcher_->Take({Firing("a")}), IsOk());
  first_.AwaitWaiting(1);
  second_.AwaitTaken(1);
  dispatcher_->Stop();
  first_.SetSlow(false);
  Start();
  // The attempt that was ended rests for a second or less.
  clock_.AwaitSleepers(1);
  clock_.AdvanceMs(1'000);
  first_.AwaitTaken(1);

  EXPECT_EQ(second_.taken().size(), 1);
  EXPECT_EQ(AwaitLedger(5).back().event, "delivered");
}

TEST_F(DispatcherTest, TakesAlertsFromManyThreadsAtOnce) {
  std::vector<std::thread> rules;
  for (int rule = 0; rule < 4; ++rule) {
    rules.emplace_back([&, rule] {
      for (int i = 0; i < 10; ++i) {
        Alert alert = Firing(std::to_string(rule * 10 + i));
        EXPECT_THAT(dispatcher_->Take({alert}), IsOk());
        EXPECT_THAT(
            dispatcher_->Apply(std::make_shared<RoutingConfig>(config_)),
            IsOk());
        (void)dispatcher_->Alerts();
      }
    });
  }
  for (std::thread& rule : rules) rule.join();
  first_.AwaitTaken(40);
  second_.AwaitTaken(40);

  std::set<std::string> ids;
  for (const Notification& one : first_.taken()) ids.insert(one.id);
  EXPECT_EQ(ids.size(), 40);
  EXPECT_EQ(dispatcher_->Alerts().size(), 40);
}

TEST_F(DispatcherTest, KeepsTheOldConfigurationIfTheNewOneCannotBeMade) {
  factory_status_ = absl::InvalidArgumentError("am.yml:1:1: no");
  EXPECT_THAT(dispatcher_->Apply(std::make_shared<RoutingConfig>()),
              HasError(absl::StatusCode::kInvalidArgument, "am.yml:1:1: no"));
  ASSERT_THAT(dispatcher_->Take({Firing("a")}), IsOk());

  first_.AwaitTaken(1);
}

TEST_F(DispatcherTest, RefusesRecordsItCannotRead) {
  dispatcher_.reset();
  store::RecordBatch batch;
  batch.Put(Tenant{}, "dispatch_owed", "key", "\x02 from the future");
  ASSERT_THAT(records_.Write(batch), IsOk());
  auto again = Dispatcher::Start(
      records_, [](const RoutingConfig&) { return Integrations{}; }, clock_,
      registry_, "", std::make_shared<RoutingConfig>(config_));

  EXPECT_THAT(again, HasError(absl::StatusCode::kDataLoss,
                              AllOf(HasSubstr("dispatch_owed"),
                                    HasSubstr("version 2 is not known"))));
}

TEST_F(DispatcherTest, CountsWhatItDoes) {
  ASSERT_THAT(dispatcher_->Take({Firing("a")}), IsOk());
  first_.AwaitTaken(1);
  second_.AwaitTaken(1);
  AwaitLedger(4);
  dispatcher_->Stop();

  std::map<std::string, double> values;
  for (const auto& family : registry_.Collect()) {
    for (const auto& metric : family.metric) {
      std::string name = family.name;
      for (const auto& label : metric.label) name += "," + label.value;
      values[name] = metric.counter.value + metric.gauge.value +
                     static_cast<double>(metric.histogram.sample_count);
    }
  }
  EXPECT_EQ(values.at("vigie_notifications_total,box"), 2);
  EXPECT_EQ(values.at("vigie_notification_latency_seconds,box"), 2);
  EXPECT_EQ(values.at("vigie_notification_attempts_total,box"), 2);
  EXPECT_EQ(values.at("vigie_notifications_failed_total,box,refused"), 0);
  EXPECT_EQ(values.at("vigie_notifications_given_up_total,box,refused"), 0);
  EXPECT_EQ(values.at("vigie_notifications_owed"), 0);
  EXPECT_EQ(values.at("vigie_dispatcher_groups"), 1);
  EXPECT_EQ(values.at("vigie_alerts,firing"), 1);
}

}  // namespace
}  // namespace vigie::alerting

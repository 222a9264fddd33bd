// What the API tells of rules and notifications.
#include <condition_variable>
#include <mutex>
#include <utility>

#include "server/http_frontend.h"
#include "server/parameters.h"
#include "tests/server/http_frontend_fixture.h"
#include "tests/support/memory_records.h"

namespace vigie::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Rules, evaluated once.
class HttpRulesTest : public HttpFrontendTest {
 protected:
  // Notes that an evaluation has come to its end.
  class Bell final : public alerting::AlertSink {
   public:
    absl::Status Take(const std::vector<alerting::Alert>&) override {
      std::lock_guard lock(mutex_);
      rung_ = true;
      ringing_.notify_all();
      return absl::OkStatus();
    }
    void Await() {
      std::unique_lock lock(mutex_);
      ringing_.wait(lock, [&] { return rung_; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable ringing_;
    bool rung_ = false;
  };

  void SetUp() override {
    rule_engine_ =
        std::make_unique<query::Engine>(store_, clock_, query::EngineOptions{});
    rules_ = std::make_unique<alerting::RuleRunner>(
        alerting::RuleContext{
            .engine = *rule_engine_, .appender = store_, .sink = &bell_},
        clock_, registry_);
    const auto root = yaml::Node::Parse(R"(
groups:
- name: a
  interval: 1m
  limit: 5
  rules:
  - {record: 'r:half', expr: '0.5', labels: {team: web}}
  - {record: 'r:fails', expr: 'up[5m]'}
  - alert: Low
    expr: sum by(job)(r:half) <  1
    for: 0s
    keep_firing_for: 90s
    labels: {severity: page}
    annotations: {summary: 'is {{ $value }} "low"'}
- name: never
  interval: 10000h
  rules: [{alert: Later, expr: up, for: 1500ms}]
- name: empty
)",
                                        "r.yml");
    ASSERT_TRUE(root.ok()) << root.status();
    auto groups = alerting::ParseRuleFile(*root);
    ASSERT_TRUE(groups.ok()) << groups.status();
    ASSERT_TRUE(rules_->Apply(*groups, {.threads = 1}, {}, "").ok());
    clock_.AwaitSleepers(1);
    clock_.AdvanceMs(60'000);
    bell_.Await();
    rules_->Stop();
    Start(store_);
  }

  Bell bell_;
  std::unique_ptr<query::Engine> rule_engine_;
};

TEST_F(HttpRulesTest, ShowsThemInPrometheussShape) {
  const auto group = rules_->Groups().at(0);
  const std::string evaluated = FormatRfc3339(group.last_evaluation_ms);
  const std::string active =
      FormatRfc3339(group.rules.at(2).alerts.at(0).active_at_ms);
  const std::string alert =
      R"({"labels":{"alertname":"Low","severity":"page"},)"
      R"("annotations":{"summary":"is 0.5 \"low\""},"state":"firing",)"
      R"("activeAt":")" +
      active + R"(","value":"5e-01"})";
  const std::string low =
      R"({"state":"firing","name":"Low","query":"sum by (job) (r:half) < )"
      R"(1","duration":0,"keepFiringFor":90,"labels":{"severity":"page"},)"
      R"("annotations":{"summary":"is {{ $value }} \"low\""},"alerts":[)" +
      alert + R"(],"health":"ok","evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"(","type":"alerting"})";
  const std::string half =
      R"({"name":"r:half","query":"0.5","labels":{"team":"web"},)"
      R"("health":"ok","evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"(","type":"recording"})";
  const std::string fails =
      R"({"name":"r:fails","query":"up[5m]","health":"err",)"
      R"("lastError":"rule result is not a vector or scalar",)"
      R"("evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"(","type":"recording"})";
  const std::string tail =
      R"(],"interval":60,"limit":5,"evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"("})";
  const std::string later =
      R"({"name":"never","file":"r.yml","rules":[{"state":"inactive",)"
      R"("name":"Later","query":"up","duration":1.5,"keepFiringFor":0,)"
      R"("labels":{},"annotations":{},"alerts":[],"health":"unknown",)"
      R"("evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z",)"
      R"("type":"alerting"}],"interval":36000000,"limit":0,)"
      R"("evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"})";
  const std::string a = R"({"name":"a","file":"r.yml","rules":[)";

  EXPECT_EQ(Get("/api/v1/rules").body,
            Success(R"({"groups":[)" + a + half + "," + fails + "," + low +
                    tail + "," + later + "]}"));
  EXPECT_EQ(Get("/api/v1/alerts").body,
            Success(R"({"alerts":[)" + alert + "]}"));
  EXPECT_EQ(Get("/api/v1/rules?type=RECORD&rule_name[]=r:half").body,
            Success(R"({"groups":[)" + a + half + tail + "]}"));
}

TEST_F(HttpRulesTest, ShowsWhatIsAskedFor) {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {"", {"r:half", "r:fails", "Low", "Later"}},
      {"?type=alert", {"Low", "Later"}},
      {"?type=record", {"r:half", "r:fails"}},
      {"?rule_name[]=Low&rule_name[]=r:half", {"r:half", "Low"}},
      {"?rule_group[]=never", {"Later"}},
      {"?rule_group[]=never&rule_name[]=Low", {}},
      {"?file[]=r.yml&type=alert", {"Low", "Later"}},
      {"?file[]=other.yml", {}},
      {"?match[]={severity=~%22p.*%22}", {"Low"}},
      {"?match[]={severity=%22page%22}&match[]={team=%22web%22}",
       {"r:half", "Low"}},
  };
  for (const auto& [query, names] : cases) {
    const std::string body = Get("/api/v1/rules" + query).body;
    for (const std::string name : {"r:half", "r:fails", "Low", "Later"}) {
      const bool shown =
          body.find("\"name\":\"" + name + "\"") != std::string::npos;
      EXPECT_EQ(shown, std::count(names.begin(), names.end(), name) > 0)
          << query << " " << name;
    }
  }
  EXPECT_THAT(
      Get("/api/v1/rules?exclude_alerts=true").body,
      AllOf(HasSubstr(R"("alerts":null)"), Not(HasSubstr(R"("alerts":[)"))));
}

TEST_F(HttpRulesTest, ListsGroupsInPages) {
  const std::string first = Get("/api/v1/rules?group_limit=1").body;
  const size_t at = first.find(R"("groupNextToken":")");
  ASSERT_NE(at, std::string::npos) << first;
  const std::string token = first.substr(at + 18, 16);

  const std::string second =
      Get("/api/v1/rules?group_limit=1&group_next_token=" + token).body;

  EXPECT_THAT(first, AllOf(HasSubstr(R"("name":"a")"),
                           Not(HasSubstr(R"("name":"never")"))));
  EXPECT_THAT(second, AllOf(HasSubstr(R"("name":"never")"),
                            Not(HasSubstr(R"("name":"a")")),
                            Not(HasSubstr("groupNextToken"))));
}

// --- notifications ---

class HttpNotificationsTest : public HttpFrontendTest {
 protected:
  void SetUp() override {
    alerting::LedgerEntry entry{.time_ms = kNowMs,
                                .notification = "1-2",
                                .receiver = "team",
                                .integration = "slack[0]",
                                .group_key = R"({}:{a="b"})",
                                .event = "failed",
                                .detail = "answered 503",
                                .attempt = 1,
                                .firing = {"00ff"},
                                .resolved = {}};
    store::RecordBatch batch;
    batch.Put(Tenant{}, alerting::kLedgerTable, alerting::LedgerKey(7),
              alerting::Encode(entry));
    entry.event = "delivered";
    batch.Put(Tenant{}, alerting::kLedgerTable, alerting::LedgerKey(9),
              alerting::Encode(entry));
    ASSERT_TRUE(records_.Write(batch).ok());
    auto dispatcher = alerting::Dispatcher::Start(
        records_,
        [](const alerting::RoutingConfig&) { return alerting::Integrations{}; },
        clock_, registry_, "",
        std::make_shared<const alerting::RoutingConfig>());
    ASSERT_TRUE(dispatcher.ok()) << dispatcher.status();
    dispatcher_ = *std::move(dispatcher);
    Start(store_);
  }

  void TearDown() override {
    frontend_.reset();
    dispatcher_.reset();
  }

  vigie::testing::MemoryRecords records_;
};

TEST_F(HttpNotificationsTest, ShowsTheLedgerOldestFirst) {
  const auto entry = [](const std::string& event) {
    return R"({"time":"2023-11-14T22:13:20Z","notification":"1-2",)"
           R"("receiver":"team","integration":"slack[0]",)"
           R"("groupKey":"{}:{a=\"b\"}","event":")" +
           event +
           R"(","detail":"answered 503","attempt":1,)"
           R"("firing":["00ff"],"resolved":[]})";
  };

  EXPECT_EQ(Get("/api/v1/ledger").body,
            Success(R"({"entries":[)" + entry("failed") + "," +
                    entry("delivered") + "]}"));
  EXPECT_EQ(Get("/api/v1/ledger?limit=1").body,
            Success(R"({"entries":[)" + entry("delivered") + "]}"));
}

TEST_F(HttpNotificationsTest, RefusesALimitThatIsNoCount) {
  EXPECT_EQ(Get("/api/v1/ledger?limit=-1").status, 400);
  EXPECT_EQ(Get("/api/v1/ledger?limit=x").status, 400);
}

TEST_F(HttpFrontendTest, HasAnEmptyLedgerWithoutADispatcher) {
  EXPECT_EQ(Get("/api/v1/ledger").body, Success(R"({"entries":[]})"));
}

}  // namespace
}  // namespace vigie::server

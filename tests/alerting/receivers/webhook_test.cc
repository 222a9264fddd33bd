#include "alerting/receivers/webhook.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "alerting/receivers/notification_data.h"
#include "tests/alerting/receivers/fixtures.h"
#include "tests/support/test_http_server.h"

namespace vigie::alerting {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::TestHttpServer;

using Request = TestHttpServer::Request;
using Response = TestHttpServer::Response;

Response Ok(const Request&) { return {}; }

std::string Config(const TestHttpServer& server, const std::string& more = "") {
  return "receivers:\n- name: team\n  webhook_configs:\n  - url: " +
         server.Url("/hook") + "\n" + more;
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

TEST(WebhookTest, PostsVersionFourOfThePayload) {
  TestHttpServer server(Ok);
  Team team(Config(server));

  ASSERT_THAT(team.Deliver().status, IsOk());

  const Notification sent = ANotification();
  EXPECT_EQ(json::parse(server.requests()[0].body),
            (json{{"version", "4"},
                  {"groupKey", R"({}:{alertname="PaymentsFail"})"},
                  {"truncatedAlerts", 0},
                  {"receiver", "team"},
                  {"status", "firing"},
                  {"notification_reason", "first_notification"},
                  {"groupLabels", {{"alertname", "PaymentsFail"}}},
                  {"commonLabels",
                   {{"alertname", "PaymentsFail"}, {"job", "payments"}}},
                  {"commonAnnotations", {{"summary", "payments fail"}}},
                  {"routeLabels", json::object()},
                  {"externalURL", "http://vigie.example:9090"},
                  {"alerts",
                   {{{"status", "firing"},
                     {"labels",
                      {{"alertname", "PaymentsFail"},
                       {"job", "payments"},
                       {"instance", "payments-0"}}},
                     {"annotations", {{"summary", "payments fail"}}},
                     {"startsAt", "2026-11-21T05:53:06Z"},
                     {"endsAt", "0001-01-01T00:00:00Z"},
                     {"generatorURL",
                      "http://vigie.example:9090/graph?g0.expr=up&g0.tab=1"},
                     {"fingerprint", Fingerprint(sent.alerts[0].labels)}},
                    {{"status", "resolved"},
                     {"labels",
                      {{"alertname", "PaymentsFail"},
                       {"job", "payments"},
                       {"instance", "payments-1"}}},
                     {"annotations", {{"summary", "payments fail"}}},
                     {"startsAt", "2026-11-21T05:53:06Z"},
                     {"endsAt", "2026-11-21T05:54:04.5Z"},
                     {"generatorURL",
                      "http://vigie.example:9090/graph?g0.expr=up&g0.tab=1"},
                     {"fingerprint", Fingerprint(sent.alerts[1].labels)}}}}}));
}

TEST(WebhookTest, CutsAlertsAndSaysHowMany) {
  TestHttpServer server(Ok);
  Team team(Config(server, "    max_alerts: 1\n"));

  ASSERT_THAT(team.Deliver().status, IsOk());

  const json sent = json::parse(server.requests()[0].body);
  EXPECT_EQ(sent["alerts"].size(), 1u);
  EXPECT_EQ(sent["truncatedAlerts"], 1);
  EXPECT_EQ(sent["commonLabels"]["instance"], "payments-0");
  EXPECT_EQ(team[0].alerts_max(), 1);
}

TEST(WebhookTest, IsSentBothStatesUnlessToldOtherwise) {
  TestHttpServer server(Ok);

  EXPECT_TRUE(Team(Config(server))[0].send_resolved());
  EXPECT_FALSE(
      Team(Config(server, "    send_resolved: false\n"))[0].send_resolved());
}

TEST(WebhookTest, NamesTheMessageSoThatARepeatCanBeTold) {
  TestHttpServer server(Ok);
  Team team(Config(server, ""), ::testing::TempDir());

  ASSERT_THAT(team.Deliver().status, IsOk());
  ASSERT_THAT(team.Deliver().status, IsOk());

  const std::string id = server.requests()[0].headers.at("idempotency-key");
  EXPECT_FALSE(id.empty());
  EXPECT_EQ(server.requests()[1].headers.at("idempotency-key"), id);
}

TEST(WebhookTest, ReadsSecretsAgainForEachMessage) {
  TestHttpServer server(Ok);
  const std::string dir = ::testing::TempDir();
  Write(dir + "/password", "first\n");
  Write(dir + "/user", " ops ");
  Team team(Config(server,
                   "    http_config: {basic_auth: {username_file: user, "
                   "password_file: password}}\n"),
            dir);

  ASSERT_THAT(team.Deliver().status, IsOk());
  Write(dir + "/password", "second\n");
  ASSERT_THAT(team.Deliver().status, IsOk());

  EXPECT_EQ(server.requests()[0].headers.at("authorization"),
            "Basic " + absl::Base64Escape("ops:first"));
  EXPECT_EQ(server.requests()[1].headers.at("authorization"),
            "Basic " + absl::Base64Escape("ops:second"));
}

TEST(WebhookTest, ASecretFileThatIsGoneIsTemporaryAndNamed) {
  TestHttpServer server(Ok);
  Team team(Config(server,
                   "    http_config: {authorization: {credentials_file: "
                   "no-such-file}}\n"));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_THAT(outcome.status, HasError(absl::StatusCode::kUnavailable,
                                       HasSubstr("no-such-file")));
  EXPECT_TRUE(outcome.temporary);
  EXPECT_TRUE(server.requests().empty());
}

TEST(WebhookTest, TakesTheUrlFromAFileAndChecksItThere) {
  TestHttpServer server(Ok);
  const std::string dir = ::testing::TempDir();
  Team team("receivers: [{name: team, webhook_configs: [{url_file: url}]}]",
            dir);

  Write(dir + "/url", "file:///etc/passwd?hunter2");
  const DeliveryOutcome refused = team.Deliver();
  Write(dir + "/url", server.Url("/from-file") + "\n");
  const DeliveryOutcome taken = team.Deliver();

  EXPECT_THAT(refused.status, HasError(absl::StatusCode::kInvalidArgument,
                                       Not(HasSubstr("hunter2"))));
  EXPECT_TRUE(refused.temporary);
  ASSERT_THAT(taken.status, IsOk());
  EXPECT_EQ(server.requests()[0].target, "/from-file");
}

TEST(WebhookTest, GlobalCredentialsHoldUnlessAReceiverHasAnHttpConfig) {
  TestHttpServer server(Ok);
  const std::string config =
      "global: {http_config: {bearer_token: everyone}}\nreceivers:\n- name: "
      "team\n  webhook_configs:\n  - url: " +
      server.Url("/a") + "\n  - url: " + server.Url("/b") +
      "\n    http_config: {enable_http2: false}\n";
  Team team(config);

  for (const size_t i : {0u, 1u}) {
    ASSERT_THAT(team[i].Deliver(ANotification(), {}).status, IsOk());
  }

  EXPECT_EQ(server.requests()[0].headers.at("authorization"),
            "Bearer everyone");
  EXPECT_FALSE(server.requests()[1].headers.contains("authorization"));
}

struct StatusCase {
  int status;
  bool ok;
  bool temporary;
};
class WebhookStatusTest : public ::testing::TestWithParam<StatusCase> {};

TEST_P(WebhookStatusTest, SaysWhetherToTryAgain) {
  const StatusCase& one = GetParam();
  TestHttpServer server([&](const Request&) {
    return Response{.status = one.status,
                    .headers = {{"Retry-After", "9"}},
                    .body = "hunter2 was wrong\n"};
  });
  Team team(Config(server, "    http_config: {bearer_token: hunter2}\n"));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_EQ(outcome.status.ok(), one.ok);
  EXPECT_EQ(outcome.temporary, one.temporary);
  EXPECT_EQ(outcome.retry_after, absl::Seconds(one.temporary ? 9 : 0));
  EXPECT_THAT(outcome.answer,
              ::testing::StartsWith(std::to_string(one.status)));
  EXPECT_THAT(outcome.answer + outcome.status.ToString(),
              Not(HasSubstr("hunter2")));
}

INSTANTIATE_TEST_SUITE_P(
    , WebhookStatusTest,
    ::testing::Values(
        StatusCase{200, true, false}, StatusCase{202, true, false},
        StatusCase{301, false, false}, StatusCase{308, false, false},
        StatusCase{400, false, false}, StatusCase{401, false, false},
        StatusCase{408, false, true}, StatusCase{429, false, true},
        StatusCase{500, false, true}, StatusCase{503, false, true}),
    [](const auto& info) { return std::to_string(info.param.status); });

TEST(WebhookTest, CredentialsDoNotFollowARedirect) {
  TestHttpServer other(Ok);
  TestHttpServer server([&](const Request&) {
    return Response{.status = 307, .headers = {{"Location", other.Url("/x")}}};
  });
  Team team(Config(server, "    http_config: {bearer_token: hunter2}\n"));

  EXPECT_FALSE(team.Deliver().status.ok());
  EXPECT_TRUE(other.requests().empty());
}

TEST(NotificationDataTest, TimesAreGos) {
  EXPECT_EQ(Rfc3339(0), "0001-01-01T00:00:00Z");
  EXPECT_EQ(Rfc3339(1'795'240'446'000), "2026-11-21T05:54:06Z");
  EXPECT_EQ(Rfc3339(1'795'240'446'120), "2026-11-21T05:54:06.12Z");
  EXPECT_EQ(Rfc3339(-1), "1969-12-31T23:59:59.999Z");
}

TEST(NotificationDataTest, OfNoAlertsNothingIsCommon) {
  EXPECT_TRUE(CommonLabels({}).empty());
  EXPECT_TRUE(CommonAnnotations({}).empty());
  EXPECT_EQ(StatusOf(std::vector<Alert>{}), "resolved");
}

}  // namespace
}  // namespace vigie::alerting

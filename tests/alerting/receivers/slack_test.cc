#include "alerting/receivers/slack.h"

#include <future>
#include <nlohmann/json.hpp>
#include <stop_token>

#include "tests/alerting/receivers/fixtures.h"
#include "tests/support/test_http_server.h"

namespace vigie::alerting {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::vigie::testing::Gate;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::TestHttpServer;

using Request = TestHttpServer::Request;
using Response = TestHttpServer::Response;

constexpr char kPath[] = "/services/T0000/B0000/hunter2hunter2hunter2xyz";

Response Ok(const Request&) { return {.body = "ok"}; }

std::string Config(const TestHttpServer& server, const std::string& more = "") {
  return "receivers:\n- name: team\n  slack_configs:\n  - api_url: " +
         server.Url(kPath) + "\n" + more;
}

json Sent(const TestHttpServer& server) {
  const auto requests = server.requests();
  return requests.size() == 1 ? json::parse(requests[0].body) : json();
}

TEST(SlackTest, PostsOneAttachmentWithTheDefaultTexts) {
  TestHttpServer server(Ok);
  Team team(Config(server, "    channel: '#shop'\n"));

  const DeliveryOutcome outcome = team.Deliver();

  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.answer, "200");
  EXPECT_EQ(server.requests()[0].target, kPath);
  EXPECT_EQ(server.requests()[0].headers.at("content-type"),
            "application/json");
  const json expected = json::parse(R"json({
    "channel": "#shop",
    "username": "vigie",
    "attachments": [{
      "color": "danger",
      "title": "[FIRING:1] PaymentsFail (payments)",
      "title_link": "http://vigie.example:9090/api/v1/alerts",
      "text": "Firing: PaymentsFail: payments fail\nResolved: PaymentsFail: payments fail\n",
      "fallback": "[FIRING:1] PaymentsFail (payments) | http://vigie.example:9090/api/v1/alerts",
      "mrkdwn_in": ["fallback", "pretext", "text"]
}]
})json");
  EXPECT_EQ(Sent(server), expected);
}

TEST(SlackTest, FillsEveryTextOfTheConfiguration) {
  TestHttpServer server(Ok);
  Team team(Config(server, R"(    channel: '#{{ .GroupLabels.alertname }}'
    username: '{{ .Receiver }}'
    color: '{{ .Status }}'
    icon_emoji: ':{{ .Status }}:'
    icon_url: 'http://x/{{ .Status }}.png'
    title: 't {{ .Status }}'
    title_link: '{{ (index .Alerts 0).GeneratorURL }}'
    pretext: 'p {{ len .Alerts }}'
    text: '<http://runbooks/{{ .Status }}|Runbook>'
    message_text: 'm {{ .Status }}'
    footer: 'f {{ .Status }}'
    fallback: 'b {{ .Status }}'
    callback_id: 'c {{ .Status }}'
    image_url: 'http://i/{{ .Status }}'
    thumb_url: 'http://h/{{ .Status }}'
    mrkdwn_in: [text]
    short_fields: true
    fields:
    - {title: 'A {{ .Status }}', value: '{{ .Status }}'}
    - {title: B, value: b, short: false}
    actions:
    - {type: button, text: 'Go {{ .Status }}', url: 'http://g/{{ .Status }}', name: gone}
    - type: button
      text: Ack
      name: ack
      value: '{{ .Status }}'
      style: danger
      confirm: {text: 'sure {{ .Status }}?', title: T, ok_text: yes!, dismiss_text: no!}
)"));

  ASSERT_THAT(team.Deliver().status, IsOk());

  const json expected = json::parse(R"json({
    "channel": "#PaymentsFail", "username": "team", "icon_emoji": ":firing:",
    "icon_url": "http://x/firing.png", "text": "m firing",
    "attachments": [{
      "color": "firing", "title": "t firing",
      "title_link": "http://vigie.example:9090/graph?g0.expr=up&g0.tab=1",
      "pretext": "p 2", "text": "<http://runbooks/firing|Runbook>",
      "footer": "f firing", "fallback": "b firing", "callback_id": "c firing",
      "image_url": "http://i/firing", "thumb_url": "http://h/firing",
      "mrkdwn_in": ["text"],
      "fields": [{"title": "A firing", "value": "firing", "short": true},
                 {"title": "B", "value": "b", "short": false}],
      "actions": [
        {"type": "button", "text": "Go firing", "url": "http://g/firing"},
        {"type": "button", "text": "Ack", "name": "ack", "value": "firing",
         "style": "danger",
         "confirm": {"text": "sure firing?", "title": "T", "ok_text": "yes!",
                     "dismiss_text": "no!"}}]
    }]})json");
  EXPECT_EQ(Sent(server), expected);
}

TEST(SlackTest, LinkNamesMakesNoMentionOfALabel) {
  TestHttpServer server(Ok);
  Team team(Config(server,
                   "    link_names: true\n    text: '@oncall {{ "
                   ".CommonLabels.job }}'\n"));

  ASSERT_THAT(team.Deliver(HostileNotification("@channel")).status, IsOk());

  const json sent = Sent(server);
  EXPECT_EQ(sent["link_names"], true);
  EXPECT_EQ(sent["attachments"][0]["text"], "@oncall @\u2060channel");
}

TEST(SlackTest, CutsTitleAndTextByCharacters) {
  TestHttpServer server(Ok);
  Team team(Config(server,
                   "    title: '{{ .CommonLabels.job }}'\n    text: "
                   "'{{ .CommonLabels.job }}'\n"));
  std::string value;
  for (int i = 0; i < 20'000; ++i) value += "\xc3\xa9";

  ASSERT_THAT(team.Deliver(HostileNotification(value)).status, IsOk());

  const json attachment = Sent(server)["attachments"][0];
  const auto title = attachment["title"].get<std::string>();
  EXPECT_EQ(title.size(), 1023 * 2 + 3u);
  EXPECT_THAT(title, ::testing::EndsWith("\xc3\xa9\xe2\x80\xa6"));
  EXPECT_EQ(attachment["text"].get<std::string>().size(),
            (kSlackTextMax - 1) * 2 + 3);
}

struct Answer {
  const char* name;
  Response response;
  bool ok;
  bool temporary;
  const char* words;
  int64_t retry_after_s = 0;
};
class SlackAnswerTest : public ::testing::TestWithParam<Answer> {};

TEST_P(SlackAnswerTest, SaysWhatBecameOfTheMessage) {
  const Answer& answer = GetParam();
  TestHttpServer server([&](const Request&) { return answer.response; });
  Team team(Config(server));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_EQ(outcome.status.ok(), answer.ok) << outcome.status.ToString();
  EXPECT_EQ(outcome.temporary, answer.temporary);
  EXPECT_THAT(outcome.answer, HasSubstr(answer.words));
  EXPECT_EQ(outcome.retry_after, absl::Seconds(answer.retry_after_s));
  for (const std::string& text : {outcome.answer, outcome.status.ToString()}) {
    EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  }
}

INSTANTIATE_TEST_SUITE_P(
    , SlackAnswerTest,
    ::testing::Values(
        Answer{"Ok", {.body = "ok"}, true, false, "200"},
        Answer{"EmptyOk", {}, true, false, "200"},
        Answer{"JsonOk",
               {.headers = {{"Content-Type", "application/json"}},
                .body = R"({"ok":true})"},
               true,
               false,
               "200"},
        Answer{"NoInA200",
               {.body = "invalid_payload"},
               false,
               false,
               "200 invalid_payload"},
        Answer{"JsonNo",
               {.headers = {{"Content-Type", "application/json"}},
                .body = R"({"ok":false,"error":"channel_not_found"})"},
               false,
               false,
               "channel_not_found"},
        Answer{"JsonLater",
               {.headers = {{"Content-Type", "application/json"}},
                .body = R"({"ok":false,"error":"ratelimited"})"},
               false,
               true,
               "ratelimited"},
        Answer{"JsonNonsense",
               {.headers = {{"Content-Type", "application/json"}},
                .body = R"([1)"},
               false,
               false,
               "not understood"},
        Answer{"Gone",
               {.status = 404, .body = "no_service"},
               false,
               false,
               "404 no_service"},
        Answer{"Archived",
               {.status = 410, .body = "channel_is_archived"},
               false,
               false,
               "410 channel_is_archived"},
        Answer{"TooMany",
               {.status = 429, .headers = {{"Retry-After", "30"}}},
               false,
               true,
               "429",
               30},
        Answer{"Down", {.status = 503, .body = "later"}, false, true, "503"},
        Answer{
            "Redirect",
            {.status = 302, .headers = {{"Location", "http://127.0.0.1:1/"}}},
            false,
            false,
            "302"},
        Answer{"RepeatsTheSecret",
               {.status = 403,
                .body = std::string("bad token hunter2hunter2hunter2xyz of ") +
                        kPath},
               false,
               false,
               "403 bad token <secret> of <secret>"},
        Answer{"Hangs up", {.no_answer = true}, false, true, ""}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::erase(name, ' ');
      return name;
    });

TEST(SlackTest, FollowsNoRedirect) {
  TestHttpServer other(Ok);
  TestHttpServer server([&](const Request&) {
    return Response{.status = 307, .headers = {{"Location", other.Url("/x")}}};
  });
  Team team(Config(server));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_THAT(outcome.status, HasError(absl::StatusCode::kFailedPrecondition,
                                       HasSubstr("redirects")));
  EXPECT_THAT(other.requests(), IsEmpty());
}

TEST(SlackTest, ADeadServerIsTemporaryAndItsPathStaysSecret) {
  std::string url;
  {
    TestHttpServer gone(Ok);
    url = gone.Url(kPath);
  }
  Team team("receivers: [{name: team, slack_configs: [{api_url: '" + url +
            "'}]}]");

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_TRUE(outcome.temporary);
  EXPECT_THAT(outcome.status,
              HasError(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("refused"), Not(HasSubstr("hunter2")))));
}

TEST(SlackTest, ASlowServerIsTemporary) {
  Gate gate;
  TestHttpServer server([&gate](const Request&) {
    gate.Wait();
    return Response{};
  });
  Team team(Config(server, "    timeout: 50ms\n"));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_THAT(outcome.status, HasCode(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(outcome.temporary);
  gate.Open();
}

TEST(SlackTest, EndsSoonAfterStop) {
  Gate gate;
  TestHttpServer server([&gate](const Request&) {
    gate.Wait();
    return Response{};
  });
  Team team(Config(server));
  std::stop_source stop;
  auto delivery = std::async(std::launch::async, [&] {
    return team[0].Deliver(ANotification(), stop.get_token());
  });
  gate.AwaitWaiters(1);

  stop.request_stop();

  const DeliveryOutcome outcome = delivery.get();
  EXPECT_THAT(outcome.status, HasCode(absl::StatusCode::kCancelled));
  EXPECT_TRUE(outcome.temporary);
  gate.Open();
}

TEST(SlackTest, AnEndlessAnswerIsCut) {
  TestHttpServer server([](const Request&) {
    return Response{.status = 500, .body = std::string(4 << 20, 'x')};
  });
  Team team(Config(server));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_TRUE(outcome.temporary);
  EXPECT_LT(outcome.answer.size(), 300u);
}

}  // namespace
}  // namespace vigie::alerting

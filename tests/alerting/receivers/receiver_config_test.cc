#include "alerting/receivers/receiver_config.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/alerting/receivers/fixtures.h"

namespace vigie::alerting {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

TEST(ReceiverConfigTest, NamesAndIntegrationsComeInTheOrderOfTheFile) {
  std::vector<std::string> unsupported;
  const auto config = ParseReceivers(R"(
global: {slack_api_url: 'https://hooks.example/x', resolve_timeout: 5m}
receivers:
- name: b
  webhook_configs: [{url: 'http://h/'}]
  slack_configs: [{channel: '#x'}, {channel: '#y'}]
- name: a
- name: quiet
  email_configs: []
)",
                                     &unsupported);

  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(unsupported, IsEmpty());
  EXPECT_THAT(config->names(), ElementsAre("b", "a", "quiet"));
  const TemplateSet templates = DefaultTemplates();
  net::HttpClient http;
  net::SmtpClient smtp;
  const auto made = config->Make("b", templates, http, smtp);
  ASSERT_THAT(made, IsOk());
  ASSERT_THAT(*made, SizeIs(3));
  EXPECT_EQ((*made)[0]->type(), "webhook");
  EXPECT_EQ((*made)[1]->type(), "slack");
  EXPECT_FALSE((*made)[1]->send_resolved());
  EXPECT_THAT(config->Make("nobody", templates, http, smtp),
              HasCode(absl::StatusCode::kNotFound));
}

TEST(ReceiverConfigTest, NamesWhatIsNotDoneYet) {
  std::vector<std::string> unsupported;
  const auto config = ParseReceivers(R"(
global:
  pagerduty_url: https://events.example/
  slack_app_token: hunter2
  http_config: {follow_redirects: true, proxy_url: 'http://p'}
receivers:
- name: team
  pagerduty_configs: [{routing_key: hunter2}]
  webhook_configs:
  - {url: 'http://h/{{ .GroupLabels.x }}', payload: {a: b}}
  - {url: 'http://h/', http_config: {tls_config: {ca_file: x, insecure_skip_verify: false}}}
  email_configs:
  - to: a@x.org
    from: b@x.org
    smarthost: h:25
    headers: {content-type: text/plain}
    tls_config: {server_name: n}
  slack_configs:
  - {update_message: true, app_token: hunter2}
)",
                                     &unsupported);

  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(unsupported, SizeIs(12));
  const std::string all = [&] {
    std::string out;
    for (const std::string& line : unsupported) {
      EXPECT_THAT(line, MatchesRegex("am.yml:[0-9]+:[0-9]+: .*not supported "
                                     "yet"));
      out += line + "\n";
    }
    return out;
  }();
  for (const char* key :
       {"pagerduty_url", "slack_app_token", "follow_redirects", "proxy_url",
        "pagerduty_configs", "\"url\"", "payload", "ca_file", "content-type",
        "server_name", "update_message", "app_token"}) {
    EXPECT_THAT(all, HasSubstr(key));
  }
  EXPECT_THAT(all, Not(HasSubstr("hunter2")));
  // What is left is made: one webhook and the mail.
  const TemplateSet templates = DefaultTemplates();
  net::HttpClient http;
  net::SmtpClient smtp;
  const auto made = config->Make("team", templates, http, smtp);
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(*made, SizeIs(2));
}

TEST(ReceiverConfigTest, ChecksTemplatesWithTheirPlace) {
  std::vector<std::string> unsupported;
  const auto config = ParseReceivers(R"(receivers:
- name: team
  slack_configs:
  - api_url: http://h/
    fields:
    - title: x
      value: '{{ template "missing" . }}'
)",
                                     &unsupported);
  ASSERT_THAT(config, IsOk());

  EXPECT_THAT(config->CheckTemplates(DefaultTemplates()),
              HasError(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("am.yml:7:14: "), HasSubstr("\"team\""),
                             HasSubstr("missing"))));
}

TEST(DefaultTemplatesTest, AllNamesOfAlertmanagerThatWeServeAreThere) {
  const TemplateSet templates = DefaultTemplates();

  for (const std::string name :
       {"__alertmanager", "__alertmanagerURL", "__subject", "__description",
        "__text_alert_list", "__text_alert_list_markdown",
        "slack.default.title", "slack.default.username",
        "slack.default.fallback", "slack.default.callbackid",
        "slack.default.pretext", "slack.default.titlelink",
        "slack.default.iconemoji", "slack.default.iconurl",
        "slack.default.text", "slack.default.footer", "email.default.subject",
        "email.default.html", "email.default.text"}) {
    EXPECT_THAT(templates.Check("{{ template \"" + name + "\" . }}", {}),
                IsOk())
        << name;
  }
}

// A file with its verdict, Alertmanager's too where `amtool` is at hand.
struct Case {
  const char* name;
  const char* text;   // the sections `global` and `receivers`
  const char* error;  // a regular expression; null: it is fine
  bool amtool_agrees = true;
};

const Case kCases[] = {
    {"Nothing", "receivers: [{name: team}]", nullptr},
    {"Webhook",
     "receivers: [{name: team, webhook_configs: [{url: 'http://h'}]}]",
     nullptr},
    {"WebhookWithUser",
     "receivers: [{name: team, webhook_configs: [{url: 'https://u:p@h:1/x'}]}]",
     nullptr},
    {"SlackFromGlobal",
     "global: {slack_api_url: 'http://h'}\n"
     "receivers: [{name: team, slack_configs: [{}]}]",
     nullptr},
    {"SlackFromAFile",
     "global: {slack_api_url_file: x}\n"
     "receivers: [{name: team, slack_configs: [{channel: x}]}]",
     nullptr},
    {"Email",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:25', auth_username: u, auth_password: p, require_tls: "
     "false, headers: {Subject: x}}]}]",
     nullptr},
    {"EmailOnIpv6",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: '[::1]:25'}]}]",
     nullptr},
    {"EmptyLists", "receivers: [{name: team, slack_configs: []}]", nullptr},
    {"NoName", "receivers: [{slack_configs: []}]", "am.yml:1:13: .*name.*"},
    {"SameNameTwice", "receivers: [{name: team}, {name: team}]",
     "am.yml:1:27: receiver \"team\" is not unique"},
    {"UnknownKey", "receivers: [{name: team, slak_configs: []}]",
     "am.yml:1:26: unknown key \"slak_configs\""},
    {"UnknownGlobalKey", "global: {slack_url: x}\nreceivers: [{name: team}]",
     "am.yml:1:10: unknown key \"slack_url\""},
    {"UnknownSlackKey",
     "receivers: [{name: team, slack_configs: [{api_url: 'http://h', titel: "
     "x}]}]",
     "am.yml:.*unknown key \"titel\""},
    {"SlackWithoutUrl", "receivers: [{name: team, slack_configs: [{}]}]",
     "am.yml:1:42: no Slack URL.*"},
    {"SlackUrlTwice",
     "receivers: [{name: team, slack_configs: [{api_url: 'http://hunter2', "
     "api_url_file: x}]}]",
     "am.yml:.*at most one of api_url.*"},
    {"GlobalSlackUrlTwice",
     "global: {slack_api_url: 'http://hunter2', slack_api_url_file: x}\n"
     "receivers: [{name: team}]",
     "am.yml:.*at most one of slack_api_url.*"},
    {"UrlWithoutScheme",
     "receivers: [{name: team, webhook_configs: [{url: 'hunter2/x'}]}]",
     "am.yml:1:50: url: not a URL.*"},
    {"UrlOfAFile",
     "receivers: [{name: team, webhook_configs: [{url: 'file:///hunter2'}]}]",
     "am.yml:.*url: not a URL.*"},
    {"UrlWithoutHost",
     "receivers: [{name: team, webhook_configs: [{url: 'http:///hunter2'}]}]",
     "am.yml:.*without a host"},
    {"UrlEmpty", "receivers: [{name: team, webhook_configs: [{url: ''}]}]",
     "am.yml:.*url.*"},
    {"WebhookWithoutUrl", "receivers: [{name: team, webhook_configs: [{}]}]",
     "am.yml:.*one of url and url_file must be set"},
    {"NegativeMaxAlerts",
     "receivers: [{name: team, webhook_configs: [{url: 'http://h', max_alerts: "
     "-1}]}]",
     "am.yml:.*must not be negative"},
    {"FieldWithoutValue",
     "receivers: [{name: team, slack_configs: [{api_url: 'http://h', fields: "
     "[{title: x}]}]}]",
     "am.yml:.*a field needs a title and a value"},
    {"ActionWithoutText",
     "receivers: [{name: team, slack_configs: [{api_url: 'http://h', actions: "
     "[{type: x, url: y}]}]}]",
     "am.yml:.*an action needs a type and a text"},
    {"ActionWithoutUrl",
     "receivers: [{name: team, slack_configs: [{api_url: 'http://h', actions: "
     "[{type: x, text: y}]}]}]",
     "am.yml:.*an action needs a url or a name"},
    {"ConfirmWithoutText",
     "receivers: [{name: team, slack_configs: [{api_url: 'http://h', actions: "
     "[{type: x, text: y, name: z, confirm: {title: t}}]}]}]",
     "am.yml:.*confirm needs a text"},
    {"EmailWithoutTo",
     "receivers: [{name: team, email_configs: [{from: d@b.c, smarthost: "
     "'h:25'}]}]",
     "am.yml:.*\"to\" is missing"},
    {"EmailWithoutSmarthost",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c}]}]",
     "am.yml:.*no smarthost.*"},
    {"EmailWithoutFrom",
     "receivers: [{name: team, email_configs: [{to: a@b.c, smarthost: "
     "'h:25'}]}]",
     "am.yml:.*no from.*"},
    {"SmarthostWithoutPort",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: h}]}]",
     "am.yml:.*must be host:port"},
    {"SmarthostWithEmptyPort",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:'}]}]",
     "am.yml:.*the port must be a number.*"},
    // Alertmanager finds out when it sends.
    {"SmarthostWithAWrongPort",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:70000'}]}]",
     "am.yml:.*the port must be a number.*", false},
    {"DuplicateHeader",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:25', headers: {subject: a, Subject: b}}]}]",
     "am.yml:.*duplicate header \"Subject\""},
    // Alertmanager would send it.
    {"HeaderThatIsNone",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:25', headers: {\"X\\r\\nBcc\": b}}]}]",
     "am.yml:.*is no header name", false},
    {"TwoCredentials",
     "receivers: [{name: team, webhook_configs: [{url: 'http://h', "
     "http_config: {bearer_token: hunter2, basic_auth: {username: u}}}]}]",
     "am.yml:.*at most one of basic_auth.*"},
    {"PasswordTwice",
     "receivers: [{name: team, webhook_configs: [{url: 'http://h', "
     "http_config: {basic_auth: {username: u, password: hunter2, "
     "password_file: f}}}]}]",
     "am.yml:.*at most one of password.*"},
    {"BasicByAuthorization",
     "receivers: [{name: team, webhook_configs: [{url: 'http://h', "
     "http_config: {authorization: {type: Basic, credentials: hunter2}}}]}]",
     "am.yml:.*use basic_auth"},
    {"SmtpPasswordTwice",
     "global: {smtp_auth_password: hunter2, smtp_auth_password_file: f}\n"
     "receivers: [{name: team}]",
     "am.yml:.*at most one of smtp_auth_password.*"},
    {"ReceiversNotAList", "receivers: {name: team}", "am.yml:.*must be a list"},
    {"DuplicateKey", "receivers: [{name: team, name: team}]", "am.yml:.*"},
    // Newer than Debian's Alertmanager.
    {"NewKeys",
     "global: {smtp_force_implicit_tls: true, smtp_auth_secret_file: x}\n"
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:25', force_implicit_tls: false, threading: {enabled: true, "
     "thread_by_date: daily}}], webhook_configs: [{url_file: x, timeout: "
     "10s}], slack_configs: [{api_url: 'http://h', message_text: x, timeout: "
     "1s}]}]",
     nullptr, false},
    {"ThreadingWithoutDate",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:25', threading: {enabled: true}}]}]",
     "am.yml:.*thread_by_date must be none or daily"},
    {"ThreadingWithReferences",
     "receivers: [{name: team, email_configs: [{to: a@b.c, from: d@b.c, "
     "smarthost: 'h:25', headers: {references: x}, threading: {enabled: true, "
     "thread_by_date: none}}]}]",
     "am.yml:.*\"References\" is set as well"},
};

class ReceiverCaseTest : public ::testing::TestWithParam<Case> {};

TEST_P(ReceiverCaseTest, IsTakenOrRefusedWithItsPlace) {
  std::vector<std::string> unsupported;
  const auto config = ParseReceivers(GetParam().text, &unsupported);

  if (GetParam().error == nullptr) {
    EXPECT_THAT(config, IsOk());
    EXPECT_THAT(unsupported, IsEmpty());
    return;
  }
  ASSERT_THAT(config, HasError(absl::StatusCode::kInvalidArgument,
                               MatchesRegex(GetParam().error)));
  EXPECT_THAT(std::string(config.status().message()),
              Not(HasSubstr("hunter2")));
}

INSTANTIATE_TEST_SUITE_P(, ReceiverCaseTest, ::testing::ValuesIn(kCases),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

std::vector<Case> CasesForAmtool() {
  std::vector<Case> out;
  for (const Case& one : kCases) {
    if (one.amtool_agrees) out.push_back(one);
  }
  return out;
}

class AmtoolTest : public ::testing::TestWithParam<Case> {};

TEST_P(AmtoolTest, SaysTheSame) {
  if (std::system("command -v amtool >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no amtool here (package prometheus-alertmanager)";
  }
  const std::string path =
      ::testing::TempDir() + "/" + GetParam().name + ".yml";
  std::ofstream(path) << GetParam().text << "\nroute: {receiver: team}\n";

  const int status =
      std::system(("amtool check-config " + path + " >/dev/null 2>&1").c_str());

  EXPECT_EQ(status == 0, GetParam().error == nullptr);
  std::remove(path.c_str());
}

INSTANTIATE_TEST_SUITE_P(, AmtoolTest, ::testing::ValuesIn(CasesForAmtool()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace vigie::alerting

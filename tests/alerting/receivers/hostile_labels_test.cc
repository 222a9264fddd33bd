// What strangers write into labels and annotations stays text, whatever the
// receiver: no link, no mention, no element, no header, no second message.
#include <nlohmann/json.hpp>

#include "alerting/receivers/email.h"
#include "alerting/receivers/message_text.h"
#include "alerting/receivers/slack.h"
#include "alerting/receivers/webhook.h"
#include "base/strings.h"
#include "tests/alerting/receivers/fixtures.h"

namespace vigie::alerting {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::vigie::testing::IsOk;

class HostileLabelsTest : public ::testing::TestWithParam<std::string> {
 protected:
  const TemplateSet templates_ = DefaultTemplates();
  const Notification hostile_ = HostileNotification(GetParam());
};

SlackSpec ShowsEverything() {
  const std::string all =
      "{{ range .Alerts }}{{ range .Labels.SortedPairs }}{{ .Name }}={{ .Value "
      "}} {{ end }}{{ range .Annotations.SortedPairs }}{{ .Name }}={{ .Value "
      "}}{{ end }} <{{ .GeneratorURL }}|Source>{{ end }}{{ .CommonLabels.job "
      "}}{{ .GroupLabels.alertname }}";
  SlackSpec spec;
  spec.text.text = all;
  spec.pretext.text = all;
  spec.footer.text = all;
  spec.message_text.text = all;
  spec.fields = {{.title = {all}, .value = {all}}};
  return spec;
}

// Collects every string of a JSON value.
void Strings(const json& value, std::vector<std::string>* out) {
  if (value.is_string()) out->push_back(value.get<std::string>());
  if (!value.is_structured()) return;
  for (const json& one : value) Strings(one, out);
}

TEST_P(HostileLabelsTest, MakeNoMarkupInSlack) {
  const auto message = SlackMessage(ShowsEverything(), templates_, hostile_);

  ASSERT_THAT(message, IsOk());
  const json sent = json::parse(*message);
  ASSERT_EQ(sent["attachments"].size(), 1u);
  std::vector<std::string> texts;
  Strings(sent, &texts);
  for (std::string text : texts) {
    // What the template itself wrote may be markup, nothing else.
    for (size_t at; (at = text.find("<|Source>")) != std::string::npos;) {
      text.erase(at, 9);
    }
    EXPECT_EQ(text.find_first_of("<>"), std::string::npos) << text;
    EXPECT_TRUE(IsValidUtf8(text));
  }
}

TEST_P(HostileLabelsTest, MakeNoElementInHtml) {
  const auto email =
      ComposeEmail({.to = {"ops@example.org"}, .from = {"vigie@example.org"}},
                   templates_, hostile_);
  ASSERT_THAT(email, IsOk());
  const Notification calm = HostileNotification("calm");
  const Renderer with(templates_, hostile_, Markup::kNone);
  const Renderer without(templates_, calm, Markup::kNone);
  const TemplateText html = EmailSpec().html;

  const auto hostile = with.Html(html);
  const auto expected = without.Html(html);

  ASSERT_THAT(hostile, IsOk());
  ASSERT_THAT(expected, IsOk());
  const auto tags_of = [](const std::string& text) {
    std::vector<std::string> tags;
    for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
      const size_t end = text.find('>', at);
      tags.push_back(text.substr(at, end - at));
      at = end;
    }
    return tags;
  };
  EXPECT_EQ(tags_of(*hostile), tags_of(*expected));
}

// Lines up to the empty one, folded ones put together.
std::vector<std::string> HeaderNames(const std::string& message) {
  std::vector<std::string> out;
  for (size_t at = 0; at < message.size();) {
    const size_t end = message.find("\r\n", at);
    if (end == at || end == std::string::npos) break;
    const std::string line = message.substr(at, end - at);
    if (line[0] != ' ') out.push_back(line.substr(0, line.find(':')));
    EXPECT_LE(line.size(), 998u);
    at = end + 2;
  }
  return out;
}

TEST_P(HostileLabelsTest, MakeNoHeaderAndNoSecondMessage) {
  EmailSpec spec{.to = {"ops@example.org"}, .from = {"vigie@example.org"}};
  spec.headers = {{"Subject", {"{{ .CommonLabels.job }}"}},
                  {"X-Group", {"{{ .GroupLabels.alertname }}"}}};

  const auto email = ComposeEmail(spec, templates_, hostile_);

  ASSERT_THAT(email, IsOk());
  EXPECT_THAT(
      HeaderNames(email->message),
      ElementsAre("Subject", "X-Group", "From", "To", "Date", "Message-Id",
                  "Auto-Submitted", "MIME-Version", "Content-Type"));
  EXPECT_THAT(email->to, ElementsAre("ops@example.org"));
  EXPECT_THAT(email->message, Not(HasSubstr("\r\n.\r\n")));
  for (size_t at = 0; at < email->message.size(); ++at) {
    const auto byte = static_cast<unsigned char>(email->message[at]);
    ASSERT_TRUE(byte < 0x80) << "8-bit at " << at;
    ASSERT_TRUE(byte >= ' ' || byte == '\r' || byte == '\n') << at;
    if (byte == '\n') {
      ASSERT_EQ(email->message[at - 1], '\r') << at;
    }
    if (byte == '\r') {
      ASSERT_EQ(email->message[at + 1], '\n') << at;
    }
  }
}

TEST_P(HostileLabelsTest, AreNoAddress) {
  const EmailSpec spec{.to = {"ops@example.org, {{ .CommonLabels.job }}"},
                       .from = {"vigie@example.org"}};

  EXPECT_FALSE(ComposeEmail(spec, templates_, hostile_).ok());
}

TEST_P(HostileLabelsTest, StayValuesInAWebhook) {
  const json sent = json::parse(WebhookPayload(hostile_, 0));

  EXPECT_EQ(sent["commonLabels"].size(), 2u);
  if (IsValidUtf8(GetParam())) {
    EXPECT_EQ(sent["commonLabels"]["job"], GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(Corpus, HostileLabelsTest,
                         ::testing::ValuesIn(HostileValues()));

TEST(SanitizedUtf8Test, KeepsWhatIsWellFormed) {
  EXPECT_EQ(SanitizedUtf8("h\xc3\xa9\xff\xe2\x82x\xed\xa0\x80"),
            "h\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf"
            "\xbd\xef\xbf\xbd");
}

TEST(CutTextTest, CountsCharacters) {
  EXPECT_EQ(CutText("abc", 3), "abc");
  EXPECT_EQ(CutText("abcd", 3), "ab\xe2\x80\xa6");
  EXPECT_EQ(CutText("\xc3\xa9\xc3\xa9\xc3\xa9", 2), "\xc3\xa9\xe2\x80\xa6");
  EXPECT_EQ(CutText("", 3), "");
}

}  // namespace
}  // namespace vigie::alerting

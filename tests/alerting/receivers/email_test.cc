#include "alerting/receivers/email.h"

#include <fstream>

#include "tests/alerting/receivers/fixtures.h"
#include "tests/support/smtp_stub.h"

namespace vigie::alerting {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::SmtpStub;

// `more` are lines of the email config.
std::string Config(const SmtpStub& server, const std::string& more = "") {
  return "global:\n  smtp_smarthost: 127.0.0.1:" +
         std::to_string(server.port()) +
         "\n  smtp_from: 'vigie <vigie@example.org>'\n"
         "  smtp_require_tls: false\n"
         "receivers:\n- name: team\n  email_configs:\n"
         "  - to: 'Ops <ops@example.org>, b@example.org'\n" +
         more;
}

std::string Received(const SmtpStub& server) {
  const auto messages = server.messages();
  return messages.size() == 1 ? messages[0] : "";
}

TEST(EmailTest, SendsTextAndHtmlWithTheDefaultTexts) {
  SmtpStub server(SmtpStub::Polite);
  Team team(Config(server));

  const DeliveryOutcome outcome = team.Deliver();

  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.answer, "250 2.0.0 ok");
  EXPECT_THAT(server.lines(),
              AllOf(Contains("EHLO localhost"),
                    Contains(StartsWith("MAIL FROM:<vigie@example.org>")),
                    Contains(StartsWith("RCPT TO:<ops@example.org>")),
                    Contains(StartsWith("RCPT TO:<b@example.org>"))));
  EXPECT_THAT(
      Received(server),
      AllOf(HasSubstr("From: vigie\r\n <vigie@example.org>\r\n"),
            HasSubstr("To: Ops\r\n <ops@example.org>,\r\n b@example.org\r\n"),
            HasSubstr("Subject: [FIRING:1] PaymentsFail (payments)\r\n"),
            HasSubstr("Date: Sat, 21 Nov 2026 05:54:06 +0000\r\n"),
            HasSubstr("Auto-Submitted: auto-generated\r\n"),
            HasSubstr("Content-Type: multipart/alternative"),
            HasSubstr("* PaymentsFail: payments fail\r\n"),
            HasSubstr("<h1 style=3D"), HasSubstr("Resolved: 1"),
            Not(HasSubstr("References:"))));
}

TEST(EmailTest, EveryAttemptAtANotificationHasTheSameMessageId) {
  const auto id_of = [](const Notification& notification) {
    SmtpStub server(SmtpStub::Polite);
    EXPECT_THAT(Team(Config(server)).Deliver(notification).status, IsOk());
    const std::string message = Received(server);
    const size_t at = message.find("Message-Id: <");
    return message.substr(at, message.find("\r\n", at) - at);
  };
  Notification later = ANotification();
  later.now_ms += 60'000;
  Notification other = ANotification();
  other.id = "n-18 <x>\r\nX: y";

  const std::string first = id_of(ANotification());

  EXPECT_THAT(
      first, ::testing::MatchesRegex("Message-Id: <[0-9a-f]{32}@example.org>"));
  EXPECT_EQ(id_of(later), first);
  EXPECT_NE(id_of(other), first);
}

TEST(EmailTest, OwnHeadersTextAndHtmlReplaceOurs) {
  SmtpStub server(SmtpStub::Polite);
  Team team(Config(server,
                   "    headers: {subject: 'S {{ .Status }}', to: "
                   "'List <list@example.org>', X-Team: "
                   "'{{ .CommonLabels.job }}'}\n"
                   "    html: '<b>{{ .CommonLabels.job }}</b>'\n"));
  Notification notification = ANotification();
  notification.alerts = {FiringAlert("a")};

  ASSERT_THAT(team.Deliver(notification).status, IsOk());

  EXPECT_THAT(
      Received(server),
      AllOf(HasSubstr("Subject: S firing\r\n"),
            HasSubstr("To: List\r\n <list@example.org>\r\n"),
            HasSubstr("X-Team: payments\r\n"), HasSubstr("<b>payments</b>"),
            Not(HasSubstr("text/plain")), Not(HasSubstr("ops@example.org"))));
  EXPECT_THAT(server.lines(),
              Contains(StartsWith("RCPT TO:<ops@example.org>")));
}

TEST(EmailTest, ThreadsAreOneADayOrOneForever) {
  const auto thread_of = [](const std::string& by_date, int64_t now_ms) {
    SmtpStub server(SmtpStub::Polite);
    Team team(Config(server, "    threading: {enabled: true, thread_by_date: " +
                                 by_date + "}\n"));
    Notification notification = ANotification();
    notification.now_ms = now_ms;
    EXPECT_THAT(team.Deliver(notification).status, IsOk());
    const std::string message = Received(server);
    const size_t at = message.find("References: ");
    EXPECT_NE(at, std::string::npos);
    EXPECT_THAT(message, HasSubstr("In-Reply-To: "));
    return message.substr(at, message.find("\r\n", at) - at);
  };
  constexpr int64_t kDayMs = 86'400'000;

  EXPECT_EQ(thread_of("none", kNowMs), thread_of("none", kNowMs + kDayMs));
  EXPECT_EQ(thread_of("daily", kNowMs), thread_of("daily", kNowMs + 60'000));
  EXPECT_NE(thread_of("daily", kNowMs), thread_of("daily", kNowMs + kDayMs));
}

TEST(EmailTest, ATemplateThatGivesNoAddressIsAFinalError) {
  SmtpStub server(SmtpStub::Polite);
  Team team(
      Config(server, "    headers: {Reply-To: '{{ .CommonLabels.owner }}'}\n"));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_THAT(outcome.status, HasError(absl::StatusCode::kInvalidArgument,
                                       StartsWith("Reply-To:")));
  EXPECT_FALSE(outcome.temporary);
  EXPECT_THAT(server.lines(), IsEmpty());
}

struct Reply {
  const char* name;
  const char* verb;
  const char* reply;
  bool temporary;
  const char* answer;
};
class EmailReplyTest : public ::testing::TestWithParam<Reply> {};

TEST_P(EmailReplyTest, SaysWhetherToTryAgain) {
  const Reply& one = GetParam();
  SmtpStub server([&one](const std::string& line) -> std::string {
    if (line.starts_with(one.verb)) return one.reply;
    if (line.starts_with("EHLO")) return "250-stub\r\n250 AUTH PLAIN\r\n";
    if (line.starts_with("AUTH")) return "334 \r\n";
    return line.starts_with("AHVzZXIA") ? "235 ok\r\n" : SmtpStub::Polite(line);
  });
  Team team(
      Config(server, "    auth_username: user\n    auth_password: hunter2\n"));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_FALSE(outcome.status.ok());
  EXPECT_EQ(outcome.temporary, one.temporary) << outcome.status.ToString();
  EXPECT_EQ(outcome.answer, one.answer);
  EXPECT_THAT(outcome.answer + outcome.status.ToString(),
              Not(HasSubstr("hunter2")));
}

INSTANTIATE_TEST_SUITE_P(
    , EmailReplyTest,
    ::testing::Values(
        Reply{"Greylisted", "RCPT", "450 4.2.0 later\r\n", true,
              "450 4.2.0 later"},
        Reply{"Full", ".", "452 4.3.1 disk\r\n", true, "452 4.3.1 disk"},
        Reply{"NoSuchUser", "RCPT", "550 5.1.1 who?\r\n", false,
              "550 5.1.1 who?"},
        Reply{"Spam", ".", "554 5.7.1 spam\r\n", false, "554 5.7.1 spam"},
        Reply{"WrongPassword", "AUTH",
              "535 not hunter2 aHVudGVyMg== AHVzZXIAaHVudGVyMg==\r\n", true,
              "535 not <secret> <secret> <secret>"},
        Reply{"ClosesAfterTheData", ".", "close", true, ""}),
    [](const auto& info) { return info.param.name; });

TEST(EmailTest, StartTlsIsRequiredUnlessSwitchedOff) {
  SmtpStub server(SmtpStub::Polite);
  Team team(Config(server, "    require_tls: true\n"));

  const DeliveryOutcome outcome = team.Deliver();

  EXPECT_THAT(outcome.status, HasError(absl::StatusCode::kFailedPrecondition,
                                       HasSubstr("STARTTLS")));
  EXPECT_TRUE(outcome.temporary);
  EXPECT_THAT(server.messages(), IsEmpty());
}

TEST(EmailTest, ReadsThePasswordAgainForEachMessage) {
  const std::string dir = ::testing::TempDir();
  SmtpStub server([](const std::string& line) -> std::string {
    if (line.starts_with("EHLO")) return "250-stub\r\n250 AUTH PLAIN\r\n";
    // \0user\0new
    if (line == "AUTH PLAIN") return "334 \r\n";
    if (line == "AHVzZXIAbmV3") return "235 ok\r\n";
    return line == "AHVzZXIAb2xk" ? "535 no\r\n" : SmtpStub::Polite(line);
  });
  Team team(
      Config(server, "    auth_username: user\n    auth_password_file: pw\n"),
      dir);

  std::ofstream(dir + "/pw") << "old\n";
  EXPECT_TRUE(team.Deliver().temporary);
  std::ofstream(dir + "/pw") << "new\n";

  EXPECT_THAT(team.Deliver().status, IsOk());
  EXPECT_THAT(server.messages(), SizeIs(1));
}

}  // namespace
}  // namespace vigie::alerting

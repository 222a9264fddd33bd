#include "base/net/smtp_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <stop_token>
#include <string>

#include "tests/support/smtp_stub.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_http_server.h"

namespace vigie::net {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::vigie::testing::Gate;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::SmtpStub;

// Long enough that a test which runs into it has failed.
constexpr absl::Duration kForever = absl::Minutes(5);

SmtpRequest Plain(const SmtpStub& server) {
  return {.host = "127.0.0.1",
          .port = server.port(),
          .tls = SmtpRequest::Tls::kNone,
          .hello = "vigie.example",
          .from = "vigie@example.org",
          .to = {"ops@example.org"},
          .message = "Subject: x\r\n\r\nhello\r\n",
          .timeout = kForever};
}

// Answers `reply` to the line that begins with `verb`, politely otherwise.
SmtpStub::Answer Saying(const std::string& verb, const std::string& reply) {
  return [verb, reply](const std::string& line) {
    const bool hit = verb.empty() ? line.empty() : line.starts_with(verb);
    return hit ? reply : SmtpStub::Polite(line);
  };
}

TEST(SmtpClientTest, HandsOverTheMessageAndReturnsTheLastReply) {
  SmtpStub server(Saying(".", "250 2.0.0 queued as 17\r\n"));
  SmtpRequest request = Plain(server);
  request.to = {"a@example.org", "b@example.org"};
  SmtpClient client;

  const auto reply = client.Send(request, {});

  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->code, 250);
  EXPECT_EQ(reply->text, "2.0.0 queued as 17");
  EXPECT_THAT(server.messages(), ElementsAre("Subject: x\r\n\r\nhello\r\n"));
  EXPECT_THAT(server.lines(),
              AllOf(Contains("EHLO vigie.example"),
                    Contains(StartsWith("MAIL FROM:<vigie@example.org>")),
                    Contains(StartsWith("RCPT TO:<a@example.org>")),
                    Contains(StartsWith("RCPT TO:<b@example.org>"))));
}

TEST(SmtpClientTest, StuffsDotsSoThatAMessageCannotEndItself) {
  SmtpStub server(SmtpStub::Polite);
  SmtpRequest request = Plain(server);
  request.message =
      ".first\r\n.\r\nMAIL FROM:<evil@example.org>\r\n..two\r\nend\r\n";
  SmtpClient client;

  ASSERT_THAT(client.Send(request, {}), IsOk());

  EXPECT_THAT(server.messages(),
              ElementsAre("..first\r\n..\r\nMAIL FROM:<evil@example.org>\r\n"
                          "...two\r\nend\r\n"));
}

struct Refusal {
  const char* name;
  const char* verb;
  const char* reply;
  int code;
};
class SmtpRefusalTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(SmtpRefusalTest, ComesBackAsAReply) {
  const Refusal& refusal = GetParam();
  SmtpStub server(Saying(refusal.verb, refusal.reply));
  SmtpClient client;

  const auto reply = client.Send(Plain(server), {});

  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->code, refusal.code);
  EXPECT_THAT(reply->text, HasSubstr("because"));
}

INSTANTIATE_TEST_SUITE_P(
    , SmtpRefusalTest,
    ::testing::Values(Refusal{"Greeting", "", "554 because\r\n", 554},
                      Refusal{"From", "MAIL", "451 4.3.0 because\r\n", 451},
                      Refusal{"Recipient", "RCPT", "550 because\r\n", 550},
                      Refusal{"Data", "DATA", "452 because\r\n", 452},
                      Refusal{"EndOfDataTemporary", ".",
                              "451 4.7.1 because\r\n", 451},
                      Refusal{"EndOfDataPermanent", ".",
                              "554-5.6.0 no\r\n554 5.6.0 because\r\n", 554}),
    [](const auto& info) { return info.param.name; });

struct Lie {
  const char* name;
  const char* verb;
  std::string reply;
};
class SmtpLieTest : public ::testing::TestWithParam<Lie> {};

// Whatever a server does instead of answering, no message counts as taken.
TEST_P(SmtpLieTest, IsUnavailable) {
  SmtpStub server(Saying(GetParam().verb, GetParam().reply));
  SmtpClient client;

  EXPECT_THAT(client.Send(Plain(server), {}),
              HasCode(absl::StatusCode::kUnavailable));
}

INSTANTIATE_TEST_SUITE_P(
    , SmtpLieTest,
    ::testing::Values(
        Lie{"ClosesAtOnce", "", std::string(SmtpStub::kClose)},
        Lie{"ClosesAtData", "DATA", std::string(SmtpStub::kClose)},
        Lie{"ClosesAfterTheData", ".", std::string(SmtpStub::kClose)},
        Lie{"TalksOnAndOn", "EHLO",
            [] {
              std::string text;
              for (int i = 0; i < 10'000; ++i) text += "250-STUFF\r\n";
              return text;
            }()},
        Lie{"OneEndlessLine", "EHLO", "250-" + std::string(1 << 20, 'x')},
        Lie{"NoSuccessInTheEnd", ".", "354 go on\r\n"}),
    [](const auto& info) { return info.param.name; });

TEST(SmtpClientTest, GivesUpOnASilentServerInTime) {
  SmtpStub server(Saying("MAIL", ""));
  SmtpRequest request = Plain(server);
  request.timeout = absl::Milliseconds(50);
  SmtpClient client;

  EXPECT_THAT(client.Send(request, {}),
              HasError(absl::StatusCode::kDeadlineExceeded, HasSubstr("50ms")));
}

TEST(SmtpClientTest, CountsATakenMessageThoughTheServerNeverSaysGoodbye) {
  SmtpStub server(Saying("QUIT", ""));
  SmtpClient client;

  const auto reply = client.Send(Plain(server), {});  // kForever, if it waited

  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->code, 250);
}

TEST(SmtpClientTest, DoesNotWaitForGoodbyeAfterARefusalEither) {
  SmtpStub server([](const std::string& line) -> std::string {
    if (line.starts_with("RCPT")) return "550 no\r\n";
    return line == "QUIT" ? "" : SmtpStub::Polite(line);
  });
  SmtpClient client;

  const auto reply = client.Send(Plain(server), {});

  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->code, 550);
}

TEST(SmtpClientTest, TakesAServerThatKnowsNoEhlo) {
  SmtpStub server(Saying("EHLO", "502 what?\r\n"));
  SmtpClient client;

  const auto reply = client.Send(Plain(server), {});

  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->code, 250);
}

TEST(SmtpClientTest, EndsAtOnceWhenStopped) {
  Gate gate;
  SmtpStub server([&gate](const std::string& line) -> std::string {
    if (line != "DATA") return SmtpStub::Polite(line);
    gate.Wait();
    return std::string(SmtpStub::kClose);
  });
  SmtpClient client;
  std::stop_source stop;
  auto sending = std::async(std::launch::async, [&] {
    return client.Send(Plain(server), stop.get_token()).status();
  });
  gate.AwaitWaiters(1);

  stop.request_stop();

  EXPECT_THAT(sending.get(), HasCode(absl::StatusCode::kCancelled));
  gate.Open();
}

TEST(SmtpClientTest, AStoppedCallDoesNotConnect) {
  SmtpStub server(SmtpStub::Polite);
  SmtpClient client;
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(client.Send(Plain(server), stop.get_token()),
              HasCode(absl::StatusCode::kCancelled));
  EXPECT_THAT(server.lines(), IsEmpty());
}

TEST(SmtpClientTest, NamesADeadServer) {
  int port = 0;
  {
    SmtpStub gone(SmtpStub::Polite);
    port = gone.port();
  }
  SmtpClient client;

  const auto reply = client.Send({.host = "127.0.0.1",
                                  .port = port,
                                  .from = "a@example.org",
                                  .to = {"b@example.org"}},
                                 {});

  EXPECT_THAT(reply, HasError(absl::StatusCode::kUnavailable,
                              AllOf(StartsWith("SMTP 127.0.0.1:"),
                                    HasSubstr("refused"))));
}

TEST(SmtpClientTest, RequiresStartTlsUnlessToldOtherwise) {
  SmtpStub server(SmtpStub::Polite);
  SmtpRequest request = Plain(server);
  request.tls = SmtpRequest{}.tls;
  SmtpClient client;

  EXPECT_THAT(
      client.Send(request, {}),
      HasError(absl::StatusCode::kFailedPrecondition, HasSubstr("STARTTLS")));
  EXPECT_THAT(server.lines(), Not(Contains(StartsWith("MAIL"))));
}

TEST(SmtpClientTest, DoesNotGoOnInClearWhenTlsFails) {
  SmtpStub server([](const std::string& line) -> std::string {
    if (line.starts_with("EHLO")) return "250-stub\r\n250 STARTTLS\r\n";
    if (line == "STARTTLS") return "220 ready\r\nnot TLS at all\r\n";
    return SmtpStub::Polite(line);
  });
  SmtpRequest request = Plain(server);
  request.tls = SmtpRequest::Tls::kStartTlsRequired;
  SmtpClient client;

  EXPECT_FALSE(client.Send(request, {}).ok());
  EXPECT_THAT(server.lines(), Not(Contains(StartsWith("MAIL"))));
}

TEST(SmtpClientTest, SendsNothingWhereItCannotAuthenticate) {
  SmtpStub server(SmtpStub::Polite);  // offers no AUTH
  SmtpRequest request = Plain(server);
  request.username = "user";
  request.password = "hunter2";
  SmtpClient client;

  EXPECT_THAT(
      client.Send(request, {}),
      HasError(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("authentication"), Not(HasSubstr("hunter2")))));
  EXPECT_THAT(server.messages(), IsEmpty());
}

TEST(SmtpClientTest, ReturnsTheReplyToAWrongPassword) {
  SmtpStub server([](const std::string& line) -> std::string {
    if (line.starts_with("EHLO")) return "250-stub\r\n250 AUTH PLAIN\r\n";
    if (line.starts_with("AUTH")) return "535 5.7.8 wrong\r\n";
    return SmtpStub::Polite(line);
  });
  SmtpRequest request = Plain(server);
  request.username = "user";
  request.password = "hunter2";
  SmtpClient client;

  const auto reply = client.Send(request, {});

  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->code, 535);
  EXPECT_THAT(server.messages(), IsEmpty());
}

TEST(SmtpClientTest, AChallengeOnlySecretIsNeverSentAsAPassword) {
  SmtpStub server([](const std::string& line) -> std::string {
    if (line.starts_with("EHLO")) return "250-stub\r\n250 AUTH PLAIN LOGIN\r\n";
    return SmtpStub::Polite(line);
  });
  SmtpRequest request = Plain(server);
  request.username = "user";
  request.password = "hunter2";
  request.challenge_only = true;
  SmtpClient client;

  EXPECT_THAT(client.Send(request, {}),
              HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(server.lines(), Not(Contains(StartsWith("AUTH"))));
}

class SmtpSmugglingTest : public ::testing::TestWithParam<std::string> {};

TEST_P(SmtpSmugglingTest, IsRefusedBeforeAConnectionIsMade) {
  SmtpStub server(SmtpStub::Polite);
  SmtpClient client;

  for (const bool as_sender : {true, false}) {
    SmtpRequest request = Plain(server);
    (as_sender ? request.from : request.to[0]) = GetParam();
    EXPECT_THAT(client.Send(request, {}),
                HasCode(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(server.lines(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    , SmtpSmugglingTest,
    ::testing::Values("", "nobody", "@example.org", "a@",
                      "a@example.org>\r\nRCPT TO:<b@example.org",
                      "a@example.org\r\nDATA", "a@example.org\nDATA",
                      "a@example.org> SIZE=1", "<a@example.org>",
                      "a b@example.org", std::string("a@ex\0ample.org", 14),
                      "a@exämple.org", std::string(300, 'a') + "@x.org"));

TEST(SmtpClientTest, RefusesAHostThatCouldSmuggle) {
  SmtpStub server(SmtpStub::Polite);
  SmtpClient client;

  for (const std::string host :
       {"", "a b", "x/y", "u@x", "x\r\nQUIT", "x?y", "x#y", "x%0d"}) {
    SmtpRequest request = Plain(server);
    request.host = host;
    EXPECT_THAT(client.Send(request, {}),
                HasCode(absl::StatusCode::kInvalidArgument))
        << host;
    request = Plain(server);
    request.hello = host.empty() ? "x y" : host;
    EXPECT_THAT(client.Send(request, {}),
                HasCode(absl::StatusCode::kInvalidArgument))
        << host;
  }
}

}  // namespace
}  // namespace vigie::net

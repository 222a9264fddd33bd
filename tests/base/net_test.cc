#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stop_token>
#include <string>
#include <thread>

#include "base/compress/compress.h"
#include "base/net/http_client.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_http_server.h"

namespace vigie::net {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::vigie::testing::Gate;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using ::vigie::testing::TestHttpServer;

using Request = TestHttpServer::Request;
using Response = TestHttpServer::Response;

Response Text(std::string body) {
  return {.headers = {{"Content-Type", "text/plain; version=0.0.4"}},
          .body = std::move(body)};
}

TEST(HttpClientTest, ReturnsStatusTypeAndBody) {
  TestHttpServer server([](const Request&) { return Text("up 1\n"); });
  HttpClient client;

  const auto got = client.Do({.url = server.Url("/metrics?x=1")}, {});

  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->status, 200);
  EXPECT_EQ(got->body, "up 1\n");
  EXPECT_EQ(got->content_type, "text/plain; version=0.0.4");
  EXPECT_EQ(server.requests()[0].method, "GET");
  EXPECT_EQ(server.requests()[0].target, "/metrics?x=1");
}

TEST(HttpClientTest, TakesAnErrorStatusAsAnAnswerAndReadsRetryAfter) {
  TestHttpServer server([](const Request&) {
    return Response{.status = 429, .headers = {{"Retry-After", "7"}}};
  });
  HttpClient client;

  const auto got = client.Do({.url = server.Url("/")}, {});

  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->status, 429);
  EXPECT_EQ(got->retry_after_s, 7);
}

TEST(HttpClientTest, SendsMethodHeadersAndBody) {
  TestHttpServer server([](const Request&) { return Text("ok"); });
  HttpClient client;

  ASSERT_THAT(client.Do({.method = "POST",
                         .url = server.Url("/hook"),
                         .headers = {{"Content-Type", "application/json"},
                                     {"X-Empty", ""}},
                         .body = "{}"},
                        {}),
              IsOk());
  ASSERT_THAT(
      client.Do({.method = "PUT", .url = server.Url("/p"), .body = "b"}, {}),
      IsOk());

  const auto requests = server.requests();
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].body, "{}");
  EXPECT_EQ(requests[0].headers.at("content-type"), "application/json");
  EXPECT_EQ(requests[0].headers.at("x-empty"), "");
  EXPECT_EQ(requests[0].headers.count("expect"), 0u);
  EXPECT_EQ(requests[1].method, "PUT");
  EXPECT_EQ(requests[1].body, "b");
}

TEST(HttpClientTest, KeepsTheConnectionBetweenCalls) {
  TestHttpServer server([](const Request&) { return Text("x"); });
  HttpClient client;

  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(client.Do({.url = server.Url("/")}, {}), IsOk());
  }

  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientTest, ForgetsMethodHeadersAndBodyOfTheCallBefore) {
  TestHttpServer server([](const Request&) { return Text("x"); });
  HttpClient client;
  ASSERT_THAT(client.Do({.method = "DELETE",
                         .url = server.Url("/"),
                         .headers = {{"X-Old", "1"}},
                         .body = "old"},
                        {}),
              IsOk());

  ASSERT_THAT(client.Do({.url = server.Url("/")}, {}), IsOk());

  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(server.requests()[1].method, "GET");
  EXPECT_EQ(server.requests()[1].body, "");
  EXPECT_EQ(server.requests()[1].headers.count("x-old"), 0u);
}

TEST(HttpClientTest, InflatesGzip) {
  TestHttpServer server([](const Request&) {
    return Response{.headers = {{"Content-Encoding", "gzip"}},
                    .body = compress::CompressGzip("up 1\n")};
  });
  HttpClient client;

  const auto got = client.Do({.url = server.Url("/")}, {});

  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->body, "up 1\n");
  EXPECT_EQ(server.requests()[0].headers.at("accept-encoding"), "gzip");
}

TEST(HttpClientTest, BoundsTheBodyAfterDecompression) {
  const std::string bomb = compress::CompressGzip(std::string(10 << 20, 'a'));
  TestHttpServer server([&](const Request&) {
    return Response{.headers = {{"Content-Encoding", "gzip"}}, .body = bomb};
  });
  HttpClient client;

  EXPECT_THAT(
      client.Do({.url = server.Url("/"), .response_bytes_max = 1 << 20}, {}),
      HasError(absl::StatusCode::kOutOfRange,
               HasSubstr("longer than 1048576 bytes")));
}

TEST(HttpClientTest, TakesABodyOfExactlyTheBound) {
  TestHttpServer server([](const Request&) { return Text("12345"); });
  HttpClient client;

  EXPECT_THAT(client.Do({.url = server.Url("/"), .response_bytes_max = 5}, {}),
              IsOk());
  EXPECT_THAT(client.Do({.url = server.Url("/"), .response_bytes_max = 4}, {}),
              HasCode(absl::StatusCode::kOutOfRange));
}

TEST(HttpClientTest, GivesUpAfterTheTimeout) {
  Gate gate;
  TestHttpServer server([&](const Request&) {
    gate.Wait();
    return Text("late");
  });
  HttpClient client;

  EXPECT_THAT(
      client.Do({.url = server.Url("/slow"), .timeout = absl::Milliseconds(50)},
                {}),
      HasError(absl::StatusCode::kDeadlineExceeded,
               AllOf(HasSubstr("/slow"), HasSubstr("50ms"))));
  gate.Open();
}

TEST(HttpClientTest, EndsAsSoonAsItIsStopped) {
  Gate gate;
  TestHttpServer server([&](const Request&) {
    gate.Wait();
    return Text("late");
  });
  HttpClient client;
  std::stop_source stop;
  std::thread stopper([&] {
    gate.AwaitWaiters(1);
    stop.request_stop();
  });

  EXPECT_THAT(client.Do({.url = server.Url("/"), .timeout = absl::Hours(1)},
                        stop.get_token()),
              HasCode(absl::StatusCode::kCancelled));
  stopper.join();
  gate.Open();
}

TEST(HttpClientTest, SaysWhatTheNetworkDid) {
  HttpClient client;
  std::string closed;
  {
    TestHttpServer server([](const Request&) { return Text(""); });
    closed = server.Url("/metrics");
  }
  TestHttpServer silent(
      [](const Request&) { return Response{.no_answer = true}; });
  TestHttpServer cut([](const Request&) {
    return Response{.raw = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nup"};
  });
  TestHttpServer junk([](const Request&) {
    return Response{.raw = "SSH-2.0-OpenSSH_9.2\r\n"};
  });

  EXPECT_THAT(client.Do({.url = closed}, {}),
              HasError(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(closed), HasSubstr("refused"))));
  for (const TestHttpServer* server : {&silent, &cut, &junk}) {
    EXPECT_THAT(client.Do({.url = server->Url("/")}, {}),
                HasCode(absl::StatusCode::kUnavailable));
  }
}

TEST(HttpClientTest, RefusesAMalformedRequestWithoutQuotingIt) {
  HttpClient client;

  for (const char* url :
       {"", "127.0.0.1", "http://", "ftp://h/x", "file:///etc/passwd",
        "http://user:hunter2@host:notaport/", "http://[::1/",
        "http://user:hunter2@h h/"}) {
    EXPECT_THAT(client.Do({.url = url}, {}),
                HasError(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("URL"), Not(HasSubstr("hunter2")))))
        << url;
  }
  EXPECT_THAT(
      client.Do({.url = "http://127.0.0.1:1/",
                 .headers = {{"Authorization", "hunter2\r\nX: y"}}},
                {}),
      HasError(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("Authorization"), Not(HasSubstr("hunter2")))));
  EXPECT_THAT(client.Do({.method = "GE T", .url = "http://127.0.0.1:1/"}, {}),
              HasCode(absl::StatusCode::kInvalidArgument));
}

TEST(HttpClientTest, KeepsCredentialsOutOfItsMessages) {
  std::string address;
  {
    TestHttpServer server([](const Request&) { return Text(""); });
    address = server.address();
  }
  HttpClient client;

  const auto got = client.Do(
      {.url = "http://user:hunter2@" + address + "/m?token=hunter2"}, {});

  EXPECT_THAT(got, HasError(absl::StatusCode::kUnavailable,
                            AllOf(HasSubstr("http://" + address + "/m"),
                                  Not(HasSubstr("hunter2")))));
}

TEST(HttpClientTest, FollowsRedirectsWithoutCredentialsToAnotherHost) {
  TestHttpServer other([](const Request&) { return Text("other"); });
  TestHttpServer first([&](const Request& request) {
    if (request.target == "/here") return Text("here");
    return Response{.status = 302,
                    .headers = {{"Location", request.target == "/same"
                                                 ? "/here"
                                                 : other.Url("/there")}}};
  });
  HttpClient client;
  const std::vector<std::pair<std::string, std::string>> headers = {
      {"Authorization", "Bearer hunter2"}};

  const auto same =
      client.Do({.url = first.Url("/same"), .headers = headers}, {});
  const auto away =
      client.Do({.url = first.Url("/away"), .headers = headers}, {});

  ASSERT_THAT(same, IsOk());
  EXPECT_EQ(same->body, "here");
  EXPECT_EQ(first.requests()[1].headers.at("authorization"), "Bearer hunter2");
  ASSERT_THAT(away, IsOk());
  EXPECT_EQ(away->body, "other");
  ASSERT_THAT(other.requests(), SizeIs(1));
  EXPECT_EQ(other.requests()[0].headers.count("authorization"), 0u);
}

TEST(HttpClientTest, RefusesRedirectsToOtherProtocolsAndWithoutEnd) {
  TestHttpServer server([&](const Request& request) {
    return Response{.status = 302,
                    .headers = {{"Location", request.target == "/file"
                                                 ? "file:///etc/passwd"
                                                 : "/loop"}}};
  });
  HttpClient client;

  EXPECT_THAT(client.Do({.url = server.Url("/file")}, {}),
              HasCode(absl::StatusCode::kUnavailable));
  EXPECT_THAT(client.Do({.url = server.Url("/loop"), .redirects_max = 3}, {}),
              HasCode(absl::StatusCode::kUnavailable));
  EXPECT_EQ(server.requests().size(), 1u + 4u);
}

TEST(HttpClientTest, GivesTheRedirectItselfIfNoneMayBeFollowed) {
  TestHttpServer server([](const Request&) {
    return Response{.status = 302, .headers = {{"Location", "/x"}}};
  });
  HttpClient client;

  const auto got = client.Do({.url = server.Url("/"), .redirects_max = 0}, {});

  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->status, 302);
}

TEST(HttpClientTest, KeepsASecretPathOutOfErrors) {
  TestHttpServer server(
      [](const Request&) { return Response{.no_answer = true}; });
  HttpClient client;

  const auto got = client.Do(
      {.url = server.Url("/services/T0/B0/hunter2"), .path_is_secret = true},
      {});

  EXPECT_THAT(got, HasError(absl::StatusCode::kUnavailable,
                            AllOf(HasSubstr(server.address()),
                                  Not(HasSubstr("hunter2")))));
}

TEST(HttpClientTest, CutsALongBodyWhereTheStatusIsWhatCounts) {
  TestHttpServer server([](const Request&) {
    return Response{.status = 202, .body = std::string(1 << 20, 'x')};
  });
  HttpClient client;

  const auto got = client.Do({.url = server.Url("/"),
                              .response_bytes_max = 100,
                              .cut_long_body = true},
                             {});

  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->status, 202);
  EXPECT_EQ(got->body, std::string(100, 'x'));
}

}  // namespace
}  // namespace vigie::net

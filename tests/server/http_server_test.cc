#include "server/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/compress/compress.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using vigie::testing::HasError;
using vigie::testing::RawHttpClient;
using vigie::testing::RawReply;

// Pieces of one letter each: "aaaa...bbbb...", `pieces` of kPieceBytes.
class Letters final : public BodySource {
 public:
  explicit Letters(int pieces) : pieces_(pieces) {}
  bool Next(std::string* out) override {
    out->append(kPieceBytes, static_cast<char>('a' + made_ % 26));
    return ++made_ < pieces_;
  }

 private:
  const int pieces_;
  int made_ = 0;
};

// Echoes, unless the path says otherwise.
class HttpServerTest : public ::testing::Test {
 protected:
  void Start() {
    auto server = HttpServer::Start(
        "127.0.0.1:0", limits_,
        [this](HttpRequest request, Responder responder) {
          Handle(std::move(request), std::move(responder));
        },
        codec_, clock_, registry_, watched_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void Handle(HttpRequest request, Responder responder) {
    if (request.path == "/hold") {
      std::lock_guard lock(mutex_);
      held_request_ = std::move(request);
      held_.emplace(std::move(responder));
      changed_.notify_all();
    } else if (request.path == "/letters") {
      HttpAnswer answer;
      answer.rest = std::make_unique<Letters>(20);
      responder.Answer(std::move(answer));
    } else if (request.path == "/drop") {
      // Its destructor answers.
    } else {
      responder.Answer({.body = request.method + " " + request.path + "?" +
                                request.query + " " + request.body});
    }
  }

  void AwaitHeld() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(10),
                           [&] { return held_.has_value(); })) {
      throw std::runtime_error("no request came to /hold");
    }
  }

  double Fault(const std::string& reason) {
    for (const auto& family : registry_.Collect()) {
      if (family.name != "vigie_http_faults_total") continue;
      for (const auto& metric : family.metric) {
        if (metric.label[0].value == reason) return metric.counter.value;
      }
    }
    return 0;
  }

  RawHttpClient Client() { return RawHttpClient(server_->address()); }

  SystemClock clock_;
  prometheus::Registry registry_;
  TaskPool codec_{2, 1000};
  HttpLimits limits_;
  HttpServer::Watched watched_;
  std::mutex mutex_;
  std::condition_variable changed_;
  HttpRequest held_request_;
  std::optional<Responder> held_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, NamesTheRealPortAndAnswersOverAKeptConnection) {
  Start();
  RawHttpClient client = Client();

  EXPECT_EQ(client.Get("/one?a=b").body, "GET /one?a=b ");
  EXPECT_EQ(client.PostForm("/two", "x=y").body, "POST /two? x=y");
}

TEST_F(HttpServerTest, NamesAddressAndCauseWhenItCannotListen) {
  Start();

  EXPECT_THAT(HttpServer::Start(server_->address(), limits_, nullptr, codec_,
                                clock_, registry_),
              HasError(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(server_->address()),
                             HasSubstr("Address already in use"))));
  EXPECT_THAT(
      HttpServer::Start("nonsense", limits_, nullptr, codec_, clock_,
                        registry_),
      HasError(absl::StatusCode::kUnavailable, HasSubstr("want host:port")));
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  RawHttpClient client = Client();

  client.Send(
      "GET /1 HTTP/1.1\r\nHost: t\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"
      "GET /3 HTTP/1.1\r\nHost: t\r\n\r\n");

  EXPECT_EQ(client.Receive().body, "GET /1? ");
  EXPECT_EQ(client.Receive().body, "POST /2? hi");
  EXPECT_EQ(client.Receive().body, "GET /3? ");
}

TEST_F(HttpServerTest, PutsChunkedBodiesTogether) {
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Ask(
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\n\r\n");

  EXPECT_EQ(reply.body, "POST /? abcdefg");
  EXPECT_EQ(client.Get("/next").body, "GET /next? ");
}

TEST_F(HttpServerTest, ReadsALongChunkedBodyWhole) {
  Start();
  RawHttpClient client = Client();
  std::string sent;
  client.Send(
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");

  for (int i = 0; i < 300; ++i) {
    const std::string piece(1024, static_cast<char>('a' + i % 26));
    client.Send("400\r\n" + piece + "\r\n");
    sent += piece;
  }

  EXPECT_EQ(client.Ask("0\r\n\r\n").body, "POST /? " + sent);
}

TEST_F(HttpServerTest, RefusesBadChunksWith400) {
  Start();

  const RawReply reply = Client().Ask(
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "zz\r\nabc\r\n");

  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(Fault("malformed"), 1);
}

TEST_F(HttpServerTest, RefusesALengthBesideChunksWhichSmugglesRequests) {
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Ask(
      "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled");

  EXPECT_EQ(reply.status, 400);
  EXPECT_TRUE(client.AwaitEnd());
}

TEST_F(HttpServerTest, RefusesADeclaredBodyOverTheLimitBeforeReadingIt) {
  limits_.body_bytes_max = 1000;
  Start();

  const RawReply reply = Client().Ask(
      "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n");

  EXPECT_EQ(reply.status, 413);
  EXPECT_THAT(reply.body, HasSubstr("1000 bytes (http.body_bytes_max)"));
  EXPECT_EQ(Fault("body_too_large"), 1);
}

TEST_F(HttpServerTest, RefusesAChunkedBodyOverTheLimit) {
  limits_.body_bytes_max = 1000;
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Ask(
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3e9\r\n" +
      std::string(1001, 'x') + "\r\n0\r\n\r\n");

  EXPECT_EQ(reply.status, 413);
  EXPECT_TRUE(client.AwaitEnd());
}

TEST_F(HttpServerTest, TakesABodyOfExactlyTheLimit) {
  limits_.body_bytes_max = 1000;
  Start();

  EXPECT_EQ(Client().PostForm("/", std::string(1000, 'x')).status, 200);
  EXPECT_EQ(Client()
                .Ask("POST / HTTP/1.1\r\nHost: t\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" +
                     std::string(1000, 'x') + "\r\n0\r\n\r\n")
                .status,
            200);
}

TEST_F(HttpServerTest, RefusesBodiesThatTogetherAreTooLargeUntilOthersEnd) {
  limits_.bodies_bytes_max = 1'000'000;
  Start();
  RawHttpClient first = Client();
  const std::string body(700'000, 'x');
  first.Send(
      "POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 700000\r\n\r\n" +
      body);
  AwaitHeld();

  const RawReply refused = Client().PostForm("/", body);
  held_->Answer({.body = "done"});
  EXPECT_EQ(first.Receive().status, 200);

  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.headers.contains("Retry-After"));
  EXPECT_EQ(Client().PostForm("/", body).status, 200);
}

TEST_F(HttpServerTest, AsksForTheBodyOnExpect) {
  Start();
  RawHttpClient client = Client();

  const RawReply go = client.Ask(
      "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n"
      "Expect: 100-continue\r\n\r\n");

  EXPECT_EQ(go.status, 100);
  EXPECT_EQ(client.Ask("hi").body, "POST /? hi");
}

TEST_F(HttpServerTest, RefusesRatherThanAsksForABodyOverTheLimit) {
  limits_.body_bytes_max = 10;
  Start();

  EXPECT_EQ(Client()
                .Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n"
                     "Expect: 100-continue\r\n\r\n")
                .status,
            413);
}

TEST_F(HttpServerTest, RefusesHugeHeadersWith431) {
  Start();

  const RawReply reply = Client().Ask("GET / HTTP/1.1\r\nHost: t\r\nX: " +
                                      std::string(70'000, 'x') + "\r\n\r\n");

  EXPECT_EQ(reply.status, 431);
  EXPECT_EQ(Fault("header_too_large"), 1);
}

TEST_F(HttpServerTest, RefusesWhatIsNotHttpWith400) {
  Start();

  EXPECT_EQ(Client().Ask("\x16\x03\x01 hello\r\n\r\n").status, 400);
  EXPECT_EQ(Client().Ask("GET nonsense HTTP/1.1\r\nHost: t\r\n\r\n").status,
            400);
  EXPECT_EQ(Client().Ask("GET / HTTP/1.1\r\n\r\n").status, 400);
  EXPECT_EQ(Client()
                .Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n")
                .status,
            400);
}

TEST_F(HttpServerTest, GivesUpOnASlowHead) {
  limits_.header_timeout = absl::Milliseconds(50);
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Ask("GET / HTTP/1.1\r\nHo");

  EXPECT_EQ(reply.status, 408);
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_EQ(Fault("header_timeout"), 1);
}

TEST_F(HttpServerTest, GivesUpOnASlowBody) {
  limits_.body_timeout = absl::Milliseconds(50);
  Start();
  RawHttpClient plain = Client();
  RawHttpClient chunked = Client();

  EXPECT_EQ(
      plain.Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nx")
          .status,
      408);
  EXPECT_EQ(chunked
                .Ask("POST / HTTP/1.1\r\nHost: t\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n3\r\nx")
                .status,
            408);
  EXPECT_EQ(Fault("body_timeout"), 2);
}

TEST_F(HttpServerTest, ClosesIdleConnectionsAfterTheirTime) {
  limits_.idle_timeout = absl::Milliseconds(50);
  Start();
  RawHttpClient fresh = Client();
  RawHttpClient used = Client();
  EXPECT_EQ(used.Get("/").status, 200);

  EXPECT_TRUE(fresh.AwaitEnd());
  EXPECT_TRUE(used.AwaitEnd());
}

TEST_F(HttpServerTest, AnswersBesideAThousandIdleConnections) {
  // Both ends are in this process.
  rlimit files;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  Start();
  std::vector<RawHttpClient> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(Client());
    ASSERT_TRUE(idle.back().connected());
  }

  EXPECT_EQ(Client().Get("/").status, 200);
  EXPECT_EQ(idle.front().Get("/").status, 200);
  EXPECT_EQ(idle.back().Get("/").status, 200);
}

TEST_F(HttpServerTest, RefusesOneConnectionTooManyByName) {
  limits_.connections_max = 2;
  Start();
  RawHttpClient first = Client();
  RawHttpClient second = Client();
  ASSERT_EQ(first.Get("/").status, 200);
  ASSERT_EQ(second.Get("/").status, 200);

  RawHttpClient third = Client();
  const RawReply reply = third.Receive();

  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("http.connections_max"));
  EXPECT_EQ(Fault("connections_max"), 1);
}

TEST_F(HttpServerTest, ClosesAfterAnAnswerWhereTheClientAsksForIt) {
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Get("/", "Connection: close\r\n");

  EXPECT_EQ(reply.headers.at("Connection"), "close");
  EXPECT_TRUE(client.AwaitEnd());
}

TEST_F(HttpServerTest, AnswersHeadWithTheLengthAndWithoutTheBody) {
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Ask("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n", true);

  EXPECT_EQ(reply.headers.at("Content-Length"), "8");
  EXPECT_EQ(client.Get("/").body, "GET /? ");
}

TEST_F(HttpServerTest, SendsALongAnswerInChunks) {
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Get("/letters");

  EXPECT_EQ(reply.headers.at("Transfer-Encoding"), "chunked");
  ASSERT_EQ(reply.body.size(), 20 * kPieceBytes);
  EXPECT_EQ(reply.body[3 * kPieceBytes], 'd');
  EXPECT_EQ(client.Get("/").status, 200);
}

TEST_F(HttpServerTest, EndsALongAnswerToHttp10ByTheClose) {
  Start();
  RawHttpClient client = Client();

  const RawReply reply = client.Ask("GET /letters HTTP/1.0\r\n\r\n");

  EXPECT_FALSE(reply.headers.contains("Transfer-Encoding"));
  EXPECT_EQ(reply.body.size(), 20 * kPieceBytes);
}

TEST_F(HttpServerTest, CompressesWhatTheClientAccepts) {
  Start();
  RawHttpClient client = Client();
  const std::string body(5000, 'x');

  const RawReply gzip =
      client.PostForm("/", body, "Accept-Encoding: deflate, gzip\r\n");
  const RawReply deflate =
      client.PostForm("/", body, "Accept-Encoding: gzip;q=0, deflate\r\n");
  const RawReply zstd =
      client.PostForm("/", body, "Accept-Encoding: gzip, br, zstd\r\n");
  const RawReply plain = client.PostForm("/", body);
  const RawReply small = client.Get("/", "Accept-Encoding: gzip\r\n");

  EXPECT_EQ(gzip.headers.at("Content-Encoding"), "gzip");
  EXPECT_LT(gzip.body.size(), 200);
  EXPECT_EQ(*compress::DecompressGzip(gzip.body, 1 << 20), plain.body);
  EXPECT_EQ(deflate.headers.at("Content-Encoding"), "deflate");
  EXPECT_EQ(*compress::DecompressDeflate(deflate.body, 1 << 20), plain.body);
  EXPECT_EQ(zstd.headers.at("Content-Encoding"), "zstd");
  EXPECT_LT(zstd.body.size(), 200);
  EXPECT_EQ(*compress::DecompressZstd(zstd.body, 1 << 20), plain.body);
  EXPECT_FALSE(plain.headers.contains("Content-Encoding"));
  EXPECT_FALSE(small.headers.contains("Content-Encoding"));
}

TEST_F(HttpServerTest, CompressesALongAnswerPieceByPiece) {
  Start();

  const RawReply plain = Client().Get("/letters");
  const RawReply gzip = Client().Get("/letters", "Accept-Encoding: gzip\r\n");
  const RawReply zstd = Client().Get("/letters", "Accept-Encoding: zstd\r\n");

  EXPECT_LT(zstd.body.size(), plain.body.size() / 10);
  EXPECT_EQ(*compress::DecompressZstd(zstd.body, 1 << 24), plain.body);
  EXPECT_LT(gzip.body.size(), plain.body.size() / 10);
  EXPECT_EQ(*compress::DecompressGzip(gzip.body, 1 << 24), plain.body);
}

TEST_F(HttpServerTest, StopsTheWorkForAClientThatLeaves) {
  Start();
  RawHttpClient client = Client();
  client.Send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
  AwaitHeld();
  std::mutex mutex;
  std::condition_variable stopped;
  std::stop_callback notify(held_request_.stop, [&] {
    std::lock_guard lock(mutex);
    stopped.notify_all();
  });

  client.Close();

  std::unique_lock lock(mutex);
  EXPECT_TRUE(stopped.wait_for(lock, std::chrono::seconds(10), [&] {
    return held_request_.stop.stop_requested();
  }));
  held_->Answer({});
}

TEST_F(HttpServerTest, EndsTheWorkOfAClientThatLeavesWhereItIsNotWatched) {
  watched_ = [](const HttpRequest& request) { return request.method == "GET"; };
  Start();
  RawHttpClient client = Client();
  client.Send("POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
  AwaitHeld();

  client.Close();
  EXPECT_EQ(Client().Get("/").status, 200);  // the event loop has gone round
  EXPECT_FALSE(held_request_.stop.stop_requested());
  held_->Answer({});
  server_->Shutdown(absl::Seconds(10));

  EXPECT_FALSE(held_request_.stop.stop_requested());
}

TEST_F(HttpServerTest, CountsTheIdleTimeFromTheLastAnswer) {
  limits_.header_timeout = absl::Milliseconds(1);  // the timer goes off early
  limits_.idle_timeout = absl::Milliseconds(300);
  Start();
  RawHttpClient client = Client();
  const int64_t begin_ns = clock_.MonotonicNs();

  EXPECT_EQ(client.Get("/").status, 200);
  EXPECT_TRUE(client.AwaitEnd());

  EXPECT_GE(clock_.MonotonicNs() - begin_ns, 300'000'000);
  EXPECT_EQ(Fault("idle_timeout"), 1);
}

TEST_F(HttpServerTest, DoesNotTakeAPipelinedRequestForAClientThatLeaves) {
  Start();
  RawHttpClient client = Client();
  client.Send(
      "GET /hold HTTP/1.1\r\nHost: t\r\n\r\n"
      "GET /next HTTP/1.1\r\nHost: t\r\n\r\n");
  AwaitHeld();
  EXPECT_EQ(Client().Get("/").status, 200);  // the event loop has gone round

  EXPECT_FALSE(held_request_.stop.stop_requested());
  held_->Answer({.body = "held"});

  EXPECT_EQ(client.Receive().body, "held");
  EXPECT_EQ(client.Receive().body, "GET /next? ");
}

TEST_F(HttpServerTest, Says500WhereAHandlerDropsARequest) {
  Start();

  EXPECT_EQ(Client().Get("/drop").status, 500);
}

TEST_F(HttpServerTest, ShutdownLetsARunningRequestEndAndClosesIdleOnes) {
  Start();
  RawHttpClient busy = Client();
  RawHttpClient idle = Client();
  ASSERT_EQ(idle.Get("/").status, 200);
  busy.Send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
  AwaitHeld();
  std::thread shutdown([&] { server_->Shutdown(absl::Seconds(10)); });

  EXPECT_TRUE(idle.AwaitEnd());
  held_->Answer({.body = "in time"});
  const RawReply reply = busy.Receive();
  shutdown.join();

  EXPECT_EQ(reply.body, "in time");
  EXPECT_EQ(reply.headers.at("Connection"), "close");
  EXPECT_FALSE(Client().connected());
}

TEST_F(HttpServerTest, ShutdownCancelsWhatDoesNotEndInTime) {
  Start();
  RawHttpClient client = Client();
  client.Send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
  AwaitHeld();
  std::stop_callback answer(held_request_.stop,
                            [&] { held_->Answer({.status = 503}); });

  server_->Shutdown(absl::Milliseconds(1));

  EXPECT_TRUE(held_request_.stop.stop_requested());
  EXPECT_TRUE(client.AwaitEnd());
}

TEST_F(HttpServerTest, ALineBreakInAHeaderValueBeginsNoHeader) {
  server_ = *HttpServer::Start(
      "127.0.0.1:0", limits_,
      [](HttpRequest, Responder responder) {
        HttpAnswer answer;
        answer.headers.emplace_back("X-Text", "a\r\nX-Planted: b");
        responder.Answer(std::move(answer));
      },
      codec_, clock_, registry_);

  EXPECT_FALSE(Client().Get("/").headers.contains("X-Planted"));
}

}  // namespace
}  // namespace vigie::server

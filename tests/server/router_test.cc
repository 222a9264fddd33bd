#include "server/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/simulated_clock.h"

namespace vigie::server {
namespace {

using ::testing::HasSubstr;
using vigie::testing::SimulatedClock;

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    router_.AddSimple({.methods = {"GET", "POST"},
                       .path = "/query",
                       .name = "query",
                       .place = Place::kCaller},
                      [](const HttpRequest&) { return HttpAnswer{}; });
    router_.AddSimple({.methods = {"GET"},
                       .path = "/label/{}/values",
                       .name = "values",
                       .place = Place::kCaller},
                      [](const HttpRequest& request) {
                        return HttpAnswer{.body = request.path_argument};
                      });
    router_.AddSimple({.methods = {"GET"},
                       .path = "/healthy",
                       .name = "healthy",
                       .place = Place::kCaller,
                       .before_ready = true},
                      [](const HttpRequest&) { return HttpAnswer{}; });
    router_.SetReady(true);
  }

  HttpAnswer Ask(const std::string& method, const std::string& path,
                 HeaderList headers = {}) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.headers = std::move(headers);
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<HttpAnswer> got;
    router_.Handle(std::move(request), Responder([&](HttpAnswer answer) {
                     std::lock_guard lock(mutex);
                     got = std::move(answer);
                     changed.notify_all();
                   }));
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return got.has_value(); });
    return *std::move(got);
  }

  static std::string HeaderOf(const HttpAnswer& answer, std::string_view name) {
    for (const auto& [key, value] : answer.headers) {
      if (key == name) return value;
    }
    return "";
  }

  SimulatedClock clock_{0};
  prometheus::Registry registry_;
  TaskPool codec_{1, 10};
  TaskPool queries_{1, 1};
  Router router_{codec_, queries_, clock_, registry_};
};

TEST_F(RouterTest, FindsRoutesByMethodAndPath) {
  EXPECT_EQ(Ask("GET", "/query").status, 200);
  EXPECT_EQ(Ask("POST", "/query").status, 200);
  EXPECT_EQ(Ask("HEAD", "/query").status, 200);
}

TEST_F(RouterTest, DecodesTheOpenSegment) {
  EXPECT_EQ(Ask("GET", "/label/a%2Fb/values").body, "a/b");
  EXPECT_EQ(Ask("GET", "/label/%zz/values").body, "%zz");
  EXPECT_EQ(Ask("GET", "/label/a/b/values").status, 404);
  EXPECT_EQ(Ask("GET", "/label//values").status, 404);
}

TEST_F(RouterTest, Says404AsGrafanaExpectsItOfAServerWithoutRuler) {
  const HttpAnswer answer = Ask("GET", "/api/v1/rules/test/test");

  EXPECT_EQ(answer.status, 404);
  EXPECT_THAT(answer.body, HasSubstr("page not found"));
}

TEST_F(RouterTest, Says405AndWhatIsAllowed) {
  const HttpAnswer answer = Ask("DELETE", "/query");

  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(HeaderOf(answer, "Allow"), "GET, HEAD, POST, OPTIONS");
}

TEST_F(RouterTest, AnswersPreflightsWithCors) {
  const HttpAnswer answer =
      Ask("OPTIONS", "/query", {{"origin", "http://grafana"}});

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(HeaderOf(answer, "Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(HeaderOf(Ask("GET", "/query"), "Access-Control-Allow-Origin"), "");
}

TEST_F(RouterTest, LetsTheScriptsOfChosenOriginsReadAnswers) {
  router_.SetCorsOrigins(
      *Matcher::Create(Matcher::Type::kRegex, "origin", "https?://grafana"));
  const auto allowed = [&](const std::string& origin) {
    return HeaderOf(Ask("GET", "/query", {{"origin", origin}}),
                    "Access-Control-Allow-Origin");
  };

  EXPECT_EQ(allowed("https://grafana"), "https://grafana");
  EXPECT_EQ(allowed("https://grafana.evil"), "");
  EXPECT_EQ(HeaderOf(Ask("GET", "/query", {{"origin", "http://x"}}), "Vary"),
            "Origin");
}

TEST_F(RouterTest, IsUnavailableUntilReadyButHealthy) {
  router_.SetReady(false);

  EXPECT_EQ(Ask("GET", "/query").status, 503);
  EXPECT_EQ(Ask("GET", "/healthy").status, 200);
}

TEST_F(RouterTest, DecodesShortBodiesOnTheThreadThatCalls) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::thread::id> ran;
  int answered = 0;
  router_.AddSimple({.methods = {"POST"},
                     .path = "/write",
                     .name = "write",
                     .place = Place::kDecode},
                    [&](const HttpRequest&) {
                      std::lock_guard lock(mutex);
                      ran.push_back(std::this_thread::get_id());
                      return HttpAnswer{};
                    });
  const auto write = [&](size_t bytes) {
    HttpRequest request;
    request.method = "POST";
    request.path = "/write";
    request.body.resize(bytes);
    router_.Handle(std::move(request), Responder([&](HttpAnswer answer) {
                     std::lock_guard lock(mutex);
                     answered += answer.status == 200;
                     changed.notify_all();
                   }));
  };

  write(kShortBodyBytesMax);
  write(kShortBodyBytesMax + 1);

  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return answered == 2; });
  EXPECT_EQ(ran[0], std::this_thread::get_id());
  EXPECT_NE(ran[1], std::this_thread::get_id());
}

TEST_F(RouterTest, OnlyRoutesThatSaySoAreNotCancellable) {
  router_.AddSimple({.methods = {"POST"},
                     .path = "/write",
                     .name = "write",
                     .place = Place::kCaller,
                     .cancellable = false},
                    [](const HttpRequest&) { return HttpAnswer{}; });
  const auto cancellable = [&](std::string method, std::string path) {
    HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    return router_.IsCancellable(request);
  };

  EXPECT_FALSE(cancellable("POST", "/write"));
  EXPECT_TRUE(cancellable("GET", "/write"));
  EXPECT_TRUE(cancellable("POST", "/query"));
}

TEST_F(RouterTest, RefusesQueriesThatTheQueueCannotHold) {
  std::mutex mutex;
  std::condition_variable changed;
  int running = 0;
  bool go = false;
  router_.AddSimple({.methods = {"GET"}, .path = "/slow", .name = "slow"},
                    [&](const HttpRequest&) {
                      std::unique_lock lock(mutex);
                      ++running;
                      changed.notify_all();
                      changed.wait(lock, [&] { return go; });
                      return HttpAnswer{};
                    });
  int answered = 0;
  const auto ask = [&] {
    HttpRequest request;
    request.method = "GET";
    request.path = "/slow";
    router_.Handle(std::move(request), Responder([&](HttpAnswer) {
                     std::lock_guard lock(mutex);
                     ++answered;
                     changed.notify_all();
                   }));
  };
  ask();
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return running == 1; });
  }
  ask();  // waits

  const HttpAnswer refused = Ask("GET", "/slow");

  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("http.queued_queries_max"));
  EXPECT_EQ(HeaderOf(refused, "Retry-After"), "5");
  std::unique_lock lock(mutex);
  go = true;
  changed.notify_all();
  changed.wait(lock, [&] { return answered == 2; });
}

TEST_F(RouterTest, DropsAQueuedQueryWhoseClientLeft) {
  std::stop_source left;
  left.request_stop();
  bool ran = false;
  router_.AddSimple({.methods = {"GET"}, .path = "/slow", .name = "slow"},
                    [&](const HttpRequest&) {
                      ran = true;
                      return HttpAnswer{};
                    });
  HttpRequest request;
  request.method = "GET";
  request.path = "/slow";
  request.stop = left.get_token();
  std::mutex mutex;
  std::condition_variable changed;
  int status = 0;

  router_.Handle(std::move(request), Responder([&](HttpAnswer answer) {
                   std::lock_guard lock(mutex);
                   status = answer.status;
                   changed.notify_all();
                 }));

  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return status != 0; });
  EXPECT_EQ(status, 499);
  EXPECT_FALSE(ran);
}

TEST_F(RouterTest, CountsRequestsByHandlerAndCode) {
  Ask("GET", "/query");
  Ask("GET", "/query");
  Ask("GET", "/nowhere");

  double queries = 0, unknown = 0;
  for (const auto& family : registry_.Collect()) {
    if (family.name != "vigie_http_requests_total") continue;
    for (const auto& metric : family.metric) {
      std::map<std::string, std::string> labels;
      for (const auto& label : metric.label) labels[label.name] = label.value;
      if (labels["handler"] == "query" && labels["code"] == "200") {
        queries = metric.counter.value;
      }
      if (labels["handler"] == "unknown" && labels["code"] == "404") {
        unknown = metric.counter.value;
      }
    }
  }
  EXPECT_EQ(queries, 2);
  EXPECT_EQ(unknown, 1);
}

}  // namespace
}  // namespace vigie::server

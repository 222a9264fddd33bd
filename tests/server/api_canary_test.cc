// The route itself; verdicts are tested in tests/canary, the way from the
// command line to the store in tests/e2e/canary_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/http_frontend.h"
#include "tests/support/memory_store.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/simulated_clock.h"

namespace vigie::server {
namespace {

using ::testing::HasSubstr;
using vigie::testing::MemoryStore;
using vigie::testing::RawHttpClient;
using vigie::testing::RawReply;
using vigie::testing::SimulatedClock;

constexpr std::string_view kRequest =
    R"({"window":"10m","metrics":[{"kind":"gauge","direction":"either",)"
    R"("baseline":"a","canary":"b"}]})";

class ApiCanaryTest : public ::testing::Test {
 protected:
  RawReply Post(std::string_view body, const canary::Judge* judge) {
    auto frontend =
        HttpFrontend::Start("127.0.0.1:0", HttpOptions(),
                            {.engine = engine_,
                             .queryable = store_,
                             .remote_write = door_,
                             .scraper = scraper_,
                             .registry = registry_,
                             .clock = clock_,
                             .config_text = [] { return std::string(); },
                             .version = "0.1.0",
                             .judge = judge});
    EXPECT_TRUE(frontend.ok()) << frontend.status();
    (*frontend)->SetReady(true);
    return RawHttpClient((*frontend)->address())
        .PostForm("/api/v1/canary/judge", std::string(body));
  }

  SimulatedClock clock_{1'700'000'000'000};
  prometheus::Registry registry_;
  MemoryStore store_;
  net::HttpClient http_;
  query::Engine engine_{store_, clock_, query::EngineOptions()};
  collector::RemoteWriteDoor door_{store_, clock_, registry_, {}};
  collector::Scraper scraper_{store_, http_, clock_, registry_};
  canary::Judge judge_{store_, clock_};
};

TEST_F(ApiCanaryTest, JudgesABodyOfJsonThatIsCalledAForm) {
  const RawReply reply = Post(kRequest, &judge_);

  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr(R"("verdict":"inconclusive")"));
  EXPECT_THAT(reply.body, HasSubstr(R"("code":"no_series")"));
}

TEST_F(ApiCanaryTest, ErrorsNameTheField) {
  const RawReply reply = Post(R"({"window":"0","metrics":[{"kind":"gauge",)"
                              R"("direction":"either","baseline":"a",)"
                              R"("canary":"b"}]})",
                              &judge_);

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("window: duration must be positive"));
}

TEST_F(ApiCanaryTest, WithoutAJudgeItSaysSo) {
  EXPECT_EQ(Post(kRequest, nullptr).status, 422);
}

}  // namespace
}  // namespace vigie::server

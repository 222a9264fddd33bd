// The API over a real socket: real engine, real doors, a store in memory.
#include "server/http_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "alerting/dispatch_records.h"
#include "alerting/rule_runner.h"
#include "base/compress/compress.h"
#include "base/net/http_client.h"
#include "prometheus/remote/write.pb.h"
#include "server/parameters.h"
#include "tests/support/memory_records.h"
#include "tests/support/memory_store.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using vigie::testing::HasError;
using vigie::testing::MemoryStore;
using vigie::testing::RawHttpClient;
using vigie::testing::RawReply;
using vigie::testing::SimulatedClock;

constexpr int64_t kNowMs = 1'700'000'000'000;

std::string Success(const std::string& data) {
  return R"({"status":"success","data":)" + data + "}";
}
std::string Error(const std::string& type, const std::string& text) {
  return R"({"status":"error","errorType":")" + type + R"(","error":")" + text +
         R"("})";
}

class HttpFrontendTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(store_); }

  void Start(const store::Queryable& queryable) {
    frontend_.reset();
    engine_ = std::make_unique<query::Engine>(queryable, clock_,
                                              query::EngineOptions{});
    auto frontend = HttpFrontend::Start(
        "127.0.0.1:0", options_,
        {.engine = *engine_,
         .queryable = queryable,
         .remote_write = door_,
         .scraper = scraper_,
         .registry = registry_,
         .clock = clock_,
         .config_text = [] { return std::string("http: {}\n"); },
         .version = "0.1.0",
         .reload = [this] { return reload_; },
         .before_collect = [this] { ++collects_; },
         .rules = rules_.get(),
         .dispatcher = dispatcher_.get()});
    ASSERT_TRUE(frontend.ok()) << frontend.status();
    frontend_ = *std::move(frontend);
    frontend_->SetReady(true);
  }

  void Append(const Labels& labels, std::vector<Sample> samples) {
    store::AppendBatch batch;
    batch.series.push_back({labels, {}});
    for (const Sample& sample : samples) batch.floats.push_back({0, sample});
    absl::Status status = absl::UnknownError("no completion");
    store_.Append(std::move(batch), [&](store::AppendOutcome outcome) {
      status = outcome.status;
      ASSERT_TRUE(outcome.refusals.empty());
    });
    ASSERT_TRUE(status.ok()) << status;
  }

  RawHttpClient Client() { return RawHttpClient(frontend_->address()); }
  RawReply Get(const std::string& target) { return Client().Get(target); }

  SimulatedClock clock_{kNowMs};
  prometheus::Registry registry_;
  MemoryStore store_;
  net::HttpClient http_;
  collector::RemoteWriteDoor door_{store_, clock_, registry_, {}};
  collector::Scraper scraper_{store_, http_, clock_, registry_};
  HttpOptions options_;
  int collects_ = 0;
  std::unique_ptr<alerting::Dispatcher> dispatcher_;
  std::unique_ptr<alerting::RuleRunner> rules_;
  absl::Status reload_;
  std::unique_ptr<query::Engine> engine_;
  std::unique_ptr<HttpFrontend> frontend_;
};

// --- what the outside asks, word for word ---

TEST_F(HttpFrontendTest, AnswersGrafanasHealthCheckWithAScalar) {
  const RawReply reply =
      Client().PostForm("/api/v1/query", "query=1%2B1&time=4");

  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("Content-Type"), "application/json");
  EXPECT_EQ(reply.body, Success(R"({"resultType":"scalar","result":[4,"2"]})"));
}

TEST_F(HttpFrontendTest, AnswersFlaggersProbeFromAnEmptyStore) {
  EXPECT_EQ(Get("/api/v1/query?query=vector(1)").body,
            Success(R"({"resultType":"vector","result":[{"metric":{},)"
                    R"("value":[1700000000,"1"]}]})"));
}

TEST_F(HttpFrontendTest, SaysThatThereIsNoRulerAndNoMimir) {
  const RawReply rules = Get("/api/v1/rules/test/test");
  const RawReply build = Get("/api/v1/status/buildinfo");

  EXPECT_EQ(rules.status, 404);
  EXPECT_THAT(rules.body, HasSubstr("page not found"));
  EXPECT_EQ(build.body,
            Success(R"({"version":"3.5.0","revision":"vigie-0.1.0",)"
                    R"("branch":"vigie","buildUser":"","buildDate":"",)"
                    R"("goVersion":""})"));
}

TEST_F(HttpFrontendTest, AnswersGrafanasRangeQuery) {
  Append({{"__name__", "up"}, {"job", "b"}}, {{kNowMs - 60'000, 1}});
  Append({{"__name__", "up"}, {"job", "a"}},
         {{kNowMs - 60'000, 0.5}, {kNowMs - 45'500, 0.25}});

  const RawReply reply = Client().PostForm(
      "/api/v1/query_range",
      "end=1699999970&query=up&start=1699999940.0&step=15.000&timeout=60s");

  EXPECT_EQ(reply.body,
            Success(R"({"resultType":"matrix","result":[)"
                    R"({"metric":{"__name__":"up","job":"a"},"values":)"
                    R"([[1699999940,"0.5"],[1699999955,"0.25"],)"
                    R"([1699999970,"0.25"]]},)"
                    R"({"metric":{"__name__":"up","job":"b"},"values":)"
                    R"([[1699999940,"1"],[1699999955,"1"],)"
                    R"([1699999970,"1"]]}]})"));
}

TEST_F(HttpFrontendTest, AnswersGrafanasVariablesAndAutocomplete) {
  Append({{"__name__", "up"}, {"job", "a"}, {"http.status", "200"}},
         {{kNowMs - 1000, 1}});
  Append({{"__name__", "down"}, {"job", "b"}}, {{kNowMs - 1000, 1}});
  const std::string range = "start=1699999000&end=1700000000";

  EXPECT_EQ(Client().PostForm("/api/v1/labels", range + "&limit=40000").body,
            Success(R"(["__name__","http.status","job"])"));
  EXPECT_EQ(Get("/api/v1/label/job/values?" + range +
                "&limit=40000&match%5B%5D"
                "=up%7B%7D")
                .body,
            Success(R"(["a"])"));
  EXPECT_EQ(Get("/api/v1/label/U__http_2e_status/values").body,
            Success(R"(["200"])"));
  EXPECT_EQ(Get("/api/v1/series?match[]=up&match[]=down&" + range).body,
            Success(R"([{"__name__":"down","job":"b"},)"
                    R"({"__name__":"up","http.status":"200","job":"a"}])"));
  EXPECT_EQ(Get("/api/v1/metadata?limit=10").body, Success("{}"));
  EXPECT_EQ(Get("/api/v1/query_exemplars?query=rate(up[5m])&" + range).body,
            Success("[]"));
}

TEST_F(HttpFrontendTest, AnswersListsThatAreStillEmpty) {
  EXPECT_EQ(Get("/api/v1/rules?type=alert").body, Success(R"({"groups":[]})"));
  EXPECT_EQ(Get("/api/v1/alerts").body, Success(R"({"alerts":[]})"));
  EXPECT_EQ(Get("/api/v1/targets").body,
            Success(R"({"activeTargets":[],"droppedTargets":[],)"
                    R"("droppedTargetCounts":{}})"));
  EXPECT_EQ(Get("/api/v1/scrape_pools").body, Success(R"({"scrapePools":[]})"));
  EXPECT_EQ(Get("/api/v1/targets/metadata").body, Success("[]"));
  EXPECT_EQ(Get("/api/v1/alertmanagers").body,
            Success(R"({"activeAlertmanagers":[],)"
                    R"("droppedAlertmanagers":[]})"));
}

TEST_F(HttpFrontendTest, ShowsConfigurationFlagsAndCardinality) {
  Append({{"__name__", "up"}, {"job", "a"}}, {{kNowMs, 1}});

  EXPECT_EQ(Get("/api/v1/status/config").body,
            Success(R"({"yaml":"http: {}\n"})"));
  EXPECT_THAT(Get("/api/v1/status/flags").body,
              HasSubstr(R"("query.max-concurrency":"20")"));
  EXPECT_THAT(Get("/api/v1/status/runtimeinfo").body,
              HasSubstr(R"("startTime":"2023-11-14T22:13:20Z")"));
  EXPECT_THAT(Get("/api/v1/status/tsdb").body,
              AllOf(HasSubstr(R"({"numSeries":1,"numLabelPairs":2})"),
                    HasSubstr(R"("seriesCountByMetricName":)"
                              R"([{"name":"up","value":1}])"),
                    HasSubstr(R"("growth":{"day":"1970-01-01T00:00:00Z",)"
                              R"("numSeries":0,"numSeriesDayBefore":0,)"
                              R"("seriesCountByMetricName":[],)")));
  EXPECT_EQ(Get("/api/v1/status/tsdb?limit=0").body,
            Error("bad_data", "limit must be a positive number"));
}

TEST_F(HttpFrontendTest, ListsTargetsWithTheirPools) {
  auto root = yaml::Node::Parse(
      "scrape_configs:\n"
      "- job_name: node\n"
      "  static_configs: [{targets: ['127.0.0.1:1']}]\n",
      "prometheus.yml");
  ASSERT_TRUE(root.ok());
  auto config = collector::ParsePrometheusConfig(*root);
  ASSERT_TRUE(config.ok()) << config.status();
  scraper_.Apply(*config);

  EXPECT_THAT(Get("/api/v1/targets?state=active").body,
              AllOf(HasSubstr(R"("scrapePool":"node")"),
                    HasSubstr(R"("scrapeUrl":"http://127.0.0.1:1/metrics")"),
                    HasSubstr(R"("scrapeInterval":"1m")")));
  EXPECT_THAT(Get("/api/v1/targets?scrapePool=other").body,
              HasSubstr(R"("activeTargets":[])"));
  EXPECT_EQ(Get("/api/v1/scrape_pools").body,
            Success(R"({"scrapePools":["node"]})"));
}

// Rules, evaluated once.
class HttpRulesTest : public HttpFrontendTest {
 protected:
  // Notes that an evaluation has come to its end.
  class Bell final : public alerting::AlertSink {
   public:
    absl::Status Take(const std::vector<alerting::Alert>&) override {
      std::lock_guard lock(mutex_);
      rung_ = true;
      ringing_.notify_all();
      return absl::OkStatus();
    }
    void Await() {
      std::unique_lock lock(mutex_);
      ringing_.wait(lock, [&] { return rung_; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable ringing_;
    bool rung_ = false;
  };

  void SetUp() override {
    rule_engine_ =
        std::make_unique<query::Engine>(store_, clock_, query::EngineOptions{});
    rules_ = std::make_unique<alerting::RuleRunner>(
        alerting::RuleContext{
            .engine = *rule_engine_, .appender = store_, .sink = &bell_},
        clock_, registry_);
    const auto root = yaml::Node::Parse(R"(
groups:
- name: a
  interval: 1m
  limit: 5
  rules:
  - {record: 'r:half', expr: '0.5', labels: {team: web}}
  - {record: 'r:fails', expr: 'up[5m]'}
  - alert: Low
    expr: sum by(job)(r:half) <  1
    for: 0s
    keep_firing_for: 90s
    labels: {severity: page}
    annotations: {summary: 'is {{ $value }} "low"'}
- name: never
  interval: 10000h
  rules: [{alert: Later, expr: up, for: 1500ms}]
- name: empty
)",
                                        "r.yml");
    ASSERT_TRUE(root.ok()) << root.status();
    auto groups = alerting::ParseRuleFile(*root);
    ASSERT_TRUE(groups.ok()) << groups.status();
    ASSERT_TRUE(rules_->Apply(*groups, {.threads = 1}, {}, "").ok());
    clock_.AwaitSleepers(1);
    clock_.AdvanceMs(60'000);
    bell_.Await();
    rules_->Stop();
    Start(store_);
  }

  Bell bell_;
  std::unique_ptr<query::Engine> rule_engine_;
};

TEST_F(HttpRulesTest, ShowsThemInPrometheussShape) {
  const auto group = rules_->Groups().at(0);
  const std::string evaluated = FormatRfc3339(group.last_evaluation_ms);
  const std::string active =
      FormatRfc3339(group.rules.at(2).alerts.at(0).active_at_ms);
  const std::string alert =
      R"({"labels":{"alertname":"Low","severity":"page"},)"
      R"("annotations":{"summary":"is 0.5 \"low\""},"state":"firing",)"
      R"("activeAt":")" +
      active + R"(","value":"5e-01"})";
  const std::string low =
      R"({"state":"firing","name":"Low","query":"sum by (job) (r:half) < )"
      R"(1","duration":0,"keepFiringFor":90,"labels":{"severity":"page"},)"
      R"("annotations":{"summary":"is {{ $value }} \"low\""},"alerts":[)" +
      alert + R"(],"health":"ok","evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"(","type":"alerting"})";
  const std::string half =
      R"({"name":"r:half","query":"0.5","labels":{"team":"web"},)"
      R"("health":"ok","evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"(","type":"recording"})";
  const std::string fails =
      R"({"name":"r:fails","query":"up[5m]","health":"err",)"
      R"("lastError":"rule result is not a vector or scalar",)"
      R"("evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"(","type":"recording"})";
  const std::string tail =
      R"(],"interval":60,"limit":5,"evaluationTime":0,"lastEvaluation":")" +
      evaluated + R"("})";
  const std::string later =
      R"({"name":"never","file":"r.yml","rules":[{"state":"inactive",)"
      R"("name":"Later","query":"up","duration":1.5,"keepFiringFor":0,)"
      R"("labels":{},"annotations":{},"alerts":[],"health":"unknown",)"
      R"("evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z",)"
      R"("type":"alerting"}],"interval":36000000,"limit":0,)"
      R"("evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"})";
  const std::string a = R"({"name":"a","file":"r.yml","rules":[)";

  EXPECT_EQ(Get("/api/v1/rules").body,
            Success(R"({"groups":[)" + a + half + "," + fails + "," + low +
                    tail + "," + later + "]}"));
  EXPECT_EQ(Get("/api/v1/alerts").body,
            Success(R"({"alerts":[)" + alert + "]}"));
  EXPECT_EQ(Get("/api/v1/rules?type=RECORD&rule_name[]=r:half").body,
            Success(R"({"groups":[)" + a + half + tail + "]}"));
}

TEST_F(HttpRulesTest, ShowsWhatIsAskedFor) {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {"", {"r:half", "r:fails", "Low", "Later"}},
      {"?type=alert", {"Low", "Later"}},
      {"?type=record", {"r:half", "r:fails"}},
      {"?rule_name[]=Low&rule_name[]=r:half", {"r:half", "Low"}},
      {"?rule_group[]=never", {"Later"}},
      {"?rule_group[]=never&rule_name[]=Low", {}},
      {"?file[]=r.yml&type=alert", {"Low", "Later"}},
      {"?file[]=other.yml", {}},
      {"?match[]={severity=~%22p.*%22}", {"Low"}},
      {"?match[]={severity=%22page%22}&match[]={team=%22web%22}",
       {"r:half", "Low"}},
  };
  for (const auto& [query, names] : cases) {
    const std::string body = Get("/api/v1/rules" + query).body;
    for (const std::string name : {"r:half", "r:fails", "Low", "Later"}) {
      const bool shown =
          body.find("\"name\":\"" + name + "\"") != std::string::npos;
      EXPECT_EQ(shown, std::count(names.begin(), names.end(), name) > 0)
          << query << " " << name;
    }
  }
  EXPECT_THAT(
      Get("/api/v1/rules?exclude_alerts=true").body,
      AllOf(HasSubstr(R"("alerts":null)"), Not(HasSubstr(R"("alerts":[)"))));
}

TEST_F(HttpRulesTest, ListsGroupsInPages) {
  const std::string first = Get("/api/v1/rules?group_limit=1").body;
  const size_t at = first.find(R"("groupNextToken":")");
  ASSERT_NE(at, std::string::npos) << first;
  const std::string token = first.substr(at + 18, 16);

  const std::string second =
      Get("/api/v1/rules?group_limit=1&group_next_token=" + token).body;

  EXPECT_THAT(first, AllOf(HasSubstr(R"("name":"a")"),
                           Not(HasSubstr(R"("name":"never")"))));
  EXPECT_THAT(second, AllOf(HasSubstr(R"("name":"never")"),
                            Not(HasSubstr(R"("name":"a")")),
                            Not(HasSubstr("groupNextToken"))));
}

// --- errors ---

TEST_F(HttpFrontendTest, ExplainsBadParametersInPrometheussWords) {
  const std::string range = "/api/v1/query_range?query=up&";
  const std::pair<std::string, std::string> cases[] = {
      {range + "start=x&end=2&step=1",
       R"(invalid parameter \"start\": cannot parse \"x\" to a valid )"
       R"(timestamp)"},
      {range + "start=1&step=1",
       R"(invalid parameter \"end\": cannot parse \"\" to a valid timestamp)"},
      {range + "start=2&end=1&step=1",
       R"(invalid parameter \"end\": end timestamp must not be before start )"
       R"(time)"},
      {range + "start=1&end=2&step=x",
       R"(invalid parameter \"step\": cannot parse \"x\" to a valid duration)"},
      {range + "start=1&end=2&step=0",
       R"(invalid parameter \"step\": zero or negative query resolution step )"
       R"(widths are not accepted. Try a positive integer)"},
      {range + "start=0&end=11001&step=1",
       R"(exceeded maximum resolution of 11,000 points per timeseries. Try )"
       R"(decreasing the query resolution (?step=XX))"},
      {"/api/v1/query?query=up&time=x",
       R"(invalid parameter \"time\": Invalid time value for 'time': cannot )"
       R"(parse \"x\" to a valid timestamp)"},
      {"/api/v1/query?query=up&timeout=x",
       R"(invalid parameter \"timeout\": cannot parse \"x\" to a valid )"
       R"(duration)"},
      {"/api/v1/query?query=up&limit=-1",
       R"(invalid parameter \"limit\": limit must be non-negative)"},
      {"/api/v1/series", "no match[] parameter provided"},
      {"/api/v1/series?match[]={a=~%22.*%22}",
       R"(invalid parameter \"match[]\": match[] must contain at least one )"
       R"(non-empty matcher)"},
      {"/api/v1/query?query=%zz",
       R"(error parsing form values: invalid URL escape \"%zz\")"},
      {"/api/v1/label/%ff/values", R"(invalid label name: \"\\xff\")"},
      {"/api/v1/metadata?limit=x", "limit must be a number"},
      {"/api/v1/rules?exclude_alerts=x",
       R"(invalid parameter \"exclude_alerts\": error converting )"
       R"(exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax)"},
      {"/api/v1/rules?group_limit=x",
       R"(invalid parameter \"group_limit\": group_limit needs to be a valid )"
       R"(number: strconv.ParseInt: parsing \"x\": invalid syntax)"},
      {"/api/v1/rules?group_limit=0",
       R"(invalid parameter \"group_limit\": group_limit needs to be greater )"
       R"(than 0)"},
      {"/api/v1/rules?group_next_token=x",
       R"(invalid parameter \"group_next_token\": group_limit needs to be )"
       R"(present in order to paginate over the groups)"},
      {"/api/v1/rules?group_limit=1&group_next_token=x",
       R"(invalid parameter \"group_next_token\": invalid group_next_token )"
       R"('x'. were rule groups changed?)"},
      {"/api/v1/rules?match[]={}",
       R"(invalid parameter \"match[]\": match[] must contain at least one )"
       R"(non-empty matcher)"},
      {"/api/v1/rules?type=x",
       R"(invalid parameter \"type\": not supported value \"x\")"},
  };
  for (const auto& [target, text] : cases) {
    const RawReply reply = Get(target);
    EXPECT_EQ(reply.status, 400) << target;
    EXPECT_EQ(reply.body, Error("bad_data", text)) << target;
  }
}

TEST_F(HttpFrontendTest, PlacesASyntaxErrorInTheQuery) {
  const RawReply reply = Get("/api/v1/query?query=up%20up");

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(
      reply.body,
      StartsWith(R"({"status":"error","errorType":"bad_data","error":)"
                 R"("invalid parameter \"query\": 1:4: parse error: )"));
}

TEST_F(HttpFrontendTest, SaysThatAQueryCannotBeExecutedWith422) {
  Append({{"__name__", "a"}, {"x", "1"}}, {{kNowMs, 1}});
  Append({{"__name__", "a"}, {"x", "2"}}, {{kNowMs, 1}});

  const RawReply reply =
      Get("/api/v1/query?query=a%20%2B%20on()%20a&time=1700000000");

  EXPECT_EQ(reply.status, 422);
  EXPECT_THAT(reply.body, HasSubstr(R"("errorType":"execution")"));
}

TEST_F(HttpFrontendTest, Knows404And405) {
  const RawReply unknown = Get("/api/v1/nothing");
  const RawReply wrong =
      Client().Ask("DELETE /api/v1/series HTTP/1.1\r\nHost: t\r\n\r\n");

  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body, "404 page not found\n");
  EXPECT_EQ(Client().PostForm("/api/v1/admin/tsdb/nothing", "").status, 404);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("Allow"), "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(Client().PostForm("/api/v1/metadata", "").status, 405);
}

// --- parameters ---

TEST_F(HttpFrontendTest, MergesTheFormBodyWithTheUrlTheBodyFirst) {
  EXPECT_EQ(Client().PostForm("/api/v1/query?query=2&time=7", "query=1").body,
            Success(R"({"resultType":"scalar","result":[7,"1"]})"));
}

TEST_F(HttpFrontendTest, ReadsACompressedForm) {
  const std::string form =
      compress::CompressGzip("query=1&time=1" + std::string(10'000, '&'));

  EXPECT_EQ(Client()
                .PostForm("/api/v1/query", form, "Content-Encoding: gzip\r\n")
                .body,
            Success(R"({"resultType":"scalar","result":[1,"1"]})"));
}

TEST_F(HttpFrontendTest, RefusesAFormThatInflatesBeyondTheBodyLimit) {
  const std::string bomb = compress::CompressGzip(
      std::string(static_cast<size_t>(options_.body_bytes_max) + 1, '&'));

  const RawReply reply =
      Client().PostForm("/api/v1/query", bomb, "Content-Encoding: gzip\r\n");

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("inflates to more than"));
}

TEST_F(HttpFrontendTest, CutsResultsAtTheLimitAndSaysSo) {
  Append({{"__name__", "up"}, {"job", "a"}}, {{kNowMs, 1}});
  Append({{"__name__", "up"}, {"job", "b"}}, {{kNowMs, 1}});

  EXPECT_EQ(Get("/api/v1/query?query=up&limit=1").body,
            R"({"status":"success","data":{"resultType":"vector","result":[)"
            R"({"metric":{"__name__":"up","job":"a"},)"
            R"("value":[1700000000,"1"]}]},)"
            R"("warnings":["results truncated due to limit"]})");
  EXPECT_EQ(Get("/api/v1/label/job/values?limit=1").body,
            R"({"status":"success","data":["a"],)"
            R"("warnings":["results truncated due to limit"]})");
  EXPECT_THAT(Get("/api/v1/query?query=up&limit=2").body,
              Not(HasSubstr("warnings")));
}

TEST_F(HttpFrontendTest, HonoursLookbackDelta) {
  Append({{"__name__", "up"}}, {{kNowMs - 30'000, 1}});

  EXPECT_THAT(Get("/api/v1/query?query=up").body, HasSubstr(R"("1"])"));
  EXPECT_THAT(Get("/api/v1/query?query=up&lookback_delta=20s").body,
              HasSubstr(R"("result":[])"));
}

TEST_F(HttpFrontendTest, AddsStatsWhereAsked) {
  EXPECT_THAT(Get("/api/v1/query?query=1&stats=all").body,
              HasSubstr(R"("stats":{"timings":{"evalTotalTime":)"));
  EXPECT_THAT(Get("/api/v1/query?query=1").body, Not(HasSubstr("stats")));
}

TEST_F(HttpFrontendTest, WritesUnusualValuesAndNames) {
  Append({{"__name__", "odd"}, {"a\"b", "\n<é>"}}, {{kNowMs, -0.0}});

  EXPECT_THAT(Get("/api/v1/query?query=odd").body,
              HasSubstr(R"({"__name__":"odd","a\"b":"\n<é>"},)"
                        R"("value":[1700000000,"-0"])"));
  EXPECT_THAT(Get("/api/v1/query?query=-1/0").body, HasSubstr(R"("-Inf")"));
  EXPECT_THAT(Get("/api/v1/query?query=0/0").body, HasSubstr(R"("NaN")"));
}

TEST_F(HttpFrontendTest, PrintsAQueryInItsForm) {
  EXPECT_EQ(Get("/api/v1/format_query?query=sum(%20up%20)by(job)").body,
            Success("\"sum by (job) (up)\""));
}

TEST_F(HttpFrontendTest, StreamsALongAnswerCompressed) {
  std::vector<Sample> samples;
  for (int i = 0; i < 20'000; ++i) samples.push_back({kNowMs - i, 0.5 + i});
  Append({{"__name__", "up"}}, samples);

  const RawReply plain = Get("/api/v1/query?query=up[1m]");
  const RawReply gzip =
      Client().Get("/api/v1/query?query=up[1m]", "Accept-Encoding: gzip\r\n");

  EXPECT_EQ(plain.headers.at("Transfer-Encoding"), "chunked");
  EXPECT_GT(plain.body.size(), 500'000u);
  EXPECT_TRUE(plain.body.ends_with(R"(,[1700000000,"0.5"]]}]}})"));
  EXPECT_EQ(*compress::DecompressGzip(gzip.body, 1 << 24), plain.body);
}

// --- remote write ---

std::string WriteRequest(const std::string& name, int64_t time_ms) {
  prometheus::remote::WriteRequest request;
  auto* series = request.add_timeseries();
  auto* label = series->add_labels();
  label->set_name("__name__");
  label->set_value(name);
  auto* sample = series->add_samples();
  sample->set_timestamp(time_ms);
  sample->set_value(42);
  return compress::CompressSnappyBlock(request.SerializeAsString());
}

RawReply PostWrite(RawHttpClient client, const std::string& body) {
  return client.Ask(
      "POST /api/v1/write HTTP/1.1\r\nHost: t\r\nContent-Type: "
      "application/x-protobuf\r\nContent-Encoding: snappy\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
}

TEST_F(HttpFrontendTest, TakesARemoteWriteAndAnswersQueriesFromIt) {
  EXPECT_EQ(PostWrite(Client(), WriteRequest("pushed", kNowMs)).status, 204);

  EXPECT_THAT(Get("/api/v1/query?query=pushed").body, HasSubstr(R"("42"])"));
}

TEST_F(HttpFrontendTest, AnswersARemoteWriteOnlyOnceItIsDurable) {
  store_.Hold();
  RawHttpClient writer = Client();
  const std::string body = WriteRequest("pushed", kNowMs);
  writer.Send("POST /api/v1/write HTTP/1.1\r\nHost: t\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  while (store_.batches() == 0) std::this_thread::yield();

  // Others are answered meanwhile: no thread waits for the disk.
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(Get("/api/v1/query?query=pushed").body,
                HasSubstr(R"("result":[])"));
  }
  store_.Release();

  EXPECT_EQ(writer.Receive().status, 204);
}

TEST_F(HttpFrontendTest, PassesOnWhyAWriteIsRefused) {
  EXPECT_EQ(PostWrite(Client(), "nonsense").status, 400);
  store_.RefuseWith(absl::UnavailableError("disk full"));

  const RawReply reply = PostWrite(Client(), WriteRequest("pushed", kNowMs));

  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(reply.headers.contains("Retry-After"));
}

// --- health, metrics, pages ---

TEST_F(HttpFrontendTest, IsHealthyAndMeasuredBeforeItIsReady) {
  frontend_->SetReady(false);

  EXPECT_EQ(Get("/-/healthy").status, 200);
  EXPECT_EQ(Get("/metrics").status, 200);
  EXPECT_EQ(Get("/-/ready").status, 503);
  EXPECT_EQ(Get("/api/v1/query?query=1").status, 503);
  EXPECT_EQ(PostWrite(Client(), WriteRequest("pushed", kNowMs)).status, 503);
  frontend_->SetReady(true);
  EXPECT_EQ(Get("/-/ready").status, 200);
}

TEST_F(HttpFrontendTest, ReloadsWhenAskedAndSaysWhatIsWrong) {
  EXPECT_EQ(Client().PostForm("/-/reload", "").status, 200);
  EXPECT_EQ(Get("/-/reload").status, 405);

  reload_ = absl::InvalidArgumentError("vigie.yml:3:1: unknown key \"x\"");
  const RawReply refused = Client().PostForm("/-/reload", "");

  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(refused.body,
            "failed to reload config: vigie.yml:3:1: unknown key \"x\"\n");
}

TEST_F(HttpFrontendTest, ExposesItsMetricsAsTextAfterBringingThemUpToDate) {
  Get("/api/v1/query?query=1");

  const RawReply reply = Get("/metrics");

  EXPECT_EQ(collects_, 1);
  EXPECT_EQ(reply.headers.at("Content-Type"),
            "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(reply.body,
              AllOf(HasSubstr("vigie_http_requests_total{code=\"200\","
                              "handler=\"/api/v1/query\"} 1"),
                    HasSubstr("vigie_http_connections "),
                    HasSubstr("vigie_query_running ")));
}

TEST_F(HttpFrontendTest, ShowsAPageThatNoScriptCanRunIn) {
  const RawReply reply = Get("/");

  EXPECT_THAT(reply.body, HasSubstr("/metrics"));
  EXPECT_EQ(reply.headers.at("Content-Security-Policy"), "default-src 'none'");
}

// --- cancellation ---

// Its Select ends only when it is stopped.
class StuckStore final : public store::Queryable {
 public:
  absl::StatusOr<std::unique_ptr<store::SeriesSnapshot>> Select(
      const store::SelectRequest&,
      const store::ReadContext& context) const override {
    std::unique_lock lock(mutex_);
    ++selects_;
    changed_.notify_all();
    if (!changed_.wait_for(lock, context.stop, std::chrono::seconds(10),
                           [] { return false; }) &&
        !context.stop.stop_requested()) {
      return absl::InternalError("never stopped");
    }
    ++stopped_;
    changed_.notify_all();
    return absl::CancelledError("select: stopped");
  }
  bool Await(int selects, int stopped) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
      return selects_ >= selects && stopped_ >= stopped;
    });
  }

  absl::StatusOr<store::NameList> LabelNames(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      uint64_t, const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<store::NameList> LabelValues(
      const Tenant&, std::string_view, const TimeRange&,
      const std::vector<std::vector<Matcher>>&, uint64_t,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<std::vector<Labels>> Series(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      uint64_t, const store::ReadContext&, bool*) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<std::vector<store::ExemplarSeries>> Exemplars(
      const Tenant&, const TimeRange&, const std::vector<std::vector<Matcher>>&,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<std::vector<store::MetricMetadata>> ListMetadata(
      const Tenant&, std::string_view,
      const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }
  absl::StatusOr<store::Cardinality> CountCardinality(
      const Tenant&, uint64_t, const store::ReadContext&) const override {
    return absl::UnimplementedError("stuck");
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  mutable int selects_ = 0;
  mutable int stopped_ = 0;
};

TEST_F(HttpFrontendTest, CancelsTheQueryOfAClientThatLeaves) {
  StuckStore stuck;
  Start(stuck);
  RawHttpClient client = Client();
  client.Send("GET /api/v1/query?query=up HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(stuck.Await(1, 0));

  client.Close();

  EXPECT_TRUE(stuck.Await(1, 1));
  frontend_.reset();  // before the store it reads
}

TEST_F(HttpFrontendTest, ShutdownCancelsQueriesThatDoNotEndInTime) {
  StuckStore stuck;
  Start(stuck);
  RawHttpClient client = Client();
  client.Send("GET /api/v1/query?query=up HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(stuck.Await(1, 0));

  frontend_->Shutdown(absl::Milliseconds(1));

  EXPECT_TRUE(stuck.Await(1, 1));
  EXPECT_FALSE(Client().connected());
  frontend_.reset();
}

// --- options ---

absl::StatusOr<HttpOptions> Parse(const std::string& text) {
  return ParseHttpOptions(*yaml::Node::Parse(text, "vigie.yml"));
}

TEST(HttpOptionsTest, ReadsEveryKey) {
  const auto options = Parse(
      "body_bytes_max: 1MB\nbodies_bytes_max: 2MiB\nconnections_max: 3\n"
      "concurrent_queries_max: 4\nqueued_queries_max: 5\nheader_timeout: 6s\n"
      "idle_timeout: 7m\nbody_timeout: 8s\n");

  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->bodies_bytes_max, 2 << 20);
  EXPECT_EQ(options->connections_max, 3);
  EXPECT_EQ(options->concurrent_queries_max, 4);
  EXPECT_EQ(options->queued_queries_max, 5);
  EXPECT_EQ(options->header_timeout, absl::Seconds(6));
  EXPECT_EQ(options->idle_timeout, absl::Minutes(7));
  EXPECT_EQ(options->body_timeout, absl::Seconds(8));
}

TEST(HttpOptionsTest, RefusesUnknownKeysAndNumbersThatCannotServe) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Parse("bodies: 1"), HasError(kInvalid, HasSubstr("vigie.yml:1")));
  EXPECT_THAT(
      Parse("connections_max: 0"),
      HasError(kInvalid, AllOf(HasSubstr("vigie.yml:1:"),
                               HasSubstr("connections_max must be positive"))));
  EXPECT_THAT(Parse("idle_timeout: 0s"), HasError(kInvalid, ::testing::_));
  EXPECT_THAT(Parse("concurrent_queries_max: 1001"),
              HasError(kInvalid, HasSubstr("at most 1000")));
}

// --- notifications ---

class HttpNotificationsTest : public HttpFrontendTest {
 protected:
  void SetUp() override {
    alerting::LedgerEntry entry{.time_ms = kNowMs,
                                .notification = "1-2",
                                .receiver = "team",
                                .integration = "slack[0]",
                                .group_key = R"({}:{a="b"})",
                                .event = "failed",
                                .detail = "answered 503",
                                .attempt = 1,
                                .firing = {"00ff"},
                                .resolved = {}};
    store::RecordBatch batch;
    batch.Put(Tenant{}, alerting::kLedgerTable, alerting::LedgerKey(7),
              alerting::Encode(entry));
    entry.event = "delivered";
    batch.Put(Tenant{}, alerting::kLedgerTable, alerting::LedgerKey(9),
              alerting::Encode(entry));
    ASSERT_TRUE(records_.Write(batch).ok());
    auto dispatcher = alerting::Dispatcher::Start(
        records_,
        [](const alerting::RoutingConfig&) { return alerting::Integrations{}; },
        clock_, registry_, "",
        std::make_shared<const alerting::RoutingConfig>());
    ASSERT_TRUE(dispatcher.ok()) << dispatcher.status();
    dispatcher_ = *std::move(dispatcher);
    Start(store_);
  }

  void TearDown() override {
    frontend_.reset();
    dispatcher_.reset();
  }

  vigie::testing::MemoryRecords records_;
};

TEST_F(HttpNotificationsTest, ShowsTheLedgerOldestFirst) {
  const auto entry = [](const std::string& event) {
    return R"({"time":"2023-11-14T22:13:20Z","notification":"1-2",)"
           R"("receiver":"team","integration":"slack[0]",)"
           R"("groupKey":"{}:{a=\"b\"}","event":")" +
           event +
           R"(","detail":"answered 503","attempt":1,)"
           R"("firing":["00ff"],"resolved":[]})";
  };

  EXPECT_EQ(Get("/api/v1/notifications").body,
            Success(R"({"notifications":[)" + entry("failed") + "," +
                    entry("delivered") + "]}"));
  EXPECT_EQ(Get("/api/v1/notifications?limit=1").body,
            Success(R"({"notifications":[)" + entry("delivered") + "]}"));
}

TEST_F(HttpNotificationsTest, RefusesALimitThatIsNoCount) {
  EXPECT_EQ(Get("/api/v1/notifications?limit=-1").status, 400);
  EXPECT_EQ(Get("/api/v1/notifications?limit=x").status, 400);
}

TEST_F(HttpFrontendTest, HasNoNotificationsWithoutADispatcher) {
  EXPECT_EQ(Get("/api/v1/notifications").body,
            Success(R"({"notifications":[]})"));
}

}  // namespace
}  // namespace vigie::server

// What the API answers to queries and lists, in Prometheus's words.
#include "server/http_frontend.h"

#include <utility>

#include "base/compress/compress.h"
#include "tests/server/http_frontend_fixture.h"

namespace vigie::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using vigie::testing::RawReply;

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
  Append({{"__name__", "up"}}, {{kNowMs, 1}});
  EXPECT_THAT(Get("/api/v1/query?query=up&stats=all").body,
              HasSubstr(R"("plan":{"expr":"up","kind":"selector","steps":1,)"));
  EXPECT_THAT(Get("/api/v1/query?query=up&stats=true").body,
              AllOf(HasSubstr(R"("totalQueryableSamples":1,)"),
                    Not(HasSubstr("PerStep")), Not(HasSubstr("plan"))));
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

TEST_F(HttpFrontendTest, ShowsTheTreeOfAQuery) {
  const auto tree = [&](const std::string& query) {
    return Client().PostForm("/api/v1/parse_query", "query=" + query).body;
  };
  const std::string up =
      R"({"anchored":false,"matchers":[{"name":"__name__","type":"=",)"
      R"("value":"up"}],"name":"up","offset":0,"smoothed":false,)"
      R"("startOrEnd":null,"timestamp":null,"type":"vectorSelector"})";

  EXPECT_EQ(tree("up"), Success(up));
  EXPECT_EQ(tree("-1e21"), Success(R"({"type":"numberLiteral",)"
                                   R"("val":"-1000000000000000000000"})"));
  EXPECT_EQ(tree("-up"),
            Success(R"({"expr":)" + up + R"(,"op":"-","type":"unaryExpr"})"));
  EXPECT_EQ(tree("x{a!~'b'}[5m]+offset+1m"),
            Success(R"({"anchored":false,"matchers":[{"name":"a","type":"!~",)"
                    R"("value":"b"},{"name":"__name__","type":"=",)"
                    R"("value":"x"}],"name":"x","offset":60000,)"
                    R"("range":300000,"smoothed":false,"startOrEnd":null,)"
                    R"("timestamp":null,"type":"matrixSelector"})"));
  EXPECT_EQ(tree("(up)[1h:5m]+@+end()"),
            Success(R"({"expr":{"expr":)" + up +
                    R"(,"type":"parenExpr"},"offset":0,"range":3600000,)"
                    R"("startOrEnd":"end","step":300000,"timestamp":null,)"
                    R"("type":"subquery"})"));
  EXPECT_EQ(tree("topk+by(a)(2,up+@+1.5)"),
            Success(R"({"expr":{"anchored":false,"matchers":[)"
                    R"({"name":"__name__","type":"=","value":"up"}],)"
                    R"("name":"up","offset":0,"smoothed":false,)"
                    R"("startOrEnd":null,"timestamp":1500,)"
                    R"("type":"vectorSelector"},"grouping":["a"],"op":"topk",)"
                    R"("param":{"type":"numberLiteral","val":"2"},)"
                    R"("type":"aggregation","without":false})"));
  EXPECT_EQ(tree("up/on(a)group_left(b)up"),
            Success(R"({"bool":false,"lhs":)" + up +
                    R"(,"matching":{"card":"many-to-one","fillValues":)"
                    R"({"lhs":null,"rhs":null},"include":["b"],)"
                    R"("labels":["a"],"on":true},"op":"/","rhs":)" +
                    up + R"(,"type":"binaryExpr"})"));
  EXPECT_EQ(tree("1>bool+2"),
            Success(R"({"bool":true,"lhs":{"type":"numberLiteral","val":"1"},)"
                    R"("matching":null,"op":">","rhs":)"
                    R"({"type":"numberLiteral","val":"2"},)"
                    R"("type":"binaryExpr"})"));
  EXPECT_EQ(tree("round(up)"),
            Success(R"({"args":[)" + up +
                    R"(],"func":{"argTypes":["vector","scalar"],)"
                    R"("name":"round","returnType":"vector","variadic":1},)"
                    R"("type":"call"})"));
  EXPECT_EQ(
      tree("rate("),
      Error("bad_data", R"(invalid parameter \"query\": 1:6: parse error: )"
                        R"(unclosed left parenthesis)"));
}

TEST_F(HttpFrontendTest, ReadsExperimentalExpressionsWhereTheyAreOn) {
  const std::string target = "/api/v1/format_query?query=limitk(1,up)";
  EXPECT_EQ(Get(target).status, 400);

  experimental_ = true;
  Start(store_);

  EXPECT_EQ(Get(target).body, Success("\"limitk(1, up)\""));
  EXPECT_EQ(Get("/api/v1/parse_query?query=limitk(1,up)").status, 200);
  EXPECT_EQ(Get("/api/v1/query_exemplars?query=limitk(1,up)").status, 200);
}

TEST_F(HttpFrontendTest, LimitsExpressionsThatAreNotEvaluatedToo) {
  engine_options_.nesting_max = 3;
  Start(store_);

  for (const char* path :
       {"query", "format_query", "parse_query", "query_exemplars"}) {
    EXPECT_THAT(Get(std::string("/api/v1/") + path + "?query=((((up))))").body,
                HasSubstr("query.nesting_max"))
        << path;
  }
}

TEST_F(HttpFrontendTest, KeepsRangeAnswersUnlessAskedNotTo) {
  Append({{"__name__", "up"}}, {{kNowMs - 60'000, 1}});
  const std::string target =
      "/api/v1/query_range?query=up&start=1699999000&end=1700000000&step=10";
  const auto count = [&](const std::string& result) {
    return Get("/metrics")
               .body.find("vigie_query_cache_requests_total{result=\"" +
                          result + "\"} 1\n") != std::string::npos;
  };

  const std::string first = Get(target).body;
  EXPECT_EQ(Get(target).body, first);
  EXPECT_TRUE(count("hit"));
  EXPECT_FALSE(count("bypass"));
  EXPECT_EQ(Get(target + "&nocache=1").body, first);
  EXPECT_TRUE(count("bypass"));
  Get(target + "&nocache=0");
  EXPECT_TRUE(count("bypass"));
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

}  // namespace
}  // namespace vigie::server

// /federate over a real socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "server/federation.h"
#include "tests/server/http_frontend_fixture.h"

namespace vigie::server {
namespace {

using ::testing::HasSubstr;
using vigie::testing::RawReply;

TEST_F(HttpFrontendTest, FederatesTheNewestSampleOfWhatIsSelected) {
  Append({{"__name__", "up"}, {"job", "b"}, {"instance", "x:1"}},
         {{kNowMs - 60'000, 0}, {kNowMs - 1'500, 1}});
  Append({{"__name__", "up"}, {"job", "a"}}, {{kNowMs, 0.5}});
  Append({{"__name__", "errors"}, {"A", "first \"label\"\n"}},
         {{kNowMs, 1e21}});
  Append({{"__name__", "other"}}, {{kNowMs, 7}});

  // Both selectors want `up`; it comes once.
  const RawReply reply =
      Get("/federate?match[]=up&match[]={__name__=~%22up|errors%22}");

  EXPECT_EQ(reply.headers.at("Content-Type"),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
  EXPECT_EQ(reply.body,
            "# TYPE errors untyped\n"
            "errors{A=\"first \\\"label\\\"\\n\",instance=\"\"} 1e+21 "
            "1700000000000\n"
            "# TYPE up untyped\n"
            "up{instance=\"x:1\",job=\"b\"} 1 1699999998500\n"
            "up{job=\"a\",instance=\"\"} 0.5 1700000000000\n");
}

TEST_F(HttpFrontendTest, FederatesNothingStaleOldOrOfTheFuture) {
  Append({{"__name__", "ended"}},
         {{kNowMs - 2, 1}, {kNowMs - 1, StaleMarker()}});
  Append({{"__name__", "old"}}, {{kNowMs - 300'001, 1}});
  Append({{"__name__", "just"}}, {{kNowMs - 300'000, 1}});
  Append({{"__name__", "tomorrow"}}, {{kNowMs + 1, 1}});

  const RawReply reply = Get("/federate?match[]={__name__=~%22.%2B%22}");

  EXPECT_EQ(reply.body,
            "# TYPE just untyped\njust{instance=\"\"} 1 1699999700000\n");
}

TEST_F(HttpFrontendTest, FederatesUnderTheExternalLabelsASeriesHasNot) {
  external_labels_ = {{"region", "eu"}, {"job", "mine"}, {"instance", "me"}};
  Start(store_);
  Append({{"__name__", "up"}, {"job", "a"}}, {{kNowMs, 1}});

  EXPECT_EQ(Get("/federate?match[]=up").body,
            "# TYPE up untyped\n"
            "up{job=\"a\",instance=\"me\",region=\"eu\"} 1 1700000000000\n");
}

TEST_F(HttpFrontendTest, FederatesUtf8NamesAsTheScraperCanReadThem) {
  Append({{"__name__", "http.requests"}, {"a.b", "1"}}, {{kNowMs, 1}});
  const auto body = [&](const std::string& accept) {
    return Client()
        .Get("/federate?match[]={%22http.requests%22}",
             "Accept: " + accept + "\r\n")
        .body;
  };

  EXPECT_EQ(body("text/plain"),
            "# TYPE http_requests untyped\n"
            "http_requests{a_b=\"1\",instance=\"\"} 1 1700000000000\n");
  EXPECT_EQ(body("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5"),
            "# TYPE \"http.requests\" untyped\n"
            "{\"http.requests\",\"a.b\"=\"1\",instance=\"\"} 1 "
            "1700000000000\n");
}

TEST_F(HttpFrontendTest, FederationSaysWhatIsWrongAsText) {
  const RawReply broken = Get("/federate?match[]=up%7B");

  EXPECT_EQ(broken.status, 400);
  EXPECT_EQ(broken.headers.at("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_THAT(broken.body, HasSubstr("parse error"));
  EXPECT_EQ(Get("/federate?match[]=%zz").status, 400);
  EXPECT_EQ(Get("/federate").status, 200);
  EXPECT_EQ(Get("/federate").body, "");
}

TEST_F(HttpFrontendTest, FederatesALongListInPieces) {
  constexpr int kSeries = 5'000;
  for (int i = 0; i < kSeries; ++i) {
    Append({{"__name__", "metric"}, {"i", std::to_string(i)}}, {{kNowMs, 1}});
  }

  const RawReply reply = Get("/federate?match[]=metric");

  EXPECT_EQ(reply.headers.at("Transfer-Encoding"), "chunked");
  EXPECT_EQ(std::count(reply.body.begin(), reply.body.end(), '\n'),
            kSeries + 1);
  EXPECT_THAT(reply.body, HasSubstr("metric{i=\"4999\",instance=\"\"} 1 "));
}

TEST(EscapeNameTest, FollowsTheSchemes) {
  const std::string name = "a_b.c\xc3\xa9";  // é
  EXPECT_EQ(EscapeName(name, NameEscaping::kUnderscores), "a_b_c_");
  EXPECT_EQ(EscapeName(name, NameEscaping::kDots), "a__b_dot_c__");
  EXPECT_EQ(EscapeName(name, NameEscaping::kValues), "U__a__b_2e_c_e9_");
  EXPECT_EQ(EscapeName(name, NameEscaping::kAllowUtf8), name);
  EXPECT_EQ(EscapeName("a_b:c", NameEscaping::kValues), "a_b:c");
  EXPECT_EQ(EscapeName("9a", NameEscaping::kUnderscores), "_a");
  EXPECT_EQ(EscapeName("\xff", NameEscaping::kValues), "U___fffd_");
}

TEST(EscapeNameTest, IsChosenByTheAcceptHeader) {
  EXPECT_EQ(NegotiateEscaping(""), NameEscaping::kUnderscores);
  EXPECT_EQ(NegotiateEscaping("text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
            NameEscaping::kUnderscores);
  EXPECT_EQ(NegotiateEscaping("text/plain;escaping=dots,*/*"),
            NameEscaping::kDots);
  EXPECT_EQ(NegotiateEscaping("text/plain; escaping=values"),
            NameEscaping::kValues);
}

}  // namespace
}  // namespace vigie::server

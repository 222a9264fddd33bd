#include "sdk/meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "tests/sdk/manual_clock.h"

namespace vigie::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::vigie::testing::ManualClock;

constexpr int64_t kStart = 1'795'000'000'000'000'000;
constexpr int64_t kSecond = 1'000'000'000;

class MeterTest : public ::testing::Test {
 protected:
  // The points of `name` at the clock's time; none if it is not there.
  std::vector<Point> Points(const std::string& name) {
    for (Metric& metric : meter_->Collect(clock_.UnixNs()).metrics) {
      if (metric.name == name) return std::move(metric.points);
    }
    return {};
  }
  // The newest value of the series with exactly these label values.
  std::optional<double> Value(const std::string& name,
                              const std::vector<std::string>& labels) {
    std::optional<double> out;
    for (const Point& point : Points(name)) {
      std::vector<std::string> values;
      for (const Attribute& a : *point.attributes) values.push_back(a.value);
      if (values != labels) continue;
      const auto* whole = std::get_if<int64_t>(&point.value);
      out = whole ? static_cast<double>(*whole) : std::get<double>(point.value);
    }
    return out;
  }

  ManualClock clock_{kStart};
  std::vector<std::string> faults_;
  std::unique_ptr<Meter> meter_ = std::make_unique<Meter>(
      Resource("orders", "orders-0"),
      Meter::Options{.clock = &clock_, .on_fault = [this](std::string_view f) {
                       faults_.emplace_back(f);
                     }});
};

TEST_F(MeterTest, ABoundSeriesIsThereAtZeroBeforeItsFirstIncrement) {
  auto orders = meter_->AddCounter<"site", "version">({.name = "orders"});
  const auto fr = orders.Bind("fr", "v1");

  const auto points = Points("orders");

  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(std::get<int64_t>(points[0].value), 0);
  EXPECT_EQ(*points[0].attributes,
            (Attributes{{"site", "fr"}, {"version", "v1"}}));
}

TEST_F(MeterTest, ASeriesThatCountedBeforeItsFirstCollectionBeginsWithZero) {
  auto orders = meter_->AddCounter<"site">({.name = "orders"});
  clock_.AdvanceNs(kSecond);
  orders.Bind("fr").Add(3);
  clock_.AdvanceNs(kSecond);

  const auto first = Points("orders");
  clock_.AdvanceNs(kSecond);
  const auto second = Points("orders");

  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].time_ns, kStart + kSecond);
  EXPECT_EQ(std::get<int64_t>(first[0].value), 0);
  EXPECT_EQ(first[1].time_ns, kStart + 2 * kSecond);
  EXPECT_EQ(first[1].start_ns, kStart + kSecond);
  EXPECT_EQ(std::get<int64_t>(first[1].value), 3);
  ASSERT_EQ(second.size(), 1u);
}

TEST_F(MeterTest, NoZeroSharesAMillisecondWithTheValue) {
  auto orders = meter_->AddCounter<>({.name = "orders"});
  orders.Bind().Increment();
  clock_.AdvanceNs(1000);

  EXPECT_EQ(Points("orders").size(), 1u);
}

TEST_F(MeterTest, BindGivesTheSameSeriesForTheSameValues) {
  auto orders = meter_->AddCounter<"site">({.name = "orders"});
  orders.Bind("fr").Increment();
  orders.Bind(std::string("fr")).Increment();

  EXPECT_EQ(Value("orders", {"fr"}), 2);
}

TEST_F(MeterTest, ValuesThatRunTogetherAreApart) {
  auto c = meter_->AddCounter<"a", "b">({.name = "c"});
  c.Bind("x", "yz").Add(1);
  c.Bind("xy", "z").Add(2);

  EXPECT_EQ(Value("c", {"x", "yz"}), 1);
  EXPECT_EQ(Value("c", {"xy", "z"}), 2);
}

TEST_F(MeterTest, IntegersAreExactAndFractionsAreAdded) {
  auto cents = meter_->AddCounter<>({.name = "cents"});
  const auto bound = cents.Bind();
  bound.Add((int64_t{1} << 53) + 1);
  EXPECT_EQ(std::get<int64_t>(Points("cents").back().value),
            (int64_t{1} << 53) + 1);

  auto seconds = meter_->AddCounter<>({.name = "seconds"});
  seconds.Bind().Add(2);
  seconds.Bind().Add(0.25);
  EXPECT_EQ(std::get<double>(Points("seconds").back().value), 2.25);
}

TEST_F(MeterTest, ACounterBeyondInt64IsADouble) {
  auto c = meter_->AddCounter<>({.name = "c"});
  c.Bind().Add(std::numeric_limits<uint64_t>::max());

  EXPECT_EQ(std::get<double>(Points("c").back().value), std::ldexp(1, 64));
}

TEST_F(MeterTest, NegativeAndNonFiniteAmountsAreIgnoredAndCounted) {
  clock_.AdvanceNs(kSecond);
  const auto c = meter_->AddCounter<>({.name = "c"}).Bind();
  const auto h = meter_->AddHistogram<>({.name = "h"}).Bind();
  c.Add(5);
  c.Add(-1);
  c.Add(-0.5);
  c.Add(std::nan(""));
  c.Add(std::numeric_limits<double>::infinity());
  h.Observe(std::nan(""));

  EXPECT_EQ(Value("c", {}), 5);
  EXPECT_EQ(Value("vigie.sdk.refusals", {"negative"}), 2);
  EXPECT_EQ(Value("vigie.sdk.refusals", {"not_finite"}), 3);
}

TEST_F(MeterTest, AGaugeExistsOnceItIsSet) {
  const auto users = meter_->AddGauge<"site">({.name = "users"}).Bind("fr");
  EXPECT_EQ(Value("users", {"fr"}), std::nullopt);

  users.Set(12.5);
  users.Set(-3);

  EXPECT_EQ(Value("users", {"fr"}), -3);
}

TEST_F(MeterTest, AnUpDownCounterGoesBelowZero) {
  const auto queue = meter_->AddUpDownCounter<>({.name = "q"}).Bind();
  queue.Add(2);
  queue.Add(-5);
  EXPECT_EQ(Value("q", {}), -3);

  queue.Add(0.5);
  EXPECT_EQ(Value("q", {}), -2.5);
}

TEST_F(MeterTest, ABucketTakesItsUpperBound) {
  const auto h = meter_->AddHistogram<>({.name = "h"}, {1, 2}).Bind();
  for (const double value : {0.5, 1.0, 1.5, 2.0, 99.0}) h.Observe(value);

  const auto value = std::get<HistogramValue>(Points("h").back().value);
  EXPECT_THAT(*value.bounds, ElementsAre(1, 2));
  EXPECT_THAT(value.counts, ElementsAre(2, 2, 1));
  EXPECT_EQ(value.sum, 104);
}

TEST_F(MeterTest, BeyondTheCapSeriesShareANamedOneAndAreCounted) {
  auto c = meter_->AddCounter<"user">({.name = "c", .series_max = 2});
  for (int user = 0; user < 5; ++user) c.Bind(user).Increment();

  EXPECT_EQ(Value("c", {"1"}), 1);
  EXPECT_EQ(Value("c", {"true"}), 3);
  EXPECT_EQ(Points("c").back().attributes->front().key, "otel.metric.overflow");
  EXPECT_EQ(Value("vigie.sdk.refusals", {"series_overflow"}), 3);
}

TEST_F(MeterTest, TheSameInstrumentTwiceIsOne) {
  meter_->AddCounter<"site">({.name = "c"}).Bind("fr").Increment();
  meter_->AddCounter<"site">({.name = "c"}).Bind("fr").Increment();

  EXPECT_EQ(Value("c", {"fr"}), 2);
  EXPECT_THAT(faults_, ElementsAre());
}

TEST_F(MeterTest, WhatCannotBeMadeLeadsNowhereAndIsTold) {
  meter_->AddCounter<"site">({.name = "c"});
  meter_->AddCounter<"country">({.name = "c"}).Bind("fr").Increment();
  meter_->AddGauge<>({.name = "1st"}).Bind().Set(1);
  meter_->AddHistogram<>({.name = "h"}, {2, 1}).Bind().Observe(1);

  EXPECT_THAT(faults_, ElementsAre(HasSubstr("\"c\": is there already"),
                                   HasSubstr("\"1st\": a name"),
                                   HasSubstr("\"h\": bounds do not")));
  EXPECT_EQ(Value("vigie.sdk.refusals", {"invalid_instrument"}), 3);
}

TEST_F(MeterTest, BytesThatAreNoTextBecomeReplacementCharacters) {
  meter_->AddCounter<"q">({.name = "c"}).Bind("a\xFF\xC3z").Increment();

  EXPECT_EQ(Value("c", {"a\uFFFD\uFFFDz"}), 1);
}

TEST_F(MeterTest, HandlesAndInstrumentsOutliveTheirMeter) {
  auto c = meter_->AddCounter<"site">({.name = "c"});
  const auto fr = c.Bind("fr");
  meter_.reset();

  fr.Increment();
  fr.Add(-1);
  c.Bind("es").Increment();
}

TEST_F(MeterTest, HandlesThatWereNeverBoundDoNothing) {
  Counter<"site">().Bind("fr").Increment();
  BoundGauge().Set(1);
  BoundHistogram().Observe(1);
}

TEST_F(MeterTest, HooksSetGaugesAtTheTimeOfCollection) {
  const auto g = meter_->AddGauge<>({.name = "g"}).Bind();
  meter_->OnCollect([g, n = 0]() mutable { g.Set(++n); });

  EXPECT_EQ(Value("g", {}), 1);
  EXPECT_EQ(Value("g", {}), 2);
}

TEST_F(MeterTest, AStartIsNeverAfterItsValue) {
  meter_->AddCounter<>({.name = "c"}).Bind().Increment();
  clock_.SetUnixNs(kStart - 3600 * kSecond);

  const auto points = Points("c");

  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].start_ns, points[0].time_ns);
}

TEST_F(MeterTest, NothingIsLostAndNothingDecreasesUnderThreads) {
  constexpr int kThreads = 4, kAdds = 20'000;
  auto c = meter_->AddCounter<"thread">({.name = "c"});
  const auto shared = meter_->AddCounter<>({.name = "shared"}).Bind();
  const auto h = meter_->AddHistogram<>({.name = "h"}, {1}).Bind();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kAdds; ++i) {
          c.Bind(t).Increment();
          shared.Increment();
          h.Observe(1);
        }
      });
    }
    double last = 0;
    for (int i = 0; i < 100; ++i) {
      const double now = Value("shared", {}).value();
      EXPECT_GE(now, last);
      last = now;
    }
  }

  EXPECT_EQ(Value("shared", {}), kThreads * kAdds);
  EXPECT_EQ(Value("c", {"3"}), kAdds);
  const auto value = std::get<HistogramValue>(Points("h").back().value);
  EXPECT_THAT(value.counts, ElementsAre(kThreads * kAdds, 0));
  EXPECT_EQ(value.sum, kThreads * kAdds);
}

Resource FromVariables(std::map<std::string, std::string> variables) {
  return Resource::FromEnvironment([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(ResourceTest, TheServiceNameWinsOverTheAttributes) {
  const Resource r = FromVariables(
      {{"OTEL_SERVICE_NAME", "shop"},
       {"OTEL_RESOURCE_ATTRIBUTES",
        "service.name=other, team = a%2Cb ,service.instance.id=shop-0"}});

  EXPECT_EQ(r.Get("service.name"), "shop");
  EXPECT_EQ(r.Get("team"), "a,b");
  EXPECT_EQ(r.Get("service.instance.id"), "shop-0");
}

TEST(ResourceTest, MalformedAttributesAreNoneAtAll) {
  for (const char* text : {"a=1,b", "a=%zz", "=1", "a=1%2"}) {
    const Resource r = FromVariables({{"OTEL_RESOURCE_ATTRIBUTES", text}});
    EXPECT_EQ(r.attributes().size(), 2u) << text;
    EXPECT_THAT(std::string(r.Get("service.name")),
                HasSubstr("unknown_service:"));
  }
}

}  // namespace
}  // namespace vigie::sdk

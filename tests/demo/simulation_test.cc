#include "deploy/demo/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "deploy/demo/event_log.h"
#include "deploy/demo/totals.h"

namespace vigie::demo {
namespace {

constexpr uint64_t kSeed = 20261121;

struct Recorder final : Observer {
  void OnEvent(const Event& event) override { events.push_back(event); }
  void OnRequest(const Request& request) override {
    requests.push_back(request);
  }

  // (time, event) of that kind.
  template <typename What>
  std::vector<std::pair<double, What>> Of() const {
    std::vector<std::pair<double, What>> out;
    for (const Event& event : events) {
      const auto* what = std::get_if<What>(&event.what);
      if (what != nullptr) out.emplace_back(event.at_s, *what);
    }
    return out;
  }

  std::vector<Event> events;
  std::vector<Request> requests;
};

class SimulationTest : public ::testing::Test {
 protected:
  SimulationTest() { RecordProperty("seed", std::to_string(kSeed)); }

  // What happened in `seconds` of a shop without daily rhythm to speak of:
  // it stays noon.
  void Run(double seconds, SimulationOptions options = {}) {
    options.seed = kSeed;
    options.backend.rhythm = {.day_s = 1e9, .start_hour = 12};
    options.customers.rhythm = options.backend.rhythm;
    simulation_ = std::make_unique<Simulation>(
        options, std::vector<Observer*>{&record_, &totals_});
    simulation_->RunUntil(seconds);
  }

  Recorder record_;
  Totals totals_;
  std::unique_ptr<Simulation> simulation_;
  const ::testing::ScopedTrace trace_{__FILE__, __LINE__,
                                      "seed " + std::to_string(kSeed)};
};

std::string LogOf(uint64_t seed, double seconds) {
  Recorder record;
  Simulation simulation({.seed = seed, .restart_every_s = 7}, {&record});
  simulation.RunUntil(seconds);
  std::string out;
  for (const Event& event : record.events) {
    out += ToJson(event, simulation.backend().instances(),
                  simulation.catalogue()) +
           "\n";
  }
  return out;
}

TEST(SimulationDeterminismTest,
     TheSameSeedGivesTheSameLogAndAnotherADifferent) {
  EXPECT_EQ(LogOf(1, 60), LogOf(1, 60));
  EXPECT_NE(LogOf(1, 60), LogOf(2, 60));
}

TEST(SimulationDeterminismTest, HowFarItIsRunAtATimeChangesNothing) {
  Recorder whole, parts;
  Simulation at_once({.seed = kSeed}, {&whole});
  Simulation in_parts({.seed = kSeed}, {&parts});

  at_once.RunUntil(30);
  for (int i = 1; i <= 300; ++i) in_parts.RunUntil(i / 10.0);

  ASSERT_EQ(whole.events.size(), parts.events.size());
  for (size_t i = 0; i < whole.events.size(); ++i) {
    EXPECT_EQ(whole.events[i].at_s, parts.events[i].at_s);
  }
}

TEST_F(SimulationTest, ABasketEndsOnceInAnOrderOrAfterTheWindow) {
  Run(600, {.customers = {.basket_window_s = 20}});

  std::map<uint64_t, double> created;
  for (const auto& [at, e] : record_.Of<BasketCreated>())
    created[e.basket] = at;
  std::set<uint64_t> ended;
  for (const auto& [at, e] : record_.Of<OrderPlaced>()) {
    EXPECT_TRUE(ended.insert(e.basket).second);
    EXPECT_LE(at, created.at(e.basket) + 20);
  }
  const size_t ordered = ended.size();
  for (const auto& [at, e] : record_.Of<BasketAbandoned>()) {
    EXPECT_TRUE(ended.insert(e.basket).second);
    EXPECT_NEAR(at, created.at(e.basket) + 20, 1e-9);
  }
  for (const auto& [basket, at] : created) {
    EXPECT_TRUE(ended.contains(basket) || at > 580) << basket;
  }
  EXPECT_GT(ordered, 100);
  EXPECT_GT(ended.size() - ordered, 100);
}

TEST_F(SimulationTest, RevenueIsWhatTheLinesOfPaidOrdersCost) {
  Run(300);

  std::map<uint64_t, int64_t> placed;
  for (const auto& [at, e] : record_.Of<OrderPlaced>()) {
    EXPECT_TRUE(placed.emplace(e.order, e.cents).second);
  }
  std::set<uint64_t> paid;
  for (const auto& [at, e] : record_.Of<OrderPaid>()) {
    EXPECT_TRUE(paid.insert(e.order).second) << "paid twice";
    int64_t cents = 0;
    for (const OrderLine& line : e.lines) {
      cents += line.quantity *
               simulation_->catalogue().products()[line.product].cents;
    }
    EXPECT_EQ(e.cents, cents);
    EXPECT_EQ(e.cents, placed.at(e.order));
  }
  EXPECT_EQ(paid.size(), totals_.counts().payments[0]);
  EXPECT_GT(paid.size(), 100);
}

TEST_F(SimulationTest, VisitsComeAtTheRateAndInTheSharesOfTheSites) {
  Run(1000, {.customers = {.visits_per_s = 10}});

  const auto& visits = totals_.counts().visits;
  const double noon = Rhythm(0, {.day_s = 1e9, .start_hour = 12});
  const double expected = 1000 * 10 * noon;
  const double all = visits[0] + visits[1] + visits[2];
  EXPECT_NEAR(all, expected, 5 * std::sqrt(expected));
  EXPECT_NEAR(visits[0] / all, 0.60, 0.025);
  EXPECT_NEAR(visits[1] / all, 0.25, 0.025);
  EXPECT_NEAR(visits[2] / all, 0.15, 0.025);
}

TEST_F(SimulationTest, InstancesRestartInTurnAndForgetWhatTheyCounted) {
  Run(35, {.restart_every_s = 10});

  std::vector<std::string> names;
  for (const Event& event : record_.events) {
    if (std::holds_alternative<Restarted>(event.what)) {
      names.push_back(simulation_->backend().instances()[event.instance].name);
    }
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("gateway-0", "gateway-1", "auth-0"));
  const Backend::Vitals& restarted = simulation_->backend().vitals(0);
  EXPECT_EQ(restarted.started_s, 10);
  const auto requests = std::count_if(
      record_.requests.begin(), record_.requests.end(),
      [](const Request& request) { return request.instance == 0; });
  EXPECT_LT(restarted.requests, requests);
  EXPECT_GT(restarted.requests, 0);
}

TEST_F(SimulationTest, WithoutACanaryNothingRunsTheSecondRelease) {
  Run(60);

  for (const Instance& instance : simulation_->backend().instances()) {
    EXPECT_EQ(instance.release, Release::kV1) << instance.name;
  }
  EXPECT_EQ(totals_.counts().visits_by_release[1], 0);
}

// Runs with a canary of half the visits; gives v2's figure over v1's.
struct Comparison {
  double errors_v1, errors_v2;    // share of requests
  double seconds_v1, seconds_v2;  // median
  double conversion_v1, conversion_v2;
};

Comparison Compare(const Recorder& record, const Totals::Counts& counts,
                   const std::vector<Instance>& instances) {
  std::array<std::vector<double>, 2> seconds;
  std::array<double, 2> failed{};
  for (const Request& request : record.requests) {
    if (kRoutes[request.route].service != Service::kProducts) continue;
    const auto release =
        static_cast<size_t>(instances[request.instance].release);
    seconds[release].push_back(request.seconds);
    failed[release] += request.status >= 500;
  }
  const auto median = [](std::vector<double> values) {
    const auto middle = values.begin() + values.size() / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  };
  const auto conversion = [&](size_t release) {
    return static_cast<double>(counts.orders_by_release[release]) /
           static_cast<double>(counts.visits_by_release[release]);
  };
  return {failed[0] / seconds[0].size(),
          failed[1] / seconds[1].size(),
          median(seconds[0]),
          median(seconds[1]),
          conversion(0),
          conversion(1)};
}

TEST_F(SimulationTest, ACanaryThatIsNotWorsenedIsNoWorse) {
  Run(1200, {.backend = {.canary = true}, .customers = {.canary_share = 0.5}});

  const Comparison c =
      Compare(record_, totals_.counts(), simulation_->backend().instances());
  EXPECT_NEAR(c.errors_v2, c.errors_v1, 0.001);
  EXPECT_NEAR(c.seconds_v2 / c.seconds_v1, 1, 0.03);
  EXPECT_NEAR(c.conversion_v2 / c.conversion_v1, 1, 0.1);
}

TEST_F(SimulationTest, EachFlagWorsensItsOwnFigureOfTheCanary) {
  Run(1200, {.backend = {.canary = true,
                         .v2_error_rate = 0.01,
                         .v2_latency_factor = 1.5},
             .customers = {.canary_share = 0.5, .v2_conversion_factor = 0.5}});

  const Comparison c =
      Compare(record_, totals_.counts(), simulation_->backend().instances());
  EXPECT_NEAR(c.errors_v2 - c.errors_v1, 0.01, 0.002);
  EXPECT_NEAR(c.seconds_v2 / c.seconds_v1, 1.5, 0.05);
  EXPECT_NEAR(c.conversion_v2 / c.conversion_v1, 0.5, 0.1);
}

TEST_F(SimulationTest, ABurstFailsItsShareOfPaymentsAndNoneOutside) {
  Run(900, {.bursts = {{.start_s = 300, .duration_s = 300, .share = 0.5}}});

  std::array<double, 2> attempts{}, errors{};
  for (const auto& [at, e] : record_.Of<PaymentAttempted>()) {
    const bool inside = at > 302 && at < 600;
    if (!inside && at > 300 && at < 610) continue;  // under way at the edges
    ++attempts[inside];
    errors[inside] += e.outcome == PaymentOutcome::kError;
  }
  ASSERT_GT(attempts[1], 300);
  EXPECT_LT(errors[0] / attempts[0], 0.02);
  EXPECT_NEAR(errors[1] / attempts[1], 0.5, 0.1);
  EXPECT_EQ(record_.Of<PaymentErrorsSet>().size(), 2);
}

TEST_F(SimulationTest, OrdersWaitWhenTheBankIsSlowAndNoneIsLost) {
  Run(200, {.bursts = {{.start_s = 0, .duration_s = 200, .share = 1}},
            .customers = {.visits_per_s = 60}});
  const size_t waiting_in_burst = simulation_->fulfilment().orders_waiting();
  simulation_->RunUntil(600);

  EXPECT_GT(waiting_in_burst, 50);
  EXPECT_LT(simulation_->fulfilment().orders_waiting(), 10);
  std::map<uint64_t, int> attempts;
  for (const auto& [at, e] : record_.Of<PaymentAttempted>()) {
    ++attempts[e.order];
  }
  const auto placed = record_.Of<OrderPlaced>().size();
  EXPECT_NEAR(attempts.size(), placed, 30);  // those under way
  for (const auto& [order, n] : attempts) EXPECT_LE(n, 2) << order;
}

TEST_F(SimulationTest, CustomersLeave) {
  Run(300);

  int64_t active = 0;
  for (size_t i = 0; i < simulation_->backend().instances().size(); ++i) {
    for (const Site site : {Site::kFr, Site::kDe, Site::kEs}) {
      const int64_t here = simulation_->customers().active(i, site);
      EXPECT_GE(here, 0);
      active += here;
    }
  }
  // Little's law: arrivals a second times the seconds they stay.
  EXPECT_GT(active, 20);
  EXPECT_LT(active, 30 * 12);
}

TEST_F(SimulationTest, EveryRequestHasAStatusThatItsRouteKnows) {
  Run(300, {.bursts = {{.start_s = 10, .duration_s = 50, .share = 0.5}}});

  for (const Request& request : record_.requests) {
    const Route& route = kRoutes[request.route];
    EXPECT_THAT(route.statuses, ::testing::Contains(request.status))
        << route.path;
    EXPECT_EQ(simulation_->backend().instances()[request.instance].service,
              route.service);
    EXPECT_GT(request.seconds, 0);
  }
}

TEST_F(SimulationTest, TotalsAreTheSumOfTheEvents) {
  Run(120, {.restart_every_s = 10});

  const Totals::Counts& c = totals_.counts();
  int64_t cents = 0, lines = 0, sold = 0;
  for (const auto& [at, e] : record_.Of<OrderPaid>()) {
    cents += e.cents;
    for (const OrderLine& line : e.lines) lines += line.quantity;
  }
  for (const int64_t quantity : c.sales) sold += quantity;
  EXPECT_EQ(c.revenue_cents[0] + c.revenue_cents[1] + c.revenue_cents[2],
            cents);
  EXPECT_EQ(sold, lines);
  EXPECT_EQ(c.restarts, 12);
  EXPECT_EQ(c.requests, record_.requests.size());
  EXPECT_THAT(
      totals_.ToText(simulation_->catalogue()),
      ::testing::HasSubstr("\nshop_product_sales_total{product=\"oak-mug"
                           "\"} " +
                           std::to_string(c.sales[0]) + "\n"));
}

}  // namespace
}  // namespace vigie::demo

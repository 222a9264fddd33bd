#include "deploy/demo/customers.h"

#include <utility>

namespace vigie::demo {
namespace {

constexpr std::array<double, kSiteNames.size()> kSiteShares = {0.6, 0.25, 0.15};

// Of those who come, who searches; of those who have looked, who fills a
// basket; of those, who orders. Far above a real shop's, so that a demo of
// minutes has orders enough to compare.
constexpr double kSearchShare = 0.7;
constexpr double kBasketShare = 0.45;
constexpr double kOrderShare = 0.4;

constexpr double kWrongPasswordShare = 0.06;
constexpr int kLoginsMax = 2;
constexpr int64_t kPagesMax = 4;
constexpr int64_t kLinesMax = 3;
constexpr double kTwoOfOneShare = 0.15;

Site DrawSite(Random& random) {
  double at = random.Fraction();
  for (size_t i = 0; i + 1 < kSiteShares.size(); ++i) {
    if (at < kSiteShares[i]) return static_cast<Site>(i);
    at -= kSiteShares[i];
  }
  return static_cast<Site>(kSiteShares.size() - 1);
}

}  // namespace

struct Customers::Session {
  Site site;
  Release release;
  size_t gateway;
  uint64_t basket = 0;
  bool basket_gone = false;  // ordered or abandoned
  std::vector<OrderLine> lines = {};
};

Customers::Customers(const CustomerOptions& options, uint64_t seed,
                     const Catalogue& catalogue, Timeline& timeline,
                     Backend& backend, Fulfilment& fulfilment,
                     Audience& audience)
    : options_(options),
      catalogue_(catalogue),
      timeline_(timeline),
      backend_(backend),
      fulfilment_(fulfilment),
      audience_(audience),
      arrivals_(seed, /*stream=*/3),
      random_(seed, /*stream=*/4),
      active_(backend.instances().size()) {}

void Customers::Open() { Arrive(); }

int64_t Customers::active(size_t gateway_instance, Site site) const {
  return active_[gateway_instance][static_cast<size_t>(site)];
}

// A Poisson process whose rate follows the rhythm, by thinning: arrivals at the
// rate of the busiest moment, of which a part comes in. Lewis and Shedler,
// "Simulation of nonhomogeneous Poisson processes by thinning", 1979.
void Customers::Arrive() {
  const double busiest = RhythmMax();
  timeline_.After(arrivals_.Exponential(1 / (options_.visits_per_s * busiest)),
                  [this, busiest] {
                    const double now =
                        Rhythm(timeline_.now_s(), options_.rhythm);
                    if (arrivals_.Chance(now / busiest)) Begin();
                    Arrive();
                  });
}

template <typename Next>
void Customers::Then(double page_s, Next next) {
  timeline_.After(page_s + random_.Exponential(options_.think_s),
                  std::move(next));
}

void Customers::Begin() {
  const Site site = DrawSite(random_);
  const Release release =
      random_.Chance(options_.canary_share) ? Release::kV2 : Release::kV1;
  const auto home = backend_.Browse(kGatewayHome, {}, release);
  auto session = std::make_shared<Session>(Session{
      .site = site, .release = release, .gateway = home.gateway.instance});
  ++active_[session->gateway][static_cast<size_t>(site)];
  audience_.Tell(session->gateway, Visit{site, release});
  if (!home.ok()) return Leave(session);

  const int64_t pages = random_.Between(1, kPagesMax);
  Then(home.seconds(), [this, session, pages] {
    if (!random_.Chance(kSearchShare)) return Look(session, pages);
    const auto found =
        backend_.Browse(kGatewaySearch, kProductsSearch, session->release);
    if (!found.ok()) return Leave(session);
    audience_.Tell(found.behind->instance, Search{session->site});
    Then(found.seconds(), [this, session, pages] { Look(session, pages); });
  });
}

void Customers::Look(const SessionPtr& session, int64_t pages_left) {
  if (pages_left == 0) {
    if (random_.Chance(kBasketShare)) return FillBasket(session);
    return Leave(session);
  }
  const auto page =
      backend_.Browse(kGatewayProduct, kProductsOne, session->release);
  Then(page.seconds(), [this, session, pages_left] {
    Look(session, pages_left - 1);  // whoever gets an error looks at the next
  });
}

void Customers::FillBasket(const SessionPtr& session) {
  const auto page =
      backend_.Browse(kGatewayBaskets, kBasketsCreate, session->release);
  if (!page.ok()) return Leave(session);

  session->basket = ++baskets_;
  const int64_t lines = random_.Between(1, kLinesMax);
  for (int64_t i = 0; i < lines; ++i) {
    session->lines.push_back(
        {catalogue_.Draw(random_), random_.Chance(kTwoOfOneShare) ? 2 : 1});
  }
  const size_t instance = page.behind->instance;
  audience_.Tell(instance, BasketCreated{session->basket, session->site});
  timeline_.After(options_.basket_window_s, [this, session, instance] {
    if (session->basket_gone) return;
    session->basket_gone = true;
    audience_.Tell(instance, BasketAbandoned{session->basket, session->site});
    fulfilment_.Send(EmailKind::kBasketReminder,
                     backend_.Pick(Service::kOrders, session->release));
  });

  double share = kOrderShare;
  if (session->release == Release::kV2) share *= options_.v2_conversion_factor;
  const bool orders = random_.Chance(share);
  Then(page.seconds(), [this, session, orders] {
    if (orders) return LogIn(session, kLoginsMax);
    Leave(session);
  });
}

void Customers::LogIn(const SessionPtr& session, int attempts_left) {
  if (attempts_left == 0) return Leave(session);

  const bool wrong = random_.Chance(kWrongPasswordShare);
  const auto page = backend_.Browse(kGatewayLogin, kAuthLogin, session->release,
                                    wrong ? kUnauthorized : 0);
  if (page.behind->status < 500) {
    audience_.Tell(page.behind->instance, Login{page.behind->ok()});
  }
  Then(page.seconds(), [this, session, attempts_left, ok = page.ok()] {
    if (ok) return PlaceOrder(session);
    LogIn(session, attempts_left - 1);
  });
}

void Customers::PlaceOrder(const SessionPtr& session) {
  if (session->basket_gone) return Leave(session);
  const auto page =
      backend_.Browse(kGatewayOrders, kOrdersCreate, session->release);
  // What the service behind has taken is an order, whatever the gateway says.
  if (page.behind->ok()) {
    int64_t cents = 0;
    for (const OrderLine& line : session->lines) {
      cents += catalogue_.products()[line.product].cents * line.quantity;
    }
    session->basket_gone = true;
    Order order{.number = ++orders_,
                .site = session->site,
                .release = session->release,
                .cents = cents,
                .lines = session->lines,
                .instance = page.behind->instance};
    audience_.Tell(order.instance,
                   OrderPlaced{order.number, session->basket, order.site,
                               order.release, order.cents});
    fulfilment_.Take(std::move(order));
  }
  Then(page.seconds(), [this, session] { Leave(session); });
}

void Customers::Leave(const SessionPtr& session) {
  --active_[session->gateway][static_cast<size_t>(session->site)];
}

}  // namespace vigie::demo

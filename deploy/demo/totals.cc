#include "deploy/demo/totals.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace vigie::demo {
namespace {

template <typename Enum, size_t kSize>
int64_t& At(std::array<int64_t, kSize>& counts, Enum value) {
  return counts[static_cast<size_t>(value)];
}

struct Add {
  Totals::Counts& counts;

  void operator()(const Visit& e) {
    ++At(counts.visits, e.site);
    ++At(counts.visits_by_release, e.release);
  }
  void operator()(const Search& e) { ++At(counts.searches, e.site); }
  void operator()(const Login& e) {
    ++(e.ok ? counts.logins_ok : counts.logins_failed);
  }
  void operator()(const BasketCreated& e) {
    ++At(counts.baskets_created, e.site);
  }
  void operator()(const BasketAbandoned& e) {
    ++At(counts.baskets_abandoned, e.site);
  }
  void operator()(const OrderPlaced& e) {
    ++At(counts.orders, e.site);
    ++At(counts.orders_by_release, e.release);
    At(counts.orders_cents, e.site) += e.cents;
  }
  void operator()(const PaymentAttempted& e) {
    ++At(counts.payments, e.outcome);
  }
  void operator()(const OrderPaid& e) {
    ++At(counts.orders_paid, e.site);
    At(counts.revenue_cents, e.site) += e.cents;
    for (const OrderLine& line : e.lines) {
      counts.sales.resize(std::max(counts.sales.size(), line.product + 1));
      counts.sales[line.product] += line.quantity;
    }
  }
  void operator()(const EmailSent& e) { ++At(counts.emails, e.kind); }
  void operator()(const Restarted&) { ++counts.restarts; }
  void operator()(const PaymentErrorsSet&) {}
};

template <size_t kSize>
void Write(std::string_view metric, std::string_view label,
           const std::array<std::string_view, kSize>& names,
           const std::array<int64_t, kSize>& counts, std::string& out) {
  for (size_t i = 0; i < kSize; ++i) {
    fmt::format_to(std::back_inserter(out), "{}{{{}=\"{}\"}} {}\n", metric,
                   label, names[i], counts[i]);
  }
}

}  // namespace

void Totals::OnEvent(const Event& event) {
  std::visit(Add{counts_}, event.what);
}

void Totals::OnRequest(const Request& request) {
  ++counts_.requests;
  if (request.status >= 500) ++counts_.requests_failed;
}

std::string Totals::ToText(const Catalogue& catalogue) const {
  const Counts& c = counts_;
  std::string out;
  Write("shop_visits_total", "site", kSiteNames, c.visits, out);
  Write("shop_visits_total", "version", kReleaseNames, c.visits_by_release,
        out);
  Write("shop_searches_total", "site", kSiteNames, c.searches, out);
  fmt::format_to(std::back_inserter(out),
                 "shop_logins_total{{outcome=\"ok\"}} {}\n"
                 "shop_logins_total{{outcome=\"failed\"}} {}\n",
                 c.logins_ok, c.logins_failed);
  Write("shop_baskets_created_total", "site", kSiteNames, c.baskets_created,
        out);
  Write("shop_baskets_abandoned_total", "site", kSiteNames, c.baskets_abandoned,
        out);
  Write("shop_orders_total", "site", kSiteNames, c.orders, out);
  Write("shop_orders_total", "version", kReleaseNames, c.orders_by_release,
        out);
  Write("shop_payments_total", "outcome", kPaymentOutcomeNames, c.payments,
        out);
  Write("shop_revenue_cents_total", "site", kSiteNames, c.revenue_cents, out);
  Write("shop_emails_sent_total", "kind", kEmailKindNames, c.emails, out);
  for (size_t i = 0; i < catalogue.products().size(); ++i) {
    fmt::format_to(std::back_inserter(out),
                   "shop_product_sales_total{{product=\"{}\"}} {}\n",
                   catalogue.products()[i].name,
                   i < c.sales.size() ? c.sales[i] : 0);
  }
  fmt::format_to(std::back_inserter(out),
                 "http_server_requests {}\nhttp_server_requests_failed {}\n"
                 "restarts {}\n",
                 c.requests, c.requests_failed, c.restarts);
  return out;
}

}  // namespace vigie::demo

// The nouns of the shop, and what happens in it. Everything that counts is an
// Event or a Request, told to Observers in the order in which it happens: the
// event log, the totals and the instruments see the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace vigie::demo {

enum class Service { kGateway, kAuth, kProducts, kBaskets, kOrders, kPayments };
inline constexpr std::array<std::string_view, 6> kServiceNames = {
    "gateway", "auth", "products", "baskets", "orders", "payments"};

enum class Site { kFr, kDe, kEs };
inline constexpr std::array<std::string_view, 3> kSiteNames = {"fr", "de",
                                                               "es"};

enum class Release { kV1, kV2 };
inline constexpr std::array<std::string_view, 2> kReleaseNames = {"v1", "v2"};

enum class PaymentOutcome { kAccepted, kDeclined, kError };
inline constexpr std::array<std::string_view, 3> kPaymentOutcomeNames = {
    "accepted", "declined", "error"};

enum class EmailKind { kOrderConfirmation, kPaymentFailed, kBasketReminder };
inline constexpr std::array<std::string_view, 3> kEmailKindNames = {
    "order_confirmation", "payment_failed", "basket_reminder"};

// The name of an enumerator: NameOf(Site::kFr, kSiteNames) is "fr".
template <typename Enum, size_t kSize>
constexpr std::string_view NameOf(
    Enum value, const std::array<std::string_view, kSize>& names) {
  return names[static_cast<size_t>(value)];
}

// One process of a service. It runs one release; its name ("orders-1",
// "orders-canary-0") survives restarts, as a StatefulSet's pod.
struct Instance {
  Service service;
  Release release;
  std::string name;
};

// `product` is an index into the catalogue.
struct OrderLine {
  size_t product;
  int64_t quantity;
};

struct Visit {
  Site site;
  Release release;
};
struct Search {
  Site site;
};
struct Login {
  bool ok;
};
struct BasketCreated {
  uint64_t basket;
  Site site;
};
// No order came of it within the basket window. A basket ends once: here or in
// an order.
struct BasketAbandoned {
  uint64_t basket;
  Site site;
};
struct OrderPlaced {
  uint64_t order;
  uint64_t basket;
  Site site;
  Release release;
  int64_t cents;
};
// One attempt; an order may need several.
struct PaymentAttempted {
  uint64_t order;
  Site site;
  Release release;
  PaymentOutcome outcome;
};
// Its money is revenue from now on, its lines are sold.
struct OrderPaid {
  uint64_t order;
  Site site;
  int64_t cents;
  std::vector<OrderLine> lines;
};
struct EmailSent {
  EmailKind kind;
};
// The instance has ended and begun again: what it counted starts at zero.
struct Restarted {};
// From now on this share of payments fails; 0 ends the burst.
struct PaymentErrorsSet {
  double share;
};

struct Event {
  double at_s;      // since the shop opened, in shop seconds
  size_t instance;  // index into Backend::instances()
  std::variant<Visit, Search, Login, BasketCreated, BasketAbandoned,
               OrderPlaced, PaymentAttempted, OrderPaid, EmailSent, Restarted,
               PaymentErrorsSet>
      what;
};

// A request that an instance has answered.
struct Request {
  size_t instance;
  size_t route;  // index into kRoutes (routes.h)
  int status;    // HTTP
  double seconds;
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;
  virtual void OnRequest(const Request& request) = 0;
};

}  // namespace vigie::demo

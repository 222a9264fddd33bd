// What happens in the shop. Everything that counts is an Event or a Request,
// told to Observers in the order in which it happens: the event log, the totals
// and the instruments see the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "deploy/demo/nouns.h"

namespace vigie::demo {

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

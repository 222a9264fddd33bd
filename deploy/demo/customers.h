// Who comes, and what they do: visit, search, look, fill a basket, perhaps log
// in and order. They hurry, as their day is short. Thread-compatible.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "deploy/demo/audience.h"
#include "deploy/demo/backend.h"
#include "deploy/demo/catalogue.h"
#include "deploy/demo/fulfilment.h"
#include "deploy/demo/nouns.h"
#include "deploy/demo/random.h"
#include "deploy/demo/rhythm.h"
#include "deploy/demo/timeline.h"

namespace vigie::demo {

struct CustomerOptions {
  double visits_per_s = 20;         // mean of a day, > 0
  double think_s = 1.5;             // mean time between two clicks
  double basket_window_s = 30;      // then a basket counts as abandoned
  double canary_share = 0;          // of visits that v2 serves, in [0, 1]
  double v2_conversion_factor = 1;  // on who orders what is in the basket
  RhythmOptions rhythm = {};
};

class Customers {
 public:
  // All of them outlive it. Nobody comes before Open().
  Customers(const CustomerOptions& options, uint64_t seed,
            const Catalogue& catalogue, Timeline& timeline, Backend& backend,
            Fulfilment& fulfilment, Audience& audience);

  void Open();

  // Those whom that gateway serves now; a customer stays with one.
  int64_t active(size_t gateway_instance, Site site) const;

 private:
  struct Session;
  using SessionPtr = std::shared_ptr<Session>;

  void Arrive();
  void Begin();
  void Look(const SessionPtr& session, int64_t pages_left);
  void FillBasket(const SessionPtr& session);
  void LogIn(const SessionPtr& session, int attempts_left);
  void PlaceOrder(const SessionPtr& session);
  void Leave(const SessionPtr& session);
  // Goes on after a page and the time it takes to read.
  template <typename Next>
  void Then(double page_s, Next next);

  const CustomerOptions options_;
  const Catalogue& catalogue_;
  Timeline& timeline_;
  Backend& backend_;
  Fulfilment& fulfilment_;
  Audience& audience_;
  Random arrivals_;
  Random random_;
  uint64_t baskets_ = 0;
  uint64_t orders_ = 0;
  std::vector<std::array<int64_t, kSiteNames.size()>> active_;  // by instance
};

}  // namespace vigie::demo

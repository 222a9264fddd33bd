// What happened since the shop opened, added up. Thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "deploy/demo/catalogue.h"
#include "deploy/demo/event.h"
#include "deploy/demo/nouns.h"

namespace vigie::demo {

class Totals final : public Observer {
 public:
  void OnEvent(const Event& event) override;
  void OnRequest(const Request& request) override;

  using BySite = std::array<int64_t, kSiteNames.size()>;
  struct Counts {
    BySite visits{}, searches{}, baskets_created{}, baskets_abandoned{};
    BySite orders{}, orders_cents{}, orders_paid{}, revenue_cents{};
    std::array<int64_t, kReleaseNames.size()> visits_by_release{};
    std::array<int64_t, kReleaseNames.size()> orders_by_release{};
    std::array<int64_t, kPaymentOutcomeNames.size()> payments{};
    std::array<int64_t, kEmailKindNames.size()> emails{};
    int64_t logins_ok = 0, logins_failed = 0, restarts = 0;
    int64_t requests = 0, requests_failed = 0;  // 5xx
    std::vector<int64_t> sales;                 // by product; may be shorter
  };
  const Counts& counts() const { return counts_; }

  // Lines "name{label="value"} number", zeros included, for people and for
  // scripts; the names are those of the metrics.
  std::string ToText(const Catalogue& catalogue) const;

 private:
  Counts counts_;
};

}  // namespace vigie::demo

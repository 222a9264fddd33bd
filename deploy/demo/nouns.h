// The nouns of the shop, as its label values name them. What happens to them is
// in event.h.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

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

}  // namespace vigie::demo

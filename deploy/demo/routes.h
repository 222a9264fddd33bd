// What the services answer to, and how long that takes them.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "deploy/demo/nouns.h"

namespace vigie::demo {

struct Route {
  Service service;
  std::string_view method;
  std::string_view path;
  // Every status it may answer; the first is success. 0 ends the list.
  std::array<int, 4> statuses;
  double median_s;
  double sigma;  // of the logarithm
};

inline constexpr int kServerError = 500;  // its own fault
inline constexpr int kBadGateway = 502;   // of a service behind it
inline constexpr int kUnavailable = 503;  // of the bank
inline constexpr int kUnauthorized = 401;
inline constexpr int kPaymentRequired = 402;  // the bank declines

enum RouteIndex : size_t {
  kGatewayHome,
  kGatewaySearch,
  kGatewayProduct,
  kGatewayBaskets,
  kGatewayLogin,
  kGatewayOrders,
  kAuthLogin,
  kProductsSearch,
  kProductsOne,
  kBasketsCreate,
  kOrdersCreate,
  kPaymentsCreate,
};

// A gateway's time is its own; that of the service behind it is added.
inline constexpr std::array<Route, 12> kRoutes = {{
    {Service::kGateway, "GET", "/", {200, 500}, 0.004, 0.5},
    {Service::kGateway, "GET", "/search", {200, 500, 502}, 0.003, 0.5},
    {Service::kGateway, "GET", "/products/{id}", {200, 500, 502}, 0.002, 0.5},
    {Service::kGateway, "POST", "/baskets", {201, 500, 502}, 0.003, 0.5},
    {Service::kGateway, "POST", "/login", {200, 401, 500, 502}, 0.003, 0.5},
    {Service::kGateway, "POST", "/orders", {201, 500, 502}, 0.004, 0.5},
    {Service::kAuth, "POST", "/login", {200, 401, 500}, 0.045, 0.25},
    {Service::kProducts, "GET", "/products", {200, 500}, 0.018, 0.7},
    {Service::kProducts, "GET", "/products/{id}", {200, 500}, 0.006, 0.6},
    {Service::kBaskets, "POST", "/baskets", {201, 500}, 0.009, 0.5},
    {Service::kOrders, "POST", "/orders", {201, 500}, 0.035, 0.6},
    {Service::kPayments, "POST", "/payments", {201, 402, 500, 503}, 0.18, 0.5},
}};

}  // namespace vigie::demo

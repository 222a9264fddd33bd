// How Slack and webhooks are reached: one POST of JSON, and what its answer
// means for the message.
// Thread-safe.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "alerting/receivers/integration.h"
#include "base/net/http_client.h"
#include "base/yaml/secret.h"

namespace vigie::alerting {

// A secret that stands in the configuration or in a file of its own; the file
// is read again for each message, so that a rotated secret is picked up.
struct SecretText {
  Secret value = {};
  std::string file = {};

  bool empty() const { return value.empty() && file.empty(); }
  // Of a file: without white space at its ends. kUnavailable naming the file.
  absl::StatusOr<std::string> Read() const;
};

struct HttpAuthorization {
  std::string type = "Bearer";  // or "Basic"
  SecretText username = {};     // Basic
  SecretText secret = {};
};

struct HttpTarget {
  SecretText url = {};
  std::optional<HttpAuthorization> authorization = {};
  absl::Duration timeout = absl::Seconds(30);
};

// OK for http:// or https:// with a host. No error repeats the URL: it may be
// a secret.
absl::Status CheckHttpUrl(std::string_view url);

struct PostResult {
  DeliveryOutcome outcome;  // OK: 2xx
  net::HttpResponse response = {};
};

// Temporary: 408, 429, 5xx and whatever the network does. Redirects are not
// followed: docs/decisions/0022-webhooks-and-http.md. `id`, the same for every
// attempt at a message, goes out as the header Idempotency-Key.
PostResult PostJson(net::HttpClient& http, const HttpTarget& target,
                    const std::string& id, std::string body,
                    std::stop_token stop);

// A line of `text` fit for a ledger: bounded, no control characters, and
// "<secret>" for each of `secrets`.
std::string SafeAnswer(std::string_view text,
                       const std::vector<std::string>& secrets);

}  // namespace vigie::alerting

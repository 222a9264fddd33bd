// Where OTLP goes, and what goes with it.
#pragma once

#include <string>

#include "sdk/resource.h"

namespace vigie::sdk {

struct OtlpEndpoint {
  std::string address = "127.0.0.1:4317";  // "host:port"
  // Sent with every call; names are lower case on the wire.
  Attributes headers = {};
  bool tls = false;
  // PEM. Without `ca` the system's certificates are trusted; `key` and
  // `certificate` are this client's own, both or neither.
  std::string ca = {};
  std::string key = {};
  std::string certificate = {};
};

}  // namespace vigie::sdk

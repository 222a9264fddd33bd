// Tenant: whose data and limits these are.
#pragma once

#include <string>

namespace vigie {

// What has no tenant named belongs to "default".
struct Tenant {
  std::string name = "default";
  friend bool operator==(const Tenant&, const Tenant&) = default;
  friend auto operator<=>(const Tenant&, const Tenant&) = default;
};

}  // namespace vigie

// Secret: a password or token. Nothing prints it: it has no stream operator,
// no formatter and no conversion to a string but Reveal(), which is easy to
// look for.
#pragma once

#include <string>
#include <utility>

namespace vigie {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  const std::string& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string value_;
};

}  // namespace vigie

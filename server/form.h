// Form: the parameters of a request, from its URL and from a form-encoded
// body. Strict where Go's net/url is: a broken escape or a semicolon as
// separator is an error, not a guess.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vigie::server {

// Bounds the work of a hostile body.
inline constexpr size_t kFormPairsMax = 10'000;

// '+' is a plus, as in a path. kInvalidArgument: `invalid URL escape "%zz"`.
absl::StatusOr<std::string> PercentDecode(std::string_view text);

class Form {
 public:
  // Appends the pairs of `encoded` behind those already there.
  // kInvalidArgument for a broken escape, a semicolon or too many pairs.
  absl::Status Add(std::string_view encoded);

  // The first value of that name, or "". Valid until the next Add.
  std::string_view Get(std::string_view name) const;
  std::vector<std::string_view> GetAll(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace vigie::server

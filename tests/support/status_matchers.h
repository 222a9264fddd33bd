// IsOk(), HasCode(code), HasCode(code, message matcher) for Status and
// StatusOr.
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vigie::testing {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(HasCode, code, "has the status code") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

// HasError(code, HasSubstr("...")).
MATCHER_P2(HasError, code, message, "has the status code and message") {
  *result_listener << StatusOf(arg).ToString();
  const absl::Status& status = StatusOf(arg);
  return status.code() == code &&
         ::testing::Matches(::testing::Matcher<const std::string&>(message))(
             std::string(status.message()));
}

}  // namespace vigie::testing

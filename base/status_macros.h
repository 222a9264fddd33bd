// Keeps the happy path flush left: returns early with the error of a Status or
// StatusOr, otherwise goes on.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define VIGIE_CONCAT_INNER(a, b) a##b
#define VIGIE_CONCAT(a, b) VIGIE_CONCAT_INNER(a, b)

#define VIGIE_RETURN_IF_ERROR(expr)                                 \
  do {                                                              \
    if (absl::Status vigie_status_ = (expr); !vigie_status_.ok()) { \
      return vigie_status_;                                         \
    }                                                               \
  } while (false)

// VIGIE_ASSIGN_OR_RETURN(auto x, F()): declares or assigns the left side.
#define VIGIE_ASSIGN_OR_RETURN(lhs, expr) \
  VIGIE_ASSIGN_OR_RETURN_IMPL(VIGIE_CONCAT(vigie_or_, __LINE__), lhs, expr)
#define VIGIE_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return std::move(tmp).status();    \
  lhs = *std::move(tmp)

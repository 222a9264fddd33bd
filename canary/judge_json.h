// The request and the verdict as JSON: docs/formats/canary.md. Pure.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "canary/request.h"
#include "canary/verdict.h"

namespace vigie::canary {

inline constexpr size_t kRequestBytesMax = 256 << 10;

// Syntax, types and names; values are the judge's to check. kInvalidArgument
// names the line and column, or the path: `metrics[0].kind: must be ...`.
// Unknown and repeated keys are errors.
absl::StatusOr<JudgeRequest> ParseJudgeRequest(std::string_view json);

// One object; numbers that are not known are null.
std::string VerdictJson(const Verdict& verdict);

}  // namespace vigie::canary

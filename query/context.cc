#include "query/context.h"

#include "query/parser/limit.h"

namespace vigie::query {

absl::Status QueryContext::Check() const {
  if (stop.stop_requested()) {
    return absl::CancelledError("query was canceled in expression evaluation");
  }
  if (clock.MonotonicNs() > deadline_ns) {
    return WithLimit(Limit::kTime,
                     absl::DeadlineExceededError(
                         "query timed out in expression evaluation"));
  }
  return absl::OkStatus();
}

}  // namespace vigie::query

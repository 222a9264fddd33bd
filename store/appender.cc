#include "store/appender.h"

#include <future>

namespace vigie::store {

std::string_view RefusalName(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kInvalidLabels:
      return "invalid_labels";
    case RefusalReason::kTooOld:
      return "too_old";
    case RefusalReason::kOutOfRetention:
      return "out_of_retention";
    case RefusalReason::kTooFarInFuture:
      return "too_far_in_future";
    case RefusalReason::kDuplicateTime:
      return "duplicate_time";
    case RefusalReason::kOverlappingDelta:
      return "overlapping_delta";
    case RefusalReason::kUnknownReference:
      return "unknown_reference";
    case RefusalReason::kUnsupportedKind:
      return "unsupported_kind";
    case RefusalReason::kLimit:
      return "limit";
    case RefusalReason::kInvalidSample:
      return "invalid_sample";
  }
  return "unknown";
}

absl::StatusCode RefusalCode(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kInvalidLabels:
    case RefusalReason::kInvalidSample:
      return absl::StatusCode::kInvalidArgument;
    case RefusalReason::kTooOld:
    case RefusalReason::kOutOfRetention:
    case RefusalReason::kTooFarInFuture:
    case RefusalReason::kOverlappingDelta:
    case RefusalReason::kLimit:
      return absl::StatusCode::kOutOfRange;
    case RefusalReason::kDuplicateTime:
      return absl::StatusCode::kAlreadyExists;
    case RefusalReason::kUnknownReference:
      return absl::StatusCode::kNotFound;
    case RefusalReason::kUnsupportedKind:
      return absl::StatusCode::kUnimplemented;
  }
  return absl::StatusCode::kInternal;
}

AppendOutcome AppendAndWait(Appender& appender, AppendBatch batch) {
  std::promise<AppendOutcome> promise;
  std::future<AppendOutcome> outcome = promise.get_future();
  appender.Append(std::move(batch), [&promise](AppendOutcome result) {
    promise.set_value(std::move(result));
  });
  return outcome.get();
}

}  // namespace vigie::store

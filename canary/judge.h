// Judge: is the canary as good as its baseline? Works on event counts where
// there are any, corrects for bursts and autocorrelation, and says
// `inconclusive`, with what is missing, rather than guess. Deterministic: the
// same samples, request and time give the same verdict. Records 0023, 0024.
// Thread-safe: each call runs on the calling thread.
#pragma once

#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "base/byte_account.h"
#include "base/clock.h"
#include "canary/request.h"
#include "canary/verdict.h"
#include "store/queryable.h"

namespace vigie::canary {

// Series that one selector may match.
inline constexpr size_t kSeriesMax = 10'000;
// Below this many effective values on a side there is no verdict.
inline constexpr double kEffectiveMin = 20;

struct JudgeOptions {
  int64_t request_bytes_max = 256 << 20;
  int64_t process_bytes_max = 1LL << 30;
  int64_t timeout_ms = 60'000;
};

class Judge {
 public:
  // Both outlive the judge.
  Judge(const store::Queryable& queryable, const Clock& clock,
        const JudgeOptions& options = {});

  // kInvalidArgument: the request is wrong; the message begins with the path
  //   of the field ("metrics[0].canary: ...").
  // kFailedPrecondition: a selector matches too much, or the bytes run out.
  // kDeadlineExceeded, kCancelled, kResourceExhausted, kDataLoss.
  absl::StatusOr<Verdict> Run(const JudgeRequest& request,
                              std::stop_token stop) const;

 private:
  const store::Queryable& queryable_;
  const Clock& clock_;
  const JudgeOptions options_;
  const std::unique_ptr<ByteAccount> process_account_;
};

}  // namespace vigie::canary

// Any bytes as a request to the judge: refused by name, or a request that the
// judge can check.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "canary/judge_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto request = vigie::canary::ParseJudgeRequest(text);
  if (!request.ok()) {
    VIGIE_CHECK(request.status().code() == absl::StatusCode::kInvalidArgument);
    VIGIE_CHECK(!request.status().message().empty());
    return 0;
  }
  const auto checked = vigie::canary::CheckRequest(*request);
  const auto windows =
      vigie::canary::ResolveWindows(*request, 1'700'000'000'000);
  if (checked.ok() && windows.ok()) {
    VIGIE_CHECK(windows->canary.length_ms() > 0);
    VIGIE_CHECK(windows->baseline.length_ms() <= vigie::canary::kWindowMsMax);
    VIGIE_CHECK(windows->baseline == windows->canary ||
                windows->baseline.end_ms <= windows->canary.start_ms);
  }
  return 0;
}

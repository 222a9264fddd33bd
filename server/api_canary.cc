// canary/judge: docs/formats/canary.md.
#include <prometheus/counter.h>

#include <string>
#include <utility>

#include "base/status_macros.h"
#include "canary/judge.h"
#include "canary/judge_json.h"
#include "server/api_v1.h"
#include "server/result_json.h"

namespace vigie::server {

// The body is JSON whatever its content type says: `curl -d` calls it a form.
ApiV1::Answer ApiV1::JudgeCanary(const HttpRequest& request) {
  if (dependencies_.judge == nullptr) {
    return absl::UnimplementedError("this server has no canary judge");
  }
  const std::string_view encoding = request.Header("content-encoding");
  if (!encoding.empty() && encoding != "identity") {
    return absl::InvalidArgumentError("request: must not be compressed");
  }
  VIGIE_ASSIGN_OR_RETURN(const canary::JudgeRequest judge_request,
                         canary::ParseJudgeRequest(request.body));
  VIGIE_ASSIGN_OR_RETURN(const canary::Verdict verdict,
                         dependencies_.judge->Run(judge_request, request.stop));
  prometheus::BuildCounter()
      .Name("vigie_canary_verdicts_total")
      .Help("Canary requests judged, by verdict.")
      .Register(dependencies_.registry)
      .Add({{"verdict", std::string(canary::NameOf(verdict.decision))}})
      .Increment();
  return SuccessAnswer(canary::VerdictJson(verdict));
}

}  // namespace vigie::server

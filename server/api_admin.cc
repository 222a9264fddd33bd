// Prometheus's admin API, off by default: /api/v1/admin/tsdb/...
#include <fmt/format.h>
#include <sys/random.h>

#include <filesystem>

#include "absl/time/time.h"
#include "base/status_macros.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

// As Prometheus answers while its flag is not given.
absl::Status CheckEnabled(const HttpOptions& options,
                          const HttpDependencies& dependencies) {
  if (options.admin_api && dependencies.operations != nullptr) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      "admin APIs disabled (vigie.yml: http.admin_api)");
}

}  // namespace

ApiV1::Answer ApiV1::DeleteSeries(const HttpRequest& request,
                                  const Form& form) {
  VIGIE_RETURN_IF_ERROR(CheckEnabled(options_, dependencies_));
  store::DeleteRequest deletion;
  VIGIE_ASSIGN_OR_RETURN(deletion.selectors, ReadSelectors(form));
  if (deletion.selectors.empty()) {
    return absl::InvalidArgumentError("no match[] parameter provided");
  }
  VIGIE_ASSIGN_OR_RETURN(deletion.range, ReadTimeRange(form));
  store::Progress progress;
  progress.stop = request.stop;
  VIGIE_RETURN_IF_ERROR(
      dependencies_.operations->DeleteSeries(deletion, progress).status());
  return HttpAnswer{.status = 204};
}

ApiV1::Answer ApiV1::CleanTombstones(const HttpRequest& request, const Form&) {
  VIGIE_RETURN_IF_ERROR(CheckEnabled(options_, dependencies_));
  store::Progress progress;
  progress.stop = request.stop;
  VIGIE_RETURN_IF_ERROR(dependencies_.operations->Compact(progress));
  return HttpAnswer{.status = 204};
}

ApiV1::Answer ApiV1::TakeSnapshot(const HttpRequest& request, const Form&) {
  VIGIE_RETURN_IF_ERROR(CheckEnabled(options_, dependencies_));
  uint64_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) !=
      static_cast<ssize_t>(sizeof(random))) {
    return absl::UnavailableError("snapshot: no random bytes");
  }
  const std::string name = fmt::format(
      "{}-{:016x}",
      absl::FormatTime("%Y%m%dT%H%M%SZ",
                       absl::FromUnixMillis(dependencies_.clock.NowMs()),
                       absl::UTCTimeZone()),
      random);
  store::Progress progress;
  progress.stop = request.stop;
  VIGIE_RETURN_IF_ERROR(dependencies_.operations->Snapshot(
      std::filesystem::absolute(dependencies_.data_directory + "/snapshots/" +
                                name)
          .string(),
      progress));
  std::string data = "{";
  AppendJsonField("name", name, &data);
  return SuccessAnswer(data + "}");
}

}  // namespace vigie::server

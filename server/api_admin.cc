// Off by default: Prometheus's admin API, /api/v1/admin/tsdb/..., and beside it
// /api/v1/admin/queries/cancel.
#include <fmt/format.h>
#include <sys/random.h>

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

// As Prometheus answers while its flag is not given.
absl::Status Disabled() {
  return absl::UnavailableError(
      "admin APIs disabled (vigie.yml: http.admin_api)");
}

absl::Status CheckEnabled(const HttpOptions& options) {
  return options.admin_api ? absl::OkStatus() : Disabled();
}

absl::Status CheckEnabled(const HttpOptions& options,
                          const HttpDependencies& dependencies) {
  if (dependencies.operations == nullptr) return Disabled();
  return CheckEnabled(options);
}

}  // namespace

ApiV1::Answer ApiV1::DeleteSeries(const HttpRequest& request,
                                  const Form& form) {
  VIGIE_RETURN_IF_ERROR(CheckEnabled(options_, dependencies_));
  store::DeleteRequest deletion;
  VIGIE_ASSIGN_OR_RETURN(deletion.selectors,
                         ReadSelectors(request, form, dependencies_.clock));
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

ApiV1::Answer ApiV1::CancelQuery(const HttpRequest&, const Form& form) {
  VIGIE_RETURN_IF_ERROR(CheckEnabled(options_));
  const std::string_view id = form.Get("id");
  uint64_t number = 0;
  if (!absl::SimpleAtoi(ToAbsl(id), &number)) {
    return InvalidParameter(
        "id", absl::InvalidArgumentError(fmt::format("\"{}\" is no id", id)));
  }
  if (!dependencies_.engine.running().Cancel(number)) {
    return absl::NotFoundError(
        fmt::format("no running query has the id {}", number));
  }
  return HttpAnswer{.status = 204};
}

}  // namespace vigie::server

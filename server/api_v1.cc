#include "server/api_v1.h"

#include <utility>

#include "absl/strings/match.h"
#include "base/compress/compress.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "server/federation.h"
#include "server/remote_read.h"
#include "server/result_json.h"

namespace vigie::server {

absl::StatusOr<Form> ReadForm(const HttpRequest& request,
                              int64_t body_bytes_max) {
  Form form;
  if (request.method == "POST") {
    const std::string_view encoding = request.Header("content-encoding");
    std::string inflated;
    std::string_view body = request.body;
    if (encoding == "gzip") {
      VIGIE_ASSIGN_OR_RETURN(
          inflated, compress::DecompressGzip(request.body, body_bytes_max));
      body = inflated;
    } else if (encoding == "deflate") {
      VIGIE_ASSIGN_OR_RETURN(
          inflated, compress::DecompressDeflate(request.body, body_bytes_max));
      body = inflated;
    } else if (!encoding.empty() && encoding != "identity") {
      return absl::InvalidArgumentError(
          "content encoding of a form must be gzip or deflate");
    }
    // A body of another type is not ours to read, as in Go.
    if (absl::StartsWithIgnoreCase(ToAbsl(request.Header("content-type")),
                                   "application/x-www-form-urlencoded")) {
      VIGIE_RETURN_IF_ERROR(form.Add(body));
    }
  }
  VIGIE_RETURN_IF_ERROR(form.Add(request.query));
  return form;
}

ApiV1::ApiV1(const HttpDependencies& dependencies, const HttpOptions& options)
    : dependencies_(dependencies),
      options_(options),
      started_ms_(dependencies.clock.NowMs()) {}

void ApiV1::Add(Router& router, std::vector<std::string> methods,
                std::string path, Method method, Place place) {
  std::string name = "/api/v1/" + path;
  RouteOptions route{.methods = std::move(methods),
                     .path = name,
                     .name = name,
                     .place = place};
  router.AddSimple(std::move(route), [this,
                                      method](const HttpRequest& request) {
    absl::StatusOr<Form> form = ReadForm(request, options_.body_bytes_max);
    if (!form.ok()) {
      return ErrorAnswer(Prefixed("error parsing form values", form.status()));
    }
    Answer answer = (this->*method)(request, *form);
    return answer.ok() ? *std::move(answer) : ErrorAnswer(answer.status());
  });
}

void ApiV1::AddRoutes(Router& router) {
  // Its body is JSON, never a form.
  router.AddSimple({.methods = {"POST"},
                    .path = "/api/v1/canary/judge",
                    .name = "/api/v1/canary/judge"},
                   [this](const HttpRequest& request) {
                     Answer answer = JudgeCanary(request);
                     return answer.ok() ? *std::move(answer)
                                        : ErrorAnswer(answer.status());
                   });
  router.AddSimple(
      {.methods = {"GET"}, .path = "/federate", .name = "/federate"},
      [this](const HttpRequest& request) {
        return AnswerFederation(request, dependencies_, listings_);
      });
  router.AddSimple(
      {.methods = {"POST"}, .path = "/api/v1/read", .name = "/api/v1/read"},
      [this](const HttpRequest& request) {
        return AnswerRemoteRead(request, dependencies_, options_, listings_);
      });
  const std::vector<std::string> get = {"GET"};
  const std::vector<std::string> both = {"GET", "POST"};
  const std::vector<std::string> change = {"POST", "PUT"};
  Add(router, change, "admin/tsdb/delete_series", &ApiV1::DeleteSeries);
  Add(router, change, "admin/tsdb/clean_tombstones", &ApiV1::CleanTombstones);
  Add(router, change, "admin/tsdb/snapshot", &ApiV1::TakeSnapshot);
  // Where it need not wait for the queries.
  Add(router, change, "admin/queries/cancel", &ApiV1::CancelQuery,
      Place::kCodec);
  Add(router, both, "query", &ApiV1::Query);
  Add(router, both, "query_range", &ApiV1::QueryRange);
  Add(router, both, "query_exemplars", &ApiV1::QueryExemplars);
  Add(router, both, "format_query", &ApiV1::FormatQuery, Place::kCodec);
  Add(router, both, "parse_query", &ApiV1::ParseQuery, Place::kCodec);
  Add(router, both, "labels", &ApiV1::LabelNames);
  Add(router, get, "label/{}/values", &ApiV1::LabelValues);
  Add(router, both, "series", &ApiV1::Series);
  Add(router, get, "metadata", &ApiV1::Metadata);
  Add(router, get, "targets", &ApiV1::Targets, Place::kCodec);
  Add(router, get, "targets/metadata", &ApiV1::TargetsMetadata);
  Add(router, get, "scrape_pools", &ApiV1::ScrapePools, Place::kCodec);
  Add(router, get, "rules", &ApiV1::Rules, Place::kCodec);
  Add(router, get, "alerts", &ApiV1::Alerts, Place::kCodec);
  Add(router, get, "ledger", &ApiV1::Ledger);
  Add(router, get, "notifications", &ApiV1::Notifications, Place::kCodec);
  Add(router, get, "notifications/live", &ApiV1::NotificationsLive,
      Place::kCodec);
  Add(router, get, "features", &ApiV1::Features, Place::kCodec);
  Add(router, get, "alertmanagers", &ApiV1::Alertmanagers, Place::kCodec);
  Add(router, get, "status/buildinfo", &ApiV1::BuildInfo, Place::kCodec);
  Add(router, get, "status/config", &ApiV1::Config, Place::kCodec);
  Add(router, get, "status/flags", &ApiV1::Flags, Place::kCodec);
  Add(router, get, "status/runtimeinfo", &ApiV1::RuntimeInfo, Place::kCodec);
  Add(router, get, "status/tsdb", &ApiV1::TsdbStatus);
  Add(router, get, "status/tsdb/blocks", &ApiV1::TsdbBlocks, Place::kCodec);
  Add(router, get, "status/walreplay", &ApiV1::WalReplay, Place::kCodec);
  Add(router, get, "status/active_queries", &ApiV1::ActiveQueries,
      Place::kCodec);
}

}  // namespace vigie::server

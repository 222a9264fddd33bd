// Prometheus's HTTP API, version 1: parameters in, JSON out, names and error
// texts as there, since Grafana, Flagger and people depend on them.
// Source: prometheus.io/docs/prometheus/latest/querying/api.
// Thread-safe: each request runs on the thread that brings it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/byte_account.h"
#include "model/matcher.h"
#include "model/time_range.h"
#include "server/form.h"
#include "server/http_frontend.h"
#include "server/http_message.h"
#include "server/router.h"

namespace vigie::server {

// What the listing calls (labels, series, ...) may hold, one and together.
inline constexpr int64_t kListingBytesMax = 256 << 20;
inline constexpr int64_t kListingsBytesMax = 1LL << 30;
// Results whose sending takes more than one piece, together.
inline constexpr int64_t kResultsBytesMax = 2LL << 30;

class ApiV1 {
 public:
  // `dependencies` and what they refer to outlive the API.
  ApiV1(const HttpDependencies& dependencies, const HttpOptions& options);

  void AddRoutes(Router& router);

 private:
  using Answer = absl::StatusOr<HttpAnswer>;
  using Method = Answer (ApiV1::*)(const HttpRequest&, const Form&);
  void Add(Router& router, std::vector<std::string> methods, std::string path,
           Method method, Place place = Place::kQueries);

  // api_canary.cc
  Answer JudgeCanary(const HttpRequest& request);

  // api_query.cc
  Answer Query(const HttpRequest& request, const Form& form);
  Answer QueryRange(const HttpRequest& request, const Form& form);
  Answer QueryExemplars(const HttpRequest& request, const Form& form);

  // api_expressions.cc
  Answer FormatQuery(const HttpRequest& request, const Form& form);
  Answer ParseQuery(const HttpRequest& request, const Form& form);

  // api_names.cc
  Answer LabelNames(const HttpRequest& request, const Form& form);
  Answer LabelValues(const HttpRequest& request, const Form& form);
  Answer Series(const HttpRequest& request, const Form& form);
  Answer Metadata(const HttpRequest& request, const Form& form);

  // api_status.cc
  Answer Targets(const HttpRequest& request, const Form& form);
  Answer TargetsMetadata(const HttpRequest& request, const Form& form);
  Answer ScrapePools(const HttpRequest& request, const Form& form);
  Answer Alertmanagers(const HttpRequest& request, const Form& form);
  Answer BuildInfo(const HttpRequest& request, const Form& form);
  Answer Config(const HttpRequest& request, const Form& form);
  Answer Flags(const HttpRequest& request, const Form& form);
  Answer RuntimeInfo(const HttpRequest& request, const Form& form);
  Answer TsdbStatus(const HttpRequest& request, const Form& form);
  Answer WalReplay(const HttpRequest& request, const Form& form);
  Answer TsdbBlocks(const HttpRequest& request, const Form& form);
  Answer ActiveQueries(const HttpRequest& request, const Form& form);

  // api_rules.cc
  Answer Rules(const HttpRequest& request, const Form& form);
  Answer Alerts(const HttpRequest& request, const Form& form);

  // api_admin.cc
  Answer DeleteSeries(const HttpRequest& request, const Form& form);
  Answer CleanTombstones(const HttpRequest& request, const Form& form);
  Answer TakeSnapshot(const HttpRequest& request, const Form& form);
  Answer CancelQuery(const HttpRequest& request, const Form& form);

  // api_notifications.cc
  Answer Ledger(const HttpRequest& request, const Form& form);
  Answer Notifications(const HttpRequest& request, const Form& form);
  Answer NotificationsLive(const HttpRequest& request, const Form& form);

  // api_features.cc
  Answer Features(const HttpRequest& request, const Form& form);

  const HttpDependencies& dependencies_;
  const HttpOptions options_;
  const int64_t started_ms_;
  ByteAccount listings_{"listings", kListingsBytesMax};
  ByteAccount results_{"results being sent", kResultsBytesMax};
};

// The parameters of the URL and, for POST, of a form-encoded body, which come
// first. kInvalidArgument if they are malformed or the body is compressed to
// something else than gzip or deflate, or beyond `body_bytes_max`.
absl::StatusOr<Form> ReadForm(const HttpRequest& request,
                              int64_t body_bytes_max);

// The selectors of match[]; each must say something of at least one label.
// kDeadlineExceeded and kCancelled as of SelectorDeadline.
absl::StatusOr<std::vector<std::vector<Matcher>>> ReadSelectors(
    const HttpRequest& request, const Form& form, const Clock& clock);

// `start` and `end`; absent ones leave that end open.
absl::StatusOr<TimeRange> ReadTimeRange(const Form& form);

}  // namespace vigie::server

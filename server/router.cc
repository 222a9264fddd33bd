#include "server/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "server/form.h"
#include "server/result_json.h"

namespace vigie::server {

struct Router::Route {
  RouteOptions options;
  Handler handler;
  std::string prefix;  // before the open segment; the whole path without one
  std::string suffix;  // behind it
  bool open = false;
  prometheus::Histogram* duration = nullptr;
  mutable Mutex mutex;
  mutable absl::flat_hash_map<int, prometheus::Counter*> by_code
      ABSL_GUARDED_BY(mutex);

  bool Takes(std::string_view method) const {
    if (method == "HEAD") method = "GET";
    return std::find(options.methods.begin(), options.methods.end(), method) !=
           options.methods.end();
  }
  // The open segment, still encoded; null if the path is another.
  bool Matches(std::string_view path, std::string_view* segment) const {
    if (!open) return path == prefix;
    if (path.size() <= prefix.size() + suffix.size() ||
        !path.starts_with(prefix) || !path.ends_with(suffix)) {
      return false;
    }
    *segment =
        path.substr(prefix.size(), path.size() - prefix.size() - suffix.size());
    return segment->find('/') == std::string_view::npos;
  }
};

Router::Router(TaskPool& codec, TaskPool& queries, const Clock& clock,
               prometheus::Registry& registry)
    : codec_(codec),
      queries_(queries),
      clock_(clock),
      requests_(prometheus::BuildCounter()
                    .Name("vigie_http_requests_total")
                    .Help("Answered HTTP requests by handler and status.")
                    .Register(registry)),
      durations_(prometheus::BuildHistogram()
                     .Name("vigie_http_request_duration_seconds")
                     .Help("From the request's head to its answer, sending "
                           "excluded.")
                     .Register(registry)),
      queries_running_(prometheus::BuildGauge()
                           .Name("vigie_query_running")
                           .Help("Requests running on the query threads.")
                           .Register(registry)
                           .Add({})),
      queries_queued_(prometheus::BuildGauge()
                          .Name("vigie_query_queued")
                          .Help("Requests waiting for a query thread.")
                          .Register(registry)
                          .Add({})),
      queries_refused_(prometheus::BuildCounter()
                           .Name("vigie_query_refused_total")
                           .Help("Requests refused as the queue was full.")
                           .Register(registry)
                           .Add({})) {
  Add({.methods = {}, .path = "", .name = "unknown"}, nullptr);
  unknown_ = std::move(routes_.back());
  routes_.pop_back();
}

Router::~Router() = default;

void Router::Add(RouteOptions options, Handler handler) {
  auto route = std::make_unique<Route>();
  route->prefix = options.path;
  if (const size_t open = options.path.find("{}"); open != std::string::npos) {
    route->open = true;
    route->prefix = options.path.substr(0, open);
    route->suffix = options.path.substr(open + 2);
  }
  route->duration =
      &durations_.Add({{"handler", options.name}},
                      prometheus::Histogram::BucketBoundaries{
                          0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                          0.5, 1, 2.5, 5, 10, 30, 60, 120});
  route->options = std::move(options);
  route->handler = std::move(handler);
  routes_.push_back(std::move(route));
}

void Router::AddSimple(RouteOptions options, SimpleHandler handler) {
  Add(std::move(options),
      [handler = std::move(handler)](HttpRequest request, Responder responder) {
        responder.Answer(handler(request));
      });
}

Router::Match Router::Find(HttpRequest* request) const {
  Match match;
  for (const auto& route : routes_) {
    std::string_view segment;
    if (!route->Matches(request->path, &segment)) continue;
    if (route->Takes(request->method)) {
      // A broken escape stays as it is: the handler refuses the name.
      absl::StatusOr<std::string> decoded = PercentDecode(segment);
      request->path_argument =
          decoded.ok() ? *std::move(decoded) : std::string(segment);
      match.route = route.get();
      return match;
    }
    for (const std::string& method : route->options.methods) {
      if (!match.allow.empty()) match.allow += ", ";
      match.allow += method == "GET" ? "GET, HEAD" : method;
    }
  }
  if (!match.allow.empty()) match.allow += ", OPTIONS";
  return match;
}

bool Router::IsCancellable(const HttpRequest& request) const {
  for (const auto& route : routes_) {
    std::string_view segment;
    if (!route->options.cancellable && route->Matches(request.path, &segment) &&
        route->Takes(request.method)) {
      return false;
    }
  }
  return true;
}

std::string Router::AllowedOrigin(const HttpRequest& request) const {
  // As Prometheus: nothing here is guarded by cookies.
  if (!cors_origins_ || cors_origins_->value() == ".*") return "*";
  const std::string_view origin = request.Header("origin");
  return cors_origins_->Matches(origin) ? std::string(origin) : "";
}

Responder Router::Measured(const Route& route, const HttpRequest& request,
                           Responder responder) const {
  return Responder(
      [this, &route, arrival_ns = request.arrival_ns,
       cross_origin = !request.Header("origin").empty(),
       allowed_origin = AllowedOrigin(request),
       responder = std::move(responder)](HttpAnswer answer) mutable {
        prometheus::Counter* counter;
        {
          MutexLock lock(route.mutex);
          prometheus::Counter*& slot = route.by_code[answer.status];
          if (slot == nullptr) {
            slot = &requests_.Add({{"handler", route.options.name},
                                   {"code", fmt::format("{}", answer.status)}});
          }
          counter = slot;
        }
        counter->Increment();
        route.duration->Observe(
            static_cast<double>(clock_.MonotonicNs() - arrival_ns) / 1e9);
        if (cross_origin) {
          if (!allowed_origin.empty()) {
            answer.headers.emplace_back("Access-Control-Allow-Origin",
                                        allowed_origin);
          }
          answer.headers.emplace_back("Access-Control-Allow-Methods",
                                      "GET, POST, OPTIONS");
          answer.headers.emplace_back("Access-Control-Allow-Headers",
                                      "Accept, Authorization, Content-Type, "
                                      "Origin");
          answer.headers.emplace_back("Access-Control-Expose-Headers", "Date");
          answer.headers.emplace_back("Vary", "Origin");
        }
        responder.Answer(std::move(answer));
      });
}

void Router::Handle(HttpRequest request, Responder responder) const {
  const Match match = Find(&request);
  const Route& route = match.route != nullptr ? *match.route : *unknown_;
  Responder measured = Measured(route, request, std::move(responder));
  if (request.method == "OPTIONS" &&
      (!match.allow.empty() || request.path == "*")) {
    HttpAnswer answer{.status = 204};
    answer.headers.emplace_back("Allow", match.allow);
    measured.Answer(std::move(answer));
  } else if (match.route == nullptr && match.allow.empty()) {
    measured.Answer({.status = 404, .body = "404 page not found\n"});
  } else if (match.route == nullptr) {
    HttpAnswer answer{.status = 405, .body = "Method Not Allowed\n"};
    answer.headers.emplace_back("Allow", match.allow);
    measured.Answer(std::move(answer));
  } else if (!ready_ && !route.options.before_ready) {
    HttpAnswer answer{.status = 503, .body = "Service Unavailable\n"};
    answer.headers.emplace_back("Retry-After", kRetryAfterSeconds);
    answer.headers.emplace_back("X-Prometheus-Stopping", "false");
    measured.Answer(std::move(answer));
  } else {
    Dispatch(route, std::move(request), std::move(measured));
  }
}

void Router::Dispatch(const Route& route, HttpRequest request,
                      Responder responder) const {
  const bool at_once = route.options.place == Place::kCaller ||
                       (route.options.place == Place::kDecode &&
                        request.body.size() <= kShortBodyBytesMax);
  if (at_once) {
    route.handler(std::move(request), std::move(responder));
    return;
  }
  // Shared, so that a refused task does not take the responder along.
  struct Work {
    HttpRequest request;
    Responder responder;
  };
  auto work =
      std::make_shared<Work>(Work{std::move(request), std::move(responder)});
  if (route.options.place != Place::kQueries) {
    TaskPool::Task task = [&route, work] {
      route.handler(std::move(work->request), std::move(work->responder));
    };
    if (!codec_.TrySubmit(task)) std::move(task)();
    return;
  }
  queries_queued_.Increment();
  TaskPool::Task task = [this, &route, work] {
    queries_queued_.Decrement();
    if (work->request.stop.stop_requested()) {
      // The client left while it waited: nobody wants the answer.
      work->responder.Answer(
          ErrorAnswer(absl::CancelledError("query was canceled in the queue")));
      return;
    }
    queries_running_.Increment();
    route.handler(std::move(work->request), std::move(work->responder));
    queries_running_.Decrement();
  };
  if (queries_.TrySubmit(task)) return;
  queries_queued_.Decrement();
  queries_refused_.Increment();
  work->responder.Answer(ErrorAnswer(absl::UnavailableError(
      "too many queries are waiting (http.queued_queries_max)")));
}

}  // namespace vigie::server

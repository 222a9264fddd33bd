// Router: method and path to handler, on the thread where the handler belongs.
// One place for 404, 405, OPTIONS, CORS, readiness, and for what is counted
// per handler. Routes are added before the first request; then thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/task_pool.h"
#include "model/matcher.h"
#include "server/http_message.h"

namespace vigie::server {

// Where a handler runs.
enum class Place {
  kCaller,   // on the I/O thread: returns at once
  kCodec,    // costs processor time, never waits
  kDecode,   // so too, but a short body on the I/O thread: a hop costs more
  kQueries,  // queues with the queries; 503 when the queue is full
};

// In metrics, `name` is the label `handler`.
struct RouteOptions {
  std::vector<std::string> methods;  // "GET" brings HEAD along
  std::string path;  // "/a/b", or with one segment open: "/a/{}/b"
  std::string name;
  Place place = Place::kQueries;
  bool before_ready = false;  // answers even while vigie starts
  // False: the work is done even if the client leaves, as its end is quick or
  // what it brought is to be kept.
  bool cancellable = true;
};

// Decoding as much takes about a millisecond, if the body is compressed.
inline constexpr size_t kShortBodyBytesMax = 256 << 10;

class Router {
 public:
  using Handler = std::function<void(HttpRequest, Responder)>;
  using SimpleHandler = std::function<HttpAnswer(const HttpRequest&)>;

  // All outlive the router.
  Router(TaskPool& codec, TaskPool& queries, const Clock& clock,
         prometheus::Registry& registry);
  ~Router();

  // The origins whose scripts may read answers; ".*", as at first, is any.
  void SetCorsOrigins(Matcher origins) { cors_origins_ = std::move(origins); }

  void Add(RouteOptions options, Handler handler);
  void AddSimple(RouteOptions options, SimpleHandler handler);

  void Handle(HttpRequest request, Responder responder) const;
  // False if the request goes to a route that is not cancellable.
  bool IsCancellable(const HttpRequest& request) const;

  void SetReady(bool ready) { ready_ = ready; }
  bool ready() const { return ready_; }

 private:
  struct Route;
  struct Match {
    const Route* route = nullptr;
    std::string allow;  // the methods of the path, if it is known
  };
  // Sets request->path_argument.
  Match Find(HttpRequest* request) const;
  void Dispatch(const Route& route, HttpRequest request,
                Responder responder) const;
  // Counts the answer and adds the CORS headers to it.
  Responder Measured(const Route& route, const HttpRequest& request,
                     Responder responder) const;

  // "*", the origin itself if it may read the answer, or "".
  std::string AllowedOrigin(const HttpRequest& request) const;

  std::optional<Matcher> cors_origins_;  // none: any
  TaskPool& codec_;
  TaskPool& queries_;
  const Clock& clock_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& durations_;
  prometheus::Gauge& queries_running_;
  prometheus::Gauge& queries_queued_;
  prometheus::Counter& queries_refused_;
  std::unique_ptr<Route> unknown_;  // where 404 and 405 are counted
  std::vector<std::unique_ptr<Route>> routes_;
  std::atomic<bool> ready_ = false;
};

}  // namespace vigie::server

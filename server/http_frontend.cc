#include "server/http_frontend.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <sstream>
#include <thread>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "base/task_pool.h"
#include "model/matcher.h"
#include "server/api_v1.h"
#include "server/http_server.h"
#include "server/router.h"

namespace vigie::server {
namespace {

constexpr std::string_view kRootPage = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>vigie</title></head>
<body><h1>vigie</h1>
<p>Prometheus's HTTP API is under <code>/api/v1</code>: point Grafana at this
address as a Prometheus data source.</p>
<ul>
<li><a href="/metrics">/metrics</a>: what vigie measures of itself</li>
<li><a href="/api/v1/targets">/api/v1/targets</a>: what is scraped</li>
<li><a href="/api/v1/rules">/api/v1/rules</a>,
<a href="/api/v1/alerts">/api/v1/alerts</a>: what is evaluated, what fires</li>
<li><a href="/api/v1/status/tsdb">/api/v1/status/tsdb</a>: cardinality</li>
<li><a href="/api/v1/status/config">/api/v1/status/config</a></li>
<li><a href="/-/healthy">/-/healthy</a>, <a href="/-/ready">/-/ready</a></li>
</ul></body></html>
)";

class Frontend final : public HttpFrontend {
 public:
  Frontend(const HttpOptions& options, const HttpDependencies& dependencies)
      : dependencies_(dependencies),
        options_(options),
        // Bounded by the connections: each has one request at a time.
        codec_(std::max(2U, std::thread::hardware_concurrency()),
               options.connections_max),
        queries_(options.concurrent_queries_max, options.queued_queries_max),
        router_(codec_, queries_, dependencies_.clock, dependencies_.registry),
        api_(dependencies_, options) {
    // ParseHttpOptions has looked at it.
    if (auto origins = Matcher::Create(Matcher::Type::kRegex, "origin",
                                       options.cors_origin);
        origins.ok()) {
      router_.SetCorsOrigins(*std::move(origins));
    }
    AddRoutes();
    api_.AddRoutes(router_);
  }

  ~Frontend() override {
    server_.reset();
    // A task may still be on its way out of the router after its answer went.
    queries_.Stop();
    codec_.Stop();
  }

  absl::Status Listen(const std::string& address) {
    HttpLimits limits;
    limits.body_bytes_max = options_.body_bytes_max;
    limits.connections_max = options_.connections_max;
    limits.header_timeout = options_.header_timeout;
    limits.idle_timeout = options_.idle_timeout;
    limits.body_timeout = options_.body_timeout;
    limits.bodies_bytes_max =
        std::max(options_.bodies_bytes_max, options_.body_bytes_max);
    VIGIE_ASSIGN_OR_RETURN(
        server_, HttpServer::Start(
                     address, limits,
                     [this](HttpRequest request, Responder responder) {
                       router_.Handle(std::move(request), std::move(responder));
                     },
                     codec_, dependencies_.clock, dependencies_.registry,
                     [this](const HttpRequest& request) {
                       return router_.IsCancellable(request);
                     }));
    return absl::OkStatus();
  }

  const std::string& address() const override { return server_->address(); }
  void SetReady(bool ready) override { router_.SetReady(ready); }
  void Shutdown(absl::Duration timeout) override { server_->Shutdown(timeout); }

 private:
  void AddRoutes();
  HttpAnswer Metrics();
  HttpAnswer Reload();
  void RemoteWrite(HttpRequest request, Responder responder);

  const HttpDependencies dependencies_;
  const HttpOptions options_;
  TaskPool codec_;
  TaskPool queries_;
  Router router_;
  ApiV1 api_;
  std::unique_ptr<HttpServer> server_;
};

void Frontend::AddRoutes() {
  router_.AddSimple({.methods = {"GET"},
                     .path = "/-/healthy",
                     .name = "/-/healthy",
                     .place = Place::kCaller,
                     .before_ready = true},
                    [](const HttpRequest&) {
                      return HttpAnswer{.body = "vigie is healthy.\n"};
                    });
  router_.AddSimple({.methods = {"GET"},
                     .path = "/-/ready",
                     .name = "/-/ready",
                     .place = Place::kCaller},
                    [](const HttpRequest&) {
                      return HttpAnswer{.body = "vigie is ready.\n"};
                    });
  router_.AddSimple(
      {.methods = {"POST", "PUT"}, .path = "/-/reload", .name = "/-/reload"},
      [this](const HttpRequest&) { return Reload(); });
  // Whoever reaches the port must not be able to end the server; Prometheus
  // says it so without --web.enable-lifecycle.
  router_.AddSimple({.methods = {"POST", "PUT"},
                     .path = "/-/quit",
                     .name = "/-/quit",
                     .place = Place::kCaller},
                    [](const HttpRequest&) {
                      return HttpAnswer{
                          .status = 403,
                          .body = "Lifecycle API is not enabled.\n"};
                    });
  router_.AddSimple({.methods = {"GET"},
                     .path = "/metrics",
                     .name = "/metrics",
                     .place = Place::kCodec,
                     .before_ready = true},
                    [this](const HttpRequest&) { return Metrics(); });
  router_.AddSimple(
      {.methods = {"GET"}, .path = "/", .name = "/", .place = Place::kCaller},
      [](const HttpRequest&) {
        HttpAnswer answer;
        answer.content_type = "text/html; charset=utf-8";
        answer.headers.emplace_back("Content-Security-Policy",
                                    "default-src 'none'");
        answer.body = std::string(kRootPage);
        return answer;
      });
  router_.Add({.methods = {"POST"},
               .path = "/api/v1/write",
               .name = "/api/v1/write",
               .place = Place::kDecode,
               .cancellable = false},
              [this](HttpRequest request, Responder responder) {
                RemoteWrite(std::move(request), std::move(responder));
              });
}

HttpAnswer Frontend::Metrics() {
  if (dependencies_.before_collect) dependencies_.before_collect();
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text,
                                         dependencies_.registry.Collect());
  HttpAnswer answer;
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  answer.body = std::move(text).str();
  return answer;
}

HttpAnswer Frontend::Reload() {
  if (!dependencies_.reload) {
    return {.status = 404, .body = "there is no configuration to reload\n"};
  }
  if (absl::Status status = dependencies_.reload(); !status.ok()) {
    return {.status = 500,
            .body = fmt::format("failed to reload config: {}\n",
                                MessageOf(status))};
  }
  return {};
}

void Frontend::RemoteWrite(HttpRequest request, Responder responder) {
  collector::RemoteWriteRequest write;
  write.content_type = std::string(request.Header("content-type"));
  write.content_encoding = std::string(request.Header("content-encoding"));
  write.body = std::move(request.body);
  dependencies_.remote_write.Handle(
      std::move(write), [responder = std::move(responder)](
                            collector::DoorAnswer from_door) mutable {
        HttpAnswer answer;
        answer.status = from_door.status;
        answer.headers = std::move(from_door.headers);
        answer.body = std::move(from_door.body);
        responder.Answer(std::move(answer));
      });
}

}  // namespace

absl::StatusOr<HttpOptions> ParseHttpOptions(const yaml::Node& section) {
  HttpOptions options;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader reader, section.AsMap());
  const auto positive = [&](std::string_view key, absl::Status read,
                            int64_t value) -> absl::Status {
    if (!read.ok() || value > 0) return read;
    return reader.Find(key)->Error(std::string(key) + " must be positive");
  };
  const auto read_count = [&](std::string_view key, int64_t* value) {
    absl::Status status = reader.Read(key, value);
    return positive(key, std::move(status), *value);
  };
  const auto read_bytes = [&](std::string_view key, int64_t* value) {
    absl::Status status = reader.ReadBytes(key, value);
    return positive(key, std::move(status), *value);
  };
  const auto read_duration = [&](std::string_view key, absl::Duration* value) {
    int64_t ms = absl::ToInt64Milliseconds(*value);
    absl::Status status = reader.ReadDurationMs(key, &ms);
    status = positive(key, std::move(status), ms);
    *value = absl::Milliseconds(ms);
    return status;
  };
  VIGIE_RETURN_IF_ERROR(read_bytes("body_bytes_max", &options.body_bytes_max));
  VIGIE_RETURN_IF_ERROR(
      read_bytes("bodies_bytes_max", &options.bodies_bytes_max));
  VIGIE_RETURN_IF_ERROR(
      read_count("connections_max", &options.connections_max));
  VIGIE_RETURN_IF_ERROR(
      read_count("concurrent_queries_max", &options.concurrent_queries_max));
  VIGIE_RETURN_IF_ERROR(
      read_count("queued_queries_max", &options.queued_queries_max));
  VIGIE_RETURN_IF_ERROR(
      read_duration("header_timeout", &options.header_timeout));
  VIGIE_RETURN_IF_ERROR(read_duration("idle_timeout", &options.idle_timeout));
  VIGIE_RETURN_IF_ERROR(read_duration("body_timeout", &options.body_timeout));
  VIGIE_RETURN_IF_ERROR(reader.Read("admin_api", &options.admin_api));
  VIGIE_RETURN_IF_ERROR(reader.Read("remote_read", &options.remote_read));
  VIGIE_RETURN_IF_ERROR(
      read_count("remote_read_samples_max", &options.remote_read_samples_max));
  VIGIE_RETURN_IF_ERROR(
      read_bytes("remote_read_bytes_max", &options.remote_read_bytes_max));
  VIGIE_RETURN_IF_ERROR(reader.Read("cors_origin", &options.cors_origin));
  VIGIE_RETURN_IF_ERROR(reader.Finish());
  if (absl::Status origins =
          Matcher::Create(Matcher::Type::kRegex, "origin", options.cors_origin)
              .status();
      !origins.ok()) {
    return reader.Find("cors_origin")->Error(MessageOf(origins));
  }
  // Each is a thread.
  if (options.concurrent_queries_max > 1000) {
    return reader.Find("concurrent_queries_max")
        ->Error("concurrent_queries_max must be at most 1000");
  }
  return options;
}

absl::StatusOr<std::unique_ptr<HttpFrontend>> HttpFrontend::Start(
    const std::string& address, const HttpOptions& options,
    const HttpDependencies& dependencies) {
  auto frontend = std::make_unique<Frontend>(options, dependencies);
  VIGIE_RETURN_IF_ERROR(frontend->Listen(address));
  return frontend;
}

}  // namespace vigie::server

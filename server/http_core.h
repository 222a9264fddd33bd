// HttpCore: what the connections of one HttpServer share. Outlives them all.
#pragma once

#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/byte_account.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/task_pool.h"
#include "server/http_server.h"
#include "server/http_server_metrics.h"

namespace vigie::server {

class HttpConnection;

struct HttpCore {
  HttpCore(const HttpLimits& limits, HttpServer::Handler handler,
           HttpServer::Watched watched, TaskPool& codec, const Clock& clock,
           prometheus::Registry& registry)
      : limits(limits),
        handler(std::move(handler)),
        watched(std::move(watched)),
        codec(codec),
        clock(clock),
        metrics(registry),
        bodies("HTTP request bodies", limits.bodies_bytes_max),
        log_limiter(clock, absl::Seconds(10)) {}

  const HttpLimits limits;
  const HttpServer::Handler handler;
  const HttpServer::Watched watched;
  TaskPool& codec;
  const Clock& clock;
  HttpServerMetrics metrics;
  ByteAccount bodies;
  LogRateLimiter log_limiter;

  Mutex mutex;
  CondVar closed;
  // Connections are in it from accept until they are closed.
  absl::flat_hash_map<HttpConnection*, std::weak_ptr<HttpConnection>>
      connections ABSL_GUARDED_BY(mutex);
  // Written under the mutex. Connections look at it themselves, as they are
  // told one after the other.
  std::atomic<bool> draining = false;
};

}  // namespace vigie::server

// HttpServer: HTTP/1.1 over TCP, and nothing that knows metrics. It reads
// requests whole within limits, hands them to one handler, and sends the
// answers, compressed where the client takes that and in pieces where they are
// long. While an answer is made it watches the socket: a client that leaves
// cancels its work.
//
// Two threads do all input and output; nothing slow runs on them: what costs
// processor time (compression, writing JSON) runs on the `codec` pool.
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/task_pool.h"
#include "server/http_message.h"

namespace vigie::server {

// Request line and headers together; longer is 431.
inline constexpr uint32_t kHeaderBytesMax = 64 << 10;
// Shorter answers are not worth compressing.
inline constexpr size_t kCompressBytesMin = 1024;

struct HttpLimits {
  int64_t body_bytes_max = 32 << 20;     // of one request, as sent
  int64_t bodies_bytes_max = 512 << 20;  // of all requests being handled
  int64_t connections_max = 2'000;
  absl::Duration header_timeout = absl::Seconds(30);  // from its first byte
  absl::Duration idle_timeout = absl::Minutes(5);     // between requests
  // For a whole request body; and for a client to take 256 KiB of an answer.
  absl::Duration body_timeout = absl::Minutes(1);
};

class HttpServer {
 public:
  // Called on an I/O thread, so it must not block or compute for long.
  using Handler = std::function<void(HttpRequest, Responder)>;
  // Whether a request, its head read, is to be stopped when its client leaves.
  // Watching costs a few microseconds; null: all are.
  using Watched = std::function<bool(const HttpRequest&)>;

  // `address` is "host:port"; port 0 picks one. kUnavailable, naming address
  // and cause, if it cannot be had. `codec`, `clock` and `registry` outlive
  // the server, and whatever the handler hands a Responder to answers in time.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const std::string& address, const HttpLimits& limits, Handler handler,
      TaskPool& codec, const Clock& clock, prometheus::Registry& registry,
      Watched watched = nullptr);

  // Shuts down without patience, if not done before. Waits for handlers that
  // still owe an answer.
  virtual ~HttpServer() = default;

  // "host:port" with the real port.
  virtual const std::string& address() const = 0;

  // Accepts nothing new, closes idle connections, lets the others end for
  // `timeout`; then cancels what runs and closes what is left.
  virtual void Shutdown(absl::Duration timeout) = 0;
};

}  // namespace vigie::server

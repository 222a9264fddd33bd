// RemoteWriteDoor takes Prometheus remote write 1.0 and 2.0 (snappy protobuf)
// and appends it. HTTP itself is the server's: this room sees bytes.
// Source: "Prometheus Remote-Write 1.0 specification" and 2.0 (2.0-rc.4).
// Thread-safe.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "collector/series_alias.h"
#include "model/tenant.h"
#include "store/appender.h"

namespace vigie::collector {

struct RemoteWriteRequest {
  Tenant tenant;
  std::string content_type;      // as the header has it, or ""
  std::string content_encoding;  // "snappy" or "" (taken as snappy)
  std::string body;
};

// What the HTTP layer sends back.
struct DoorAnswer {
  int status = 204;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // text; a reason when status >= 400
};

struct RemoteWriteOptions {
  int64_t decompressed_bytes_max = 32 << 20;
  // What the samples of one request may take in memory: an empty sample is two
  // bytes on the wire and 32 here.
  int64_t batch_bytes_max = 256 << 20;
  SeriesAliasOptions aliases;
};

class RemoteWriteDoor {
 public:
  // All outlive the door; the registry also the batches it has appended.
  RemoteWriteDoor(store::Appender& appender, const Clock& clock,
                  prometheus::Registry& registry,
                  const RemoteWriteOptions& options);
  ~RemoteWriteDoor();

  // Runs `done` once, from this call or from a thread of the store. 204 when
  // all is durable; 400 when some samples can never be taken (the rest is
  // durable, the body says what and why) or the body is malformed; 413 if it is
  // too large; 415 for an unknown content type or encoding; 429 and 503 with
  // Retry-After under pressure. Answers to 2.0 say in headers how many samples,
  // histograms and exemplars are durable, and are 400 for exemplars and
  // metadata too.
  using Done = absl::AnyInvocable<void(DoorAnswer) &&>;
  void Handle(RemoteWriteRequest request, Done done);

 private:
  struct Impl;
  // Shared with the batches in flight, which may end after the door.
  std::shared_ptr<Impl> impl_;
};

}  // namespace vigie::collector

// Exporter collects from its sources at an interval and sends what they hold by
// OTLP/gRPC, from threads of its own.
//
//   auto exporter = Exporter::FromEnvironment(meter);   // absl::StatusOr
//
// Values are cumulative, and a collection has one time for all of them. What
// the server cannot take now waits in a bounded queue, the oldest is dropped
// first: the newest says most. Every dropped point is counted by reason:
//   queue_full  there was no room
//   expired     too old to be tried on
//   permanent   the server will never take it
//   rejected    refused in a partial success
//   shutdown    still there at the end
// Its own metrics (vigie_sdk_export_*) go the same way.
// Source: OpenTelemetry specification, "Metrics SDK" and "OTLP/gRPC".
// Thread-safe. After fork() the child has no threads: there an exporter made
// before does nothing at all, and Flush() says so.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sdk/collection.h"
#include "sdk/otlp/exporter_options.h"

namespace vigie::sdk {

enum class DropReason {
  kQueueFull,
  kExpired,
  kPermanent,
  kRejected,
  kShutdown,
  kCount,
};

class Exporter {
 public:
  // With the standard variables; `source` may be null.
  static absl::StatusOr<std::unique_ptr<Exporter>> FromEnvironment(
      std::shared_ptr<Source> source);
  // kInvalidArgument if the options make no sense or a certificate cannot be
  // read. Does not connect yet: a server may come later.
  static absl::StatusOr<std::unique_ptr<Exporter>> Start(
      ExporterOptions options);

  // Shutdown().
  ~Exporter();

  // Collected from now on, until Remove() or the end; null is nothing. After
  // Remove() returns the source is not asked again; what it counted since the
  // last collection is not sent: Flush() before, where that matters. Not from
  // within a collection.
  void Add(std::shared_ptr<Source> source);
  void Remove(const Source& source);

  // Collects, and waits until all that is collected so far is dealt with.
  // A back-off ends, unless the server has asked for it.
  //   kDeadlineExceeded    some of it still waits to be sent, and will be
  //   kDataLoss            some of it was dropped
  //   kFailedPrecondition  after Shutdown(), or in a forked child
  absl::Status Flush(absl::Duration timeout);
  absl::Status Flush();

  // Flush(), then ends; what is left is dropped, a call under way cancelled.
  // Only the first call does anything.
  absl::Status Shutdown(absl::Duration timeout);
  absl::Status Shutdown();

  // Points since the beginning.
  struct Counts {
    uint64_t sent = 0;  // and acknowledged
    uint64_t dropped[static_cast<int>(DropReason::kCount)] = {};
    uint64_t queued = 0;
    uint64_t retries = 0;  // tries after the first one
    uint64_t dropped_for(DropReason why) const {
      return dropped[static_cast<int>(why)];
    }
  };
  Counts counts() const;

 private:
  class Impl;
  explicit Exporter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::sdk

// What `vigie store ...` and the admin API may ask of a store: one verb and
// what it needs, as a value that travels as JSON; and what is told on the way.
// Beside a running server the request goes through its admin socket
// (admin_socket.h); without one the same code runs in the tool itself.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/time_range.h"
#include "store/store.h"

namespace vigie::server {

struct OperationRequest {
  std::string verb;                         // "snapshot", "compact", ...
  std::string directory = {};               // snapshot: absolute
  std::vector<std::string> paths = {};      // import: absolute
  std::vector<std::string> selectors = {};  // delete, export: PromQL
  std::string tenant = "default";
  TimeRange range = {};  // delete, export
  std::string format = {};
  friend bool operator==(const OperationRequest&,
                         const OperationRequest&) = default;
};

// One line, without its end.
std::string EncodeOperation(const OperationRequest& request);
// kInvalidArgument, naming the field, for anything EncodeOperation does not
// write.
absl::StatusOr<OperationRequest> DecodeOperation(std::string_view json);

// Where an operation tells how it goes. Called by one thread.
class OperationSink {
 public:
  virtual ~OperationSink() = default;
  virtual void OnProgress(std::string_view what, uint64_t done, uint64_t total,
                          std::string_view unit) = 0;
  virtual void OnWarning(std::string_view text) = 0;
  // A piece of what an export writes; an error ends the operation.
  virtual absl::Status OnData(std::string_view text) = 0;
};

// Tells `sink`, which outlives it.
store::Progress ProgressTo(OperationSink& sink, std::stop_token stop);

// Does what `request` says. The result is JSON, an object. Errors are those of
// the doors in store.h; kInvalidArgument names what is wrong with the request.
absl::StatusOr<std::string> RunOperation(store::Store& store,
                                         const OperationRequest& request,
                                         OperationSink& sink,
                                         std::stop_token stop);

// The result of "verify", also where no store can be opened.
std::string VerifyResult(const store::VerifyOutcome& outcome);

// PromQL selectors, each of which must say something of at least one label.
// kInvalidArgument names the one that does not.
absl::StatusOr<std::vector<std::vector<Matcher>>> ParseOperationSelectors(
    const std::vector<std::string>& selectors);

}  // namespace vigie::server

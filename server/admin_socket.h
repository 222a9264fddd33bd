// AdminSocket: a UNIX socket in the data directory on which a running server
// does what `vigie store ...` asks. Whoever may open the socket (mode 0600: the
// server's own user) may do all of it.
//
// A connection carries one operation: the client sends its request as one line
// of JSON, the server answers with lines of JSON, the last of which is the
// result or an error, and closes. A client that closes first stops it.
// Lines: docs/formats/admin-socket.md.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store_operations.h"

namespace vigie::server {

inline constexpr int64_t kOperationsMax = 8;  // at once; more are refused
inline constexpr size_t kOperationBytesMax = 1 << 20;  // of a request

// Where a server of `data_directory` listens.
std::string AdminSocketPath(const std::string& data_directory);

class AdminSocket {
 public:
  // Listens at `path`. The socket of a server that has ended is replaced;
  // kUnavailable if one answers there, or with the cause if it cannot be had.
  // `store` outlives the socket.
  static absl::StatusOr<std::unique_ptr<AdminSocket>> Start(
      const std::string& path, store::Store& store);

  // Stops what runs, waits for it and removes the socket.
  virtual ~AdminSocket() = default;
};

// The other end.
class AdminConnection {
 public:
  // kNotFound if no server listens at `path`.
  static absl::StatusOr<std::unique_ptr<AdminConnection>> Connect(
      const std::string& path);
  virtual ~AdminConnection() = default;

  // Once; the result is as RunOperation's. kUnavailable if the server ends in
  // between; kCancelled once stopped.
  virtual absl::StatusOr<std::string> Ask(const OperationRequest& request,
                                          OperationSink& sink,
                                          std::stop_token stop) = 0;
};

}  // namespace vigie::server

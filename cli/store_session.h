// StoreSession: one operation on a data directory for the command line. Beside
// a running server it goes through the admin socket; otherwise the directory is
// opened here, and nothing of it is dropped for its age, as the retention is
// the server's to know.
#pragma once

#include <cstdio>
#include <string>

#include "absl/status/statusor.h"
#include "server/store_operations.h"

namespace vigie::cli {

struct StoreSessionOptions {
  std::string data_directory;
  std::FILE* data = nullptr;  // where an export goes
};

// The result as JSON. Shows progress and warnings on standard error. SIGINT and
// SIGTERM end it with kCancelled; a second one ends the process.
absl::StatusOr<std::string> RunStoreOperation(
    const StoreSessionOptions& options,
    const server::OperationRequest& request);

// The same for what no running server does: `restore` (request.paths[0] into
// the data directory) and `repair` (`format` "yes": moves things; else it only
// tells). The result of a repair is {"lost":[...]}.
absl::StatusOr<std::string> RunDirectoryOperation(
    const StoreSessionOptions& options,
    const server::OperationRequest& request);

}  // namespace vigie::cli

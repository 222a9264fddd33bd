// The subcommands of `vigie`, one source file each. Each adds itself to the
// command line; when chosen, it runs and leaves what happened in `*result`,
// whose message main prints on one line of standard error.
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace vigie::cli {

void AddServe(CLI::App& app, absl::Status* result);
void AddQuery(CLI::App& app, absl::Status* result);
void AddPush(CLI::App& app, absl::Status* result);
void AddCheck(CLI::App& app, absl::Status* result);
void AddTest(CLI::App& app, absl::Status* result);
void AddStore(CLI::App& app, absl::Status* result);
// The verdict is an exit status: 0 pass, 1 fail, 2 neither; errors are 3.
void AddCanary(CLI::App& app, absl::Status* result, int* exit_status);

}  // namespace vigie::cli

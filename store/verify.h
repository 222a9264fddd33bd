// Verification: everything of a data directory is read and every checksum
// compared. Nothing of the directory is changed: what must be opened is opened
// as a copy in its folder `verify`, whose large files are links.
// Why a copy: docs/decisions/0073-verify-reads-as-a-query-does.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "store/file_layer.h"
#include "store/log_format.h"
#include "store/operations.h"

namespace vigie::store {

// What is wrong, file and range first.
using DamageFound = std::function<void(const std::string& damage)>;

// Of a directory that no server has open, for as long as this runs. Damage is
// told and not an error; kCancelled once stopped.
absl::StatusOr<VerifyOutcome> VerifyDirectory(const std::string& directory,
                                              const Clock& clock,
                                              const Progress& progress,
                                              const DamageFound& found);

// Its parts, for a store that runs: the files of the blocks in `directory`,
// which do not change while this runs;
absl::Status VerifyBlockFiles(const std::string& directory,
                              const Progress& progress,
                              const DamageFound& found, VerifyOutcome* outcome);
// the log, of which the newest segment may be written to meanwhile;
struct LogDamage {
  std::string file;  // its name
  uint64_t generation = 0;
  LogPosition first_position = 0;  // of those that cannot be read
  std::string message;
};
absl::StatusOr<std::vector<LogDamage>> VerifyLog(const std::string& directory,
                                                 FileLayer& files,
                                                 VerifyOutcome* outcome);
// and every sample of a directory that is opened for it, as a store of its
// own; messages call it `name`.
absl::Status VerifyContents(const std::string& directory,
                            const std::string& name, const Clock& clock,
                            const Progress& progress, const DamageFound& found,
                            VerifyOutcome* outcome);

// Makes `target` (absent or empty) a data directory that holds what `source`
// holds, files copied and synced. The source is verified first: kDataLoss with
// its first damage, and nothing is made.
absl::Status RestoreDirectory(const std::string& source,
                              const std::string& target, const Clock& clock,
                              const Progress& progress);

// Moves what keeps the directory from being opened into a folder `damaged-N`
// of it: segments of the log from the first damaged one on. Returns what is
// lost by that, a line each; nothing is moved unless `move`. What it cannot
// mend is kDataLoss: damaged files of the blocks.
absl::StatusOr<std::vector<std::string>> RepairDirectory(
    const std::string& directory, bool move, const Progress& progress);

}  // namespace vigie::store

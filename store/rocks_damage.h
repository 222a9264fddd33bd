// Why a directory of RocksDB does not open, in terms of files: RocksDB names
// the damaged one at best, and another at worst.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace rocksdb {
class Env;
class Status;
}  // namespace rocksdb

namespace vigie::store {

// `refusal` is what opening `directory` ended with. kDataLoss, naming the
// files that are damaged or missing, if it is for that; else kUnavailable or
// kInternal.
// Opens every table file, but reads no blocks.
absl::Status ExplainRefusal(const std::string& directory, rocksdb::Env& env,
                            const rocksdb::Status& refusal);

// The files of `directory` whose early end looks as if rows or tables had never
// been: "000004.log or MANIFEST-000005".
std::string JournalsIn(const std::string& directory, rocksdb::Env& env);

// Whether anything was ever written into the database of `directory`; false
// after a crash in the middle of creating it. True if that cannot be told.
bool HoldsAnything(const std::string& directory, rocksdb::Env& env);

}  // namespace vigie::store

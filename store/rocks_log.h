// What RocksDB has to say goes to our log. A file of its own, as RocksDB makes
// it by itself, ends the process on a full disk: Debian's build asserts that
// nothing is appended after a failed write (docs/decisions/0096).
// Thread-safe.
#pragma once

#include <memory>

namespace rocksdb {
class Logger;
}  // namespace rocksdb

namespace vigie::store {

// Its warnings and errors at level debug: what matters comes as a status too,
// and a start with a new directory is an error to RocksDB.
std::shared_ptr<rocksdb::Logger> RocksLog();

}  // namespace vigie::store

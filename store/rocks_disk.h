// RocksDisk: the files of one opened RocksDB database, as RocksDB sees them.
// The first error that the database holds for fatal gives them up: from then on
// every change is refused, naming that error, while reads go on. So a broken
// database can still be read, and can be let go of later, beside another one
// that was opened over the same files: it writes, renames and deletes nothing
// any more. Why: docs/decisions/0097-a-broken-database-is-opened-again.md.
// Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace rocksdb {
class Env;
class EventListener;
}  // namespace rocksdb

namespace vigie::store {

class RocksDisk {
 public:
  // The database's file LOCK, which those opened one after the other share.
  class Lock;

  // `below` outlives the object; null: the default. `before` is the one that
  // was given up, if there is one.
  RocksDisk(rocksdb::Env* below, const RocksDisk* before);
  ~RocksDisk();  // no database has env() open

  rocksdb::Env& env() const;

  // For the options of the database: gives up on its background errors, and
  // keeps it from leaving that state by itself.
  std::shared_ptr<rocksdb::EventListener> listener() const;

  // Returns once no change is under way; what was synced by then stays.
  void GiveUp(const std::string& cause) const;
  // kUnavailable, naming the cause, once given up.
  absl::Status trouble() const;

  // Whether `directory`, below all this, takes files again: creates, syncs,
  // renames and removes one. kUnavailable, naming the cause.
  absl::Status Probe(const std::string& directory) const;

 private:
  class State;
  class System;
  class WritableFile;
  class Directory;
  class Listener;

  const std::shared_ptr<Lock> lock_;
  const std::shared_ptr<State> state_;
  rocksdb::Env* const below_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace vigie::store

// FaultyDisk: a real directory that is reached through a model of a bad disk.
// A store's own files (files()) and RocksDB's (env()) lie on the same one, so
// that a fault, a kill or a power cut meets both at one moment of their common
// order. Reads see the real files; what a sync has made durable is known to
// the model alone, and after a power cut the real files are rewritten to what
// the seed has left of them: unsynced bytes are kept, lost or torn, and of the
// names created, renamed and removed in a directory since it was synced last,
// the first few are kept. Of our own files any sector may be lost; of RocksDB's
// only the end, as its manifest bears nothing else.
// RocksDB's own journals ("LOG", "LOG.old.*") and lock files are left alone.
// Thread-safe.
#pragma once

#include <rocksdb/env.h>

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/file_layer.h"
#include "tests/support/unsynced_file.h"

namespace vigie::testing {

class FaultyDisk {
 public:
  enum class Op {
    kCreate,
    kOpen,  // for reading, or for writing what is there
    kRead,
    kWrite,  // truncating too
    kSync,
    kSyncDirectory,
    kRename,
    kRemove,
    kLink,
    kCreateDirectory,
    kOps,
  };
  static constexpr int kForGood = std::numeric_limits<int>::max();

  // `root` need not exist; what it holds now is durable.
  FaultyDisk(const std::string& root, uint64_t seed);
  ~FaultyDisk();

  store::FileLayer& files();
  rocksdb::Env* env();

  // Of the calls of this kind whose path contains `part` (the parts between its
  // stars, in their order), skips `skip` and fails the next `count` with
  // `error`, an errno. A failed write may have
  // written a part.
  void Fail(Op op, std::string part, int skip, int count, int error);
  // Nothing can be created and no file grows: ENOSPC.
  void SetFull(bool full);
  // Nothing can be changed: EROFS. Syncing what is clean is none.
  void SetReadOnly(bool read_only);
  // No file can be opened: EMFILE.
  void SetOutOfDescriptors(bool out);
  // All faults are over, kills and power cuts excepted.
  void Mend();

  // From the `calls`-th changing call on, every change fails: the process is
  // dead. What it wrote stays.
  void KillAfter(uint64_t calls);
  // The same, and what was not synced is at the seed's mercy.
  void CutPowerAfter(uint64_t calls);
  bool dead() const;
  // The machine runs again. Nobody has a file open.
  void Revive();

  uint64_t count(Op op) const;
  uint64_t failed() const;   // calls that Fail has made fail
  uint64_t changes() const;  // calls of all kinds that change the disk

  static std::string CauseOf(int error);

 private:
  class Directory;
  class FileOfOurs;
  class Layer;
  class ReadableFile;
  class SequentialFile;
  class System;
  class WritableFile;

  struct Fault {
    Op op;
    std::string part;
    int skip;
    int count;
    int error;
  };
  struct Inode {
    bool directory = false;
    bool in_order = false;  // of RocksDB
    UnsyncedFile file;
  };
  using InodePtr = std::shared_ptr<Inode>;
  using Names = std::map<std::string, InodePtr>;
  struct NameChange {  // no `from`: created; no `to`: removed
    std::string from = {};
    std::string to = {};
    InodePtr inode = {};
  };

  static bool LeftAlone(const std::string& path);
  static void Apply(const NameChange& change, Names* names);
  static std::string ParentOf(const std::string& path);

  // All below: with mutex_ held. 0 or an errno; kDead once dead.
  static constexpr int kDead = -1;
  int Strikes(Op op, const std::string& path);
  int Change(Op op, const std::string& path);
  // Known to the model from here on, if it is there at all.
  InodePtr Find(const std::string& path);
  InodePtr AddName(const std::string& path, bool directory);

  int Create(const std::string& path, InodePtr* inode);
  // Writes; `*written` says how much of it reaches the file.
  int Write(const std::string& path, Inode& inode, uint64_t offset,
            std::string_view bytes, size_t* written);
  int Truncate(const std::string& path, Inode& inode, uint64_t bytes);
  int Sync(const std::string& path, Inode& inode);
  int SyncDirectory(const std::string& directory);
  void LosePower();
  void Rewrite();

  const std::string root_;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::vector<Fault> faults_;
  bool full_ = false;
  bool read_only_ = false;
  bool out_of_descriptors_ = false;
  uint64_t calls_left_ = std::numeric_limits<uint64_t>::max();  // 0: dead
  bool power_cut_ = false;
  std::array<uint64_t, static_cast<size_t>(Op::kOps)> counts_{};
  uint64_t changes_ = 0;
  uint64_t failed_ = 0;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> pending_names_;

  std::unique_ptr<Layer> files_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace vigie::testing

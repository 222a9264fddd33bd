// SendQueue holds the requests that wait for the server, and knows for each
// point that ever went in what became of it. Not installed.
// Thread-compatible: its owner locks.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "sdk/otlp/encode.h"
#include "sdk/otlp/exporter.h"

namespace vigie::sdk {

class SendQueue {
 public:
  struct Entry {
    std::shared_ptr<const OtlpRequest> request;
    uint64_t id = 0;  // rising
    int64_t born_ns = 0;
  };

  explicit SendQueue(size_t points_max) : points_max_(points_max) {}

  // Drops the oldest entries until it fits, but for the one that is being sent;
  // then the new one itself. Gives the points dropped.
  size_t Push(OtlpRequest request, int64_t now_ns);

  // The oldest entry; it stays until it is settled. Empty if there is none.
  std::optional<Entry> Begin();
  // Settles the entry that was begun: `rejected` of its points were refused.
  void Sent(uint64_t rejected);
  void Drop(DropReason why);
  // All that is left.
  void DropAll(DropReason why);

  bool empty() const { return entries_.empty(); }
  // Whether everything up to the entry `id` is settled.
  bool SettledTo(uint64_t id) const {
    return entries_.empty() || entries_.front().id > id;
  }
  uint64_t last_id() const { return last_id_; }

  Exporter::Counts& counts() { return counts_; }
  const Exporter::Counts& counts() const { return counts_; }

 private:
  void Remove(size_t index, DropReason why);

  const size_t points_max_;
  std::deque<Entry> entries_;
  bool begun_ = false;  // the first one is being sent
  uint64_t last_id_ = 0;
  Exporter::Counts counts_;
};

}  // namespace vigie::sdk

#include "sdk/otlp/send_queue.h"

#include <algorithm>
#include <utility>

namespace vigie::sdk {

void SendQueue::Remove(size_t index, DropReason why) {
  const auto entry = entries_.begin() + static_cast<ptrdiff_t>(index);
  counts_.dropped[static_cast<int>(why)] += entry->request->points;
  counts_.queued -= entry->request->points;
  entries_.erase(entry);
}

size_t SendQueue::Push(OtlpRequest request, int64_t now_ns) {
  size_t dropped = 0;
  const size_t kept = begun_ ? 1 : 0;
  while (counts_.queued + request.points > points_max_ &&
         entries_.size() > kept) {
    dropped += entries_[kept].request->points;
    Remove(kept, DropReason::kQueueFull);
  }
  ++last_id_;
  if (counts_.queued + request.points > points_max_) {
    counts_.dropped[static_cast<int>(DropReason::kQueueFull)] += request.points;
    return dropped + request.points;
  }
  counts_.queued += request.points;
  entries_.push_back(
      {.request = std::make_shared<const OtlpRequest>(std::move(request)),
       .id = last_id_,
       .born_ns = now_ns});
  return dropped;
}

std::optional<SendQueue::Entry> SendQueue::Begin() {
  if (entries_.empty()) return std::nullopt;
  begun_ = true;
  return entries_.front();
}

void SendQueue::Sent(uint64_t rejected) {
  const uint64_t points = entries_.front().request->points;
  rejected = std::min(rejected, points);
  counts_.sent += points - rejected;
  counts_.dropped[static_cast<int>(DropReason::kRejected)] += rejected;
  counts_.queued -= points;
  entries_.pop_front();
  begun_ = false;
}

void SendQueue::Drop(DropReason why) {
  Remove(0, why);
  begun_ = false;
}

void SendQueue::DropAll(DropReason why) {
  while (!entries_.empty()) Remove(0, why);
  begun_ = false;
}

}  // namespace vigie::sdk

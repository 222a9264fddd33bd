// Replay brings the head back from the records of the log. One thread defines
// series while another decodes what comes next; both apply samples, each those
// of half of the pages, so that the order within a series is that of the log.
// Thread-compatible; nobody else touches the head meanwhile.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "store/head.h"
#include "store/log.h"

namespace vigie::store {

class Replay {
 public:
  explicit Replay(Head& head);
  ~Replay();

  // In the order of the log. An error, which names the position, is that of
  // this record or of one before it, and the last word.
  absl::Status Add(LogPosition position, std::string_view payload);
  // After the last one.
  absl::Status Finish();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::store

// RowScan: ordered rows, read-only, as one moment had them: what the index of
// days asks of whatever keeps its rows.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

namespace vigie::store {

// Thread-compatible. After an error it may be asked to Seek again.
class RowCursor {
 public:
  virtual ~RowCursor() = default;
  // Goes to the first row at or after `key`, or to the next one; false if
  // there is none. kDataLoss names what cannot be read.
  virtual absl::StatusOr<bool> Seek(std::string_view key) = 0;
  virtual absl::StatusOr<bool> Next() = 0;
  // Of the row it is at, valid until it moves.
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
};

// Thread-safe; outlives its cursors.
class RowScan {
 public:
  virtual ~RowScan() = default;
  virtual std::unique_ptr<RowCursor> NewCursor() const = 0;
};

}  // namespace vigie::store

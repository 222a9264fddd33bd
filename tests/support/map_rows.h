// Ordered rows in a map, for what reads rows by RowScan.
// Thread-compatible.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "store/row_scan.h"

namespace vigie::testing {

class MapRows : public store::RowScan {
 public:
  std::map<std::string, std::string, std::less<>> rows;

  std::unique_ptr<store::RowCursor> NewCursor() const override {
    return std::make_unique<Cursor>(rows);
  }

 private:
  using Map = std::map<std::string, std::string, std::less<>>;
  class Cursor : public store::RowCursor {
   public:
    explicit Cursor(const Map& rows) : rows_(rows), at_(rows.end()) {}
    absl::StatusOr<bool> Seek(std::string_view key) override {
      at_ = rows_.lower_bound(key);
      return at_ != rows_.end();
    }
    absl::StatusOr<bool> Next() override {
      ++at_;
      return at_ != rows_.end();
    }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }

   private:
    const Map& rows_;
    Map::const_iterator at_;
  };
};

}  // namespace vigie::testing

// LabelRow gathers the labels of one point, as they come, and builds the label
// sets of its series from them: a histogram's buckets differ in `le` alone.
// Reused from point to point, so that the common case allocates the sets only.
// Thread-compatible. Views given must live until Clear().
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/labels.h"

namespace vigie::collector {

class LabelRow {
 public:
  void Clear();

  // Keeps `text` until Clear().
  std::string_view Own(std::string text) {
    return owned_.emplace_back(std::move(text));
  }

  // `key` is the name before translation: where several keys became one
  // label, their values are joined with ";" in the order of the keys.
  void Add(std::string_view label, std::string_view key,
           std::string_view value) {
    entries_.push_back({label, key, value});
  }

  // Sorts and joins. Call it after the last Add and before Build.
  void Finish();

  // The row with `overrides` (sorted by name, names unique) in place of labels
  // of the same name; an override with an empty value is ignored.
  Labels Build(std::span<const LabelView> overrides);

  // What Build will take, overrides left out.
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string_view label;
    std::string_view key;
    std::string_view value;
  };
  std::vector<Entry> entries_;
  std::vector<LabelView> merged_;  // by Build; kept for its memory
  std::deque<std::string> owned_;  // a deque: addresses stay
  size_t bytes_ = 0;
};

}  // namespace vigie::collector

#include "collector/label_row.h"

#include <algorithm>
#include <utility>

namespace vigie::collector {
namespace {

// Few labels, mostly in order already: std::stable_sort would allocate.
constexpr size_t kInsertionSortMax = 32;

}  // namespace

void LabelRow::Clear() {
  entries_.clear();
  owned_.clear();
  bytes_ = 0;
}

void LabelRow::Finish() {
  const auto before = [](const Entry& a, const Entry& b) {
    return a.label != b.label ? a.label < b.label : a.key < b.key;
  };
  if (entries_.size() > kInsertionSortMax) {
    std::stable_sort(entries_.begin(), entries_.end(), before);
  } else {
    for (size_t i = 1; i < entries_.size(); ++i) {
      const Entry entry = entries_[i];
      size_t at = i;
      for (; at > 0 && before(entry, entries_[at - 1]); --at) {
        entries_[at] = entries_[at - 1];
      }
      entries_[at] = entry;
    }
  }
  size_t kept = 0;
  for (size_t i = 0; i < entries_.size();) {
    size_t end = i + 1;
    while (end < entries_.size() && entries_[end].label == entries_[i].label) {
      ++end;
    }
    Entry entry = entries_[i];
    if (end - i > 1) {
      std::string joined(entry.value);
      for (size_t j = i + 1; j < end; ++j) {
        joined += ';';
        joined += entries_[j].value;
      }
      entry.value = Own(std::move(joined));
    }
    bytes_ += entry.label.size() + entry.value.size() + 4;
    entries_[kept++] = entry;
    i = end;
  }
  entries_.resize(kept);
}

Labels LabelRow::Build(std::span<const LabelView> overrides) {
  merged_.clear();
  auto next = overrides.begin();
  const auto put = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) merged_.push_back({name, value});
  };
  for (const Entry& entry : entries_) {
    for (; next != overrides.end() && next->name < entry.label; ++next) {
      put(next->name, next->value);
    }
    if (next != overrides.end() && next->name == entry.label &&
        !next->value.empty()) {
      continue;  // put above, before the next label
    }
    put(entry.label, entry.value);
  }
  for (; next != overrides.end(); ++next) put(next->name, next->value);
  return Labels::FromSorted(merged_);
}

}  // namespace vigie::collector

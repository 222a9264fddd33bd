#include "query/grouping.h"

#include <algorithm>
#include <utility>

namespace vigie::query {
namespace {

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void Keep(const Labels& labels, const std::vector<std::string>& names,
          std::vector<LabelView>* kept) {
  kept->clear();
  if (names.empty()) return;
  for (const LabelView& label : labels) {
    if (Contains(names, label.name)) kept->push_back(label);
  }
}

void Drop(const Labels& labels, const std::vector<std::string>& names,
          std::vector<LabelView>* left) {
  left->clear();
  for (const LabelView& label : labels) {
    if (label.name != kMetricName && !Contains(names, label.name)) {
      left->push_back(label);
    }
  }
}

}  // namespace

Labels KeepLabels(const Labels& labels, const std::vector<std::string>& names) {
  std::vector<LabelView> kept;
  Keep(labels, names, &kept);
  return Labels::FromSorted(kept);
}

Labels DropLabels(const Labels& labels, const std::vector<std::string>& names) {
  std::vector<LabelView> left;
  Drop(labels, names, &left);
  return Labels::FromSorted(left);
}

absl::StatusOr<size_t> Grouping::GroupOf(const Labels& labels) {
  if (without_) {
    Drop(labels, names_, &key_);
  } else {
    Keep(labels, names_, &key_);
  }
  // Neighbours often are of one group.
  if (last_ < labels_.size() &&
      std::equal(key_.begin(), key_.end(), labels_[last_].begin(),
                 labels_[last_].end())) {
    return last_;
  }
  Labels key = Labels::FromSorted(key_);
  const auto [at, inserted] = groups_.try_emplace(key, labels_.size());
  if (inserted) {
    labels_.push_back(std::move(key));
    VIGIE_RETURN_IF_ERROR(charge_.Add(static_cast<int64_t>(
        2 * (labels_.back().bytes().size() + sizeof(Labels)) + 64)));
  }
  last_ = at->second;
  return last_;
}

}  // namespace vigie::query

#include "query/grouping.h"

#include <algorithm>
#include <utility>

namespace vigie::query {
namespace {

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Labels KeepLabels(const Labels& labels, const std::vector<std::string>& names) {
  if (names.empty()) return Labels();
  LabelsBuilder builder;
  for (const LabelView& label : labels) {
    if (Contains(names, label.name)) builder.Set(label.name, label.value);
  }
  return builder.Build();
}

Labels DropLabels(const Labels& labels, const std::vector<std::string>& names) {
  LabelsBuilder builder(labels);
  for (const std::string& name : names) builder.Remove(name);
  return builder.Remove(kMetricName).Build();
}

absl::StatusOr<size_t> Grouping::GroupOf(const Labels& labels) {
  Labels key =
      without_ ? DropLabels(labels, names_) : KeepLabels(labels, names_);
  const auto [at, inserted] = groups_.try_emplace(key, labels_.size());
  if (inserted) {
    labels_.push_back(std::move(key));
    VIGIE_RETURN_IF_ERROR(charge_.Add(static_cast<int64_t>(
        2 * (labels_.back().bytes().size() + sizeof(Labels)) + 64)));
  }
  return at->second;
}

}  // namespace vigie::query

// Grouping: which group of an aggregation a series belongs to.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "model/labels.h"
#include "query/parser/ast.h"
#include "query/steps.h"

namespace vigie::query {

// `labels` with the named labels only.
Labels KeepLabels(const Labels& labels, const std::vector<std::string>& names);
// `labels` without the named labels and without the metric name.
Labels DropLabels(const Labels& labels, const std::vector<std::string>& names);

class Grouping {
 public:
  Grouping(QueryAccount* account, const AggregateExpr& aggregate)
      : without_(aggregate.without),
        names_(aggregate.grouping),
        charge_(account) {}

  // A label that groups are told apart by, whatever `by` says.
  void AlsoBy(std::string_view label) {
    if (!without_) names_.emplace_back(label);
  }

  // The group's number, from 0 in the order of first sight.
  absl::StatusOr<size_t> GroupOf(const Labels& labels);
  const Labels& labels(size_t group) const { return labels_[group]; }
  size_t size() const { return labels_.size(); }

 private:
  const bool without_;
  std::vector<std::string> names_;
  absl::flat_hash_map<Labels, size_t> groups_;
  std::vector<Labels> labels_;
  size_t last_ = 0;             // the group found last
  std::vector<LabelView> key_;  // of the call
  Charge charge_;
};

}  // namespace vigie::query

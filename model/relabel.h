// Relabel: one rule that rewrites a label set or drops what carries it, as
// relabel_configs of Prometheus 3. Regular expressions are RE2, anchored at
// both ends, dot matching newline. Upper and lower case are ASCII's:
// docs/decisions/0042-relabelling.md.
// Source: prometheus/model/relabel.
// Immutable after Create; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/labels.h"
#include "model/regex.h"

namespace vigie {

struct RelabelOptions {
  enum class Action {
    kReplace,
    kKeep,
    kDrop,
    kKeepEqual,
    kDropEqual,
    kHashMod,
    kLabelMap,
    kLabelDrop,
    kLabelKeep,
    kLowercase,
    kUppercase,
  };
  Action action = Action::kReplace;
  std::vector<std::string> source_labels = {};
  std::string separator = ";";
  std::string target_label = {};
  std::string regex = "(.*)";
  uint64_t modulus = 0;
  std::string replacement = "$1";
  friend bool operator==(const RelabelOptions&,
                         const RelabelOptions&) = default;
};

// "replace", "labelmap", ... in any case; kInvalidArgument for others.
absl::StatusOr<RelabelOptions::Action> ParseRelabelAction(
    std::string_view name);

class Relabel {
 public:
  // kInvalidArgument for a regex that does not compile and for options that
  // the action needs or does not take.
  static absl::StatusOr<Relabel> Create(RelabelOptions options);

  // False if what carries the labels is to be dropped.
  bool Apply(LabelsBuilder* labels) const;

  friend bool operator==(const Relabel& a, const Relabel& b) {
    return a.options_ == b.options_;
  }

 private:
  Relabel(RelabelOptions options, Regex regex)
      : options_(std::move(options)), regex_(std::move(regex)) {}

  RelabelOptions options_;
  Regex regex_;
};

// Applies the rules in order; false as soon as one drops.
bool ApplyAll(const std::vector<Relabel>& rules, LabelsBuilder* labels);

}  // namespace vigie

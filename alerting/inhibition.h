// Inhibition: while one alert fires, others that follow from it are not told.
// Source: prometheus.io "Alertmanager configuration", inhibit_rules.
// Immutable; thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/labels.h"
#include "model/matcher.h"

namespace vigie::alerting {

struct InhibitRule {
  std::vector<Matcher> source;
  std::vector<Matcher> target;
  // Source and target have the same values of these; absent is empty.
  std::vector<std::string> equal;
};

class Inhibition {
 public:
  // `rules` outlive the object.
  Inhibition(const std::vector<InhibitRule>& rules,
             const std::vector<const Labels*>& firing);

  // Whether an alert that fires keeps this one quiet. One that matches both
  // sides of a rule is not kept quiet by another that does, nor by itself.
  bool Mutes(const Labels& labels) const;

 private:
  struct Sources {
    bool one_sided = false;  // some match the source side only
  };
  struct IndexedRule {
    const InhibitRule* rule;
    std::map<std::string, Sources> sources;  // by the values of `equal`
  };
  std::vector<IndexedRule> rules_;
};

}  // namespace vigie::alerting

#include "alerting/inhibition.h"

#include <utility>

namespace vigie::alerting {
namespace {

std::string EqualValues(const InhibitRule& rule, const Labels& labels) {
  LabelsBuilder values;
  for (const std::string& name : rule.equal) values.Set(name, labels.Get(name));
  return values.Build().bytes();
}

}  // namespace

Inhibition::Inhibition(const std::vector<InhibitRule>& rules,
                       const std::vector<const Labels*>& firing) {
  for (const InhibitRule& rule : rules) {
    IndexedRule indexed{&rule, {}};
    for (const Labels* labels : firing) {
      if (!MatchesAll(rule.source, *labels)) continue;
      Sources& sources = indexed.sources[EqualValues(rule, *labels)];
      if (!MatchesAll(rule.target, *labels)) sources.one_sided = true;
    }
    if (!indexed.sources.empty()) rules_.push_back(std::move(indexed));
  }
}

bool Inhibition::Mutes(const Labels& labels) const {
  for (const IndexedRule& indexed : rules_) {
    if (!MatchesAll(indexed.rule->target, labels)) continue;
    const auto found = indexed.sources.find(EqualValues(*indexed.rule, labels));
    if (found == indexed.sources.end()) continue;
    if (found->second.one_sided || !MatchesAll(indexed.rule->source, labels)) {
      return true;
    }
  }
  return false;
}

}  // namespace vigie::alerting

#include "alerting/template/value.h"

namespace vigie::alerting {

TemplateValue TemplateValue::OfPairs(
    const std::vector<std::pair<std::string, std::string>>& pairs) {
  TemplateMap map;
  for (const auto& [name, value] : pairs) map.insert_or_assign(name, value);
  return OfMap(std::move(map));
}

}  // namespace vigie::alerting

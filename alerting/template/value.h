// TemplateValue: what a template works on. Lists and maps are shared and do
// not change.
// Source: Go's text/template, "Pipelines".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace vigie::alerting {

class TemplateValue;

// Ranged over in key order. A map whose values are all strings has Prometheus's
// KV methods: SortedPairs, Names, Values, Remove.
using TemplateMap = std::map<std::string, TemplateValue>;

// `fields` are what a list has beside its items: .Alerts.Firing.
struct TemplateList {
  std::vector<TemplateValue> items;
  std::shared_ptr<const TemplateMap> fields = {};
};

// Has the methods Format, Unix, UTC, Before, After, Equal, Sub. A zero time
// prints as Go's.
struct TemplateTime {
  int64_t time_ms = 0;
  bool is_zero = false;
};

class TemplateValue {
 public:
  using List = std::shared_ptr<const TemplateList>;
  using Map = std::shared_ptr<const TemplateMap>;
  using Variant = std::variant<std::monostate, bool, int64_t, double,
                               std::string, TemplateTime, List, Map>;

  TemplateValue() = default;                                        // nil
  TemplateValue(Variant value) : value_(std::move(value)) {}        // NOLINT
  TemplateValue(std::string value) : value_(std::move(value)) {}    // NOLINT
  TemplateValue(const char* value) : value_(std::string(value)) {}  // NOLINT

  static TemplateValue OfList(std::vector<TemplateValue> items) {
    return Variant(
        std::make_shared<const TemplateList>(TemplateList{std::move(items)}));
  }
  static TemplateValue OfMap(TemplateMap map) {
    return Variant(std::make_shared<const TemplateMap>(std::move(map)));
  }
  static TemplateValue OfPairs(
      const std::vector<std::pair<std::string, std::string>>& pairs);

  const Variant& variant() const { return value_; }

 private:
  Variant value_;
};

}  // namespace vigie::alerting

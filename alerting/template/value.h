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

// Ranged over in key order. In a map whose values are all strings a key that is
// absent is ""; in notifications it has the methods of Alertmanager's KV:
// SortedPairs, Names, Values, Remove. Any other map is taken for a record: a
// key that is absent is an error.
using TemplateMap = std::map<std::string, TemplateValue>;

// `fields` are what a list has beside its items: .Alerts.Firing.
struct TemplateList {
  std::vector<TemplateValue> items;
  std::shared_ptr<const TemplateMap> fields = {};
  int depth = 0;  // of lists and maps inside, made by functions
};

// Has the methods of Go's time.Time that templates use: Format, Unix, UTC, Sub
// and others. A zero time prints as Go's.
struct TemplateTime {
  int64_t time_ms = 0;
  bool is_zero = false;
  std::string zone = {};  // of the time zone database; empty: UTC
};

// What functions give beside the plain values; callers need none of these.
// Go's time.Duration, with its methods.
struct TemplateDuration {
  int64_t ns = 0;
};
// Text that is escaped already, or a URL that is known to be harmless.
struct TemplateMarkup {
  std::string text;
  bool is_url = false;
};
// An item of SortedPairs: .Name and .Value.
struct TemplatePair {
  std::string name;
  std::string value;
};
// A map without methods, in which a key that is absent is nil: dict, args.
struct TemplateDict {
  std::shared_ptr<const TemplateMap> entries;
  int depth = 0;
};

class TemplateValue {
 public:
  using List = std::shared_ptr<const TemplateList>;
  using Map = std::shared_ptr<const TemplateMap>;
  using Variant =
      std::variant<std::monostate, bool, int64_t, double, std::string,
                   TemplateTime, List, Map, TemplateDuration, TemplateMarkup,
                   TemplatePair, TemplateDict>;

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
  // Null if the value is of another kind.
  template <class T>
  const T* As() const {
    return std::get_if<T>(&value_);
  }

 private:
  Variant value_;
};

}  // namespace vigie::alerting

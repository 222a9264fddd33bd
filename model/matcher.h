// Matcher: one condition on one label. Regular expressions are RE2, anchored
// at both ends, dot matching newline, as in Prometheus 3.
// Immutable after Create; thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/labels.h"

namespace re2 {
class RE2;
}

namespace vigie {

// Bounds what one pattern may cost to compile.
inline constexpr size_t kRegexBytesMax = 16 << 10;

class Matcher {
 public:
  enum class Type { kEqual, kNotEqual, kRegex, kNotRegex };

  // kInvalidArgument, naming the pattern, if a regex does not compile or is
  // longer than kRegexBytesMax.
  static absl::StatusOr<Matcher> Create(Type type, std::string_view name,
                                        std::string_view value);
  // For types that cannot fail.
  static Matcher Equal(std::string_view name, std::string_view value);

  // An absent label is the empty value.
  bool Matches(std::string_view value) const;
  bool Matches(const Labels& labels) const {
    return Matches(labels.Get(name_));
  }
  bool MatchesEmpty() const { return Matches(std::string_view()); }

  // For =~ and !~ on an alternation of literals ("a|b|c"): the literals,
  // sorted; empty if the pattern is anything else.
  const std::vector<std::string>& literals() const { return literals_; }

  Type type() const { return type_; }
  const std::string& name() const { return name_; }
  const std::string& value() const { return value_; }
  std::string ToString() const;  // job=~"a|b"

  friend bool operator==(const Matcher& a, const Matcher& b) {
    return a.type_ == b.type_ && a.name_ == b.name_ && a.value_ == b.value_;
  }

 private:
  Matcher(Type type, std::string_view name, std::string_view value)
      : type_(type), name_(name), value_(value) {}

  Type type_;
  std::string name_;
  std::string value_;
  std::vector<std::string> literals_;
  std::shared_ptr<const re2::RE2> regex_;
};

// True if every matcher matches.
bool MatchesAll(const std::vector<Matcher>& matchers, const Labels& labels);

}  // namespace vigie

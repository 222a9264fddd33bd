#include "model/matcher.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "base/status_macros.h"
#include "model/regex.h"

namespace vigie {
namespace {

constexpr std::string_view kMeta = "\\.+*?()|[]{}^$";

// Splits "a|b|c" when no alternative holds a metacharacter.
std::vector<std::string> SplitLiterals(std::string_view pattern) {
  std::vector<std::string> out;
  std::string current;
  for (const char c : pattern) {
    if (c == '|') {
      out.push_back(std::move(current));
      current.clear();
    } else if (kMeta.find(c) != std::string_view::npos) {
      return {};
    } else {
      current.push_back(c);
    }
  }
  out.push_back(std::move(current));
  std::sort(out.begin(), out.end());
  return out;
}

std::string_view Operator(Matcher::Type type) {
  switch (type) {
    case Matcher::Type::kEqual:
      return "=";
    case Matcher::Type::kNotEqual:
      return "!=";
    case Matcher::Type::kRegex:
      return "=~";
    case Matcher::Type::kNotRegex:
      return "!~";
  }
  return "";
}

}  // namespace

absl::StatusOr<Matcher> Matcher::Create(Type type, std::string_view name,
                                        std::string_view value) {
  Matcher matcher(type, name, value);
  if (type == Type::kEqual || type == Type::kNotEqual) return matcher;
  VIGIE_ASSIGN_OR_RETURN(matcher.regex_, CompileAnchored(value));
  matcher.literals_ = SplitLiterals(value);
  return matcher;
}

Matcher Matcher::Equal(std::string_view name, std::string_view value) {
  return Matcher(Type::kEqual, name, value);
}

bool Matcher::Matches(std::string_view value) const {
  switch (type_) {
    case Type::kEqual:
      return value == value_;
    case Type::kNotEqual:
      return value != value_;
    case Type::kRegex:
    case Type::kNotRegex:
      break;
  }
  const bool found =
      literals_.empty()
          ? RE2::FullMatch(re2::StringPiece(value.data(), value.size()),
                           *regex_)
          : std::binary_search(literals_.begin(), literals_.end(), value);
  return found == (type_ == Type::kRegex);
}

std::string Matcher::ToString() const {
  return fmt::format("{}{}{}", IsLegacyLabelName(name_) ? name_ : Quoted(name_),
                     Operator(type_), Quoted(value_));
}

bool MatchesAll(const std::vector<Matcher>& matchers, const Labels& labels) {
  return std::all_of(
      matchers.begin(), matchers.end(),
      [&](const Matcher& matcher) { return matcher.Matches(labels); });
}

}  // namespace vigie

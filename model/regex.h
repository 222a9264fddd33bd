// Regex: an RE2 expression anchored at both ends, dot matching newline, whose
// groups can be put into a template: label_replace and relabelling.
// SearchRegex: one that is looked for anywhere, as templates do.
// Immutable after Create; thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace vigie {

// `pattern` anchored at both ends, dot matching newline. kInvalidArgument,
// naming the pattern, if it does not compile by itself or is longer than
// kRegexBytesMax (matcher.h).
absl::StatusOr<std::shared_ptr<const re2::RE2>> CompileAnchored(
    std::string_view pattern);

class Regex {
 public:
  // Errors as CompileAnchored.
  static absl::StatusOr<Regex> Create(std::string_view pattern);

  bool Matches(std::string_view text) const;

  // If `text` matches, `*out` becomes `replacement` with $1, ${1}, $name,
  // ${name} and $$ filled in as Go does: an unknown group is empty, and a name
  // is as long as it can be.
  bool Expand(std::string_view text, std::string_view replacement,
              std::string* out) const;

 private:
  explicit Regex(std::shared_ptr<const re2::RE2> regex)
      : regex_(std::move(regex)) {}
  std::shared_ptr<const re2::RE2> regex_;
};

// As Go's regexp package: not anchored, a dot does not match newline.
class SearchRegex {
 public:
  // kInvalidArgument, naming the pattern, if it does not compile or is longer
  // than kRegexBytesMax (matcher.h).
  static absl::StatusOr<SearchRegex> Create(std::string_view pattern);

  bool IsIn(std::string_view text) const;

  // `text` with each match replaced, left to right; `replacement` as in
  // Regex::Expand. kResourceExhausted if that is more than `bytes_max`.
  absl::StatusOr<std::string> ReplaceAll(std::string_view text,
                                         std::string_view replacement,
                                         size_t bytes_max) const;

 private:
  explicit SearchRegex(std::shared_ptr<const re2::RE2> regex)
      : regex_(std::move(regex)) {}
  std::shared_ptr<const re2::RE2> regex_;
};

}  // namespace vigie

#include "model/regex.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "model/matcher.h"

namespace vigie {
namespace {

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_';
}

// The group that `name` means, or -1.
int GroupOf(const RE2& regex, std::string_view name) {
  if (std::all_of(name.begin(), name.end(),
                  [](char c) { return c >= '0' && c <= '9'; })) {
    int group = -1;
    const auto [end, error] =
        std::from_chars(name.data(), name.data() + name.size(), group);
    static_cast<void>(end);
    if (error != std::errc() || group > regex.NumberOfCapturingGroups()) {
      return -1;
    }
    return group;
  }
  const auto& groups = regex.NamedCapturingGroups();
  const auto found = groups.find(std::string(name));
  return found == groups.end() ? -1 : found->second;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const re2::RE2>> CompileAnchored(
    std::string_view pattern) {
  if (pattern.size() > kRegexBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("regular expression of {} bytes: at most {} are allowed",
                    pattern.size(), kRegexBytesMax));
  }
  const auto invalid = [&](const std::string& error) {
    return absl::InvalidArgumentError(
        fmt::format("error parsing regexp: {}: `{}`", error, pattern));
  };
  RE2::Options options;
  options.set_log_errors(false);
  // "a)|(b" would be fine, and no longer anchored, once it is within ours.
  if (pattern.find(')') != std::string_view::npos) {
    const RE2 alone(re2::StringPiece(pattern.data(), pattern.size()), options);
    if (!alone.ok()) return invalid(alone.error());
  }
  auto regex =
      std::make_shared<const RE2>(fmt::format("^(?s:{})$", pattern), options);
  if (!regex->ok()) return invalid(regex->error());
  return regex;
}

absl::StatusOr<Regex> Regex::Create(std::string_view pattern) {
  auto regex = CompileAnchored(pattern);
  if (!regex.ok()) return regex.status();
  return Regex(*std::move(regex));
}

bool Regex::Matches(std::string_view text) const {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex_);
}

bool Regex::Expand(std::string_view text, std::string_view replacement,
                   std::string* out) const {
  std::vector<re2::StringPiece> groups(
      static_cast<size_t>(regex_->NumberOfCapturingGroups()) + 1);
  if (!regex_->Match(re2::StringPiece(text.data(), text.size()), 0, text.size(),
                     RE2::ANCHOR_BOTH, groups.data(),
                     static_cast<int>(groups.size()))) {
    return false;
  }
  out->clear();
  while (!replacement.empty()) {
    const size_t dollar = replacement.find('$');
    out->append(replacement.substr(0, dollar));
    if (dollar == std::string_view::npos) break;
    replacement.remove_prefix(dollar + 1);
    if (!replacement.empty() && replacement[0] == '$') {
      out->push_back('$');
      replacement.remove_prefix(1);
      continue;
    }
    const bool braced = !replacement.empty() && replacement[0] == '{';
    const std::string_view rest = replacement.substr(braced ? 1 : 0);
    size_t length = 0;
    while (length < rest.size() && IsNameByte(rest[length])) ++length;
    const bool closed =
        !braced || (length < rest.size() && rest[length] == '}');
    if (length == 0 || !closed) {
      out->push_back('$');  // no group: the text as it stands
      continue;
    }
    const int group = GroupOf(*regex_, rest.substr(0, length));
    if (group >= 0 && groups[group].data() != nullptr) {
      out->append(groups[group].data(), groups[group].size());
    }
    replacement = rest.substr(length + (braced ? 1 : 0));
  }
  return true;
}

}  // namespace vigie

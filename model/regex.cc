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

// Appends `replacement` with the groups of a match filled in.
void AppendExpanded(const RE2& regex,
                    const std::vector<re2::StringPiece>& groups,
                    std::string_view replacement, std::string* out) {
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
    const int group = GroupOf(regex, rest.substr(0, length));
    if (group >= 0 && groups[group].data() != nullptr) {
      out->append(groups[group].data(), groups[group].size());
    }
    replacement = rest.substr(length + (braced ? 1 : 0));
  }
}

std::vector<re2::StringPiece> RoomForGroups(const RE2& regex) {
  return std::vector<re2::StringPiece>(
      static_cast<size_t>(regex.NumberOfCapturingGroups()) + 1);
}

absl::Status TooLong(std::string_view pattern) {
  return absl::InvalidArgumentError(
      fmt::format("regular expression of {} bytes: at most {} are allowed",
                  pattern.size(), kRegexBytesMax));
}

absl::Status Invalid(std::string_view pattern, const std::string& error) {
  return absl::InvalidArgumentError(
      fmt::format("error parsing regexp: {}: `{}`", error, pattern));
}

// Bytes of the character that `text` begins with.
size_t RuneBytes(std::string_view text) {
  size_t bytes = 1;
  while (bytes < text.size() && (text[bytes] & 0xC0) == 0x80) ++bytes;
  return bytes;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const re2::RE2>> CompileAnchored(
    std::string_view pattern) {
  if (pattern.size() > kRegexBytesMax) return TooLong(pattern);
  RE2::Options options;
  options.set_log_errors(false);
  // "a)|(b" would be fine, and no longer anchored, once it is within ours.
  if (pattern.find(')') != std::string_view::npos) {
    const RE2 alone(re2::StringPiece(pattern.data(), pattern.size()), options);
    if (!alone.ok()) return Invalid(pattern, alone.error());
  }
  auto regex =
      std::make_shared<const RE2>(fmt::format("^(?s:{})$", pattern), options);
  if (!regex->ok()) return Invalid(pattern, regex->error());
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
  std::vector<re2::StringPiece> groups = RoomForGroups(*regex_);
  if (!regex_->Match(re2::StringPiece(text.data(), text.size()), 0, text.size(),
                     RE2::ANCHOR_BOTH, groups.data(),
                     static_cast<int>(groups.size()))) {
    return false;
  }
  out->clear();
  AppendExpanded(*regex_, groups, replacement, out);
  return true;
}

absl::StatusOr<SearchRegex> SearchRegex::Create(std::string_view pattern) {
  if (pattern.size() > kRegexBytesMax) return TooLong(pattern);
  RE2::Options options;
  options.set_log_errors(false);
  auto regex = std::make_shared<const RE2>(
      re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!regex->ok()) return Invalid(pattern, regex->error());
  return SearchRegex(std::move(regex));
}

bool SearchRegex::IsIn(std::string_view text) const {
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *regex_);
}

absl::StatusOr<std::string> SearchRegex::ReplaceAll(
    std::string_view text, std::string_view replacement,
    size_t bytes_max) const {
  const re2::StringPiece whole(text.data(), text.size());
  std::vector<re2::StringPiece> groups = RoomForGroups(*regex_);
  std::string out;
  size_t copied = 0;
  size_t from = 0;
  while (from <= text.size() &&
         regex_->Match(whole, from, text.size(), RE2::UNANCHORED, groups.data(),
                       static_cast<int>(groups.size()))) {
    const auto begin = static_cast<size_t>(groups[0].data() - text.data());
    const size_t end = begin + groups[0].size();
    out.append(text.substr(copied, begin - copied));
    // An empty match right behind a match is part of it.
    if (end > copied || begin == 0) {
      AppendExpanded(*regex_, groups, replacement, &out);
    }
    if (out.size() > bytes_max) {
      return absl::ResourceExhaustedError(
          fmt::format("a replacement of more than {} bytes", bytes_max));
    }
    copied = end;
    const size_t step =
        from < text.size() ? RuneBytes(text.substr(from)) : size_t{1};
    from = std::max(end, from + step);
  }
  out.append(text.substr(copied));
  return out;
}

}  // namespace vigie

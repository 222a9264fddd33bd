#include "alerting/template/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace vigie::alerting::tmpl {
namespace {

// </textarea> is the longest end that raw text waits for.
constexpr size_t kTailBytes = 12;

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}
char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9');
}
bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (Lower(c) >= 'a' && Lower(c) <= 'f');
}

template <size_t N>
bool IsOneOf(std::string_view text, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), text) != std::end(names);
}

bool IsRawTag(std::string_view tag) {
  static constexpr std::string_view kTags[] = {"script", "style", "textarea",
                                               "title"};
  return IsOneOf(tag, kTags);
}

bool IsUrlAttribute(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "action",     "archive", "background", "cite",     "classid",  "codebase",
      "data",       "href",    "icon",       "longdesc", "manifest", "poster",
      "formaction", "profile", "src",        "usemap",   "xmlns"};
  return IsOneOf(name, kNames);
}

// What is inside a value may be anything but these.
bool IsHarmlessScheme(std::string_view url) {
  const size_t colon = url.find(':');
  const size_t slash = url.find('/');
  if (colon == std::string_view::npos || slash < colon) return true;
  std::string scheme(url.substr(0, colon));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), Lower);
  return scheme == "http" || scheme == "https" || scheme == "mailto";
}

std::string EncodeUrl(std::string_view text, std::string_view kept) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool encoded = c == '%' && i + 2 < text.size() &&
                         IsHex(text[i + 1]) && IsHex(text[i + 2]) &&
                         !kept.empty();
    if (IsAlnum(c) || encoded ||
        std::string_view("-._~").find(c) != std::string_view::npos ||
        kept.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\0':
        out += "\uFFFD";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string EscapeQuery(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out.push_back('+');
    } else if (IsAlnum(c) ||
               std::string_view("-._~").find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

void HtmlPage::Follow(std::string_view text) {
  for (const char c : text) Step(c);
}

void HtmlPage::EndTag() {
  state_ = IsRawTag(tag_) ? State::kRawText : State::kText;
  tail_.clear();
}

void HtmlPage::Step(char c) {
  switch (state_) {
    case State::kText:
      if (c == '<') {
        state_ = State::kTagName;
        tag_.clear();
      }
      return;
    case State::kTagName:
      if (c == '>') {
        EndTag();
      } else if (IsSpace(c)) {
        // "a < b" is text.
        state_ = tag_.empty() ? State::kText : State::kTag;
      } else {
        tag_.push_back(Lower(c));
        if (tag_ == "!--") {
          state_ = State::kComment;
          tail_.clear();
        }
      }
      return;
    case State::kTag:
      if (c == '>') {
        EndTag();
      } else if (!IsSpace(c) && c != '/') {
        state_ = State::kAttribute;
        attribute_.assign(1, Lower(c));
      }
      return;
    case State::kAttribute:
      if (c == '=') {
        state_ = State::kBeforeValue;
      } else if (c == '>') {
        EndTag();
      } else if (c == '/') {
        state_ = State::kTag;
      } else if (!IsSpace(c)) {
        attribute_.push_back(Lower(c));
      } else {
        state_ = State::kTag;
      }
      return;
    case State::kBeforeValue:
      if (IsSpace(c)) return;
      value_empty_ = true;
      in_query_ = false;
      state_ = c == '"'    ? State::kDouble
               : c == '\'' ? State::kSingle
               : c == '>'  ? State::kText
                           : State::kUnquoted;
      if (c == '>') EndTag();
      return;
    case State::kDouble:
    case State::kSingle:
      if (c == (state_ == State::kDouble ? '"' : '\'')) {
        state_ = State::kTag;
        return;
      }
      value_empty_ = false;
      in_query_ = in_query_ || c == '?' || c == '#';
      return;
    case State::kUnquoted:
      if (c == '>') {
        EndTag();
      } else if (IsSpace(c)) {
        state_ = State::kTag;
      }
      return;
    case State::kComment:
    case State::kRawText:
      tail_.push_back(Lower(c));
      if (tail_.size() > kTailBytes) tail_.erase(0, 1);
      if (state_ == State::kComment ? tail_.ends_with("-->")
                                    : tail_.ends_with("</" + tag_ + ">")) {
        state_ = State::kText;
      }
      return;
  }
}

absl::StatusOr<std::string> HtmlPage::Escape(std::string_view text,
                                             bool is_html, bool is_url) {
  switch (state_) {
    case State::kText:
      return is_html ? std::string(text) : EscapeHtml(text);
    case State::kRawText:
      if (tag_ == "textarea" || tag_ == "title") return EscapeHtml(text);
      return absl::InvalidArgumentError(
          fmt::format("an action inside of <{}>", tag_));
    case State::kDouble:
    case State::kSingle:
      return EscapeValue(text, is_url);
    case State::kComment:
      return absl::InvalidArgumentError("an action inside of a comment");
    default:
      return absl::InvalidArgumentError(
          "an action inside of a tag, outside of a quoted value");
  }
}

absl::StatusOr<std::string> HtmlPage::EscapeValue(std::string_view text,
                                                  bool is_url) {
  if (attribute_.starts_with("on") || attribute_ == "style" ||
      attribute_ == "srcset" || attribute_ == "srcdoc") {
    return absl::InvalidArgumentError(
        fmt::format("an action inside of the attribute {}", attribute_));
  }
  if (!IsUrlAttribute(attribute_)) return EscapeHtml(text);
  const bool filtered = value_empty_ && !is_url && !IsHarmlessScheme(text);
  const bool in_query = in_query_;
  if (!text.empty()) value_empty_ = false;
  in_query_ = in_query_ || text.find_first_of("?#") != std::string_view::npos;
  // Go's sign of a URL that was not let through.
  if (filtered) return "#ZgotmplZ";
  return EscapeHtml(
      EncodeUrl(text, in_query && !is_url ? "" : "!#$&*+,/:;=?@[]"));
}

}  // namespace vigie::alerting::tmpl

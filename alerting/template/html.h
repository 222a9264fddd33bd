// What Go's html/template does: an action's output is escaped as the place in
// the page demands. Places that need more than that are refused.
// Source: pkg.go.dev/html/template, "Contexts".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace vigie::alerting::tmpl {

// & < > " ' and NUL.
std::string EscapeHtml(std::string_view text);
// Letters, digits and -._~ stay; + for a space, as url.QueryEscape.
std::string EscapeQuery(std::string_view text);

// Follows a page as it is written and knows where in it the end is.
class HtmlPage {
 public:
  // Text of the template itself.
  void Follow(std::string_view text);

  // What an action puts here. `is_html` and `is_url` say that it has been
  // found harmless for that. kInvalidArgument inside of scripts, styles,
  // comments, tags outside of a quoted value, and of event handlers.
  absl::StatusOr<std::string> Escape(std::string_view text, bool is_html,
                                     bool is_url);

 private:
  enum class State : uint8_t {
    kText,
    kTagName,
    kTag,  // between attributes
    kAttribute,
    kBeforeValue,
    kDouble,
    kSingle,
    kUnquoted,
    kComment,
    kRawText,  // script, style, textarea, title
  };
  void Step(char c);
  void EndTag();
  absl::StatusOr<std::string> EscapeValue(std::string_view text, bool is_url);

  State state_ = State::kText;
  std::string tag_;        // lower case, with the slash of an end tag
  std::string attribute_;  // lower case
  std::string tail_;       // the last bytes of a comment or of raw text
  bool value_empty_ = true;
  bool in_query_ = false;
};

}  // namespace vigie::alerting::tmpl

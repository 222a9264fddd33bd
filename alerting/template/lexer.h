// Cuts a template into text and the tokens of its actions.
// Source: pkg.go.dev/text/template, "Text and spaces", "Actions", "Arguments".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace vigie::alerting::tmpl {

// Counted from 1; columns count bytes.
struct Place {
  int line = 1;
  int column = 1;
};

// `file:line:column: message`, without the file if it has no name.
absl::Status ErrorAt(std::string_view file, Place place,
                     std::string_view message);

struct Token {
  enum class Kind : uint8_t {
    kText,      // outside of actions, trimmed
    kOpen,      // {{
    kClose,     // }}
    kName,      // a function or a keyword
    kField,     // .name, `text` without the dot
    kVariable,  // $name, `text` without the dollar
    kDot,       // . alone
    kInteger,
    kFloat,
    kString,  // decoded
    kPipe,
    kLeftParen,
    kRightParen,
    kDeclare,  // :=
    kAssign,   // =
    kComma,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int64_t integer = 0;
  double number = 0;
  bool after_space = false;  // whether white space precedes it in its action
  Place place;
};

// The last token is kEnd. Comments are left out. kInvalidArgument as ErrorAt.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text,
                                            std::string_view file);

}  // namespace vigie::alerting::tmpl

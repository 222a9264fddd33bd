#include "alerting/template/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting::tmpl {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

bool IsSpace(char c) { return kSpaces.find(c) != std::string_view::npos; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
// Bytes of letters beyond ASCII count as letters, as in Go's identifiers.
bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) ||
         c == '_' || (c & 0x80) != 0;
}

void AppendUtf8(uint32_t rune, std::string* out) {
  if (rune < 0x80) {
    out->push_back(static_cast<char>(rune));
    return;
  }
  const int tail = rune < 0x800 ? 1 : rune < 0x10000 ? 2 : 3;
  static constexpr uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out->push_back(static_cast<char>(kLead[tail] | (rune >> (6 * tail))));
  for (int i = tail - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(0x80 | ((rune >> (6 * i)) & 0x3F)));
  }
}

class Lexer {
 public:
  Lexer(std::string_view text, std::string_view file)
      : text_(text), file_(file) {}

  absl::StatusOr<std::vector<Token>> Run() && {
    while (at_ < text_.size()) {
      VIGIE_RETURN_IF_ERROR(ReadText());
      if (at_ < text_.size()) VIGIE_RETURN_IF_ERROR(ReadAction());
    }
    Emit(Token::Kind::kEnd, at_, 0, "");
    return std::move(tokens_);
  }

 private:
  // Offsets only grow, so the line is found in one pass over the text.
  Place PlaceOf(size_t offset) {
    for (; counted_ < offset; ++counted_) {
      if (text_[counted_] == '\n') {
        ++line_;
        line_start_ = counted_ + 1;
      }
    }
    return {line_, static_cast<int>(offset - line_start_) + 1};
  }

  absl::Status Wrong(size_t offset, std::string_view message) {
    return ErrorAt(file_, PlaceOf(std::max(offset, counted_)), message);
  }

  Token& Emit(Token::Kind kind, size_t begin, size_t length, std::string text) {
    Token token;
    token.kind = kind;
    token.text = std::move(text);
    token.place = PlaceOf(begin);
    token.after_space = begin > 0 && IsSpace(text_[begin - 1]);
    tokens_.push_back(std::move(token));
    at_ = begin + length;
    return tokens_.back();
  }

  bool TrimsBefore(size_t open) const {
    return open + 3 < text_.size() && text_[open + 2] == '-' &&
           IsSpace(text_[open + 3]);
  }

  absl::Status ReadText() {
    const size_t open = std::min(text_.find("{{", at_), text_.size());
    std::string_view piece = text_.substr(at_, open - at_);
    if (trim_next_) {
      piece.remove_prefix(
          std::min(piece.find_first_not_of(kSpaces), piece.size()));
    }
    const size_t begin = open - piece.size();
    if (open < text_.size() && TrimsBefore(open)) {
      piece = piece.substr(0, piece.find_last_not_of(kSpaces) + 1);
    }
    trim_next_ = false;
    if (!piece.empty()) {
      Emit(Token::Kind::kText, begin, piece.size(), std::string(piece));
    }
    at_ = open;
    return absl::OkStatus();
  }

  // The length of `}}` or ` -}}` at `offset`, or 0.
  size_t CloseAt(size_t offset) const {
    const std::string_view rest = text_.substr(offset);
    if (rest.starts_with("}}")) return 2;
    if (rest.size() > 3 && IsSpace(rest[0]) &&
        rest.substr(1).starts_with("-}}")) {
      return 4;
    }
    return 0;
  }

  absl::Status ReadComment(size_t open, size_t begin) {
    const size_t end = text_.find("*/", begin + 2);
    if (end == std::string_view::npos) {
      return Wrong(open, "a comment that does not end");
    }
    const size_t close = CloseAt(end + 2);
    if (close == 0) return Wrong(open, "a comment ends with */}}");
    trim_next_ = close == 4;
    at_ = end + 2 + close;
    return absl::OkStatus();
  }

  absl::Status ReadAction() {
    const size_t open = at_;
    const size_t begin = open + (TrimsBefore(open) ? 4 : 2);
    if (text_.substr(begin).starts_with("/*")) {
      return ReadComment(open, begin);
    }
    const Place place = Emit(Token::Kind::kOpen, open, begin - open, "").place;
    while (true) {
      if (at_ >= text_.size()) {
        return ErrorAt(file_, place,
                       "an action that does not end: }} is missing");
      }
      if (const size_t close = CloseAt(at_); close > 0) {
        Emit(Token::Kind::kClose, at_, close, "");
        trim_next_ = close == 4;
        return absl::OkStatus();
      }
      if (IsSpace(text_[at_])) {
        ++at_;
        continue;
      }
      VIGIE_RETURN_IF_ERROR(ReadToken());
    }
  }

  size_t NameEnd(size_t begin) const {
    while (begin < text_.size() && IsNameByte(text_[begin])) ++begin;
    return begin;
  }

  absl::Status ReadToken() {
    using Kind = Token::Kind;
    const size_t begin = at_;
    const char c = text_[begin];
    const char next = begin + 1 < text_.size() ? text_[begin + 1] : '\0';
    switch (c) {
      case '|':
        Emit(Kind::kPipe, begin, 1, "");
        return absl::OkStatus();
      case '(':
        Emit(Kind::kLeftParen, begin, 1, "");
        return absl::OkStatus();
      case ')':
        Emit(Kind::kRightParen, begin, 1, "");
        return absl::OkStatus();
      case ',':
        Emit(Kind::kComma, begin, 1, "");
        return absl::OkStatus();
      case '=':
        Emit(Kind::kAssign, begin, 1, "");
        return absl::OkStatus();
      case ':':
        if (next != '=') return Wrong(begin, "expected := after a colon");
        Emit(Kind::kDeclare, begin, 2, "");
        return absl::OkStatus();
      case '"':
        return ReadQuoted(begin);
      case '`':
        return ReadRaw(begin);
      case '\'':
        return ReadRune(begin);
      default:
        break;
    }
    if (c == '$') {
      const size_t end = NameEnd(begin + 1);
      Emit(Kind::kVariable, begin, end - begin,
           std::string(text_.substr(begin + 1, end - begin - 1)));
      return absl::OkStatus();
    }
    if (IsDigit(c) || ((c == '+' || c == '-' || c == '.') && IsDigit(next)) ||
        ((c == '+' || c == '-') && next == '.')) {
      return ReadNumber(begin);
    }
    if (c == '.') {
      const size_t end = NameEnd(begin + 1);
      const bool alone = end == begin + 1;
      Emit(alone ? Kind::kDot : Kind::kField, begin, end - begin,
           std::string(text_.substr(begin + 1, end - begin - 1)));
      return absl::OkStatus();
    }
    if (IsNameByte(c)) {
      const size_t end = NameEnd(begin);
      Emit(Kind::kName, begin, end - begin,
           std::string(text_.substr(begin, end - begin)));
      return absl::OkStatus();
    }
    return Wrong(begin, fmt::format("unexpected {} in an action",
                                    static_cast<unsigned char>(c) < 0x20
                                        ? fmt::format("byte {:#04x}", int{c})
                                        : fmt::format("'{}'", c)));
  }

  absl::Status ReadNumber(size_t begin) {
    size_t end = begin + 1;
    while (end < text_.size()) {
      const char c = text_[end];
      const bool sign = (c == '+' || c == '-') &&
                        (text_[end - 1] == 'e' || text_[end - 1] == 'E');
      if (!IsNameByte(c) && c != '.' && !sign) break;
      ++end;
    }
    const std::string_view whole = text_.substr(begin, end - begin);
    std::string digits;
    for (const char c : whole) {
      if (c != '_' && c != '+') digits.push_back(c);
      // A sign inside is that of an exponent, which from_chars wants to see.
      if (c == '+' && !digits.empty()) digits.push_back(c);
    }
    const bool negative = !digits.empty() && digits[0] == '-';
    std::string_view rest = digits;
    if (negative) rest.remove_prefix(1);
    int base = 10;
    if (rest.starts_with("0x") || rest.starts_with("0X")) {
      base = 16;
    } else if (rest.starts_with("0b") || rest.starts_with("0B")) {
      base = 2;
    } else if (rest.starts_with("0o") || rest.starts_with("0O")) {
      base = 8;
    }
    if (base != 10) {
      rest.remove_prefix(2);
    } else if (rest.size() > 1 && rest[0] == '0' &&
               rest.find_first_not_of("01234567") == std::string_view::npos) {
      base = 8;
    }
    uint64_t integer = 0;
    const char* last = rest.data() + rest.size();
    auto [stop, error] = std::from_chars(rest.data(), last, integer, base);
    const uint64_t largest = static_cast<uint64_t>(INT64_MAX) + negative;
    if (stop == last && error == std::errc() && integer <= largest) {
      Token& token =
          Emit(Token::Kind::kInteger, begin, end - begin, std::string(whole));
      token.integer =
          static_cast<int64_t>(negative ? uint64_t{0} - integer : integer);
      token.number = static_cast<double>(token.integer);
      return absl::OkStatus();
    }
    double number = 0;
    const auto parsed = std::from_chars(
        rest.data(), last, number,
        base == 16 ? std::chars_format::hex : std::chars_format::general);
    const bool float_form =
        base == 10 && rest.find_first_of(".eE") != std::string_view::npos;
    if (!float_form || parsed.ec != std::errc() || parsed.ptr != last) {
      return Wrong(begin, fmt::format("bad number: {}", whole));
    }
    Emit(Token::Kind::kFloat, begin, end - begin, std::string(whole)).number =
        negative ? -number : number;
    return absl::OkStatus();
  }

  absl::Status ReadRaw(size_t begin) {
    const size_t end = text_.find('`', begin + 1);
    if (end == std::string_view::npos) {
      return Wrong(begin, "a raw string that does not end");
    }
    Emit(Token::Kind::kString, begin, end + 1 - begin,
         std::string(text_.substr(begin + 1, end - begin - 1)));
    return absl::OkStatus();
  }

  absl::Status ReadQuoted(size_t begin) {
    std::string value;
    size_t at = begin + 1;
    while (true) {
      if (at >= text_.size() || text_[at] == '\n') {
        return Wrong(begin, "a string that does not end");
      }
      if (text_[at] == '"') break;
      if (text_[at] != '\\') {
        value.push_back(text_[at++]);
      } else if (!ReadEscape(&at, '"', &value)) {
        return Wrong(begin, "a bad escape in a string");
      }
    }
    Emit(Token::Kind::kString, begin, at + 1 - begin, std::move(value));
    return absl::OkStatus();
  }

  // 'a' is a number, as in Go.
  absl::Status ReadRune(size_t begin) {
    std::string value;
    size_t at = begin + 1;
    if (at < text_.size() && text_[at] == '\\') {
      if (!ReadEscape(&at, '\'', &value)) {
        return Wrong(begin, "a bad character constant");
      }
    } else {
      while (at < text_.size() && text_[at] != '\'' && text_[at] != '\n') {
        value.push_back(text_[at++]);
      }
    }
    if (at >= text_.size() || text_[at] != '\'' || value.size() != 1) {
      return Wrong(begin, "a character constant is one ASCII character");
    }
    Emit(Token::Kind::kInteger, begin, at + 1 - begin, "").integer =
        static_cast<unsigned char>(value[0]);
    return absl::OkStatus();
  }

  // Reads the escape at `*at`, a backslash, and moves behind it.
  bool ReadEscape(size_t* at, char quote, std::string* out) {
    if (*at + 1 >= text_.size()) return false;
    const char c = text_[*at + 1];
    *at += 2;
    static constexpr std::string_view kNames = "abfnrtv\\";
    static constexpr std::string_view kBytes = "\a\b\f\n\r\t\v\\";
    if (const size_t i = kNames.find(c); i != std::string_view::npos) {
      out->push_back(kBytes[i]);
      return true;
    }
    if (c == quote) {
      out->push_back(c);
      return true;
    }
    size_t length = 0;
    int base = 16;
    if (c == 'x') {
      length = 2;
    } else if (c == 'u') {
      length = 4;
    } else if (c == 'U') {
      length = 8;
    } else if (c >= '0' && c <= '7') {
      length = 3;
      base = 8;
      --*at;
    } else {
      return false;
    }
    if (*at + length > text_.size()) return false;
    uint32_t code = 0;
    const char* digits = text_.data() + *at;
    const auto [stop, error] =
        std::from_chars(digits, digits + length, code, base);
    if (error != std::errc() || stop != digits + length) return false;
    *at += length;
    if (c == 'u' || c == 'U') {
      if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
      AppendUtf8(code, out);
      return true;
    }
    if (code > 0xFF) return false;
    out->push_back(static_cast<char>(code));
    return true;
  }

  const std::string_view text_;
  const std::string_view file_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  bool trim_next_ = false;
  size_t counted_ = 0;  // bytes whose lines are in line_
  size_t line_start_ = 0;
  int line_ = 1;
};

}  // namespace

absl::Status ErrorAt(std::string_view file, Place place,
                     std::string_view message) {
  return absl::InvalidArgumentError(
      file.empty() ? fmt::format("{}:{}: {}", place.line, place.column, message)
                   : fmt::format("{}:{}:{}: {}", file, place.line, place.column,
                                 message));
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view text,
                                            std::string_view file) {
  return Lexer(text, file).Run();
}

}  // namespace vigie::alerting::tmpl

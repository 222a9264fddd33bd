#include "query/parser/lexer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "model/labels.h"
#include "query/parser/literals.h"

namespace vigie::query {
namespace {

constexpr int32_t kEndOfQuery = -1;
constexpr int32_t kBadRune = 0xFFFD;

bool IsSpace(int32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool IsDigit(int32_t c) { return c >= '0' && c <= '9'; }
bool IsAlpha(int32_t c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsAlphaNumeric(int32_t c) { return IsAlpha(c) || IsDigit(c); }

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

const StringMap<TokenKind>& Keywords() {
  static const auto* const words = new StringMap<TokenKind>({
      {"and", TokenKind::kAnd},
      {"or", TokenKind::kOr},
      {"unless", TokenKind::kUnless},
      {"atan2", TokenKind::kAtan2},
      {"sum", TokenKind::kSum},
      {"avg", TokenKind::kAvg},
      {"count", TokenKind::kCount},
      {"min", TokenKind::kMin},
      {"max", TokenKind::kMax},
      {"group", TokenKind::kGroup},
      {"stddev", TokenKind::kStddev},
      {"stdvar", TokenKind::kStdvar},
      {"topk", TokenKind::kTopk},
      {"bottomk", TokenKind::kBottomk},
      {"count_values", TokenKind::kCountValues},
      {"quantile", TokenKind::kQuantile},
      {"limitk", TokenKind::kLimitk},
      {"limit_ratio", TokenKind::kLimitRatio},
      {"offset", TokenKind::kOffset},
      {"anchored", TokenKind::kAnchored},
      {"smoothed", TokenKind::kSmoothed},
      {"by", TokenKind::kBy},
      {"without", TokenKind::kWithout},
      {"on", TokenKind::kOn},
      {"ignoring", TokenKind::kIgnoring},
      {"group_left", TokenKind::kGroupLeft},
      {"group_right", TokenKind::kGroupRight},
      {"fill", TokenKind::kFill},
      {"fill_left", TokenKind::kFillLeft},
      {"fill_right", TokenKind::kFillRight},
      {"bool", TokenKind::kBool},
      {"start", TokenKind::kStart},
      {"end", TokenKind::kEnd},
      {"step", TokenKind::kStep},
      {"range", TokenKind::kRange},
      {"max_of", TokenKind::kMaxOf},
      {"min_of", TokenKind::kMinOf},
      {"inf", TokenKind::kNumber},
      {"nan", TokenKind::kNumber},
  });
  return *words;
}

// Go's %.10q: the first ten characters, quoted.
std::string QuotedStart(std::string_view text) {
  size_t end = 0;
  for (int runes = 0; end < text.size() && runes < 10; ++runes) {
    ++end;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
  }
  return Quoted(text.substr(0, end));
}

}  // namespace

bool IsAggregator(TokenKind kind) {
  return kind >= TokenKind::kSum && kind <= TokenKind::kLimitRatio;
}

std::string DescribeToken(const Token& token) {
  const auto between = [&](TokenKind first, TokenKind last) {
    return token.kind >= first && token.kind <= last;
  };
  if (token.kind == TokenKind::kEof) return "end of input";
  if (between(TokenKind::kAdd, TokenKind::kAt)) {
    return fmt::format("<op:{}>", token.text);
  }
  if (IsAggregator(token.kind)) return fmt::format("<aggr:{}>", token.text);
  if (between(TokenKind::kOffset, TokenKind::kBool)) {
    return fmt::format("<{}>", token.text);
  }
  std::string_view kind;
  switch (token.kind) {
    case TokenKind::kIdentifier:
      return "identifier " + Quoted(token.text);
    case TokenKind::kMetricIdentifier:
      return "metric identifier " + Quoted(token.text);
    case TokenKind::kNumber:
      kind = "number ";
      break;
    case TokenKind::kDuration:
      kind = "duration ";
      break;
    case TokenKind::kString:
      kind = "string ";
      break;
    default:
      break;
  }
  return token.text.size() > 10
             ? fmt::format("{}{}...", kind, QuotedStart(token.text))
             : fmt::format("{}{}", kind, Quoted(token.text));
}

Lexer::Rune Lexer::RuneAt(int at) const {
  if (at >= static_cast<int>(query_.size())) return {kEndOfQuery, 0};
  const auto byte = static_cast<unsigned char>(query_[at]);
  if (byte < 0x80) return {byte, 1};
  const int width = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
  const std::string_view bytes = query_.substr(at, width);
  if (static_cast<int>(bytes.size()) != width || !IsValidUtf8(bytes)) {
    return {kBadRune, 1};
  }
  int32_t value = byte & (0x7F >> width);
  for (int i = 1; i < width; ++i) value = value << 6 | (bytes[i] & 0x3F);
  return {value, width};
}

int32_t Lexer::Take() {
  const Rune rune = RuneAt(at_);
  at_ += rune.width;
  return rune.value;
}

bool Lexer::NextIs(std::string_view set) const {
  const int32_t c = Peek();
  return c >= 0 && c < 0x80 &&
         set.find(static_cast<char>(c)) != std::string_view::npos;
}

bool Lexer::Accept(std::string_view set) {
  if (!NextIs(set)) return false;
  ++at_;
  return true;
}

void Lexer::SkipSpace() {
  while (IsSpace(Peek())) ++at_;
  begin_ = at_;
}

Token Lexer::Emit(TokenKind kind) {
  const Token token{kind, begin_, query_.substr(begin_, at_ - begin_)};
  begin_ = at_;
  return token;
}

Token Lexer::Fail(std::string message) {
  error_ = std::move(message);
  done_ = true;
  return {TokenKind::kError, begin_, error_};
}

Token Lexer::Next() {
  if (done_) return {TokenKind::kEof, at_, {}};
  for (;;) {
    SkipSpace();
    if (Peek() != '#' || mood_ == Mood::kBrackets) break;
    while (Peek() != '\n' && Peek() != '\r' && Peek() != kEndOfQuery) Take();
  }
  switch (mood_) {
    case Mood::kBraces:
      return LexBraces();
    case Mood::kBrackets:
      return LexBrackets();
    case Mood::kStatement:
      break;
  }
  return LexStatement();
}

Token Lexer::LexStatement() {
  const int32_t c = Take();
  switch (c) {
    case kEndOfQuery:
      if (paren_depth_ != 0) return Fail("unclosed left parenthesis");
      if (bracket_open_) return Fail("unclosed left bracket");
      done_ = true;
      return Emit(TokenKind::kEof);
    case ',':
      return Emit(TokenKind::kComma);
    case '*':
      return Emit(TokenKind::kMul);
    case '/':
      return Emit(TokenKind::kDiv);
    case '%':
      return Emit(TokenKind::kMod);
    case '+':
      return Emit(TokenKind::kAdd);
    case '-':
      return Emit(TokenKind::kSub);
    case '^':
      return Emit(TokenKind::kPow);
    case '@':
      return Emit(TokenKind::kAt);
    case '=':
      if (Accept("=")) return Emit(TokenKind::kEqual);
      if (Peek() == '~') {
        return Fail("unexpected character after '=': '~'");
      }
      return Emit(TokenKind::kAssign);
    case '!': {
      if (Accept("=")) return Emit(TokenKind::kNotEqual);
      return Fail(
          fmt::format("unexpected character after '!': {}", QuoteRune(Take())));
    }
    case '<':
      if (Accept("=")) return Emit(TokenKind::kLessEqual);
      if (Accept("/")) return Emit(TokenKind::kTrimUpper);
      return Emit(TokenKind::kLess);
    case '>':
      if (Accept("=")) return Emit(TokenKind::kGreaterEqual);
      if (Accept("/")) return Emit(TokenKind::kTrimLower);
      return Emit(TokenKind::kGreater);
    case '"':
    case '\'':
      return LexString(static_cast<char>(c));
    case '`':
      return LexRawString();
    case '(':
      ++paren_depth_;
      return Emit(TokenKind::kLeftParen);
    case ')':
      if (--paren_depth_ < 0) {
        begin_ = at_;
        return Fail("unexpected right parenthesis ')'");
      }
      return Emit(TokenKind::kRightParen);
    case '{':
      mood_ = Mood::kBraces;
      return Emit(TokenKind::kLeftBrace);
    case '[':
      if (bracket_open_) return Fail("unexpected left bracket '['");
      colon_seen_ = false;
      bracket_open_ = true;
      mood_ = Mood::kBrackets;
      return Emit(TokenKind::kLeftBracket);
    case ']':
      if (!bracket_open_) return Fail("unexpected right bracket ']'");
      bracket_open_ = false;
      return Emit(TokenKind::kRightBracket);
    default:
      break;
  }
  if (IsDigit(c) || (c == '.' && IsDigit(Peek()))) {
    --at_;
    return LexNumberOrDuration();
  }
  if (IsAlpha(c) || c == ':') {
    if (!bracket_open_) {
      --at_;
      return LexWord();
    }
    if (c == ':') {
      if (colon_seen_) return Fail("unexpected colon ':'");
      colon_seen_ = true;
      return Emit(TokenKind::kColon);
    }
    return LexDurationWord(Mood::kStatement, c);
  }
  return Fail(fmt::format("unexpected character: {}", QuoteRune(c)));
}

// Behind a number between brackets the mood is kStatement again: only the
// first token behind `[` or an operator is read here.
Token Lexer::LexBrackets() {
  const int32_t c = Take();
  switch (c) {
    case kEndOfQuery:
      return Fail("unexpected end of input in duration expression");
    case ']':
      bracket_open_ = false;
      colon_seen_ = false;
      mood_ = Mood::kStatement;
      return Emit(TokenKind::kRightBracket);
    case ':':
      if (!duration_seen_ || colon_seen_) {
        begin_ = at_;
        return Fail(duration_seen_
                        ? "unexpected repeated colon in duration expression"
                        : "unexpected colon before duration in duration "
                          "expression");
      }
      colon_seen_ = true;
      return Emit(TokenKind::kColon);
    case '(':
      ++paren_depth_;
      return Emit(TokenKind::kLeftParen);
    case ')':
      if (--paren_depth_ < 0) {
        begin_ = at_;
        return Fail("unexpected right parenthesis ')'");
      }
      return Emit(TokenKind::kRightParen);
    case '+':
      return Emit(TokenKind::kAdd);
    case '-':
      return Emit(TokenKind::kSub);
    case '*':
      return Emit(TokenKind::kMul);
    case '/':
      return Emit(TokenKind::kDiv);
    case '%':
      return Emit(TokenKind::kMod);
    case '^':
      return Emit(TokenKind::kPow);
    case ',':
      return Emit(TokenKind::kComma);
    default:
      break;
  }
  if (IsDigit(c) || (c == '.' && IsDigit(Peek()))) {
    --at_;
    duration_seen_ = true;
    mood_ = Mood::kStatement;
    return LexNumberOrDuration();
  }
  return LexDurationWord(Mood::kBrackets, c);
}

Token Lexer::LexDurationWord(Mood mood, int32_t first) {
  if (NextIs("abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ") &&
      IsAlpha(first)) {
    while (IsAlpha(Peek())) ++at_;
    const std::string word = Lower(query_.substr(begin_, at_ - begin_));
    for (const TokenKind kind : {TokenKind::kStep, TokenKind::kRange,
                                 TokenKind::kMinOf, TokenKind::kMaxOf}) {
      const auto it = Keywords().find(std::string_view(word));
      if (it == Keywords().end() || it->second != kind) continue;
      duration_seen_ = true;
      return Emit(kind);
    }
  }
  return Fail(
      mood == Mood::kBrackets
          ? fmt::format("unexpected character in duration expression: {}",
                        QuoteRune(first))
          : fmt::format("unexpected character: {}, expected ':'",
                        QuoteRune(first)));
}

Token Lexer::LexBraces() {
  const int32_t c = Take();
  switch (c) {
    case kEndOfQuery:
      return Fail("unexpected end of input inside braces");
    case ',':
      return Emit(TokenKind::kComma);
    case '"':
    case '\'':
      return LexString(static_cast<char>(c));
    case '`':
      return LexRawString();
    case '=':
      return Emit(Accept("~") ? TokenKind::kRegexMatch : TokenKind::kAssign);
    case '!': {
      if (Accept("~")) return Emit(TokenKind::kRegexNoMatch);
      if (Accept("=")) return Emit(TokenKind::kNotEqual);
      return Fail(
          fmt::format("unexpected character after '!' inside braces: {}",
                      QuoteRune(Take())));
    }
    case '{':
      return Fail("unexpected left brace '{'");
    case '}':
      mood_ = Mood::kStatement;
      return Emit(TokenKind::kRightBrace);
    default:
      break;
  }
  if (!IsAlpha(c)) {
    return Fail(
        fmt::format("unexpected character inside braces: {}", QuoteRune(c)));
  }
  while (IsAlphaNumeric(Peek())) ++at_;
  return Emit(TokenKind::kIdentifier);
}

std::string Lexer::ScanEscape(char quote) {
  int32_t c = Take();
  int digits = 0;
  uint32_t base = 16;
  uint32_t max = 0x10FFFF;
  if (c == quote) return "";
  switch (c) {
    case 'a':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
    case 'v':
    case '\\':
      return "";
    case 'x':
      digits = 2;
      max = 255;
      break;
    case 'u':
      digits = 4;
      break;
    case 'U':
      digits = 8;
      break;
    case kEndOfQuery:
      return "escape sequence not terminated";
    default:
      if (c < '0' || c > '7') {
        return fmt::format("unknown escape sequence {}", UnicodeName(c));
      }
      digits = 3;
      base = 8;
      max = 255;
      --at_;
  }
  uint32_t value = 0;
  for (; digits > 0; --digits) {
    c = Take();
    const uint32_t digit = IsDigit(c)             ? c - '0'
                           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                  : 16;
    if (c == kEndOfQuery) return "escape sequence not terminated";
    if (digit >= base) {
      return fmt::format("illegal character {} in escape sequence",
                         UnicodeName(c));
    }
    value = value * base + digit;
  }
  if (value > max || (value >= 0xD800 && value < 0xE000)) {
    return "escape sequence is an invalid Unicode code point";
  }
  return "";
}

Token Lexer::LexString(char quote) {
  for (;;) {
    const int32_t c = Take();
    if (c == quote) return Emit(TokenKind::kString);
    if (c == '\\') {
      if (std::string message = ScanEscape(quote); !message.empty()) {
        return Fail(std::move(message));
      }
    } else if (c == kBadRune) {
      return Fail("invalid UTF-8 rune");
    } else if (c == kEndOfQuery || c == '\n') {
      return Fail("unterminated quoted string");
    }
  }
}

Token Lexer::LexRawString() {
  for (;;) {
    const int32_t c = Take();
    if (c == '`') return Emit(TokenKind::kString);
    if (c == kBadRune) return Fail("invalid UTF-8 rune");
    if (c == kEndOfQuery) return Fail("unterminated raw string");
  }
}

Token Lexer::LexNumberOrDuration() {
  if (ScanNumber()) return Emit(TokenKind::kNumber);
  if (ScanDurationRest()) return Emit(TokenKind::kDuration);
  return Fail(fmt::format("bad number or duration syntax: {}",
                          Quoted(query_.substr(begin_, at_ - begin_))));
}

// Takes what looks like a number; whether it is one the parser finds out. A
// dot, an exponent and an underscore may not be followed by one another.
bool Lexer::ScanNumber() {
  std::string_view digits = "0123456789";
  if (Accept("0") && Accept("xX")) {
    Accept("_");
    digits = "0123456789abcdefABCDEF";
  }
  const bool hexadecimal = digits.size() > 10;
  Accept(".");
  Accept(digits);
  bool dot = false;
  bool exponent = false;
  for (;;) {
    if (Accept(".")) {
      if (dot || Accept("_.") || hexadecimal) return false;
      dot = true;
    } else if (Accept("eE")) {
      if (exponent) return false;
      exponent = true;
      Accept("+-");
      if (Accept("._eE") || Peek() == kEndOfQuery) return false;
    } else if (Accept("_")) {
      if (Accept("._eE") || Peek() == kEndOfQuery) return false;
    } else if (NextIs(digits)) {
      while (Accept(digits)) {
      }
    } else {
      break;
    }
  }
  return !IsAlphaNumeric(Peek());
}

// The rest of a duration behind its first digits. Wrong orders of units are
// found when it is parsed.
bool Lexer::ScanDurationRest() {
  if (!Accept("smhdwy")) return false;
  Accept("s");
  while (Accept("0123456789")) {
    while (Accept("0123456789")) {
    }
    if (!Accept("smhdw")) return false;
    Accept("s");
  }
  if (!IsAlphaNumeric(Peek())) return true;
  ++at_;  // named in the error
  return false;
}

Token Lexer::LexWord() {
  while (IsAlphaNumeric(Peek()) || Peek() == ':') ++at_;
  const std::string_view word = query_.substr(begin_, at_ - begin_);
  if (word.find(':') != std::string_view::npos) {
    return Emit(TokenKind::kMetricIdentifier);
  }
  const auto it = Keywords().find(std::string_view(Lower(word)));
  if (it == Keywords().end()) return Emit(TokenKind::kIdentifier);
  const TokenKind kind = it->second;
  if (kind == TokenKind::kFill || kind == TokenKind::kFillLeft ||
      kind == TokenKind::kFillRight) {
    // They came late: without a parenthesis they stay names of metrics.
    int next = at_;
    while (IsSpace(RuneAt(next).value)) ++next;
    if (RuneAt(next).value != '(') return Emit(TokenKind::kIdentifier);
  }
  return Emit(kind);
}

}  // namespace vigie::query

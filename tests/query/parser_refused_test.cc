// What the parser refuses: place and wording are Prometheus's, as people and
// programs read them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "query/parser/parser.h"
#include "tests/support/status_matchers.h"

namespace vigie::query {
namespace {

using testing::HasCode;
using testing::HasError;
using testing::IsOk;

struct Refused {
  std::string query;
  std::string message;  // without ": parse error: " behind the place
};

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

void ExpectRefused(const std::vector<Refused>& cases) {
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.query);
    const auto expr = ParseExpr(c.query, {.experimental = true});
    EXPECT_THAT(expr, HasCode(absl::StatusCode::kInvalidArgument));
    const size_t place = c.message.find(' ');
    EXPECT_EQ(Message(expr.status()),
              c.message.substr(0, place) +
                  ": parse error:" + c.message.substr(place));
  }
}

TEST(ParserRefusedTest, AnEmptyQueryHasNoPosition) {
  EXPECT_EQ(Message(ParseExpr("", {}).status()),
            "unknown position: parse error: no expression found in input");
  ExpectRefused({{" # c", "1:1 no expression found in input"}});
}

TEST(ParserRefusedTest, CharactersThatBelongNowhere) {
  ExpectRefused({
      {"a.b", "1:2 unexpected character: '.'"},
      {"a $ b", "1:3 unexpected character: '$'"},
      {"a } b", "1:3 unexpected character: '}'"},
      {"a )", "1:4 unexpected right parenthesis ')'"},
      {"(a", "1:3 unclosed left parenthesis"},
      {"a !~ b", "1:3 unexpected character after '!': '~'"},
      {"a =~ b", "1:3 unexpected character after '=': '~'"},
      {"{a!b}", "1:3 unexpected character after '!' inside braces: 'b'"},
      {"{a;b}", "1:3 unexpected character inside braces: ';'"},
      {"{{", "1:2 unexpected left brace '{'"},
      {"{a=\"x\"", "1:7 unexpected end of input inside braces"},
      {"a[5m", "1:5 unclosed left bracket"},
      {"a[", "1:3 unexpected end of input in duration expression"},
      {"a[x]", "1:3 unexpected character in duration expression: 'x'"},
      {"a[5m x]", "1:6 unexpected character: 'x', expected ':'"},
      {"a[:5m]", "1:4 unexpected colon before duration in duration expression"},
      {"a[5m:1m:1s]", "1:8 unexpected colon ':'"},
      {"a]", "1:2 unexpected right bracket ']'"},
      {"a[5m[", "1:5 unexpected left bracket '['"},
      {"é", "1:1 unexpected character: 'é'"},
  });
}

TEST(ParserRefusedTest, StringsAndNumbersThatAreNone) {
  ExpectRefused({
      {"\"abc", "1:1 unterminated quoted string"},
      {"\"a\nb\"", "1:1 unterminated quoted string"},
      {"`abc", "1:1 unterminated raw string"},
      {R"("\d")", "1:1 unknown escape sequence U+0064 'd'"},
      {R"("\'")", "1:1 unknown escape sequence U+0027 '''"},
      {R"("\xg")", "1:1 illegal character U+0067 'g' in escape sequence"},
      {R"("\400")", "1:1 escape sequence is an invalid Unicode code point"},
      {R"("\uD800")", "1:1 escape sequence is an invalid Unicode code point"},
      {R"("\u12)", "1:1 escape sequence not terminated"},
      {"\"\xff\"", "1:1 invalid UTF-8 rune"},
      {"1e999",
       "1:1 error parsing number: strconv.ParseFloat: parsing \"1e999\": "
       "value out of range"},
      {"0x",
       "1:1 error parsing number: strconv.ParseFloat: parsing \"0x\": "
       "invalid syntax"},
      {"1..2", "1:1 bad number or duration syntax: \"1..\""},
      {"1x", "1:1 bad number or duration syntax: \"1\""},
      {"5mx", "1:1 bad number or duration syntax: \"5mx\""},
      {"5m1h", "1:1 not a valid duration string: \"5m1h\""},
      {"1_", "1:1 bad number or duration syntax: \"1_\""},
  });
}

TEST(ParserRefusedTest, WordsInTheWrongPlace) {
  ExpectRefused({
      {"a b", "1:3 unexpected identifier \"b\""},
      {"a \"abcdefghijkl\"", "1:3 unexpected string \"\\\"abcdefghi\"..."},
      {"a 5", "1:3 unexpected number \"5\""},
      {"a 5m", "1:3 unexpected duration \"5m\""},
      {"a:b()", "1:4 unexpected \"(\""},
      {"1 +", "1:4 unexpected end of input"},
      {"* 1", "1:1 unexpected <op:*>"},
      {"1 = 2", "1:3 unexpected \"=\""},
      {"a + bool", "1:9 unexpected end of input"},
      {"bool", "1:1 unexpected <bool>"},
      {"a == on(x) bool b", "1:12 unexpected <bool>"},
      {"a + group_left b", "1:5 unexpected <group_left>"},
      {"()", "1:2 unexpected \")\""},
      {"(a b)", "1:4 unexpected identifier \"b\""},
      {"a\n+\n  * b", "3:3 unexpected <op:*>"},
  });
}

TEST(ParserRefusedTest, ErrorsNameWhatTheyAreIn) {
  ExpectRefused({
      {"sum(,)", "1:5 unexpected \",\" in aggregation"},
      {"sum(a b)", "1:7 unexpected identifier \"b\" in aggregation"},
      {"sum by (x) a", "1:12 unexpected identifier \"a\" in aggregation"},
      {"sum by x (a)",
       "1:8 unexpected identifier \"x\" in grouping opts, expected \"(\""},
      {"sum without(==)(x)",
       "1:13 unexpected <op:==> in grouping opts, expected label"},
      {"sum by (a b) (x)",
       "1:11 unexpected identifier \"b\" in grouping opts, expected \",\" or "
       "\")\""},
      {"a + on b",
       "1:8 unexpected identifier \"b\" in grouping opts, "
       "expected \"(\""},
      {"sum by (\"\") (a)", "1:9 invalid label name for grouping: \"\""},
      {"sum a by (b)", "1:5 unexpected identifier \"a\""},
      {"sum(a) without (b) by (c)", "1:20 unexpected <by>"},
      {"a offset b",
       "1:10 unexpected identifier \"b\" in offset, expected number, "
       "duration, step(), or range()"},
      {"a @ b", "1:5 unexpected identifier \"b\" in @, expected timestamp"},
      {"a @ start", "1:10 unexpected end of input in @, expected timestamp"},
      {"a[5m)", "1:6 unexpected right parenthesis ')'"},
      {"(a[5m))",
       "1:6 unexpected \")\" in subquery or range, expected \":\" "
       "or \"]\""},
      {"a[]",
       "1:3 unexpected \"]\" in subquery or range selector, expected "
       "number, duration, step(), or range()"},
      {"a[5m:+]",
       "1:7 unexpected \"]\" in subquery selector, expected number, duration, "
       "step(), range(), or \"]\""},
      {"a[5m:1m,]",
       "1:8 unexpected \",\" in subquery selector, expected "
       "\"]\""},
      {"{=\"a\"}",
       "1:2 unexpected \"=\" in label matching, expected identifier or \"}\""},
      {"{a}",
       "1:3 unexpected \"}\" in label matching, expected label matching "
       "operator"},
      {"{a=b}",
       "1:4 unexpected identifier \"b\" in label matching, expected string"},
      {"{a=\"b\" c=\"d\"}",
       "1:8 unexpected identifier \"c\" in label matching, expected \",\" or "
       "\"}\""},
      {"{a=\"b\",,}",
       "1:8 unexpected \",\" in label matching, expected identifier or "
       "\"}\""},
  });
}

TEST(ParserRefusedTest, CallsAndAggregationsOfTheWrongForm) {
  ExpectRefused({
      {"nope(1)", "1:1 unknown function with name \"nope\""},
      {"Rate(a[5m])", "1:1 unknown function with name \"Rate\""},
      {"abs(a,)", "1:6 trailing commas not allowed in function call args"},
      {"abs(,)", "1:5 unexpected \",\""},
      {"rate(a[5m], 1)",
       "1:1 expected 1 argument(s) in call to \"rate\", got 2"},
      {"round()",
       "1:1 expected at least 1 argument(s) in call to \"round\", "
       "got 0"},
      {"round(a, 1, 2)",
       "1:1 expected at most 2 argument(s) in call to \"round\", got 3"},
      {"label_join(a, \"b\")",
       "1:1 expected at least 3 argument(s) in call to \"label_join\", got 2"},
      {"sum()", "1:1 no arguments for aggregate expression provided"},
      {"topk(a)",
       "1:1 wrong number of arguments for aggregate expression provided, "
       "expected 2, got 1"},
      {"sum(a, b)",
       "1:1 wrong number of arguments for aggregate expression provided, "
       "expected 1, got 2"},
  });
}

TEST(ParserRefusedTest, TypesThatDoNotFit) {
  ExpectRefused({
      {"rate(a)",
       "1:6 expected type range vector in call to function \"rate\", got "
       "instant vector"},
      {"abs(1)",
       "1:5 expected type instant vector in call to function "
       "\"abs\", got scalar"},
      {"label_join(a, \"b\", \",\", 1)",
       "1:25 expected type string in call to function \"label_join\", got "
       "scalar"},
      {"sum(a[5m])",
       "1:5 expected type instant vector in aggregation "
       "expression, got range vector"},
      {"topk(a, b)",
       "1:6 expected type scalar in aggregation parameter, got "
       "instant vector"},
      {"count_values(1, a)",
       "1:14 expected type string in aggregation parameter, got scalar"},
      {"-a[5m]",
       "1:1 unary expression only allowed on expressions of type scalar or "
       "instant vector, got \"range vector\""},
      {"a[5m] + 1",
       "1:1 binary expression must contain only scalar and "
       "instant vector types"},
      {"1 + 'x'",
       "1:5 binary expression must contain only scalar and instant "
       "vector types"},
      {"1[5m:]",
       "1:1 subquery is only allowed on instant vector, got scalar instead"},
      {"a[5m][1h:]",
       "1:1 subquery is only allowed on instant vector, got matrix instead"},
      {"info(a, b)",
       "1:9 expected label selectors only, got vector selector "
       "instead"},
      {"info(a, abs({b=\"c\"}))", "1:9 expected label selectors only"},
      {"info(a, 1)",
       "1:1 expected type instant vector in call to function "
       "\"info\", got scalar"},
  });
}

TEST(ParserRefusedTest, OperatorsThatDoNotFit) {
  ExpectRefused({
      {"1 == 2", "1:3 comparisons between scalars must use BOOL modifier"},
      {"a  +  bool b",
       "1:4 bool modifier can only be used on comparison operators"},
      {"a and 1",
       "1:1 set operator \"and\" not allowed in binary scalar expression"},
      {"1 + on(x) a",
       "1:1 vector matching only allowed between instant vectors"},
      {"1 + fill(1) a",
       "1:1 filling in missing series only allowed between "
       "instant vectors"},
      {"a or fill(1) b",
       "1:1 filling in missing series not allowed for set operators"},
      {"a and on(x) group_left b",
       "1:1 no grouping allowed for \"and\" operation"},
      {"a + on(x) group_left(x) b",
       "1:3 label \"x\" must not occur in ON and GROUP clause at once"},
  });
}

TEST(ParserRefusedTest, SelectorsThatSelectEverythingOrTwice) {
  ExpectRefused({
      {"{}", "1:1 vector selector must contain at least one non-empty matcher"},
      {"1 + {a=\"\",b=~\".*\",c!=\"d\"}",
       "1:5 vector selector must contain at least one non-empty matcher"},
      {"a{__name__=\"b\"}",
       "1:1 metric name must not be set twice: \"a\" or \"b\""},
      {"a{\"b\"}", "1:1 metric name must not be set twice: \"a\" or \"b\""},
      {R"({a="\xff"})", "1:2 invalid label value \"\\xff\""},
      {R"({"\xff"="a"})", "1:2 invalid label name \"\\xff\""},
  });
  EXPECT_THAT(ParseExpr("{a=~\"(\"}", {}),
              HasCode(absl::StatusCode::kInvalidArgument));
}

TEST(ParserRefusedTest, ModifiersThatDoNotFit) {
  ExpectRefused({
      {"1 offset 5m",
       "1:1 offset modifier must be preceded by an instant vector selector or "
       "range vector selector or a subquery"},
      {"sum(a) @ 1",
       "1:1 @ modifier must be preceded by an instant vector selector or range "
       "vector selector or a subquery"},
      {"a offset 1m offset 2m", "1:1 offset may not be set multiple times"},
      {"a @ 1 @ 2", "1:1 @ <timestamp> may not be set multiple times"},
      {"a @ Inf", "1:1 timestamp out of bounds for @ modifier: +Inf"},
      {"(a)[5m]", "1:4 ranges only allowed for vector selectors"},
      {"a offset 1m[5m]", "1:12 no offset modifiers allowed before range"},
      {"a @ 1[5m]", "1:6 no @ modifiers allowed before range"},
      {"a[0]", "1:3 duration must be greater than 0"},
      {"a[-5m]", "1:3 duration must be greater than 0"},
      {"a[5m:0s]", "1:6 duration must be greater than 0"},
      {"a[0.0001]", "1:3 duration must be at least 1ms"},
      {"a[5m/0]", "1:5 division by zero"},
      {"a[5m%0]", "1:5 modulo by zero"},
      {"a[1e10]", "1:3 duration out of range"},
      {"a offset Inf", "1:10 duration out of range"},
      {"a anchored smoothed",
       "1:1 anchored and smoothed modifiers cannot be used together"},
      {"a[5m:] anchored",
       "1:1 anchored modifier is not supported for subqueries"},
      {"1 smoothed", "1:1 smoothed modifier not implemented"},
  });
}

TEST(ParserRefusedTest, ExperimentalPartsNameTheirSetting) {
  const std::vector<std::string> queries = {"info(a)", "limitk(1, a)",
                                            "a anchored", "a + fill(0) b",
                                            "mad_over_time(a[5m])"};
  for (const std::string& query : queries) {
    SCOPED_TRACE(query);
    EXPECT_THAT(ParseExpr(query, {.experimental = true}), IsOk());
    const auto refused = ParseExpr(query, {});
    EXPECT_THAT(refused, HasCode(absl::StatusCode::kInvalidArgument));
    EXPECT_NE(Message(refused.status()).find("query.experimental"),
              std::string::npos);
  }
}

TEST(ParserRefusedTest, MatchersTakeASelectorAlone) {
  const auto message = [](std::string_view selector) {
    return Message(ParseMatchers(selector).status());
  };
  EXPECT_EQ(message("a[5m]"), "1:2: parse error: unexpected \"[\"");
  EXPECT_EQ(message("a offset 5m"), "1:3: parse error: unexpected <offset>");
  EXPECT_EQ(message("1"), "1:1: parse error: unexpected number \"1\"");
  EXPECT_EQ(message("sum(a)"), "1:4: parse error: unexpected \"(\"");
  EXPECT_EQ(message(""),
            "unknown position: parse error: unexpected end of "
            "input");
}

// A hundred thousand of each would overflow the stack if they were followed.
TEST(ParserRefusedTest, DepthIsBounded) {
  constexpr int kMany = 100'000;
  const auto repeated = [](std::string_view text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  const std::vector<std::string> queries = {
      repeated("(", kMany) + "1" + repeated(")", kMany),
      repeated("-", kMany) + "a",
      "1" + repeated("+1", kMany),
      "1" + repeated("^1", kMany),
      repeated("abs(", kMany) + "a" + repeated(")", kMany),
      repeated("sum by (x) (", kMany),
      "a" + repeated("[5m:]", kMany),
      "a[" + repeated("(", kMany) + "5m" + repeated(")", kMany) + "]",
      "a[1" + repeated("+1", kMany) + "]",
      "a[" + repeated("-", kMany) + "step()]",
      "a offset " + repeated("min_of(1,", kMany),
  };
  for (const std::string& query : queries) {
    SCOPED_TRACE(query.substr(0, 20));
    const auto expr =
        ParseExpr(query, {.experimental = true, .text_bytes_max = 2 << 20});
    EXPECT_THAT(expr, HasCode(absl::StatusCode::kInvalidArgument));
    EXPECT_NE(Message(expr.status()).find("nested more than"),
              std::string::npos)
        << expr.status();
  }
  EXPECT_THAT(ParseExpr("1" + repeated("+1", kNestingMax - 1), {}), IsOk());
  EXPECT_THAT(ParseExpr(repeated("(", 300) + "1" + repeated(")", 300), {}),
              IsOk());
}

TEST(ParserRefusedTest, IsAskedBeforeEachRegularExpression) {
  int left = 2;
  const ParserOptions options = {.check = [&]() -> absl::Status {
    if (left-- > 0) return absl::OkStatus();
    return absl::DeadlineExceededError("late");
  }};
  EXPECT_THAT(ParseExpr("x{a=~\"1\",b!~\"2\",c=\"3\",d!=\"4\"}", options),
              IsOk());
  EXPECT_EQ(left, 0);
  EXPECT_THAT(ParseExpr("x{a=\"1\"} + y{b=~\"2\"} +", options),
              HasError(absl::StatusCode::kDeadlineExceeded, "late"));
}

}  // namespace
}  // namespace vigie::query

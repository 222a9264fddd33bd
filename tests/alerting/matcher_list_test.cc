#include "alerting/matcher_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::HasSubstr;
using vigie::testing::HasError;

// The matchers of `text`, sorted and printed, or the error.
std::string Printed(std::string_view text) {
  absl::StatusOr<std::vector<Matcher>> matchers = ParseMatchers(text);
  if (!matchers.ok()) return std::string(matchers.status().message());
  SortMatchers(*matchers);
  return MatchersText(*matchers);
}

TEST(MatcherListTest, ReadsEachOperator) {
  EXPECT_EQ(Printed(R"(a="1")"), R"({a="1"})");
  EXPECT_EQ(Printed(R"(a!="1")"), R"({a!="1"})");
  EXPECT_EQ(Printed(R"(a=~"1|2")"), R"({a=~"1|2"})");
  EXPECT_EQ(Printed(R"(a!~"1|2")"), R"({a!~"1|2"})");
}

TEST(MatcherListTest, NeedsNeitherQuotesNorBracesNorTidySpaces) {
  EXPECT_EQ(Printed("severity=critical"), R"({severity="critical"})");
  EXPECT_EQ(Printed("{a=b,c=d}"), R"({a="b",c="d"})");
  EXPECT_EQ(Printed("  a = \"b\" ,  c =~ d.* "), R"({a="b",c=~"d.*"})");
  EXPECT_EQ(Printed("{a=\"b\",}"), R"({a="b"})");
  EXPECT_EQ(Printed("{}"), "{}");
  EXPECT_EQ(Printed(""), "{}");
}

TEST(MatcherListTest, TakesAnEmptyValueAndOneThatHoldsAComma) {
  EXPECT_EQ(Printed("a="), R"({a=""})");
  EXPECT_EQ(Printed(R"(a="b,c",d=~"e{1,2}")"), R"({a="b,c",d=~"e{1,2}"})");
}

TEST(MatcherListTest, UnescapesAsTheClassicSyntaxDoes) {
  EXPECT_EQ((*ParseMatchers(R"(a="x\"y\\z\nw\d")"))[0].value(),
            "x\"y\\z\nw\\d");
  EXPECT_EQ(Printed(R"(a="x\"y\\z\nw\d")"), R"({a="x\"y\\z\nw\\d"})");
}

TEST(MatcherListTest, TakesQuotedAndForeignNames) {
  EXPECT_EQ(Printed(R"({"my label"="x"})"), R"({"my label"="x"})");
  EXPECT_EQ(Printed(R"(Straße="x")"), R"({Straße="x"})");
  EXPECT_EQ((*ParseMatchers(R"("a.b"="\u00e9\x21\101")"))[0].value(), "é!A");
}

TEST(MatcherListTest, OrdersByNameThenValueThenKind) {
  EXPECT_EQ(Printed(R"(b="1",a="2",a="1",a!="1")"),
            R"({a="1",a!="1",a="2",b="1"})");
}

TEST(MatcherListTest, RefusesWhatIsNoMatcherNamingIt) {
  EXPECT_THAT(Printed("severity"), HasSubstr("bad matcher format: severity"));
  EXPECT_THAT(Printed("=x"), HasSubstr("bad matcher format"));
  EXPECT_THAT(Printed("a=\"b"), HasSubstr("unescaped double quote"));
  EXPECT_THAT(Printed("a=b\"c"), HasSubstr("unescaped double quote"));
  EXPECT_THAT(Printed("a=b,,c=d"), HasSubstr("bad matcher format"));
  EXPECT_THAT(Printed("{\"a b=x}"), HasSubstr("bad matcher format"));
  EXPECT_THAT(Printed("a=~\"(\""), HasSubstr("("));
  EXPECT_THAT(ParseMatchers("a=\"\xff\""),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("not valid UTF-8")));
}

}  // namespace
}  // namespace vigie::alerting

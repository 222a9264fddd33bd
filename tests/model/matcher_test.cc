#include "model/matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace vigie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using Type = Matcher::Type;

bool Matches(Type type, std::string_view pattern, std::string_view value) {
  const auto matcher = Matcher::Create(type, "l", pattern);
  EXPECT_THAT(matcher, IsOk()) << pattern;
  return matcher.ok() && matcher->Matches(value);
}

TEST(MatcherTest, ComparesText) {
  EXPECT_TRUE(Matches(Type::kEqual, "a", "a"));
  EXPECT_FALSE(Matches(Type::kEqual, "a.", "ab"));
  EXPECT_TRUE(Matches(Type::kNotEqual, "a", "b"));
  EXPECT_FALSE(Matches(Type::kNotEqual, "a", "a"));
  EXPECT_EQ(Matcher::Equal("l", "a"), *Matcher::Create(Type::kEqual, "l", "a"));
}

TEST(MatcherTest, AnchorsRegularExpressionsAtBothEnds) {
  EXPECT_TRUE(Matches(Type::kRegex, "a.c", "abc"));
  EXPECT_FALSE(Matches(Type::kRegex, "b", "abc"));
  EXPECT_FALSE(Matches(Type::kRegex, "a.", "abc"));
  EXPECT_FALSE(Matches(Type::kRegex, ".c", "abc"));
  EXPECT_TRUE(Matches(Type::kRegex, "a.|.c", "ab"));
  EXPECT_FALSE(Matches(Type::kRegex, "a.|.c", "abc"));
  EXPECT_TRUE(Matches(Type::kRegex, "^abc$", "abc"));
  EXPECT_FALSE(Matches(Type::kNotRegex, "a.c", "abc"));
  EXPECT_TRUE(Matches(Type::kNotRegex, "a.c", "abcd"));
}

TEST(MatcherTest, LetsTheDotMatchANewline) {
  EXPECT_TRUE(Matches(Type::kRegex, "a.b", "a\nb"));
  EXPECT_TRUE(Matches(Type::kRegex, ".*", "a\nb\n"));
  EXPECT_FALSE(Matches(Type::kRegex, "a", "a\n"));
}

TEST(MatcherTest, MatchesUnicodeByCharacterAndFoldsCaseOnRequest) {
  EXPECT_TRUE(Matches(Type::kRegex, "é.", "éà"));
  EXPECT_TRUE(Matches(Type::kRegex, "(?i)ABC", "abc"));
  EXPECT_FALSE(Matches(Type::kRegex, "ABC", "abc"));
}

TEST(MatcherTest, TakesAnAbsentLabelAsEmpty) {
  const Labels labels{{"a", "1"}};
  EXPECT_TRUE(Matcher::Equal("b", "").Matches(labels));
  EXPECT_TRUE(Matcher::Create(Type::kNotEqual, "b", "x")->Matches(labels));
  EXPECT_TRUE(Matcher::Create(Type::kRegex, "b", "")->MatchesEmpty());
  EXPECT_TRUE(Matcher::Create(Type::kRegex, "b", "x|")->MatchesEmpty());
  EXPECT_TRUE(Matcher::Create(Type::kRegex, "b", ".*")->MatchesEmpty());
  EXPECT_FALSE(Matcher::Create(Type::kRegex, "b", ".+")->MatchesEmpty());
  EXPECT_FALSE(Matcher::Create(Type::kNotRegex, "b", "|x")->MatchesEmpty());
}

TEST(MatcherTest, FindsLiteralsInAnAlternation) {
  const auto literals = [](std::string_view pattern) {
    return Matcher::Create(Type::kRegex, "l", pattern)->literals();
  };
  EXPECT_THAT(literals("b|a|c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(literals("a"), ElementsAre("a"));
  EXPECT_THAT(literals("a|"), ElementsAre("", "a"));
  EXPECT_THAT(literals("a|b.*"), IsEmpty());
  EXPECT_THAT(literals("(a|b)"), IsEmpty());
  EXPECT_THAT(literals("a\\.b"), IsEmpty());
  for (const char* value : {"a", "b", "", "c", "a|b"}) {
    // The same answers as the expression itself gives.
    EXPECT_EQ(Matches(Type::kRegex, "a|b|", value),
              Matches(Type::kRegex, "(?:a|b|)", value))
        << value;
  }
}

TEST(MatcherTest, RefusesWhatDoesNotCompileNamingIt) {
  for (const char* pattern :
       {"(", "a)", "a)|(b", "[", "*", "a**", "\\", "(?<x)", "\\8", "a{2,1}",
        "(?=a)", "\\Qa", "a{1001}", "\xFF"}) {
    EXPECT_THAT(Matcher::Create(Type::kRegex, "l", pattern),
                HasError(absl::StatusCode::kInvalidArgument,
                         ::testing::AllOf(HasSubstr("error parsing regexp"),
                                          HasSubstr(pattern))))
        << pattern;
  }
  EXPECT_THAT(
      Matcher::Create(Type::kRegex, "l", std::string(kRegexBytesMax + 1, 'a')),
      HasError(absl::StatusCode::kInvalidArgument, HasSubstr("at most")));
}

TEST(MatcherTest, IsWrittenAsInPromql) {
  EXPECT_EQ(Matcher::Equal("job", "a\"b").ToString(), "job=\"a\\\"b\"");
  EXPECT_EQ(Matcher::Create(Type::kNotEqual, "a.b", "x")->ToString(),
            "\"a.b\"!=\"x\"");
  EXPECT_EQ(Matcher::Create(Type::kRegex, "a", "x|y")->ToString(),
            "a=~\"x|y\"");
  EXPECT_EQ(Matcher::Create(Type::kNotRegex, "a", "x")->ToString(), "a!~\"x\"");
}

TEST(MatcherTest, MustAllMatch) {
  const Labels labels{{"a", "1"}, {"b", "2"}};
  EXPECT_TRUE(MatchesAll({}, labels));
  EXPECT_TRUE(
      MatchesAll({Matcher::Equal("a", "1"), Matcher::Equal("b", "2")}, labels));
  EXPECT_FALSE(
      MatchesAll({Matcher::Equal("a", "1"), Matcher::Equal("b", "3")}, labels));
}

}  // namespace
}  // namespace vigie

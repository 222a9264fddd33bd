#include "base/yaml/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/status_matchers.h"

namespace vigie::yaml {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::vigie::testing::HasCode;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Node> Parse(std::string_view text) {
  return Node::Parse(text, "f.yml");
}
// The value of key `a` in the map `text`.
Node ValueOfA(std::string_view text) {
  return *Parse(text)->AsMap()->Find("a");
}

TEST(YamlTest, KnowsThePlaceOfEveryNode) {
  auto map = *Parse("a: 1\nb:\n  - x\n  - c: 2\n")->AsMap();

  EXPECT_EQ(map.Find("a")->place(), "f.yml:1:4");
  const auto list = *map.Find("b")->AsSequence();
  EXPECT_EQ(list[0].place(), "f.yml:3:5");
  auto inner = *list[1].AsMap();
  EXPECT_EQ(inner.Find("c")->place(), "f.yml:4:8");
  EXPECT_EQ(list[1].file_name(), "f.yml");
  EXPECT_THAT(list[0].Error("is wrong"),
              HasError(kInvalid, "f.yml:3:5: is wrong"));
}

TEST(YamlTest, RefusesMalformedTextWithItsPlace) {
  for (const char* text :
       {"a: [1", "a: 'x", "a: b: c", "\ta: 1", "a: *nobody", "- a\nb: 1",
        "a: {b: 1}}", "a: \"\\q\"", "? [a]\n: 1", "? {a: b}\n: 1"}) {
    EXPECT_THAT(Parse(text), HasError(kInvalid, StartsWith("f.yml:"))) << text;
  }
}

TEST(YamlTest, RefusesDuplicateKeysNamingBothPlaces) {
  EXPECT_THAT(
      Parse("a: 1\nb:\n  c: 1\n  c: 2\n"),
      HasError(kInvalid, "f.yml:4:3: key \"c\" is already set in line 3"));
}

TEST(YamlTest, RefusesASecondDocument) {
  EXPECT_THAT(Parse("a: 1\n---\nb: 2\n"),
              HasError(kInvalid,
                       "f.yml:2:1: more than one YAML document in "
                       "the file"));
  EXPECT_THAT(Parse("a: 1\n---\n"), IsOk());
}

// yaml-cpp's LoadAll takes memory without end on these.
TEST(YamlTest, EndsOnTextsThatTheParserDoesNotConsume) {
  for (const char* text :
       {",a: {b: 15s}\nc:\n- d: [{e: [\"h:2\"]}]\n  f_[\"h:2]\n  g: [{h: i}]",
        ",", "]", "- a\n, b"}) {
    EXPECT_THAT(Parse(text), HasCode(kInvalid)) << text;
  }
}

TEST(YamlTest, TakesAnEmptyTextAsNull) {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "~"}) {
    const auto node = Parse(text);
    ASSERT_THAT(node, IsOk()) << text;
    EXPECT_TRUE(node->is_null());
    EXPECT_THAT(*node->AsSequence(), IsEmpty());
    EXPECT_THAT(node->AsMap()->Finish(), IsOk());
  }
}

TEST(YamlTest, BoundsAliasesThatMultiply) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += (j > 0 ? ", " : "") + before;
    text += "]\n";
  }

  EXPECT_THAT(Parse(text), HasError(kInvalid, HasSubstr("more than 200000")));
}

TEST(YamlTest, BoundsNesting) {
  const auto nested = [](int depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };

  EXPECT_THAT(Parse(nested(100)), IsOk());
  EXPECT_THAT(Parse(nested(102)), HasError(kInvalid, HasSubstr("nested")));
  EXPECT_THAT(Parse(nested(100'000)), HasCode(kInvalid));
  EXPECT_THAT(Parse("a: &a [*a]"), HasCode(kInvalid));
}

TEST(YamlTest, ReadsAliasesAndMergeKeys) {
  auto map = *Parse(
                  "base: &base {x: 1, y: 2}\n"
                  "other: &other {y: 9, z: 3}\n"
                  "a: {<<: *base, y: 7}\n"
                  "b: {<<: [*base, *other]}\n"
                  "c: *base\n")
                  ->AsMap();
  const auto value = [&](const char* key, const char* inner) {
    return *map.Find(key)->AsMap()->Find(inner)->AsInt();
  };

  EXPECT_EQ(value("a", "x"), 1);
  EXPECT_EQ(value("a", "y"), 7);
  EXPECT_EQ(value("b", "y"), 2);
  EXPECT_EQ(value("b", "z"), 3);
  EXPECT_EQ(value("c", "y"), 2);
  EXPECT_THAT(Parse("a: {<<: 1}"),
              HasError(kInvalid, HasSubstr("only maps can be merged")));
  EXPECT_THAT(Parse("a: {<<: [1]}"),
              HasError(kInvalid, HasSubstr("only maps can be merged")));
}

TEST(YamlTest, ReadsScalars) {
  EXPECT_EQ(*ValueOfA("a: text").AsString(), "text");
  EXPECT_EQ(*ValueOfA("a: 12").AsString(), "12");
  EXPECT_EQ(*ValueOfA("a: ''").AsString(), "");
  EXPECT_EQ(*ValueOfA("a: -12").AsInt(), -12);
  EXPECT_EQ(*ValueOfA("a: 1.5e3").AsDouble(), 1500);
  EXPECT_EQ(*ValueOfA("a: 1h30m").AsDurationMs(), 5'400'000);
  EXPECT_EQ(*ValueOfA("a: 5").AsBytes(), 5);
  EXPECT_EQ(*ValueOfA("a: 5B").AsBytes(), 5);
  EXPECT_EQ(*ValueOfA("a: 2KB").AsBytes(), 2048);
  EXPECT_EQ(*ValueOfA("a: 2MiB").AsBytes(), 2 << 20);
  EXPECT_EQ(*ValueOfA("a: 7EB").AsBytes(), int64_t{7} << 60);
  EXPECT_THAT(*ValueOfA("a: [x, 1]").AsStrings(), ElementsAre("x", "1"));
}

TEST(YamlTest, ReadsTheBooleansOfYaml11) {
  for (const char* yes : {"true", "True", "TRUE", "yes", "Yes", "on", "y"}) {
    EXPECT_TRUE(*ValueOfA(std::string("a: ") + yes).AsBool()) << yes;
  }
  for (const char* no : {"false", "FALSE", "no", "No", "off", "OFF", "n"}) {
    EXPECT_FALSE(*ValueOfA(std::string("a: ") + no).AsBool()) << no;
  }
  for (const char* other : {"tRUE", "1", "'true'", "\"yes\"", "[]", "maybe"}) {
    EXPECT_THAT(ValueOfA(std::string("a: ") + other).AsBool(),
                HasError(kInvalid, HasSubstr("must be true or false")))
        << other;
  }
}

TEST(YamlTest, RefusesValuesOfAnotherTypeWithTheirPlace) {
  EXPECT_THAT(ValueOfA("a: []").AsString(),
              HasError(kInvalid, "f.yml:1:4: must be a string"));
  EXPECT_THAT(ValueOfA("a: x").AsSequence(),
              HasError(kInvalid, "f.yml:1:4: must be a list"));
  EXPECT_THAT(ValueOfA("a: []").AsMap(),
              HasError(kInvalid, "f.yml:1:4: must be a map"));
  EXPECT_THAT(ValueOfA("a: [[]]").AsStrings(),
              HasError(kInvalid, "f.yml:1:5: must be a string"));
  for (const char* text :
       {"a: 1.5", "a: x", "a: '1'", "a: ", "a: 1s", "a: 9223372036854775808"}) {
    EXPECT_THAT(ValueOfA(text).AsInt(),
                HasError(kInvalid, HasSubstr("must be a whole number")))
        << text;
  }
  EXPECT_THAT(ValueOfA("a: '1'").AsDouble(), HasCode(kInvalid));
  EXPECT_THAT(ValueOfA("a: 1x").AsDurationMs(),
              HasError(kInvalid, HasSubstr("not a valid duration")));
  for (const char* text : {"a: 1Q", "a: KB", "a: 1.5MB", "a: -1", "a: 8EB",
                           "a: 1MX", "a: []", "a: 1K"}) {
    EXPECT_THAT(ValueOfA(text).AsBytes(),
                HasError(kInvalid, HasSubstr("must be a size in bytes")))
        << text;
  }
}

TEST(MapReaderTest, ReadsKnownKeysAndNamesTheOthers) {
  auto map = *Parse("n: 3\ns: x\nd: 10s\nextra: 1\n")->AsMap();
  int64_t n = 0, d = 0, absent = 42;
  std::string s;

  EXPECT_THAT(map.Read("n", &n), IsOk());
  EXPECT_THAT(map.Read("s", &s), IsOk());
  EXPECT_THAT(map.ReadDurationMs("d", &d), IsOk());
  EXPECT_THAT(map.Read("absent", &absent), IsOk());
  EXPECT_EQ(n, 3);
  EXPECT_EQ(s, "x");
  EXPECT_EQ(d, 10'000);
  EXPECT_EQ(absent, 42);
  EXPECT_THAT(map.Finish(),
              HasError(kInvalid, "f.yml:4:1: unknown key \"extra\""));
  EXPECT_THAT(map.Require("absent"),
              HasError(kInvalid, HasSubstr("key \"absent\" is missing")));
  EXPECT_THAT(map.Read("s", &n), HasCode(kInvalid));
  EXPECT_EQ(n, 3);
}

TEST(MapReaderTest, ListsUnsupportedKeysThatAskForSomething) {
  auto map = *Parse("a: 1\nb: []\nc: {}\nd:\ne: false\n")->AsMap();
  std::vector<std::string> unsupported;

  map.MarkUnsupported({"a", "b", "c", "d", "e", "f"}, &unsupported);

  EXPECT_THAT(unsupported,
              ElementsAre("f.yml:1:1: key \"a\": not supported yet",
                          "f.yml:5:1: key \"e\": not supported yet"));
  EXPECT_THAT(map.Finish(), IsOk());
}

TEST(MapReaderTest, GivesEntriesInTheOrderOfTheFile) {
  auto map = *Parse("z: 1\na: 2\n")->AsMap();
  std::vector<std::string> keys;
  for (const auto& [key, value] : map.Entries()) keys.push_back(key);

  EXPECT_THAT(keys, ElementsAre("z", "a"));
  EXPECT_THAT(map.Finish(), IsOk());
}

TEST(YamlFileTest, NamesTheFileThatCannotBeRead) {
  EXPECT_THAT(
      Node::LoadFile("/nonexistent/x.yml"),
      HasError(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/x.yml")));
  EXPECT_FALSE(Node::LoadFile(::testing::TempDir()).ok());

  const std::string pipe = ::testing::TempDir() + "/yaml_test.fifo";
  std::filesystem::remove(pipe);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(Node::LoadFile(pipe),
              HasError(kInvalid, HasSubstr("is not a regular file")));

  const std::string path = ::testing::TempDir() + "/yaml_test.yml";
  std::ofstream(path) << "a: [";
  EXPECT_THAT(Node::LoadFile(path), HasError(kInvalid, StartsWith(path + ":")));
}

}  // namespace
}  // namespace vigie::yaml

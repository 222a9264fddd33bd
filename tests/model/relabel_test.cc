#include "model/relabel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vigie {
namespace {

using ::testing::HasSubstr;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;
using Action = RelabelOptions::Action;

// Nullopt if the rules drop the labels.
std::optional<Labels> Apply(const Labels& labels,
                            const std::vector<RelabelOptions>& options) {
  std::vector<Relabel> rules;
  for (const RelabelOptions& one : options) {
    auto rule = Relabel::Create(one);
    EXPECT_THAT(rule, IsOk());
    if (rule.ok()) rules.push_back(*std::move(rule));
  }
  LabelsBuilder builder(labels);
  if (!ApplyAll(rules, &builder)) return std::nullopt;
  return builder.Build();
}

const Labels kLabels{{"a", "foo"}, {"b", "bar"}, {"c", "baz"}};

TEST(RelabelTest, ReplacesWithGroups) {
  EXPECT_EQ(
      Apply(kLabels, {{.source_labels = {"a"},
                       .target_label = "d",
                       .regex = "f(.*)",
                       .replacement = "ch${1}-ch${1}"}}),
      (Labels{{"a", "foo"}, {"b", "bar"}, {"c", "baz"}, {"d", "choo-choo"}}));
  EXPECT_EQ(Apply(kLabels, {{.source_labels = {"a", "b"},
                             .target_label = "a",
                             .regex = "(?P<x>.+);(.+)",
                             .replacement = "$2$$$x$9$"}})
                ->Get("a"),
            "bar$foo$");
}

TEST(RelabelTest, LeavesTheLabelsIfTheExpressionDoesNotMatch) {
  EXPECT_EQ(Apply(kLabels, {{.source_labels = {"a"},
                             .target_label = "b",
                             .regex = "o+",
                             .replacement = "x"}}),
            kLabels);
}

TEST(RelabelTest, RemovesALabelByAnEmptyReplacement) {
  EXPECT_EQ(Apply(kLabels, {{.target_label = "a", .replacement = ""}}),
            (Labels{{"b", "bar"}, {"c", "baz"}}));
  EXPECT_EQ(
      Apply(kLabels, {{.source_labels = {"absent"}, .target_label = "a"}}),
      (Labels{{"b", "bar"}, {"c", "baz"}}));
}

TEST(RelabelTest, TakesTheTargetFromGroupsToo) {
  EXPECT_EQ(Apply(Labels{{"a", "x-y"}}, {{.source_labels = {"a"},
                                          .target_label = "${1}",
                                          .regex = "(.+)-(.+)",
                                          .replacement = "$2"}}),
            (Labels{{"a", "x-y"}, {"x", "y"}}));
  EXPECT_EQ(Apply(Labels{{"a", "x"}}, {{.source_labels = {"a"},
                                        .target_label = "${3}",
                                        .replacement = "y"}}),
            (Labels{{"a", "x"}}));
}

TEST(RelabelTest, KeepsAndDrops) {
  const RelabelOptions keep{
      .action = Action::kKeep, .source_labels = {"a"}, .regex = "f.*"};
  RelabelOptions drop = keep;
  drop.action = Action::kDrop;

  EXPECT_TRUE(Apply(kLabels, {keep}).has_value());
  EXPECT_FALSE(Apply(kLabels, {drop}).has_value());
  EXPECT_FALSE(Apply(Labels{{"a", "x"}}, {keep}).has_value());
  EXPECT_TRUE(Apply(Labels{{"a", "xf"}}, {drop}).has_value());
  EXPECT_FALSE(Apply(kLabels, {keep, drop}).has_value());
}

TEST(RelabelTest, KeepsAndDropsWhatIsEqual) {
  const Labels same{{"a", "x"}, {"b", "x"}};
  const RelabelOptions keep{.action = Action::kKeepEqual,
                            .source_labels = {"a"},
                            .target_label = "b"};
  RelabelOptions drop = keep;
  drop.action = Action::kDropEqual;

  EXPECT_TRUE(Apply(same, {keep}).has_value());
  EXPECT_FALSE(Apply(kLabels, {keep}).has_value());
  EXPECT_FALSE(Apply(same, {drop}).has_value());
  EXPECT_TRUE(Apply(kLabels, {drop}).has_value());
}

TEST(RelabelTest, HashesAsPrometheusDoes) {
  // The MD5 of "foo" ends in edef654fccc4a4d8: that number modulo 1000.
  EXPECT_EQ(Apply(kLabels, {{.action = Action::kHashMod,
                             .source_labels = {"a"},
                             .target_label = "d",
                             .modulus = 1000}})
                ->Get("d"),
            "696");
}

TEST(RelabelTest, MapsDropsAndKeepsLabelsByName) {
  EXPECT_EQ(Apply(Labels{{"__meta_x", "1"}, {"y", "2"}},
                  {{.action = Action::kLabelMap, .regex = "__meta_(.+)"}}),
            (Labels{{"__meta_x", "1"}, {"x", "1"}, {"y", "2"}}));
  EXPECT_EQ(Apply(kLabels, {{.action = Action::kLabelDrop, .regex = "[ab]"}}),
            (Labels{{"c", "baz"}}));
  EXPECT_EQ(Apply(kLabels, {{.action = Action::kLabelKeep, .regex = "[ab]"}}),
            (Labels{{"a", "foo"}, {"b", "bar"}}));
}

TEST(RelabelTest, ChangesCase) {
  EXPECT_EQ(Apply(Labels{{"a", "FoO"}}, {{.action = Action::kLowercase,
                                          .source_labels = {"a"},
                                          .target_label = "b"},
                                         {.action = Action::kUppercase,
                                          .source_labels = {"a"},
                                          .target_label = "c"}}),
            (Labels{{"a", "FoO"}, {"b", "foo"}, {"c", "FOO"}}));
}

TEST(RelabelTest, RefusesOptionsThatTheActionCannotHave) {
  const struct {
    RelabelOptions options;
    const char* message;
  } cases[] = {
      {{.source_labels = {"a"}}, "replace: needs 'target_label'"},
      {{.action = Action::kHashMod, .target_label = "a"}, "'modulus'"},
      {{.action = Action::kLabelDrop, .target_label = "a"}, "'regex' only"},
      {{.action = Action::kKeepEqual, .target_label = "a", .regex = "x"},
       "'source_labels' and 'target_label' only"},
      {{.target_label = "a", .regex = "("}, "error parsing regexp"},
      {{.target_label = "a", .regex = "a)|(b"}, "error parsing regexp"},
      {{.source_labels = {""}, .target_label = "a"}, "no valid name"},
      {{.target_label = "\xFF"}, "not valid UTF-8"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(
        Relabel::Create(one.options),
        HasError(absl::StatusCode::kInvalidArgument, HasSubstr(one.message)));
  }
}

TEST(RelabelTest, KnowsItsActionsInAnyCase) {
  EXPECT_EQ(*ParseRelabelAction("HashMod"), Action::kHashMod);
  EXPECT_EQ(*ParseRelabelAction("replace"), Action::kReplace);
  EXPECT_FALSE(ParseRelabelAction("rename").ok());
}

}  // namespace
}  // namespace vigie

#include "store/appender.h"

#include <gmock/gmock.h>

#include <set>

#include "store/label_rules.h"

namespace vigie::store {
namespace {

TEST(RefusalTest, EveryReasonHasAName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(RefusalReason::kLimit); ++i) {
    names.insert(RefusalName(static_cast<RefusalReason>(i)));
  }

  EXPECT_EQ(names.size(), static_cast<size_t>(RefusalReason::kLimit) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(LabelRulesTest, TakesAMetricNameAndUtf8Labels) {
  EXPECT_FALSE(
      FindLabelFault(Labels{{"__name__", "naïve.name"}, {"k8s.pod", "日本"}})
          .has_value());
}

TEST(LabelRulesTest, RefusesTheEmptySetAndASetWithoutAMetricName) {
  EXPECT_EQ(FindLabelFault(Labels{})->reason, RefusalReason::kInvalidLabels);
  EXPECT_EQ(FindLabelFault(Labels{{"job", "x"}})->reason,
            RefusalReason::kInvalidLabels);
}

TEST(LabelRulesTest, RefusesBytesThatAreNotUtf8AndShowsThemEscaped) {
  const auto fault = FindLabelFault(Labels{{"__name__", "up"}, {"a", "\xff"}});

  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->reason, RefusalReason::kInvalidLabels);
  EXPECT_THAT(fault->message, ::testing::HasSubstr("\\xff"));
}

TEST(LabelRulesTest, RefusesAnEmptyLabelName) {
  EXPECT_EQ(FindLabelFault(Labels{{"__name__", "up"}, {"", "x"}})->reason,
            RefusalReason::kInvalidLabels);
}

TEST(LabelRulesTest, NamesTheLimitThatALongValueOrManyLabelsExceed) {
  LabelsBuilder many(Labels{{"__name__", "up"}});
  for (size_t i = 0; i < kLabelsMax; ++i) {
    many.Set("l" + std::to_string(i), "v");
  }
  const auto count = FindLabelFault(many.Build());
  const auto value = FindLabelFault(Labels{
      {"__name__", "up"}, {"a", std::string(kLabelValueBytesMax + 1, 'v')}});

  EXPECT_EQ(count->reason, RefusalReason::kLimit);
  EXPECT_THAT(count->message, ::testing::HasSubstr("65 labels, at most 64"));
  EXPECT_EQ(value->reason, RefusalReason::kLimit);
  EXPECT_THAT(value->message, ::testing::HasSubstr("4097 bytes, at most 4096"));
}

}  // namespace
}  // namespace vigie::store

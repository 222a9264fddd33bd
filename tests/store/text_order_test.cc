#include "store/text_order.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string_view> InOrder(const std::vector<std::string>& texts) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::vector<std::string_view> sorted;
  for (const uint32_t i : OrderOfTexts(views)) sorted.push_back(views[i]);
  return sorted;
}

TEST(TextOrderTest, NothingIsInOrder) { EXPECT_THAT(InOrder({}), IsEmpty()); }

TEST(TextOrderTest, ABeginningComesBeforeWhatGoesOnWithZeroBytes) {
  using std::string_literals::operator""s;

  EXPECT_THAT(InOrder({"ab\0\0"s, "", "ab", "ab\0"s, "\xff", "a"}),
              ElementsAre("", "a", "ab", "ab\0"s, "ab\0\0"s, "\xff"));
}

// Of few distinct bytes, so that many begin alike, end early, or are equal; and
// behind a beginning that all have, as the pods of a service do.
TEST(TextOrderTest, SortsAsStringsCompare) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const std::string beginning(random() % 3 * 7, 'x');
    const uint32_t bytes_max = 1 + random() % 40;
    std::vector<std::string> texts;
    for (uint32_t i = 0; i < 10 + seed * 30; ++i) {
      std::string text = random() % 50 > 0 ? beginning : "";
      for (uint32_t n = random() % bytes_max; n > 0; --n) {
        constexpr char kBytes[] = {'\0', 'a', 'b', '\x80', '\xff'};
        text.push_back(kBytes[random() % (seed % 2 == 0 ? 5 : 2)]);
      }
      texts.push_back(std::move(text));
    }
    std::vector<std::string_view> expected(texts.begin(), texts.end());
    std::sort(expected.begin(), expected.end());

    EXPECT_EQ(InOrder(texts), expected);
  }
}

}  // namespace
}  // namespace vigie::store

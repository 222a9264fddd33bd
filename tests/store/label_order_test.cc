#include "store/label_order.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LabelOrderTest, NothingIsInOrder) {
  EXPECT_THAT(LabelOrder().Sort(), IsEmpty());
}

TEST(LabelOrderTest, ALongerSetComesAfterItsBeginning) {
  LabelOrder order;
  order.Add({{"a", "1"}, {"b", "1"}});
  order.Add({{"a", "1"}});
  order.Add(Labels{});
  order.Add({{"a", "1"}, {"b", "1"}});

  EXPECT_THAT(order.Sort(), ElementsAre(2, 1, 0, 3));
  EXPECT_TRUE(order.SameLabels(0, 3));
  EXPECT_FALSE(order.SameLabels(0, 1));
}

// Of labels and of series in an index, mixed, few and many distinct values.
TEST(LabelOrderTest, SortsAsLabelsCompare) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const uint32_t values = seed % 3 == 0 ? 3'000 : 5;
    const std::string secret(kIdentitySecretBytes, 's');
    std::vector<Labels> all;
    std::vector<uint64_t> ids;  // 0: not in the index
    SeriesIndex index;
    for (uint32_t i = 0; i < 1'500; ++i) {
      LabelsBuilder builder;
      if (seed % 2 == 0) builder.Set("__name__", "same");
      for (const char* name : {"Z", "a", "aa", "b", "c", "d"}) {
        if (random() % 4 > 0) {
          builder.Set(name, fmt::format("{}", random() % values));
        }
      }
      all.push_back(builder.Build());
      const SeriesIdentity identity =
          IdentityOf("t", all.back().bytes(), secret);
      ids.push_back(0);
      if (random() % 2 == 0 && index.Find(identity) == 0) {
        ids.back() = i + 1;
        index.Add(i + 1, identity, "t", all.back());
      }
    }
    LabelOrder order;
    for (size_t i = 0; i < all.size(); ++i) {
      if (ids[i] != 0) {
        order.Add(index, ids[i]);
      } else {
        order.Add(all[i]);
      }
    }
    std::vector<uint32_t> expected(all.size());
    std::iota(expected.begin(), expected.end(), 0U);
    std::stable_sort(expected.begin(), expected.end(),
                     [&](uint32_t a, uint32_t b) { return all[a] < all[b]; });
    EXPECT_EQ(order.Sort(), expected);
    for (size_t i = 1; i < expected.size(); ++i) {
      ASSERT_EQ(order.SameLabels(expected[i - 1], expected[i]),
                all[expected[i - 1]] == all[expected[i]]);
    }
  }
}

}  // namespace
}  // namespace vigie::store

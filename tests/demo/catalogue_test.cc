#include "deploy/demo/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace vigie::demo {
namespace {

TEST(CatalogueTest, HasFortyProductsWithNamesOfTheirOwnAndAPrice) {
  const Catalogue catalogue;

  std::set<std::string> names;
  for (const Product& product : catalogue.products()) {
    EXPECT_GT(product.cents, 0) << product.name;
    EXPECT_THAT(product.name, ::testing::MatchesRegex("[a-z-]+"));
    names.insert(product.name);
  }
  EXPECT_EQ(names.size(), 40);
}

TEST(CatalogueTest, ProductsAreDrawnByTheInverseOfTheirRank) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  constexpr int kDraws = 100'000;
  const Catalogue catalogue;
  Random random(kSeed, 0);
  std::vector<int> drawn(40);

  for (int i = 0; i < kDraws; ++i) ++drawn[catalogue.Draw(random)];

  double harmonic = 0;
  for (int rank = 1; rank <= 40; ++rank) harmonic += 1.0 / rank;
  for (const int rank : {1, 2, 10, 40}) {
    const double expected = kDraws / harmonic / rank;
    // Five standard deviations of a count.
    EXPECT_NEAR(drawn[rank - 1], expected, 5 * std::sqrt(expected)) << rank;
  }
}

}  // namespace
}  // namespace vigie::demo

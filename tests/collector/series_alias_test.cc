#include "collector/series_alias.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tests/support/simulated_clock.h"

namespace vigie::collector {
namespace {

using store::SeriesRef;
using ::testing::Each;
using ::testing::ElementsAre;

class SeriesAliasesTest : public ::testing::Test {
 protected:
  std::vector<SeriesAlias> AliasesOf(int first, int count) {
    std::vector<SeriesAlias> out;
    for (int i = first; i < first + count; ++i) {
      out.push_back(aliases_.AliasOf("series " + std::to_string(i), salt_));
    }
    return out;
  }
  std::vector<SeriesRef> Find(const std::vector<SeriesAlias>& keys) {
    std::vector<SeriesRef> refs(keys.size());
    SeriesAliases::Cursor cursor;
    aliases_.Find(keys, &cursor, refs);
    return refs;
  }
  void Learn(const std::vector<SeriesAlias>& keys, uint64_t first_id) {
    std::vector<SeriesRef> given(keys.size()), refs;
    for (size_t i = 0; i < keys.size(); ++i) refs.push_back({first_id + i});
    aliases_.Learn(keys, given, refs);
  }

  testing::SimulatedClock clock_{0};
  SeriesAliasOptions options_{.entries_max = 1000, .idle = absl::Hours(2)};
  SeriesAliases aliases_{options_, clock_};
  SeriesAlias salt_ = aliases_.SaltOf("door", "tenant");
};

TEST_F(SeriesAliasesTest, GivesWhatTheStoreAnswered) {
  const auto keys = AliasesOf(0, 3);
  Learn(keys, 7);

  EXPECT_THAT(Find(keys),
              ElementsAre(SeriesRef{7}, SeriesRef{8}, SeriesRef{9}));
  EXPECT_THAT(Find(AliasesOf(100, 2)), Each(SeriesRef{}));
  EXPECT_EQ(aliases_.size(), 3u);
}

TEST_F(SeriesAliasesTest, KeepsDoorsAndTenantsApart) {
  const SeriesAlias here = aliases_.AliasOf("x", salt_);

  EXPECT_NE(here, aliases_.AliasOf("x", aliases_.SaltOf("door", "other")));
  EXPECT_NE(here, aliases_.AliasOf("x", aliases_.SaltOf("window", "tenant")));
  EXPECT_EQ(here, aliases_.AliasOf("x", aliases_.SaltOf("door", "tenant")));
}

TEST_F(SeriesAliasesTest, AnotherProcessMakesOtherAliases) {
  SeriesAliases other(options_, clock_);

  EXPECT_NE(aliases_.AliasOf("x", {}), other.AliasOf("x", {}));
}

TEST_F(SeriesAliasesTest, TakesOverAReferenceThatTheStoreHasReplaced) {
  const auto keys = AliasesOf(0, 2);
  Learn(keys, 1);

  aliases_.Learn(keys, std::vector<SeriesRef>{{1}, {2}},
                 std::vector<SeriesRef>{{1}, {5}});

  EXPECT_THAT(Find(keys), ElementsAre(SeriesRef{1}, SeriesRef{5}));
  EXPECT_EQ(aliases_.size(), 2u);
}

TEST_F(SeriesAliasesTest, LearnsNothingOfRefusedSeries) {
  const auto keys = AliasesOf(0, 2);

  aliases_.Learn(keys, std::vector<SeriesRef>(2),
                 std::vector<SeriesRef>{{0}, {5}});

  EXPECT_THAT(Find(keys), ElementsAre(SeriesRef{}, SeriesRef{5}));
}

TEST_F(SeriesAliasesTest, ForgetsWhatNobodyAskedForBeforeMemoryGrows) {
  Learn(AliasesOf(0, 400), 1);
  clock_.AdvanceMs(3 * 3'600'000);
  Find(AliasesOf(0, 100));  // these are still sent
  Learn(AliasesOf(1000, 400), 1001);

  EXPECT_LE(aliases_.size(), 500u);
  EXPECT_THAT(Find(AliasesOf(0, 100)), Each(::testing::Ne(SeriesRef{})));
  EXPECT_THAT(Find(AliasesOf(1000, 400)), Each(::testing::Ne(SeriesRef{})));
}

TEST_F(SeriesAliasesTest, StaysWithinItsBoundAndKeepsWorkingBeyond) {
  for (int first = 0; first < 20'000; first += 500) {
    Learn(AliasesOf(first, 500), static_cast<uint64_t>(first) + 1);
    ASSERT_LE(aliases_.size(), options_.entries_max);
  }

  const auto refs = Find(AliasesOf(19'500, 500));
  const auto found = std::count_if(refs.begin(), refs.end(),
                                   [](SeriesRef ref) { return ref.id != 0; });
  EXPECT_GT(found, 400);
}

// One operation after another at random, against a map; small enough that
// entries are evicted, erased from within probe runs, and used again.
TEST_F(SeriesAliasesTest, NeverGivesAnotherReferenceThanTheLastOne) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    SeriesAliases aliases({.entries_max = 300, .idle = absl::Hours(2)}, clock_);
    std::unordered_map<int, uint64_t> model;
    uint64_t last_id = 0;
    uint64_t hits = 0;
    for (int round = 0; round < 300; ++round) {
      std::vector<int> names;
      std::vector<SeriesAlias> keys;
      const int first = static_cast<int>(random() % 500);
      const auto size = 1 + random() % 60;
      for (uint32_t i = 0; i < size; ++i) {
        names.push_back(random() % 8 == 0 ? static_cast<int>(random() % 500)
                                          : first + static_cast<int>(i));
        keys.push_back(aliases.AliasOf(std::to_string(names.back()), salt_));
      }
      std::vector<SeriesRef> refs(keys.size());
      SeriesAliases::Cursor cursor;
      const size_t half = keys.size() / 2;
      aliases.Find(std::span(keys).first(half), &cursor,
                   std::span(refs).first(half));
      aliases.Find(std::span(keys).subspan(half), &cursor,
                   std::span(refs).subspan(half));
      std::vector<SeriesRef> answered = refs;
      for (size_t i = 0; i < keys.size(); ++i) {
        if (refs[i].id != 0) {
          ASSERT_EQ(refs[i].id, model[names[i]]);
          ++hits;
        }
        if (refs[i].id == 0 || random() % 16 == 0) answered[i] = {++last_id};
      }
      aliases.Learn(keys, refs, answered);
      for (size_t i = 0; i < keys.size(); ++i) {
        if (answered[i] != refs[i]) model[names[i]] = answered[i].id;
      }
      ASSERT_LE(aliases.size(), 300u);
      clock_.AdvanceMs(static_cast<int64_t>(random() % 600'000));
    }
    EXPECT_GT(hits, 1000u);
  }
}

TEST_F(SeriesAliasesTest, TakesFortyBytesAnEntry) {
  SeriesAliases aliases({.entries_max = 1 << 20, .idle = absl::Hours(2)},
                        clock_);
  std::vector<SeriesAlias> keys;
  std::vector<SeriesRef> refs;
  for (int i = 0; i < 200'000; ++i) {
    keys.push_back(aliases.AliasOf(std::to_string(i), salt_));
    refs.push_back({static_cast<uint64_t>(i) + 1});
  }
  aliases.Learn(keys, std::vector<SeriesRef>(keys.size()), refs);

  EXPECT_LE(aliases.bytes() / aliases.size(), 40u);
}

TEST_F(SeriesAliasesTest, SeveralRequestsAtOnceSeeTheirOwn) {
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const int first = 100 * t;
      for (int round = 0; round < 50; ++round) {
        const auto keys = AliasesOf(first, 100);
        for (size_t i = 0; const SeriesRef ref : Find(keys)) {
          const auto want = static_cast<uint64_t>(first) + 1 + i++;
          wrong += ref.id != 0 && ref.id != want;
        }
        Learn(keys, static_cast<uint64_t>(first) + 1);
      }
    });
  }
  threads.clear();

  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(aliases_.size(), 400u);
}

}  // namespace
}  // namespace vigie::collector

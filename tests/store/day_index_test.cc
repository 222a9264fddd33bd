#include "store/day_index.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "store/day_index_builder.h"
#include "store/day_rows.h"
#include "tests/support/map_rows.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using testing::HasCode;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

Matcher Make(Matcher::Type type, std::string_view name,
             std::string_view value) {
  absl::StatusOr<Matcher> matcher = Matcher::Create(type, name, value);
  EXPECT_THAT(matcher, IsOk());
  return *matcher;
}

class DayIndexTest : public ::testing::Test {
 protected:
  void Finish(uint32_t seal) {
    std::string last;
    EXPECT_THAT(
        builder_.Finish(seal,
                        [&](std::string_view key, std::string_view value) {
                          EXPECT_LT(last, key);
                          last = key;
                          rows_.rows.emplace(key, value);
                          return absl::OkStatus();
                        }),
        IsOk());
    EXPECT_TRUE(builder_.empty());
  }
  std::vector<uint64_t> Match(int32_t day, std::string_view tenant,
                              const std::vector<Matcher>& matchers) {
    absl::StatusOr<IdRuns> ids = index_.Match(day, tenant, matchers, context_);
    EXPECT_THAT(ids, IsOk());
    return ids->Ids();
  }
  std::map<uint64_t, Labels> LabelsOf(int32_t day, std::string_view tenant,
                                      const IdRuns& ids) {
    std::map<uint64_t, Labels> found;
    EXPECT_THAT(index_.VisitLabels(day, tenant, ids, context_,
                                   [&](uint64_t id, Labels labels) {
                                     found[id] = std::move(labels);
                                     return absl::OkStatus();
                                   }),
                IsOk());
    return found;
  }

  DayIndexBuilder builder_;
  testing::MapRows rows_;
  DayIndex index_{rows_};
  ByteAccount account_{"query", 64 << 20};
  ReadContext context_{&account_, {}};
};

TEST_F(DayIndexTest, ADayKnowsItsSeriesAndNoOtherDays) {
  builder_.Add(10, 1, "a", {{"__name__", "up"}, {"job", "x"}});
  builder_.Add(11, 2, "a", {{"__name__", "up"}, {"job", "y"}});
  builder_.Add(11, 3, "b", {{"__name__", "up"}, {"job", "z"}});
  Finish(1);

  EXPECT_THAT(Match(10, "a", {}), ElementsAre(1));
  EXPECT_THAT(Match(11, "a", {Matcher::Equal("__name__", "up")}),
              ElementsAre(2));
  EXPECT_THAT(Match(12, "a", {}), IsEmpty());
  EXPECT_THAT(index_.Days(-5, 100).value(), ElementsAre(10, 11));
  EXPECT_THAT(index_.Days(11, 11).value(), ElementsAre(11));
  EXPECT_THAT(index_.Names(11, "b", context_).value(),
              ElementsAre("__name__", "job"));
  EXPECT_THAT(LabelsOf(11, "b", IdRuns::FromRuns({{0, 100}})),
              ElementsAre(Pair(3, Labels{{"__name__", "up"}, {"job", "z"}})));
}

TEST_F(DayIndexTest, DaysBeforeTheEpochComeFirst) {
  builder_.Add(-3, 1, "", {{"a", "b"}});
  builder_.Add(2, 2, "", {{"a", "b"}});
  Finish(1);

  EXPECT_THAT(index_.Days(INT32_MIN, INT32_MAX).value(), ElementsAre(-3, 2));
  EXPECT_EQ(DayOf(-1), -1);
  EXPECT_EQ(DayOf(-kDayMs), -1);
  EXPECT_EQ(DayOf(-kDayMs - 1), -2);
  EXPECT_EQ(DayOf(kDayMs), 1);
}

TEST_F(DayIndexTest, SealsOfADayAddUp) {
  builder_.Add(1, 7, "t", {{"__name__", "up"}, {"job", "x"}});
  Finish(4);
  builder_.Add(1, 9, "t", {{"__name__", "up"}, {"job", "x"}});
  builder_.Add(1, 7, "t", {{"__name__", "up"}, {"job", "x"}});
  Finish(5);

  EXPECT_THAT(Match(1, "t", {Matcher::Equal("job", "x")}), ElementsAre(7, 9));
  EXPECT_EQ(LabelsOf(1, "t", IdRuns::FromRuns({{9, 9}})).size(), 1U);
  uint64_t pairs = 0;
  EXPECT_THAT(index_.VisitPairs(
                  1, "t", "", context_,
                  [&](std::string_view, std::string_view, const IdRuns& ids) {
                    ++pairs;
                    EXPECT_THAT(ids.Ids(), ElementsAre(7, 9));
                    return absl::OkStatus();
                  }),
              IsOk());
  EXPECT_EQ(pairs, 2U);
}

TEST_F(DayIndexTest, StringsWithZeroBytesAreThemselves) {
  using std::string_literals::operator""s;
  const Labels odd = {{"a\0b"s, "x\0"s}};
  const Labels plain = {{"a", "b\0x"s}};
  builder_.Add(1, 1, "t", odd);
  builder_.Add(1, 2, "t", plain);
  Finish(1);

  EXPECT_THAT(Match(1, "t", {Matcher::Equal("a\0b"s, "x\0"s)}), ElementsAre(1));
  EXPECT_THAT(Match(1, "t", {Matcher::Equal("a", "b\0x"s)}), ElementsAre(2));
  EXPECT_THAT(Match(1, "t", {Matcher::Equal("a", "b")}), IsEmpty());
  EXPECT_THAT(index_.Names(1, "t", context_).value(),
              ElementsAre("a", "a\0b"s));
  EXPECT_THAT(LabelsOf(1, "t", IdRuns::FromRuns({{1, 2}})),
              ElementsAre(Pair(1, odd), Pair(2, plain)));
}

TEST_F(DayIndexTest, ADamagedRowIsNamedAndNotBelieved) {
  builder_.Add(1, 1, "t", {{"a", "b"}});
  Finish(1);
  for (auto& [key, value] : rows_.rows) value = "\x07";

  EXPECT_THAT(index_.Match(1, "t", {Matcher::Equal("a", "b")}, context_),
              HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(
      index_.VisitLabels(1, "t", IdRuns::FromRuns({{1, 1}}), context_,
                         [](uint64_t, Labels) { return absl::OkStatus(); }),
      HasCode(absl::StatusCode::kDataLoss));
}

TEST_F(DayIndexTest, AQueryOverItsAccountOrStoppedEnds) {
  for (uint64_t id = 1; id < 5'000; id += 2) {
    builder_.Add(1, id, "t", {{"a", fmt::format("{}", id)}});
  }
  Finish(1);
  ByteAccount small("query", 1'000);
  EXPECT_THAT(index_.Match(1, "t", {}, {&small, {}}),
              HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(small.bytes(), 0);

  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(index_.Match(1, "t", {Make(Matcher::Type::kRegex, "a", ".+1")},
                           {&account_, stop.get_token()}),
              HasCode(absl::StatusCode::kCancelled));
  EXPECT_EQ(account_.bytes(), 0);
}

// Random series on random days in random seals: every question has the answer
// of a plain list.
TEST_F(DayIndexTest, AnswersAsAPlainListDoes) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    rows_.rows.clear();
    std::mt19937 random(seed);
    auto below = [&](uint32_t n) {
      return static_cast<uint32_t>(random() % n);
    };
    struct Entry {
      int32_t day;
      std::string tenant;
      uint64_t id;
      Labels labels;
    };
    std::vector<Entry> plain;
    uint64_t id = 1;
    for (uint32_t seal = 1; seal <= 1 + seed % 4; ++seal) {
      for (uint32_t i = below(400); i > 0; --i) {
        id += below(8) == 0 ? 1 + below(100'000) : 1;
        LabelsBuilder labels;
        labels.Set("__name__", fmt::format("m{}", below(5)));
        if (below(3) > 0) labels.Set("job", fmt::format("j{}", below(4)));
        if (below(2) > 0) labels.Set("pod", fmt::format("p{}", below(200)));
        Entry entry{static_cast<int32_t>(below(3)),
                    below(3) == 0 ? "other" : "t", id, labels.Build()};
        builder_.Add(entry.day, entry.id, entry.tenant, entry.labels);
        plain.push_back(std::move(entry));
      }
      Finish(seal);
    }
    const auto random_matcher = [&]() {
      const std::string name =
          std::vector<std::string>{"__name__", "job", "pod", "none"}[below(4)];
      const std::vector<std::string> patterns = {
          "m1", "j2", "p7",   "",       "m1|m3",
          ".+", ".*", "p1.*", "j1|j2|", "(p|j)3"};
      return Make(static_cast<Matcher::Type>(below(4)), name,
                  patterns[below(static_cast<uint32_t>(patterns.size()))]);
    };
    for (int i = 0; i < 60; ++i) {
      std::vector<Matcher> matchers;
      std::string text;
      for (uint32_t n = below(4); n > 0; --n) {
        matchers.push_back(random_matcher());
        text += matchers.back().ToString() + " ";
      }
      SCOPED_TRACE(text);
      const auto day = static_cast<int32_t>(below(4));
      std::map<uint64_t, Labels> expected;
      for (const Entry& entry : plain) {
        if (entry.day == day && entry.tenant == "t" &&
            MatchesAll(matchers, entry.labels)) {
          expected.emplace(entry.id, entry.labels);
        }
      }
      const absl::StatusOr<IdRuns> ids =
          index_.Match(day, "t", matchers, context_);
      ASSERT_THAT(ids, IsOk());
      EXPECT_EQ(ids->size(), expected.size());
      EXPECT_EQ(LabelsOf(day, "t", *ids), expected);
    }
    EXPECT_EQ(account_.bytes(), 0);
  }
}

TEST(IdRunsTest, SetsMeetAsSetsDo) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    auto make = [&](std::set<uint64_t>* plain) {
      IdRuns runs;
      IdRunsWriter writer;
      uint64_t id = random() % 10;
      for (uint32_t i = random() % 60; i > 0; --i) {
        id += random() % 3 == 0 ? random() % 300 : 1;
        runs.Add(id);
        writer.Add(id);
        plain->insert(id);
      }
      EXPECT_EQ(IdRuns::FromBytes(writer.Take()).value(), runs);
      EXPECT_EQ(runs.size(), plain->size());
      return runs;
    };
    std::set<uint64_t> a, b;
    const IdRuns x = make(&a), y = make(&b);
    std::vector<uint64_t> all, both, only;
    std::set_union(a.begin(), a.end(), b.begin(), b.end(),
                   std::back_inserter(all));
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(),
                          std::back_inserter(both));
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(),
                        std::back_inserter(only));
    EXPECT_EQ(Union(x, y).Ids(), all);
    EXPECT_EQ(Intersection(x, y).Ids(), both);
    EXPECT_EQ(Difference(x, y).Ids(), only);
    for (uint64_t id = 0; id < 50; ++id) {
      EXPECT_EQ(x.Contains(id), a.contains(id));
    }
  }
}

TEST(IdRunsTest, BytesThatLeaveTheRangeOfIdsAreRefused) {
  IdRunsWriter writer;
  writer.Add(kSeriesIdMax);
  EXPECT_THAT(IdRuns::FromBytes(writer.Take()), IsOk());

  EXPECT_THAT(IdRuns::FromBytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
              HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(IdRuns::FromBytes("\x03\x80"),
              HasCode(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace vigie::store

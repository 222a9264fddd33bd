#include "store/series_index.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <map>
#include <random>
#include <set>

#include "tests/bench/fleet.h"
#include "tests/support/status_matchers.h"

namespace vigie::store {
namespace {

using ::testing::ElementsAre;
using testing::HasCode;
using ::testing::IsEmpty;
using testing::IsOk;

const std::string& Secret() {
  static const std::string secret(kIdentitySecretBytes, 's');
  return secret;
}

SeriesIdentity IdOf(std::string_view tenant, const Labels& labels) {
  return IdentityOf(tenant, labels.bytes(), Secret());
}

void Add(SeriesIndex* index, uint64_t id, std::string_view tenant,
         const Labels& labels) {
  index->Add(id, IdOf(tenant, labels), tenant, labels);
}

TEST(SeriesIndexTest, TenantsShareNothing) {
  SeriesIndex index;
  const Labels up = {{"__name__", "up"}, {"job", "x"}};
  Add(&index, 1, "a", up);
  Add(&index, 2, "b", up);
  Add(&index, 3, "b", {{"__name__", "up"}, {"job", "y"}});

  EXPECT_THAT(index.Match("a", {Matcher::Equal("__name__", "up")}, {}).value(),
              ElementsAre(1));
  EXPECT_EQ(index.Find(IdOf("b", up)), 2U);
  EXPECT_EQ(index.TenantOf(2), "b");
  EXPECT_FALSE(index.Is(2, "a", up));
  EXPECT_TRUE(index.Is(2, "b", up));
  index.Remove({2, 3, 99});
  EXPECT_THAT(index.Tenants(), ElementsAre("a"));
  EXPECT_THAT(index.All("b"), IsEmpty());
  EXPECT_EQ(index.Find(IdOf("b", up)), 0U);
  EXPECT_EQ(index.LabelsOf(1), up);
}

TEST(SeriesIndexTest, AStoppedMatchIsCancelled) {
  SeriesIndex index;
  for (uint64_t id = 1; id <= 3'000; ++id) {
    Add(&index, id, "t", {{"a", fmt::format("{}", id)}});
  }
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(
      index.Match(
          "t", {Matcher::Create(Matcher::Type::kRegex, "a", ".*7.+").value()},
          stop.get_token()),
      HasCode(absl::StatusCode::kCancelled));
}

// Series come and go at random; names, values, matches and labels are those of
// a plain map all along, and an index made anew from what is left agrees.
TEST(SeriesIndexTest, AnswersAsAPlainMapDoes) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    auto below = [&](uint32_t n) {
      return static_cast<uint32_t>(random() % n);
    };
    struct Entry {
      std::string tenant;
      Labels labels;
    };
    std::map<uint64_t, Entry> plain;
    SeriesIndex index;
    uint64_t next = 1;
    const uint32_t targets = 3 + below(60);
    for (int round = 0; round < 6; ++round) {
      for (uint32_t i = below(600); i > 0; --i) {
        next += below(20) == 0 ? below(200'000) : 1;
        const uint32_t target = below(4) == 0 ? below(targets) : i / 20;
        LabelsBuilder labels;
        labels.Set("__name__", fmt::format("m{}", below(7)));
        labels.Set("Zone", fmt::format("z{}", target % 3));
        if (target % 5 > 0) labels.Set("instance", fmt::format("i{}", target));
        if (below(3) > 0) labels.Set("le", fmt::format("{}", below(9)));
        if (below(9) == 0) labels.Set("trace", fmt::format("{}", next));
        const Entry entry{below(5) == 0 ? "other" : "t", labels.Build()};
        if (index.Find(IdOf(entry.tenant, entry.labels)) != 0) continue;
        Add(&index, next, entry.tenant, entry.labels);
        plain.emplace(next, entry);
      }
      std::vector<uint64_t> gone;
      for (const auto& [id, entry] : plain) {
        if (below(4) == 0 || (round % 3 == 2 && id % 1000 < 900)) {
          gone.push_back(id);
        }
      }
      for (const uint64_t id : gone) plain.erase(id);
      index.Remove(gone);

      SeriesIndex again;
      for (const auto& [id, entry] : plain) {
        Add(&again, id, entry.tenant, entry.labels);
      }
      for (const SeriesIndex* one :
           std::initializer_list<const SeriesIndex*>{&index, &again}) {
        ASSERT_EQ(one->size(), plain.size());
        std::map<std::string, std::map<std::string, uint64_t>> values;
        for (const auto& [id, entry] : plain) {
          ASSERT_EQ(one->LabelsOf(id), entry.labels);
          ASSERT_EQ(one->MetricHashOf(id), MetricHash(entry.labels));
          ASSERT_EQ(one->TenantOf(id), entry.tenant);
          ASSERT_TRUE(one->Is(id, entry.tenant, entry.labels));
          ASSERT_EQ(one->Find(IdOf(entry.tenant, entry.labels)), id);
          if (entry.tenant != "t") continue;
          for (const LabelView& label : entry.labels) {
            ++values[std::string(label.name)][std::string(label.value)];
          }
        }
        std::map<std::string, std::map<std::string, uint64_t>> found;
        for (const std::string_view name : one->Names("t")) {
          one->VisitValues(
              "t", name, [&](std::string_view value, const Postings& s) {
                found[std::string(name)][std::string(value)] = s.size();
                return true;
              });
        }
        ASSERT_EQ(found, values);
      }
      const std::vector<std::string> patterns = {"m1", "m[23]", "",    ".+",
                                                 ".*", "z1|z2", "i1.", "3|"};
      const std::vector<std::string> names = {"__name__", "Zone",  "instance",
                                              "le",       "trace", "none"};
      for (int i = 0; i < 40; ++i) {
        std::vector<Matcher> matchers;
        std::string text;
        for (uint32_t n = below(4); n > 0; --n) {
          matchers.push_back(
              Matcher::Create(static_cast<Matcher::Type>(below(4)),
                              names[below(6)], patterns[below(8)])
                  .value());
          text += matchers.back().ToString() + " ";
        }
        SCOPED_TRACE(text);
        std::vector<uint64_t> expected;
        for (const auto& [id, entry] : plain) {
          if (entry.tenant == "t" && MatchesAll(matchers, entry.labels)) {
            expected.push_back(id);
          }
        }
        ASSERT_EQ(index.Match("t", matchers, {}).value(), expected);
      }
    }
  }
}

TEST(PostingsTest, IsASetWhateverItsShape) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    Postings postings;
    std::set<uint64_t> plain;
    // Dense ones become bits, sparse ones and runs do not.
    const uint64_t span = seed % 2 == 0 ? 20'000 : 400'000;
    for (int i = 0; i < 12'000; ++i) {
      uint64_t id = random() % span;
      for (uint64_t n = random() % 8 == 0 ? random() % 60 : 1; n > 0; --n) {
        if (random() % 16 < (i < 6'000 ? 12U : 3U)) {
          postings.Add(id);
          plain.insert(id);
        } else {
          postings.Remove(id);
          plain.erase(id);
        }
        ++id;
      }
    }
    std::vector<uint64_t> ids;
    postings.AppendIds(&ids);
    ASSERT_EQ(ids, std::vector<uint64_t>(plain.begin(), plain.end()));
    ASSERT_EQ(postings.size(), plain.size());
    PostingsCursor cursor(postings);
    for (uint64_t id = 0; id < span; id += 1 + random() % 5) {
      ASSERT_EQ(cursor.Contains(id), plain.contains(id));
    }
    for (const uint64_t id : plain) postings.Remove(id);
    EXPECT_TRUE(postings.empty());
  }
}

TEST(ProbeTableTest, FindsWhatIsThereWhileItGrowsAndShrinks) {
  struct Slot {
    uint32_t hash_bits;
    uint32_t value;
    bool used() const { return value != 0; }
    uint32_t hash() const { return hash_bits; }
  };
  std::mt19937 random(7);
  ProbeTable<Slot> table;
  std::map<uint32_t, uint32_t> plain;  // value -> hash
  for (uint32_t step = 1; step <= 120'000; ++step) {
    if (plain.empty() || random() % 8 < (step < 60'000 ? 7U : 2U)) {
      // Some hashes are equal.
      const uint32_t hash = random() % 64 == 0 ? 5 : random();
      table.Insert({hash, step});
      plain.emplace(step, hash);
    } else {
      auto it = plain.lower_bound(random() % step);
      if (it == plain.end()) it = plain.begin();
      const uint32_t value = it->first;
      ASSERT_TRUE(table.Erase(
          it->second, [&](const Slot& slot) { return slot.value == value; }));
      plain.erase(it);
    }
  }
  ASSERT_EQ(table.size(), plain.size());
  for (const auto& [value, hash] : plain) {
    ASSERT_NE(table.Find(hash, [&](const Slot& s) { return s.value == value; }),
              nullptr);
  }
}

size_t HeapBytes() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

// Sanitizers bring an allocator that does not count for us.
bool HeapIsCounted() {
  const size_t before = HeapBytes();
  const std::vector<char> block(64 << 10);
  return HeapBytes() >= before + block.size();
}

// A fleet whose pods are all replaced, again and again: names and tables stay
// what one generation needs.
TEST(SeriesIndexTest, BytesASeriesStayWithinTheBudgetAndDoNotGrowWithChurn) {
  if (!HeapIsCounted()) GTEST_SKIP() << "no heap figures";
  constexpr uint32_t kSeries = 100'000;
  bench::Fleet fleet(1, 0);
  const size_t before = HeapBytes();
  SeriesIndex index;
  uint64_t next = 1;
  size_t first = 0;
  for (uint32_t generation = 0; generation < 4; ++generation) {
    std::vector<uint64_t> old = index.All("t");
    for (uint32_t i = 0; i < kSeries; ++i) {
      const Labels labels = fleet.LabelsOf(generation * kSeries + i);
      index.Add(next++, IdOf("t", labels), "t", labels);
    }
    index.Remove(old);
    old = {};
    const size_t bytes = (HeapBytes() - before) / kSeries;
    if (generation == 0) first = bytes;
    RecordProperty("bytes_a_series", static_cast<int>(bytes));
    EXPECT_LE(bytes, 130U) << "generation " << generation;
    // The peak of two generations leaves tables as large as it needed.
    EXPECT_LE(bytes, first * 2) << "generation " << generation;
  }
}

}  // namespace
}  // namespace vigie::store

// The matching part of SeriesIndex.
#include <algorithm>
#include <bit>
#include <iterator>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "store/series_index.h"

namespace vigie::store {
namespace {

// How many steps go between two looks at a stop token.
constexpr size_t kStopStride = 1024;
// How many steps ahead memory is asked for.
constexpr size_t kPrefetch = 16;
// From so many ids on, a bit each is cheaper than sorting them.
constexpr size_t kSortMax = 1024;

absl::Status Cancelled() { return absl::CancelledError("select: cancelled"); }

SeriesIndex::IdList Intersection(const SeriesIndex::IdList& ids,
                                 const Postings& postings) {
  SeriesIndex::IdList out;
  PostingsCursor cursor(postings);
  for (const uint64_t id : ids) {
    if (cursor.Contains(id)) out.push_back(id);
  }
  return out;
}

// Of sets that may overlap, and come in no order.
SeriesIndex::IdList UnionOfAll(const std::vector<const Postings*>& sets) {
  SeriesIndex::IdList out;
  size_t total = 0;
  for (const Postings* set : sets) total += set->size();
  if (sets.size() <= 1 || total <= kSortMax) {
    for (const Postings* set : sets) set->AppendIds(&out);
    if (sets.size() > 1) {
      std::sort(out.begin(), out.end());
      out.erase(std::unique(out.begin(), out.end()), out.end());
    }
    return out;
  }
  constexpr uint64_t kIds = 65'536;
  struct Bits {
    uint64_t words[kIds / 64] = {};
  };
  absl::flat_hash_map<uint64_t, std::unique_ptr<Bits>> parts;
  std::vector<IdRuns::Run> runs;
  for (const Postings* set : sets) {
    runs.clear();
    set->AppendRuns(&runs);
    Bits* bits = nullptr;
    uint64_t part = ~uint64_t{0};
    for (const IdRuns::Run& run : runs) {
      for (uint64_t id = run.first; id <= run.last; ++id) {
        if (id / kIds != part) {
          part = id / kIds;
          std::unique_ptr<Bits>& owned = parts[part];
          if (owned == nullptr) owned = std::make_unique<Bits>();
          bits = owned.get();
        }
        bits->words[id % kIds / 64] |= uint64_t{1} << (id % 64);
      }
    }
  }
  std::vector<uint64_t> order;
  for (const auto& [part, bits] : parts) order.push_back(part);
  std::sort(order.begin(), order.end());
  out.reserve(total);
  for (const uint64_t part : order) {
    const Bits& bits = *parts[part];
    for (uint64_t w = 0; w < kIds / 64; ++w) {
      for (uint64_t word = bits.words[w]; word != 0; word &= word - 1) {
        out.push_back(part * kIds + w * 64 +
                      static_cast<uint64_t>(std::countr_zero(word)));
      }
    }
  }
  return out;
}

bool IsNegative(const Matcher& matcher) {
  return matcher.type() == Matcher::Type::kNotEqual ||
         matcher.type() == Matcher::Type::kNotRegex;
}

// Which of the numbers below `end` were there before: a bit each, unless a few
// numbers do not deserve as many.
class SeenNumbers {
 public:
  SeenNumbers(size_t end, size_t expected)
      : bits_(end / 64 <= expected ? end : 0) {}
  // True the first time.
  bool Add(uint32_t number) {
    if (bits_.empty()) return few_.insert(number).second;
    const bool seen = bits_[number];
    bits_[number] = true;
    return !seen;
  }

 private:
  std::vector<bool> bits_;
  absl::flat_hash_set<uint32_t> few_;
};

}  // namespace

// The series whose value of the label is there and does (not) match.
absl::StatusOr<SeriesIndex::IdList> SeriesIndex::UnionOf(
    uint32_t tenant, const Matcher& matcher, bool matching,
    std::stop_token stop) const {
  std::vector<const Postings*> sets;
  auto add = [&](std::string_view value) {
    const Postings* set = pairs_.Find(tenant, matcher.name(), value);
    if (set != nullptr) sets.push_back(set);
  };
  const bool named = matching != IsNegative(matcher);
  if (named && (matcher.type() == Matcher::Type::kEqual ||
                matcher.type() == Matcher::Type::kNotEqual)) {
    add(matcher.value());
  } else if (named && !matcher.literals().empty()) {
    std::string_view last;
    for (const std::string& literal : matcher.literals()) {
      if (sets.empty() || literal != last) add(literal);
      last = literal;
    }
  } else {
    size_t steps = 0;
    bool stopped = false;
    pairs_.VisitValues(tenant, matcher.name(),
                       [&](std::string_view value, const Postings& series) {
                         stopped = ++steps % kStopStride == 0 &&
                                   stop.stop_requested();
                         if (matcher.Matches(value) == matching)
                           sets.push_back(&series);
                         return !stopped;
                       });
    if (stopped) return Cancelled();
  }
  return UnionOfAll(sets);
}

absl::Status SeriesIndex::Filter(const Matcher& matcher, std::stop_token stop,
                                 IdList* ids) const {
  IdList kept;
  size_t steps = 0;
  auto value_in = [&](uint32_t tuple, std::string_view* value) {
    for (const uint32_t pair : tuples_.PairsOf(tuple)) {
      const LabelView label = pairs_.Text(pair);
      if (label.name == matcher.name()) *value = label.value;
    }
  };
  for (const uint64_t id : *ids) {
    if (++steps % kStopStride == 0 && stop.stop_requested()) {
      return Cancelled();
    }
    const Row& row = RowOf(id);
    std::string_view value;
    value_in(row.target, &value);
    value_in(row.metric, &value);
    if (matcher.Matches(value)) kept.push_back(id);
  }
  *ids = std::move(kept);
  return absl::OkStatus();
}

absl::Status SeriesIndex::VisitPairsOf(
    const IdList& ids, std::stop_token stop,
    absl::FunctionRef<absl::Status(LabelView)> visit) const {
  SeenNumbers tuples(tuples_.numbers_end(), ids.size());
  SeenNumbers pairs(pairs_.numbers_end(), ids.size());
  IdPages<Row>::Cursor rows(rows_);
  uint32_t last_target = LabelPairs::kNone;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i % kStopStride == kStopStride - 1 && stop.stop_requested()) {
      return Cancelled();
    }
    if (i + kPrefetch < ids.size()) rows.Prefetch(ids[i + kPrefetch]);
    const Row* found = rows.Find(ids[i]);
    VIGIE_CHECK(found != nullptr);
    const Row row = *found;
    for (const uint32_t tuple : {row.target, row.metric}) {
      if (tuple == last_target || !tuples.Add(tuple)) continue;
      for (const uint32_t pair : tuples_.PairsOf(tuple)) {
        if (!pairs.Add(pair)) continue;
        VIGIE_RETURN_IF_ERROR(visit(pairs_.Text(pair)));
      }
    }
    last_target = row.target;
  }
  return absl::OkStatus();
}

absl::StatusOr<SeriesIndex::IdList> SeriesIndex::Match(
    std::string_view tenant, const std::vector<Matcher>& matchers,
    std::stop_token stop) const {
  const uint32_t owner = pairs_.FindTenant(tenant);
  if (owner == LabelPairs::kNone) return IdList();

  // First what equality finds without looking at any value, fewest first.
  std::vector<const Postings*> equal;
  std::vector<const Matcher*> others;
  for (const Matcher& matcher : matchers) {
    if (matcher.type() != Matcher::Type::kEqual || matcher.MatchesEmpty()) {
      others.push_back(&matcher);
      continue;
    }
    const Postings* set = pairs_.Find(owner, matcher.name(), matcher.value());
    if (set == nullptr) return IdList();
    equal.push_back(set);
  }
  std::sort(equal.begin(), equal.end(),
            [](const Postings* a, const Postings* b) {
              return a->size() < b->size();
            });
  IdList ids;
  bool narrowed = !equal.empty();
  if (narrowed) {
    equal[0]->AppendIds(&ids);
    for (size_t i = 1; i < equal.size(); ++i) {
      ids = Intersection(ids, *equal[i]);
    }
  }

  // Those that an absent label does not satisfy narrow, so they go first.
  std::stable_partition(others.begin(), others.end(),
                        [](const Matcher* m) { return !m->MatchesEmpty(); });
  for (const Matcher* matcher : others) {
    // Few candidates are looked at one by one, rather than every value.
    if (narrowed && matcher->literals().empty() &&
        ids.size() <= pairs_.CountValues(owner, matcher->name())) {
      VIGIE_RETURN_IF_ERROR(Filter(*matcher, stop, &ids));
      continue;
    }
    const bool matching = !matcher->MatchesEmpty();
    VIGIE_ASSIGN_OR_RETURN(IdList some,
                           UnionOf(owner, *matcher, matching, stop));
    if (matching && !narrowed) {
      ids = std::move(some);
    } else {
      if (!narrowed) ids = All(tenant);
      IdList kept;
      if (matching) {
        std::set_intersection(ids.begin(), ids.end(), some.begin(), some.end(),
                              std::back_inserter(kept));
      } else {
        std::set_difference(ids.begin(), ids.end(), some.begin(), some.end(),
                            std::back_inserter(kept));
      }
      ids = std::move(kept);
    }
    narrowed = true;
  }
  if (!narrowed) ids = All(tenant);
  return ids;
}

}  // namespace vigie::store

#include "store/ordered_merge.h"

#include <algorithm>
#include <iterator>

namespace vigie::store {
namespace {

bool IsFloats(const SampleRuns& runs) {
  return runs.size() == 1 && runs[0].kind == SampleKind::kFloat;
}

void Append(SampleRuns&& more, SampleRuns* to) {
  for (SampleColumns& run : more) {
    if (!to->empty() && to->back().kind == run.kind) {
      to->back().AppendSlice(run, 0, run.size());
    } else {
      to->push_back(std::move(run));
    }
  }
}

SampleRuns MergedPair(SampleRuns&& first, SampleRuns&& second,
                      uint64_t* conflicts) {
  if (first.empty()) return std::move(second);
  if (second.empty()) return std::move(first);
  if (first.back().times_ms.back() < second.front().times_ms.front()) {
    Append(std::move(second), &first);
    return std::move(first);
  }
  if (second.back().times_ms.back() < first.front().times_ms.front()) {
    Append(std::move(first), &second);
    return std::move(second);
  }
  if (IsFloats(first) && IsFloats(second)) {
    SampleRuns merged;
    merged.push_back(Merged(first[0], second[0], conflicts));
    return merged;
  }
  return MergedRuns(first, second, conflicts);
}

}  // namespace

SampleRuns OrderedMerge(std::vector<RankedRuns>* sources, uint64_t* conflicts) {
  std::stable_sort(
      sources->begin(), sources->end(),
      [](const RankedRuns& a, const RankedRuns& b) { return a.rank < b.rank; });
  std::vector<SampleRuns> level;
  level.reserve(sources->size());
  for (RankedRuns& source : *sources) level.push_back(std::move(source.runs));
  sources->clear();
  // Neighbours in pairs, so that n sources cost log n passes; and neighbours
  // only, so that the order of ranks is kept.
  while (level.size() > 1) {
    std::vector<SampleRuns> next;
    for (size_t i = 0; i < level.size(); i += 2) {
      next.push_back(i + 1 < level.size()
                         ? MergedPair(std::move(level[i]),
                                      std::move(level[i + 1]), conflicts)
                         : std::move(level[i]));
    }
    level = std::move(next);
  }
  return level.empty() ? SampleRuns() : std::move(level.front());
}

}  // namespace vigie::store

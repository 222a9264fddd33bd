#include "store/series_page.h"

#include <algorithm>

namespace vigie::store {
namespace {

// Cuts [min_ms, max_ms] out of `*runs`.
void Clip(const TimeRange& range, SampleRuns* runs) {
  SampleRuns kept;
  for (SampleColumns& run : *runs) {
    const size_t begin = run.LowerBound(range.min_ms);
    const size_t end = run.UpperBound(range.max_ms);
    if (begin >= end) continue;
    if (begin == 0 && end == run.size()) {
      kept.push_back(std::move(run));
    } else {
      kept.emplace_back().AppendSlice(run, begin, end);
    }
  }
  *runs = std::move(kept);
}

void Push(int64_t time_ms, const LateSample& sample, SampleRuns* runs) {
  const auto kind = static_cast<SampleKind>(sample.value.index());
  if (runs->empty() || runs->back().kind != kind) {
    runs->emplace_back().kind = kind;
  }
  SampleColumns& run = runs->back();
  switch (kind) {
    case SampleKind::kFloat:
      run.PushBack(time_ms, std::get<0>(sample.value), sample.start_ms);
      break;
    case SampleKind::kIntegerHistogram:
      run.PushBack(time_ms, *std::get<1>(sample.value), sample.start_ms);
      break;
    case SampleKind::kFloatHistogram:
      run.PushBack(time_ms, *std::get<2>(sample.value), sample.start_ms);
      break;
  }
}

// `more` behind `*runs`; where times meet, what is there stays.
void Merge(SampleRuns more, SampleRuns* runs) {
  if (more.empty()) return;
  if (runs->empty()) {
    *runs = std::move(more);
    return;
  }
  if (runs->back().times_ms.back() < more.front().times_ms.front()) {
    for (SampleColumns& run : more) {
      if (runs->back().kind == run.kind) {
        runs->back().AppendSlice(run, 0, run.size());
      } else {
        runs->push_back(std::move(run));
      }
    }
    return;
  }
  uint64_t conflicts = 0;  // admission lets none through
  *runs = MergedRuns(*runs, more, &conflicts);
}

}  // namespace

void OpenPage::Read(size_t slot, const TimeRange& range,
                    SampleRuns* runs) const {
  const OpenChunk& chunk = chunks[slot];
  if (!chunk.empty() && chunk.first_time_ms() <= range.max_ms &&
      chunk.last_time_ms() >= range.min_ms) {
    SampleRuns decoded;
    chunk.Decode(&decoded);
    if (chunk.first_time_ms() < range.min_ms ||
        chunk.last_time_ms() > range.max_ms) {
      Clip(range, &decoded);
    }
    Merge(std::move(decoded), runs);
  }
  if (late.empty()) return;
  const auto of_slot = late.find(static_cast<uint8_t>(slot));
  if (of_slot == late.end()) return;
  SampleRuns decoded;
  for (auto it = of_slot->second.lower_bound(range.min_ms);
       it != of_slot->second.end() && it->first <= range.max_ms; ++it) {
    Push(it->first, it->second, &decoded);
  }
  Merge(std::move(decoded), runs);
}

}  // namespace vigie::store

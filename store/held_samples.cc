#include "store/held_samples.h"

namespace vigie::store {
namespace {

// How many decoded samples of series are kept while one batch is decided.
constexpr size_t kDecodedMax = 1 << 20;

}  // namespace

void HeldSamples::Clear() {
  indexed_ = false;
  if (!places_.empty()) places_.clear();
  if (!decoded_.empty()) decoded_.clear();
  decoded_samples_ = 0;
}

const SampleRuns& HeldSamples::DecodedOf(const Head& head, uint64_t id) {
  if (const auto it = decoded_.find(id); it != decoded_.end()) {
    return it->second;
  }
  if (decoded_samples_ > kDecodedMax) {
    decoded_.clear();
    decoded_samples_ = 0;
  }
  SampleRuns& runs = decoded_[id];
  head.Read(id, TimeRange(), &runs);
  for (const SampleColumns& run : runs) decoded_samples_ += run.size();
  return runs;
}

template <class Value>
void HeldSamples::Index(const BatchRecord::Columns<Value>& columns) {
  for (size_t i = 0; i < columns.size(); ++i) {
    places_.emplace(std::pair(columns.ids[i], columns.times_ms[i]),
                    Place{&columns, static_cast<uint32_t>(i)});
  }
}

const SampleColumns* HeldSamples::Find(const Head& head, bool in_head,
                                       uint64_t id, uint32_t accepted,
                                       int64_t time_ms,
                                       const BatchRecord& record, size_t* i) {
  if (in_head) {
    for (const SampleColumns& run : DecodedOf(head, id)) {
      *i = run.LowerBound(time_ms);
      if (*i < run.size() && run.times_ms[*i] == time_ms) return &run;
    }
  }
  if (accepted == 0) return nullptr;
  if (!indexed_) {
    indexed_ = true;
    Index(record.floats);
    Index(record.deltas);
    Index(record.integer_histograms);
    Index(record.float_histograms);
  }
  const auto it = places_.find(std::pair(id, time_ms));
  if (it == places_.end()) return nullptr;
  const auto [columns, index] = it->second;
  found_.clear();
  *i = 0;
  if (columns == &record.floats) {
    found_.PushBack(time_ms, record.floats.values[index], 0);
  } else if (columns == &record.deltas) {
    found_.PushBack(time_ms, record.deltas.values[index], 0);
  } else if (columns == &record.integer_histograms) {
    found_.PushBack(time_ms, record.integer_histograms.values[index], 0);
  } else {
    found_.PushBack(time_ms, record.float_histograms.values[index], 0);
  }
  return &found_;
}

void HeldSamples::Note(uint64_t id, int64_t time_ms, size_t index,
                       const void* columns) {
  if (!indexed_) return;
  places_.emplace(std::pair(id, time_ms),
                  Place{columns, static_cast<uint32_t>(index)});
}

}  // namespace vigie::store

#include "store/label_order.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace vigie::store {

uint32_t LabelOrder::NumberOf(const LabelView& label) {
  if (const auto it = numbers_.find(label); it != numbers_.end()) {
    return it->second;
  }
  const auto number = static_cast<uint32_t>(pairs_.size());
  const Pair& pair = pairs_.emplace_back(
      Pair{std::string(label.name), std::string(label.value)});
  numbers_.emplace(LabelView{pair.name, pair.value}, number);
  return number;
}

void LabelOrder::Add(const Labels& labels) {
  begins_.push_back(static_cast<uint32_t>(ranks_.size()));
  for (const LabelView& label : labels) ranks_.push_back(NumberOf(label));
}

void LabelOrder::Add(const SeriesIndex& index, uint64_t id) {
  begins_.push_back(static_cast<uint32_t>(ranks_.size()));
  index.PairsOf(id, &scratch_);
  for (const uint32_t pair : scratch_) {
    const auto [it, added] = of_index_.try_emplace(pair);
    if (added) it->second = NumberOf(index.PairText(pair));
    ranks_.push_back(it->second);
  }
}

std::vector<uint32_t> LabelOrder::Sort() {
  std::vector<uint32_t> by_text(pairs_.size());
  std::iota(by_text.begin(), by_text.end(), 0U);
  std::sort(by_text.begin(), by_text.end(), [&](uint32_t a, uint32_t b) {
    const Pair& x = pairs_[a];
    const Pair& y = pairs_[b];
    const int order = x.name.compare(y.name);
    return order != 0 ? order < 0 : x.value < y.value;
  });
  std::vector<uint32_t> rank_of(pairs_.size());
  for (uint32_t i = 0; i < by_text.size(); ++i) rank_of[by_text[i]] = i;
  for (uint32_t& rank : ranks_) rank = rank_of[rank];

  // What all have in common at the beginning decides nothing.
  const auto count = static_cast<uint32_t>(begins_.size());
  uint32_t common = count == 0 ? 0 : EndOf(0) - begins_[0];
  for (uint32_t i = 1; i < count && common > 0; ++i) {
    common = std::min(common, EndOf(i) - begins_[i]);
    const auto mismatch = std::mismatch(ranks_.begin() + begins_[0],
                                        ranks_.begin() + begins_[0] + common,
                                        ranks_.begin() + begins_[i]);
    common =
        static_cast<uint32_t>(mismatch.first - ranks_.begin()) - begins_[0];
  }
  // The ranks after it, as many as fit into a word, decide most. 0: the end.
  const auto bits = static_cast<int>(std::bit_width(pairs_.size() + 1));
  const int in_key = 64 / bits;
  struct Key {
    uint64_t prefix;
    uint32_t series;
  };
  std::vector<Key> keys(count);
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t prefix = 0;
    for (int j = 0; j < in_key; ++j) {
      const uint64_t at =
          uint64_t{begins_[i]} + common + static_cast<uint64_t>(j);
      const uint64_t rank = at < EndOf(i) ? ranks_[at] + uint64_t{1} : 0;
      prefix = prefix << bits | rank;
    }
    keys[i] = {prefix, i};
  }
  std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const auto order = std::lexicographical_compare_three_way(
        ranks_.begin() + begins_[a.series], ranks_.begin() + EndOf(a.series),
        ranks_.begin() + begins_[b.series], ranks_.begin() + EndOf(b.series));
    return order != 0 ? order < 0 : a.series < b.series;
  });
  std::vector<uint32_t> sorted(count);
  for (uint32_t i = 0; i < count; ++i) sorted[i] = keys[i].series;
  return sorted;
}

size_t LabelOrder::SortAndCount() {
  size_t count = 0;
  uint32_t last = 0;
  for (const uint32_t i : Sort()) {
    if (count == 0 || !SameLabels(last, i)) ++count;
    last = i;
  }
  return count;
}

bool LabelOrder::SameLabels(uint32_t a, uint32_t b) const {
  return std::equal(ranks_.begin() + begins_[a], ranks_.begin() + EndOf(a),
                    ranks_.begin() + begins_[b], ranks_.begin() + EndOf(b));
}

}  // namespace vigie::store

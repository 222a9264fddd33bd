#include "store/label_order.h"

#include <algorithm>
#include <bit>

#include "store/text_order.h"

namespace vigie::store {

uint32_t LabelOrder::AddPair(const LabelView& label) {
  pairs_.push_back({std::string(label.name), std::string(label.value)});
  return static_cast<uint32_t>(pairs_.size() - 1);
}

uint32_t LabelOrder::NumberOf(const LabelView& label) {
  for (size_t i = numbers_.size(); i < pairs_.size(); ++i) {  // of the index
    numbers_.emplace(LabelView{pairs_[i].name, pairs_[i].value},
                     static_cast<uint32_t>(i));
  }
  if (const auto it = numbers_.find(label); it != numbers_.end()) {
    return it->second;
  }
  const uint32_t number = AddPair(label);
  const Pair& pair = pairs_.back();
  numbers_.emplace(LabelView{pair.name, pair.value}, number);
  return number;
}

void LabelOrder::Add(const Labels& labels) {
  begins_.push_back(static_cast<uint32_t>(ranks_.size()));
  for (const LabelView& label : labels) ranks_.push_back(NumberOf(label));
}

void LabelOrder::Add(const SeriesIndex& index, uint64_t id) {
  index.PairsOf(id, &scratch_);
  Add(index, scratch_);
}

void LabelOrder::Add(const SeriesIndex& index,
                     const std::vector<uint32_t>& pairs) {
  begins_.push_back(static_cast<uint32_t>(ranks_.size()));
  for (const uint32_t pair : pairs) {
    const auto [it, added] = of_index_.try_emplace(pair);
    if (added) {
      const LabelView text = index.PairText(pair);
      it->second = numbers_.empty() ? AddPair(text) : NumberOf(text);
    }
    ranks_.push_back(it->second);
  }
}

std::vector<uint32_t> LabelOrder::PairsByText() const {
  // Names are few: each has its values sorted.
  absl::flat_hash_map<absl::string_view, std::vector<uint32_t>> of_name;
  for (uint32_t i = 0; i < pairs_.size(); ++i) {
    of_name[ToAbsl(pairs_[i].name)].push_back(i);
  }
  std::vector<absl::string_view> names;
  for (const auto& [name, pairs] : of_name) names.push_back(name);
  std::sort(names.begin(), names.end());
  std::vector<uint32_t> by_text;
  by_text.reserve(pairs_.size());
  std::vector<std::string_view> values;
  for (const absl::string_view name : names) {
    const std::vector<uint32_t>& pairs = of_name[name];
    values.clear();
    for (const uint32_t pair : pairs) values.push_back(pairs_[pair].value);
    for (const uint32_t i : OrderOfTexts(values)) by_text.push_back(pairs[i]);
  }
  return by_text;
}

std::vector<uint32_t> LabelOrder::Sort() {
  const std::vector<uint32_t> by_text = PairsByText();
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

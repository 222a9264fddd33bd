// LabelOrder sorts series by their labels without comparing strings for each
// pair of series: the distinct label pairs are sorted once, and series are
// compared as lists of their ranks.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/strings.h"
#include "model/labels.h"
#include "store/series_index.h"

namespace vigie::store {

class LabelOrder {
 public:
  // Series are numbered in the order of these calls. The others take the
  // labels of `id`, or its pairs, without building them; always of the same
  // index and tenant, which do not change between the calls. About 50 bytes a
  // series.
  void Add(const Labels& labels);
  void Add(const SeriesIndex& index, uint64_t id);
  void Add(const SeriesIndex& index, const std::vector<uint32_t>& pairs);

  // The numbers of all series in order of their labels, as Labels compare;
  // of equal labels those added first. Ends the adding.
  std::vector<uint32_t> Sort();
  // Sorts, and tells how many there are that differ.
  size_t SortAndCount();
  // After Sort.
  bool SameLabels(uint32_t a, uint32_t b) const;

  size_t size() const { return begins_.size(); }

 private:
  struct LabelViewHash {
    size_t operator()(const LabelView& label) const {
      return absl::HashOf(ToAbsl(label.name), ToAbsl(label.value));
    }
  };
  struct Pair {
    std::string name;
    std::string value;
  };

  uint32_t NumberOf(const LabelView& label);
  uint32_t AddPair(const LabelView& label);
  std::vector<uint32_t> PairsByText() const;
  uint32_t EndOf(uint32_t series) const {
    return series + 1 < begins_.size() ? begins_[series + 1]
                                       : static_cast<uint32_t>(ranks_.size());
  }

  std::deque<Pair> pairs_;
  // Of all pairs, once there are labels that no index has numbered.
  absl::flat_hash_map<LabelView, uint32_t, LabelViewHash> numbers_;
  absl::flat_hash_map<uint32_t, uint32_t> of_index_;  // by its numbers
  std::vector<uint32_t> begins_;
  std::vector<uint32_t> ranks_;  // numbers, until Sort
  std::vector<uint32_t> scratch_;
};

}  // namespace vigie::store

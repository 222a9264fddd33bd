// Packs native histograms of one layout: the layout once, then each count over
// time as a column, packed by integer_codec.h or value_codec.h. The total is
// kept as what it lacks to the sum of its buckets, mostly nothing.
// Bytes: docs/formats/chunk.md.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "model/histogram.h"
#include "store/byte_coding.h"

namespace vigie::store {

// Of the words below, over all histograms of a chunk; a single one may have
// more. It bounds what a decode allocates.
inline constexpr size_t kChunkWordsLimit = size_t{1} << 20;

// Buckets, spans and bounds of one histogram.
template <class Count>
size_t Words(const BasicHistogram<Count>& h) {
  return h.positive_buckets.size() + h.negative_buckets.size() +
         h.positive_spans.size() + h.negative_spans.size() +
         h.custom_values.size();
}

// Whether schema, bounds, spans and numbers of buckets are equal, bit for bit.
// Counts and reset hints are no part of the layout.
template <class Count>
bool SameLayout(const BasicHistogram<Count>& a, const BasicHistogram<Count>& b);

// The layout alone.
template <class Count>
void PutLayout(const BasicHistogram<Count>& h, std::string* out);
// A histogram of that layout whose counts are 0. False if the bytes are not
// what PutLayout wrote.
template <class Count>
bool TakeLayout(ByteReader* in, BasicHistogram<Count>* h);

// At most 4096 histograms of one layout, at least one, and no more words
// than kChunkWordsLimit unless it is only one.
template <class Count>
void EncodeHistograms(std::span<const BasicHistogram<Count>> column,
                      std::string* out);

// Appends `size` histograms to `*column`. False if the bytes are not what
// EncodeHistograms wrote.
template <class Count>
bool DecodeHistograms(ByteReader* in, size_t size,
                      std::vector<BasicHistogram<Count>>* column);

}  // namespace vigie::store

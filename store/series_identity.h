// SeriesIdentity stands for a tenant and a label set: XXH3-128 with a secret of
// the data directory, so that nobody outside can make two series collide.
// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "model/labels.h"

namespace vigie::store {

struct SeriesIdentity {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const SeriesIdentity&,
                         const SeriesIdentity&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SeriesIdentity& identity) {
    return H::combine(std::move(h), identity.low);  // uniform as it is
  }
};

// `labels` are canonical bytes; `secret`: kIdentitySecretBytes random ones,
// kept with the data.
inline constexpr size_t kIdentitySecretBytes = 192;
SeriesIdentity IdentityOf(std::string_view tenant, std::string_view labels,
                          std::string_view secret);

// Brings the series of one metric next to each other; it identifies nothing.
uint32_t MetricHash(const Labels& labels);
uint32_t MetricHash(std::string_view metric_name);

}  // namespace vigie::store

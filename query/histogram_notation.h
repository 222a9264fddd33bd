// Native histograms as the notation of test series has them:
// `{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5 10 7]
// offset:-3 n_buckets:[4 5] n_offset:-5 custom_values:[1 2]
// counter_reset_hint:gauge}}`, every part of it optional, in any order.
// Source: prometheus.io "Unit testing for rules", "<series>".
// Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/histogram.h"

namespace vigie::query {

// Takes the histogram that `text` begins with off its front. Whether its
// counts make sense together is not looked at. kInvalidArgument if there is
// none, and for a key that is unknown or there twice.
absl::StatusOr<FloatHistogram> TakeHistogram(std::string_view* text);

// The one text of all histograms that say the same: what is zero is left out,
// and so are empty buckets at both ends. It reads back, unless more than a
// thousand buckets lie empty between two others: their number stands there.
std::string HistogramNotation(const FloatHistogram& histogram);

}  // namespace vigie::query

// Whatever bytes come in, the OTLP decoder ends, within its bound, and what it
// gives is something the store can take.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "collector/otlp_decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vigie::Labels;
  const auto decoded = vigie::collector::DecodeOtlp(
      {reinterpret_cast<const char*>(data), size}, {}, 1 << 20);
  if (!decoded.ok()) return 0;
  uint64_t points = 0;
  for (const auto& refusal : decoded->refusals) points += refusal.points;
  for (const auto& [batch, accepted] : decoded->batches) {
    points += accepted;
    const size_t series = batch.series.size();
    for (const auto& p : batch.floats) VIGIE_CHECK(p.series < series);
    for (const auto& p : batch.deltas) VIGIE_CHECK(p.start_ms <= p.end_ms);
    for (const auto& p : batch.exemplars) VIGIE_CHECK(p.series < series);
    for (const auto& p : batch.integer_histograms) {
      uint64_t buckets = 0;
      for (const auto& span : p.histogram.positive_spans)
        buckets += span.length;
      VIGIE_CHECK(buckets == p.histogram.positive_buckets.size());
    }
    for (const auto& one : batch.series) {
      VIGIE_CHECK(Labels::FromBytes(one.labels.bytes()).ok());
      VIGIE_CHECK(!one.labels.metric_name().empty());
    }
  }
  // No point is lost without a word.
  VIGIE_CHECK(points == decoded->points);
  return 0;
}

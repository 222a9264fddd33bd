// Whatever bytes come in, the remote write decoder ends, within its bound, and
// what it gives is something the store can take.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "collector/remote_write_decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vigie::Labels;
  const auto decoded = vigie::collector::DecodeWriteRequest(
      {reinterpret_cast<const char*>(data), size}, 1 << 20);
  if (!decoded.ok()) return 0;
  const auto& batch = decoded->batch;
  uint64_t samples = batch.floats.size() + batch.integer_histograms.size() +
                     batch.float_histograms.size();
  for (const auto& refusal : decoded->refusals) {
    if (refusal.of_samples) samples += refusal.count;
  }
  VIGIE_CHECK(samples == decoded->samples);
  for (const auto& p : batch.floats)
    VIGIE_CHECK(p.series < batch.series.size());
  for (const auto& p : batch.exemplars) {
    VIGIE_CHECK(p.series < batch.series.size());
  }
  for (const auto& one : batch.series) {
    VIGIE_CHECK(Labels::FromBytes(one.labels.bytes()).ok());
    VIGIE_CHECK(!one.labels.metric_name().empty());
  }
  return 0;
}

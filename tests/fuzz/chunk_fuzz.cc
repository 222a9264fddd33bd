// Any bytes decode or are refused; what decodes is in order, and encodes and
// decodes again to the same bits.
#include <bit>
#include <cstdlib>
#include <string_view>

#include "store/chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vigie::store;
  SampleColumns samples;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (!DecodeChunk(bytes, &samples).ok()) return 0;
  SampleColumns again;
  if (!DecodeChunk(EncodeChunk(samples, 0, samples.size()), &again).ok()) {
    std::abort();
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    if ((i > 0 && samples.times_ms[i - 1] >= samples.times_ms[i]) ||
        samples.times_ms[i] != again.times_ms[i] ||
        samples.start_ms(i) != again.start_ms(i) ||
        std::bit_cast<uint64_t>(samples.values[i]) !=
            std::bit_cast<uint64_t>(again.values[i])) {
      std::abort();
    }
  }
  return 0;
}

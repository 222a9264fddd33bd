// Any bits of times, start times, doubles and counts come back out of a chunk,
// and its statistics are those of its values.
#include <cstdlib>

#include "store/chunk.h"
#include "tests/fuzz/fuzz_samples.h"
#include "tests/store/random_samples.h"

namespace vigie::store {
namespace {

void RoundTrip(const SampleColumns& samples) {
  for (size_t begin = 0; begin < samples.size();) {
    const size_t end = ChunkEnd(samples, begin, samples.size());
    const std::string bytes = EncodeChunk(samples, begin, end);
    SampleColumns expected, decoded;
    expected.kind = samples.kind;
    expected.AppendSlice(samples, begin, end);
    if (!DecodeChunk(bytes, &decoded).ok() || !SameBits(expected, decoded)) {
      std::abort();
    }
    if (samples.kind == SampleKind::kFloat) {
      const auto statistics = ReadChunkStatistics(bytes);
      if (!statistics.ok() || !(*statistics == StatisticsOf(expected.values))) {
        std::abort();
      }
    }
    begin = end;
  }
}

void Run(FuzzSource in) {
  SampleColumns samples;
  const uint64_t form = in.Take(1);
  int64_t time_ms = static_cast<int64_t>(in.Take(8));
  uint64_t step_ms = 15'000;
  int64_t start_ms = 0;
  double value = 0;
  IntegerHistogram integer;
  FloatHistogram floats;
  while (!in.empty() && samples.size() < kChunkSamplesLimit) {
    if (form % 4 == 0) step_ms = in.TakeWord(step_ms);
    if (form / 4 % 4 == 0) {
      start_ms =
          static_cast<int64_t>(in.TakeWord(static_cast<uint64_t>(start_ms)));
    }
    const auto next_ms =
        static_cast<int64_t>(static_cast<uint64_t>(time_ms) + step_ms);
    if (!samples.empty() && next_ms <= time_ms) break;
    time_ms = next_ms;
    switch (form / 16 % 4) {
      case 0:
        samples.PushBack(time_ms, integer = in.TakeHistogram(integer),
                         start_ms);
        break;
      case 1:
        samples.PushBack(time_ms, floats = in.TakeHistogram(floats), start_ms);
        break;
      case 2:
        samples.PushBack(time_ms, value = in.TakeDouble(value), start_ms);
        break;
      default:
        samples.PushBack(time_ms, std::bit_cast<double>(in.Take(8)), start_ms);
    }
  }
  RoundTrip(samples);
}

}  // namespace
}  // namespace vigie::store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vigie::store::Run({data, size});
  return 0;
}

// Samples of any kind and any bits go into an OpenChunk and come out of it and
// of its copy.
#include <cstdlib>

#include "store/open_chunk.h"
#include "tests/fuzz/fuzz_samples.h"
#include "tests/store/random_samples.h"

namespace vigie::store {
namespace {

void Check(const OpenChunk& chunk, const SampleRuns& expected) {
  SampleRuns runs;
  chunk.Decode(&runs);
  if (runs.size() != expected.size()) std::abort();
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!SameBits(runs[i], expected[i])) std::abort();
  }
}

template <class Value>
void Append(int64_t time_ms, int64_t start_ms, const Value& value,
            SampleKind kind, OpenChunk* chunk, SampleRuns* expected) {
  chunk->Append(time_ms, start_ms, value);
  if (expected->empty() || expected->back().kind != kind) {
    expected->emplace_back();
  }
  expected->back().PushBack(time_ms, value, start_ms);
}

void Run(FuzzSource in) {
  OpenChunk chunk;
  SampleRuns expected;
  uint64_t step_ms = 15'000;
  int64_t start_ms = 0;
  double value = 0;
  IntegerHistogram integer;
  FloatHistogram floats;
  int64_t time_ms = static_cast<int64_t>(in.Take(8));
  while (!in.empty()) {
    const uint64_t what = in.Take(1);
    if (what % 4 == 0) {
      start_ms =
          static_cast<int64_t>(in.TakeWord(static_cast<uint64_t>(start_ms)));
    }
    if (what / 4 % 4 == 0) step_ms = in.TakeWord(step_ms);
    int64_t next_ms =
        static_cast<int64_t>(static_cast<uint64_t>(time_ms) + step_ms);
    if (!chunk.empty() && next_ms <= time_ms) return Check(chunk, expected);
    time_ms = next_ms;
    switch (what / 16) {
      case 0:
        integer = in.TakeHistogram(integer);
        Append(time_ms, start_ms, integer, SampleKind::kIntegerHistogram,
               &chunk, &expected);
        break;
      case 1:
        floats = in.TakeHistogram(floats);
        Append(time_ms, start_ms, floats, SampleKind::kFloatHistogram, &chunk,
               &expected);
        break;
      default:
        value = in.TakeDouble(value);
        Append(time_ms, start_ms, value, SampleKind::kFloat, &chunk, &expected);
        if (!SameBits(chunk.last_value(), value)) std::abort();
    }
    if (chunk.last_time_ms() != time_ms || chunk.last_start_ms() != start_ms) {
      std::abort();
    }
  }
  Check(chunk.Copy(), expected);
  Check(chunk, expected);
}

}  // namespace
}  // namespace vigie::store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vigie::store::Run({data, size});
  return 0;
}

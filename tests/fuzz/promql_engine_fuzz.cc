// Evaluates arbitrary text over a small store, as an instant and as a range
// query: whatever parses must end with an answer or an error, and hold
// nothing afterwards.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "query/engine.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"

namespace {

using vigie::testing::MemoryStore;
using vigie::testing::SimulatedClock;

MemoryStore* MakeStore() {
  auto* store = new MemoryStore();
  vigie::store::AppendBatch batch;
  for (uint32_t s = 0; s < 6; ++s) {
    const std::string id(1, static_cast<char>('0' + s % 3));
    const std::string le = s % 3 == 2 ? "+Inf" : id;
    batch.series.push_back(
        {.labels = vigie::Labels({{"__name__", s < 3 ? "a_bucket" : "b"},
                                  {"id", id},
                                  {"le", le},
                                  {"job", "j"}}),
         .ref = {}});
    for (int64_t i = 0; i < 20; ++i) {
      double value = static_cast<double>((i * (s + 3)) % 11);
      if (i == 7 && s == 1) value = vigie::StaleMarker();
      if (i == 9 && s == 4) value = vigie::NormalNan();
      batch.floats.push_back(
          {.series = s, .sample = {i * 15'000, value}, .start_ms = 0});
    }
  }
  store->Append(std::move(batch), [](vigie::store::AppendOutcome outcome) {
    VIGIE_CHECK(outcome.status.ok());
  });
  return store;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 512) return 0;
  static const MemoryStore* const store = MakeStore();
  static const SimulatedClock* const clock = new SimulatedClock(0);
  vigie::query::EngineOptions options;
  options.experimental = true;
  options.query_bytes_max = 4 << 20;
  const vigie::query::Engine engine(*store, *clock, options);
  const std::string text(reinterpret_cast<const char*>(data), size);

  vigie::query::InstantQuery instant;
  instant.query = text;
  instant.time_ms = 200'000;
  static_cast<void>(engine.Run(instant));
  VIGIE_CHECK(engine.process_account().bytes() == 0);

  vigie::query::RangeQuery range;
  range.query = text;
  range.start_ms = -30'000;
  range.end_ms = 300'000;
  range.step_ms = 20'000;
  static_cast<void>(engine.Run(range));
  VIGIE_CHECK(engine.process_account().bytes() == 0);
  return 0;
}

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

// h{id="0"}: exponential, with resets, a change of schema and a gauge;
// h{id="1"}: custom buckets, their bounds change; h{id="2"}: floats and
// histograms.
void AddHistograms(vigie::store::AppendBatch* batch) {
  const auto first = static_cast<uint32_t>(batch->series.size());
  for (const char* id : {"0", "1", "2"}) {
    batch->series.push_back(
        {.labels = vigie::Labels({{"__name__", "h"}, {"id", id}}), .ref = {}});
  }
  for (int64_t i = 0; i < 20; ++i) {
    const double count = static_cast<double>(i % 8 + 1);
    vigie::FloatHistogram exponential;
    exponential.schema = i < 10 ? 1 : 0;
    exponential.zero_threshold = 0.001;
    exponential.zero_count = count;
    exponential.positive_spans = {{.offset = -1, .length = 2},
                                  {.offset = 1, .length = 1}};
    exponential.positive_buckets = {count, 2 * count, 1};
    exponential.negative_spans = {{.offset = 0, .length = 1}};
    exponential.negative_buckets = {count};
    exponential.count = 5 * count + 1;
    exponential.sum = i == 5 ? vigie::NormalNan() : 7 * count;
    if (i == 13) exponential.reset_hint = vigie::CounterResetHint::kGauge;
    vigie::FloatHistogram custom;
    custom.schema = vigie::kCustomBucketsSchema;
    custom.custom_values = {0.5, i < 12 ? 1.0 : 2.0};
    custom.positive_spans = {{.offset = 0, .length = 3}};
    custom.positive_buckets = {count, count, count};
    custom.count = 3 * count;
    custom.sum = count;
    for (uint32_t s = 0; s < 3; ++s) {
      if (s == 2 && i % 2 == 1) {
        batch->floats.push_back({.series = first + s,
                                 .sample = {i * 15'000, count},
                                 .start_ms = 0});
        continue;
      }
      batch->float_histograms.push_back(
          {.series = first + s,
           .time_ms = i * 15'000,
           .histogram = s == 1 ? custom : exponential,
           .start_ms = 0});
    }
  }
}

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
  AddHistograms(&batch);
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

// What a MemoryStore holds, as text to expect: series -> "time value ..." with
// times in ms and "stale" for staleness markers.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>

#include "base/byte_account.h"
#include "model/sample.h"
#include "tests/support/memory_store.h"

namespace vigie::collector {

inline std::map<std::string, std::string> StoredSamples(
    const testing::MemoryStore& store) {
  std::map<std::string, std::string> out;
  ByteAccount account("test", int64_t{1} << 30);
  const auto snapshot = store.Select({}, {.account = &account, .stop = {}});
  for (size_t i = 0; i < (*snapshot)->size(); ++i) {
    std::string text;
    auto samples = (*snapshot)->Samples(i);
    store::SampleBatch batch;
    while (samples->Next(&batch).value()) {
      for (size_t j = 0; j < batch.values.size(); ++j) {
        if (!text.empty()) text += ' ';
        text += IsStaleMarker(batch.values[j])
                    ? fmt::format("{} stale", batch.times_ms[j])
                    : fmt::format("{} {}", batch.times_ms[j], batch.values[j]);
      }
    }
    out[(*snapshot)->labels(i).ToString()] = text;
  }
  return out;
}

}  // namespace vigie::collector

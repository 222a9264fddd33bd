// Any text gives series values or an error; histograms among them have one
// text, which reads back as what it says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "query/histogram_notation.h"
#include "query/series_notation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vigie;
  using namespace vigie::query;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto values = ParseStepValues(text);
  if (!values.ok()) return 0;
  SetResetHints(&*values);
  size_t looked_at = 0;
  for (const auto& value : *values) {
    if (!value.has_value()) continue;
    const auto* histogram = std::get_if<FloatHistogram>(&*value);
    if (histogram == nullptr || ++looked_at > 16) continue;
    const std::string shown = HistogramNotation(*histogram);
    if (shown.find("empty)") != shown.npos) continue;
    std::string_view rest = shown;
    const auto read = TakeHistogram(&rest);
    if (!read.ok() || !rest.empty()) std::abort();
    if (HistogramNotation(*read) != shown) std::abort();
  }
  return 0;
}

// What clients write behind the question mark: forms, times, durations,
// limits, escaped label names, Accept-Encoding.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "server/content_encoding.h"
#include "server/form.h"
#include "server/json.h"
#include "server/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  vigie::server::Form form;
  (void)form.Add(text);
  (void)vigie::server::PercentDecode(text);
  (void)vigie::server::ParseDurationParamMs(text);
  (void)vigie::server::ParseLimit(text);
  (void)vigie::server::ChooseEncoding(text);

  // A time that is read is written and read again as the same.
  const auto time_ms = vigie::server::ParseTimeMs(text);
  if (time_ms.ok() && std::abs(*time_ms / 1000) < 100'000'000'000) {
    std::string seconds;
    vigie::server::AppendTimestamp(*time_ms, &seconds);
    if (*vigie::server::ParseTimeMs(seconds) != *time_ms) std::abort();
  }
  // Whatever the bytes, names stay UTF-8 if they were, and JSON always is.
  if (vigie::IsValidUtf8(text) &&
      !vigie::IsValidUtf8(vigie::server::UnescapeLabelName(text))) {
    std::abort();
  }
  std::string json;
  vigie::server::AppendJsonString(text, &json);
  if (!vigie::IsValidUtf8(json)) std::abort();
  return 0;
}

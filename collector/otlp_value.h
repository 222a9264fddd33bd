// Attribute values (AnyValue) as text, as the OpenTelemetry collector writes
// them: numbers in decimal, bytes in base64, lists and maps as JSON with sorted
// keys.
// Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>

#include "collector/wire_reader.h"

namespace vigie::collector {

// Lists in lists in maps: bounds the recursion.
inline constexpr int kValueDepthMax = 16;

// Why and where the wire is malformed. `error` is a literal.
struct WireFault {
  const char* error = nullptr;
  size_t offset = 0;
};

// A string is given as a view into `any`, anything else is written to
// `*scratch` and `*text` points there. False with `*fault` if malformed.
bool AnyValueText(std::string_view any, const char* origin,
                  std::string* scratch, std::string_view* text,
                  WireFault* fault);

// One KeyValue. As AnyValueText.
bool ReadKeyValue(std::string_view pair, const char* origin,
                  std::string* scratch, std::string_view* key,
                  std::string_view* text, WireFault* fault);

}  // namespace vigie::collector

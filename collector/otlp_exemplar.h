// Exemplars of OTLP's points: their fields, and what becomes their labels.
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collector/label_row.h"
#include "collector/otlp_builder.h"
#include "model/labels.h"

namespace vigie::collector {

// OpenMetrics' limit on the labels of an exemplar, in characters.
inline constexpr size_t kExemplarCharsMax = 128;

// As it was sent; views of the message.
struct OtlpExemplar {
  uint64_t time_nano = 0;  // 0: the point's
  double value = 0;
  std::string_view trace_id, span_id;
  std::vector<std::string_view> attributes;  // KeyValue
};

// False if malformed; the builder says it then.
bool ReadExemplar(std::string_view body, OtlpBuilder* build, OtlpExemplar* out);

// trace_id, span_id and all the attributes, or without these if the limit would
// be passed. False if malformed. `row` is scratch.
bool LabelExemplar(const OtlpExemplar& exemplar, OtlpBuilder* build,
                   LabelRow* row, Labels* labels);

}  // namespace vigie::collector

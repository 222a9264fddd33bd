// Exemplar: one observation that points at a trace. Metadata: what a metric's
// exposition said of it.
#pragma once

#include <cstdint>
#include <string>

#include "model/labels.h"

namespace vigie {

struct Exemplar {
  Labels labels;  // trace_id and the like; at most 128 characters in all
  double value = 0;
  int64_t time_ms = 0;
  friend bool operator==(const Exemplar&, const Exemplar&) = default;
};

enum class MetricType : uint8_t {
  kUnknown,
  kCounter,
  kGauge,
  kHistogram,
  kGaugeHistogram,
  kSummary,
  kInfo,
  kStateSet,
};

struct Metadata {
  MetricType type = MetricType::kUnknown;
  std::string help;
  std::string unit;
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

}  // namespace vigie

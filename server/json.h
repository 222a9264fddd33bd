// JSON by hand, byte for byte as Prometheus writes it: clients compare its
// numbers as text. Every function appends to `*out`.
// Source: prometheus/util/jsonutil; Go's strconv.AppendFloat.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/histogram.h"
#include "model/labels.h"
#include "model/sample.h"

namespace vigie::server {

// Quoted and escaped; each byte that is not UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

// The shortest text that reads back to the same double; decimal between 1e-6
// and 1e21, else with an exponent; "+Inf", "-Inf", "NaN". Not quoted.
void AppendFloatText(double value, std::string* out);

// Seconds: 1500 ms is `1.500`, 2000 ms is `2`.
void AppendTimestamp(int64_t time_ms, std::string* out);

// [1.500,"0.1"]
void AppendSample(const Sample& sample, std::string* out);

// {"__name__":"up","job":"x"}
void AppendLabels(const Labels& labels, std::string* out);

// {"count":"..","sum":"..","buckets":[[boundaries,"lower","upper","count"]]},
// empty buckets left out; from the lowest to the highest.
void AppendHistogram(const FloatHistogram& histogram, std::string* out);

// "name":"value", after a comma unless an object has just begun.
void AppendJsonField(std::string_view name, std::string_view value,
                     std::string* out);

// ["a","b"]
void AppendStrings(const std::vector<std::string>& strings, std::string* out);

}  // namespace vigie::server

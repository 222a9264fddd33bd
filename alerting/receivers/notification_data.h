// What is common to the alerts of a message, and how its times are written.
// Source: Alertmanager's "Notification template reference".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alerting/alert.h"

namespace vigie::alerting {

using TextPairs = std::vector<std::pair<std::string, std::string>>;

// "firing" if one alert fires, otherwise "resolved".
std::string_view StatusOf(const std::vector<Alert>& alerts);
std::string_view StatusOf(const Alert& alert);

// What all alerts have with the same value, by name; none of no alerts.
TextPairs CommonLabels(const std::vector<Alert>& alerts);
TextPairs CommonAnnotations(const std::vector<Alert>& alerts);

// 0 is "0001-01-01T00:00:00Z", Go's zero time, which receivers expect of an
// alert that has not ended. RFC 3339 in UTC, no trailing zeros.
std::string Rfc3339(int64_t time_ms);

}  // namespace vigie::alerting

// Times and durations as Go's package time prints them.
// Source: pkg.go.dev/time, "Layout", "Duration.String".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "alerting/template/value.h"

namespace vigie::alerting::tmpl {

// The moment; Go's zero time is the first of January of the year 1.
absl::Time TimeOf(const TemplateTime& time);
absl::TimeZone ZoneOf(const TemplateTime& time);
// kInvalidArgument naming the zone if there is none of that name.
absl::Status CheckZone(const std::string& zone);

// `layout` is the reference time: "2006-01-02 15:04:05 MST".
std::string FormatTime(const TemplateTime& time, std::string_view layout);
// What %v prints: "2026-11-21 13:42:04.5 +0000 UTC".
std::string TimeText(const TemplateTime& time);
// "1h2m3.5s", "250ms", "0s".
std::string DurationText(int64_t ns);

}  // namespace vigie::alerting::tmpl

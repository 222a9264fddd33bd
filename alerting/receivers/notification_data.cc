#include "alerting/receivers/notification_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/time/time.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

TextPairs PairsOf(const Labels& labels) {
  TextPairs out;
  for (const LabelView& label : labels)
    out.emplace_back(label.name, label.value);
  return out;
}

template <class PairsOfAlert>
TextPairs Common(const std::vector<Alert>& alerts, PairsOfAlert pairs_of) {
  TextPairs common;
  if (!alerts.empty()) common = pairs_of(alerts.front());
  for (const Alert& alert : alerts) {
    const TextPairs pairs = pairs_of(alert);
    std::erase_if(common, [&pairs](const auto& pair) {
      return std::find(pairs.begin(), pairs.end(), pair) == pairs.end();
    });
  }
  return common;
}

}  // namespace

std::string_view StatusOf(const Alert& alert) {
  return alert.firing() ? "firing" : "resolved";
}

std::string_view StatusOf(const std::vector<Alert>& alerts) {
  const bool firing = std::any_of(alerts.begin(), alerts.end(),
                                  [](const Alert& a) { return a.firing(); });
  return firing ? "firing" : "resolved";
}

TextPairs CommonLabels(const std::vector<Alert>& alerts) {
  return Common(alerts, [](const Alert& a) { return PairsOf(a.labels); });
}

TextPairs CommonAnnotations(const std::vector<Alert>& alerts) {
  return Common(alerts, [](const Alert& a) { return a.annotations; });
}

std::string Rfc3339(int64_t time_ms) {
  if (time_ms == 0) return "0001-01-01T00:00:00Z";
  const absl::Time time = absl::FromUnixMillis(time_ms);
  // %E*S writes as many digits as there are.
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

}  // namespace vigie::alerting

// ledger: the dispatcher's, which Prometheus has not. notifications: what the
// server itself has to say to whoever looks at its pages, as Prometheus 3.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "alerting/dispatcher.h"
#include "base/status_macros.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/parameters.h"
#include "server/result_json.h"

namespace vigie::server {
namespace {

constexpr uint64_t kNotificationsDefault = 100;
constexpr uint64_t kNotificationsMax = 10'000;

void AppendEntry(const alerting::LedgerEntry& entry, std::string* out) {
  *out += "{\"time\":";
  AppendJsonString(FormatRfc3339(entry.time_ms), out);
  for (const auto& [name, value] :
       {std::pair<std::string_view, std::string_view>{"notification",
                                                      entry.notification},
        {"receiver", entry.receiver},
        {"integration", entry.integration},
        {"groupKey", entry.group_key},
        {"event", entry.event},
        {"detail", entry.detail}}) {
    *out += fmt::format(",\"{}\":", name);
    AppendJsonString(value, out);
  }
  *out += fmt::format(",\"attempt\":{},\"firing\":", entry.attempt);
  AppendStrings(entry.firing, out);
  *out += ",\"resolved\":";
  AppendStrings(entry.resolved, out);
  *out += '}';
}

}  // namespace

ApiV1::Answer ApiV1::Ledger(const HttpRequest&, const Form& form) {
  absl::StatusOr<uint64_t> limit = ParseLimit(form.Get("limit"));
  if (!limit.ok()) return InvalidParameter("limit", limit.status());
  if (*limit == 0) limit = kNotificationsDefault;
  std::vector<alerting::LedgerEntry> entries;
  if (dependencies_.dispatcher != nullptr) {
    VIGIE_ASSIGN_OR_RETURN(
        entries, dependencies_.dispatcher->Ledger(static_cast<int64_t>(
                     std::min(*limit, kNotificationsMax))));
  }
  std::string data = "{\"entries\":[";
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) data += ',';
    AppendEntry(entries[i], &data);
  }
  return SuccessAnswer(std::move(data) + "]}");
}

ApiV1::Answer ApiV1::Notifications(const HttpRequest&, const Form&) {
  std::string data = "[";
  if (dependencies_.reload_state) {
    const ReloadState state = dependencies_.reload_state();
    if (!state.successful) {
      data += "{";
      AppendJsonField("text", "Configuration reload has failed.", &data);
      AppendJsonField("date", FormatRfc3339(state.time_ms), &data);
      data += ",\"active\":true}";
    }
  }
  return SuccessAnswer(std::move(data) + "]");
}

// A stream of them, for which there is no room, as Prometheus says it: an
// EventSource then asks no more.
ApiV1::Answer ApiV1::NotificationsLive(const HttpRequest&, const Form&) {
  return HttpAnswer{.status = 204};
}

}  // namespace vigie::server

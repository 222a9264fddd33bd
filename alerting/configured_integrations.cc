#include <utility>

#include "alerting/dispatcher.h"
#include "base/status_macros.h"

namespace vigie::alerting {

IntegrationFactory ConfiguredIntegrations(net::HttpClient& http,
                                          net::SmtpClient& smtp) {
  return [&http,
          &smtp](const RoutingConfig& config) -> absl::StatusOr<Integrations> {
    Integrations out;
    for (const std::string& receiver : config.receivers.names()) {
      VIGIE_ASSIGN_OR_RETURN(
          auto made,
          config.receivers.Make(receiver, *config.templates, http, smtp));
      auto& integrations = out[receiver];
      for (auto& integration : made) {
        integrations.push_back(std::move(integration));
      }
    }
    return out;
  };
}

}  // namespace vigie::alerting

#include "deploy/demo/backend.h"

#include <algorithm>
#include <string>

namespace vigie::demo {
namespace {

constexpr std::array<int, kServiceNames.size()> kInstances = {2, 1, 2, 1, 2, 2};

// Of the time a request takes, the part that is work and not waiting.
constexpr double kCpuPart = 0.3;

}  // namespace

Backend::Backend(const BackendOptions& options, uint64_t seed,
                 Timeline& timeline, Audience& audience)
    : options_(options),
      timeline_(timeline),
      audience_(audience),
      random_(seed, /*stream=*/1) {
  const auto add = [this](size_t service, Release release, std::string name) {
    auto& turn = turns_[service][static_cast<size_t>(release)];
    turn.instances.push_back(instances_.size());
    instances_.push_back(
        {static_cast<Service>(service), release, std::move(name)});
  };
  for (size_t service = 0; service < kServiceNames.size(); ++service) {
    const std::string name(kServiceNames[service]);
    for (int i = 0; i < kInstances[service]; ++i) {
      add(service, Release::kV1, name + "-" + std::to_string(i));
    }
    if (options.canary) add(service, Release::kV2, name + "-canary-0");
  }
  vitals_.resize(instances_.size());
}

size_t Backend::Pick(Service service, Release release) {
  Turn& turn =
      turns_[static_cast<size_t>(service)][static_cast<size_t>(release)];
  return turn.instances[turn.next++ % turn.instances.size()];
}

Backend::Answer Backend::Call(RouteIndex route, Release release, int status,
                              double seconds) {
  const Route& of = kRoutes[route];
  const size_t instance = Pick(of.service, release);
  double median_s = of.median_s;
  double error_rate = options_.error_rate;
  if (release == Release::kV2) {
    median_s *= options_.v2_latency_factor;
    error_rate += options_.v2_error_rate;
  }
  // Above the mean of the day, requests begin to wait for each other.
  const double rush =
      std::max(Rhythm(timeline_.now_s(), options_.rhythm) - 1, 0.0);
  const double own_s = random_.LogNormal(median_s * (1 + rush / 2), of.sigma);
  if (random_.Chance(error_rate)) status = kServerError;

  const Request request{instance, route, status, own_s + seconds};
  Vitals& vitals = vitals_[instance];
  ++vitals.in_flight;
  ++vitals.requests;
  vitals.cpu_s += own_s * kCpuPart;
  timeline_.After(request.seconds, [this, instance] {
    // One that was under way at a restart has gone with it.
    Vitals& later = vitals_[instance];
    later.in_flight = std::max<int64_t>(later.in_flight - 1, 0);
  });
  audience_.Tell(request);
  return {instance, request.status, request.seconds};
}

Backend::Page Backend::Browse(RouteIndex front,
                              std::optional<RouteIndex> behind, Release release,
                              int status_behind) {
  if (!behind) return {Call(front, release, kRoutes[front].statuses[0]), {}};

  if (status_behind == 0) status_behind = kRoutes[*behind].statuses[0];
  const Answer second = Call(*behind, release, status_behind);
  const int status = second.status >= 500 ? kBadGateway
                     : second.ok()        ? kRoutes[front].statuses[0]
                                          : second.status;
  return {Call(front, release, status, second.seconds), second};
}

void Backend::Restart(size_t instance) {
  vitals_[instance] = {.started_s = timeline_.now_s()};
  audience_.Tell(instance, Restarted{});
}

}  // namespace vigie::demo

// The six services as their callers see them: a request takes time, and
// sometimes fails. Thread-compatible.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "deploy/demo/audience.h"
#include "deploy/demo/nouns.h"
#include "deploy/demo/random.h"
#include "deploy/demo/rhythm.h"
#include "deploy/demo/routes.h"
#include "deploy/demo/timeline.h"

namespace vigie::demo {

struct BackendOptions {
  bool canary = false;           // each service has an instance of v2 too
  double error_rate = 0.002;     // of requests, in [0, 1]
  double v2_error_rate = 0;      // beside it, for v2
  double v2_latency_factor = 1;  // > 0
  RhythmOptions rhythm = {};     // a full shop is a slower one
};

// Connections to its database that one instance may hold.
inline constexpr int64_t kConnectionsMax = 10;

class Backend {
 public:
  // What an instance says of itself, since its last start.
  struct Vitals {
    int64_t in_flight = 0;  // requests under way
    int64_t requests = 0;
    double cpu_s = 0;
    double started_s = 0;  // shop time
  };
  struct Answer {
    size_t instance;
    int status;
    double seconds;
    bool ok() const { return status < 400; }
  };

  // `timeline` and `audience` outlive it.
  Backend(const BackendOptions& options, uint64_t seed, Timeline& timeline,
          Audience& audience);

  // Does not change while the shop runs; names are unique.
  const std::vector<Instance>& instances() const { return instances_; }
  const Vitals& vitals(size_t instance) const { return vitals_[instance]; }

  // An instance of that release, in turn; the canary's requests stay with it.
  size_t Pick(Service service, Release release);

  // One request to one service. Answers `status` unless the instance fails.
  // `seconds` is added to its time.
  Answer Call(RouteIndex route, Release release, int status,
              double seconds = 0);

  // Through the gateway to the service behind it.
  // `second` is none for a page that the gateway has itself.
  struct Page {
    Answer gateway;
    std::optional<Answer> behind;
    double seconds() const { return gateway.seconds; }
    bool ok() const { return gateway.ok(); }
  };
  Page Browse(RouteIndex front, std::optional<RouteIndex> behind,
              Release release, int status_behind = 0);

  // Ends the process and begins it anew, in no time.
  void Restart(size_t instance);

 private:
  const BackendOptions options_;
  Timeline& timeline_;
  Audience& audience_;
  Random random_;
  std::vector<Instance> instances_;
  std::vector<Vitals> vitals_;
  // By service and release: indices into instances_, and whose turn it is.
  struct Turn {
    std::vector<size_t> instances;
    size_t next = 0;
  };
  std::array<std::array<Turn, kReleaseNames.size()>, kServiceNames.size()>
      turns_;
};

}  // namespace vigie::demo

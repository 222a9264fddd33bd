// PrometheusBridge lets an Exporter send what a prometheus-cpp Registry (or any
// other Collectable) holds: names and labels stay as they are, summaries stay
// summaries, untyped values become gauges.
//
//   exporter->Add(std::make_shared<PrometheusBridge>(resource, registry));
#pragma once

#include <prometheus/collectable.h>

#include <memory>

#include "sdk/collection.h"
#include "sdk/resource.h"

namespace vigie::sdk {

class PrometheusBridge final : public Source {
 public:
  // Keeps the registry alive.
  PrometheusBridge(Resource resource,
                   std::shared_ptr<const prometheus::Collectable> registry);

  // Since when a counter counts is not known: start_ns is 0.
  Collection Collect(int64_t time_ns) override;

 private:
  const Resource resource_;
  const std::shared_ptr<const prometheus::Collectable> registry_;
};

}  // namespace vigie::sdk

// Meter makes instruments and collects them, for one resource: a program has
// one, a program that stands for several services one each.
//
//   auto meter = std::make_shared<Meter>(Resource::FromEnvironment());
//   auto orders = meter->AddCounter<"site", "version">({.name =
//   "shop.orders"}); auto fr = orders.Bind("fr", "v1");   // keep it
//   fr.Increment();                      // lock-free
//
// A series exists from Bind() on, at 0. Nothing here throws or fails: an
// instrument that cannot be made leads nowhere, is told to `on_fault` and
// counted in vigie_sdk_refusals_total{reason="invalid_instrument"}.
// Source: OpenTelemetry specification, "Metrics API" and "Metrics SDK".
// Thread-safe, but for Collect() (see Source). After fork() the child has
// copies of all values: make meters and exporters after it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/clock.h"
#include "sdk/collection.h"
#include "sdk/instrument.h"
#include "sdk/resource.h"

namespace vigie::sdk {

struct InstrumentOptions {
  // As OpenTelemetry writes it: "http.server.request.duration". vigie's name
  // for it is http_server_request_duration_seconds.
  std::string_view name;
  std::string_view description = {};
  std::string_view unit = {};  // UCUM: "s", "By", "1", "{order}"
  size_t series_max = 2000;    // OpenTelemetry's limit
};

// For durations in seconds, as OpenTelemetry's conventions advise.
std::vector<double> SecondsBounds();

class Meter final : public Source {
 public:
  struct Options {
    // Outlives the meter, its instruments and handles.
    const Clock* clock = &Clock::System();
    // Told of each instrument that could not be made; by default standard
    // error is.
    std::function<void(std::string_view)> on_fault = {};
    std::string scope = "vigie-sdk";  // InstrumentationScope.name
  };
  explicit Meter(Resource resource) : Meter(std::move(resource), Options()) {}
  Meter(Resource resource, Options options);
  ~Meter() override;

  // A name that is there already gives the same instrument if all else is the
  // same, and a fault otherwise.
  template <LabelKey... keys>
  Counter<keys...> AddCounter(const InstrumentOptions& options) {
    return Make<Counter<keys...>>(Kind::kCounter, options, {});
  }
  template <LabelKey... keys>
  UpDownCounter<keys...> AddUpDownCounter(const InstrumentOptions& options) {
    return Make<UpDownCounter<keys...>>(Kind::kUpDownCounter, options, {});
  }
  template <LabelKey... keys>
  Gauge<keys...> AddGauge(const InstrumentOptions& options) {
    return Make<Gauge<keys...>>(Kind::kGauge, options, {});
  }
  // `bounds`: inclusive upper bounds, finite, strictly increasing.
  template <LabelKey... keys>
  Histogram<keys...> AddHistogram(
      const InstrumentOptions& options,
      std::vector<double> bounds = SecondsBounds()) {
    return Make<Histogram<keys...>>(Kind::kHistogram, options,
                                    std::move(bounds));
  }

  // Runs at the beginning of every collection, to set gauges that are read
  // rather than counted. Must not call Collect().
  void OnCollect(std::function<void()> hook);

  Collection Collect(int64_t time_ns) override;

 private:
  template <class T>
  T Make(Kind kind, const InstrumentOptions& options,
         std::vector<double> bounds) {
    return T(MakeTable(kind, options, T::kKeys, std::move(bounds)));
  }
  std::shared_ptr<SeriesTable> MakeTable(Kind kind,
                                         const InstrumentOptions& options,
                                         std::span<const std::string_view> keys,
                                         std::vector<double> bounds);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigie::sdk

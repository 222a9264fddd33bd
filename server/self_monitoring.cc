#include "server/self_monitoring.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::server {
namespace {

prometheus::Gauge& MakeGauge(prometheus::Registry& registry,
                             const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(
      {});
}

prometheus::Counter& MakeCounter(prometheus::Registry& registry,
                                 const std::string& name,
                                 const std::string& help) {
  return prometheus::BuildCounter()
      .Name(name)
      .Help(help)
      .Register(registry)
      .Add({});
}

// "0.25", "10", "+Inf": bounds as Prometheus writes them.
std::string FormatBound(double bound) {
  if (std::isinf(bound)) return bound > 0 ? "+Inf" : "-Inf";
  char text[400];
  const auto end =
      std::to_chars(text, text + sizeof text, bound, std::chars_format::fixed);
  return std::string(text, end.ptr);
}

MetricType TypeOf(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return MetricType::kCounter;
    case prometheus::MetricType::Gauge:
      return MetricType::kGauge;
    case prometheus::MetricType::Histogram:
      return MetricType::kHistogram;
    case prometheus::MetricType::Summary:
      return MetricType::kSummary;
    default:
      return MetricType::kUnknown;
  }
}

// Turns collected families into the points of one batch.
class BatchBuilder {
 public:
  BatchBuilder(std::string_view instance, int64_t time_ms)
      : instance_(instance), time_ms_(time_ms) {
    batch_.group = fmt::format("vigie/{}", instance);
  }

  void Add(const prometheus::MetricFamily& family) {
    batch_.metadata.push_back(
        {family.name, {TypeOf(family.type), family.help, ""}});
    for (const prometheus::ClientMetric& metric : family.metric) {
      LabelsBuilder base;
      for (const auto& label : metric.label) base.Set(label.name, label.value);
      base.Set("job", "vigie").Set("instance", instance_);
      AddMetric(family, metric, base);
    }
  }

  void AddSample(std::string_view name, LabelsBuilder labels, double value) {
    AddSeries(labels.Set(kMetricName, name).Build(), value);
  }

  void AddSeries(Labels labels, double value) {
    batch_.floats.push_back(
        {static_cast<uint32_t>(batch_.series.size()), {time_ms_, value}, 0});
    batch_.series.push_back({std::move(labels), {}});
  }

  store::AppendBatch Take() { return std::move(batch_); }
  const store::AppendBatch& batch() const { return batch_; }

 private:
  void AddMetric(const prometheus::MetricFamily& family,
                 const prometheus::ClientMetric& metric,
                 const LabelsBuilder& base) {
    switch (family.type) {
      case prometheus::MetricType::Counter:
        return AddSample(family.name, base, metric.counter.value);
      case prometheus::MetricType::Gauge:
        return AddSample(family.name, base, metric.gauge.value);
      case prometheus::MetricType::Untyped:
        return AddSample(family.name, base, metric.untyped.value);
      case prometheus::MetricType::Summary:
        for (const auto& quantile : metric.summary.quantile) {
          LabelsBuilder labels = base;
          labels.Set("quantile", FormatBound(quantile.quantile));
          AddSample(family.name, std::move(labels), quantile.value);
        }
        AddSample(family.name + "_sum", base, metric.summary.sample_sum);
        return AddSample(family.name + "_count", base,
                         static_cast<double>(metric.summary.sample_count));
      case prometheus::MetricType::Histogram:
        for (const auto& bucket : metric.histogram.bucket) {
          LabelsBuilder labels = base;
          labels.Set("le", FormatBound(bucket.upper_bound));
          AddSample(family.name + "_bucket", std::move(labels),
                    static_cast<double>(bucket.cumulative_count));
        }
        AddSample(family.name + "_sum", base, metric.histogram.sample_sum);
        return AddSample(family.name + "_count", base,
                         static_cast<double>(metric.histogram.sample_count));
    }
  }

  const std::string_view instance_;
  const int64_t time_ms_;
  store::AppendBatch batch_;
};

}  // namespace

absl::StatusOr<SelfMonitoringOptions> ParseSelfMonitoringOptions(
    const yaml::Node& section) {
  SelfMonitoringOptions options;
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, section.AsMap());
  VIGIE_RETURN_IF_ERROR(map.Read("enabled", &options.enabled));
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("interval", &options.interval_ms));
  if (options.interval_ms < 1'000) {
    return map.Find("interval")->Error("must be at least 1s");
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return options;
}

ProcessMetrics::ProcessMetrics(const Clock& clock,
                               prometheus::Registry& registry)
    : cpu_seconds_(MakeCounter(registry, "process_cpu_seconds_total",
                               "User and system CPU time, in seconds.")),
      resident_bytes_(MakeGauge(registry, "process_resident_memory_bytes",
                                "Resident memory, in bytes.")),
      virtual_bytes_(MakeGauge(registry, "process_virtual_memory_bytes",
                               "Virtual memory, in bytes.")),
      open_fds_(
          MakeGauge(registry, "process_open_fds", "File descriptors in use.")),
      max_fds_(
          MakeGauge(registry, "process_max_fds", "File descriptors allowed.")),
      threads_(MakeGauge(registry, "process_threads", "Threads.")) {
  MakeGauge(registry, "process_start_time_seconds",
            "When the process started, in seconds since the epoch.")
      .Set(static_cast<double>(clock.NowMs()) / 1000);
  Update();
}

void ProcessMetrics::Update() {
  MutexLock lock(mutex_);
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const double seconds =
        static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
        static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
            1e6;
    if (seconds > cpu_seconds_.Value()) {
      cpu_seconds_.Increment(seconds - cpu_seconds_.Value());
    }
  }
  const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  if (double size, resident;
      std::ifstream("/proc/self/statm") >> size >> resident) {
    virtual_bytes_.Set(size * page);
    resident_bytes_.Set(resident * page);
  }
  const auto count = [](const char* path) {
    std::error_code error;
    double entries = 0;
    for (std::filesystem::directory_iterator it(path, error), end;
         !error && it != end; it.increment(error)) {
      ++entries;
    }
    return entries;
  };
  open_fds_.Set(count("/proc/self/fd"));
  threads_.Set(count("/proc/self/task"));
  if (rlimit limit{}; getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    max_fds_.Set(static_cast<double>(limit.rlim_cur));
  }
}

SelfMonitoring::SelfMonitoring(const SelfMonitoringOptions& options,
                               const std::string& instance,
                               ProcessMetrics& process,
                               store::Appender& appender, const Clock& clock,
                               prometheus::Registry& registry)
    : options_(options),
      instance_(instance),
      process_(process),
      appender_(appender),
      clock_(clock),
      registry_(registry),
      failures_(MakeCounter(
          registry, "vigie_self_monitoring_failures_total",
          "Rounds of vigie's own metrics that could not be stored.")),
      thread_([this](std::stop_token stop) { Loop(std::move(stop)); }) {}

void SelfMonitoring::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void SelfMonitoring::Loop(std::stop_token stop) {
  do {
    // The completion may come after this object is gone, never after the
    // registry is.
    appender_.Append(Round(clock_.NowMs()), [&failures = failures_](
                                                store::AppendOutcome out) {
      if (out.status.ok() && out.refusals.empty()) return;
      failures.Increment();
      spdlog::warn("self-monitoring: {}",
                   out.status.ok() ? out.refusals.front().example
                                   : std::string(MessageOf(out.status)));
    });
  } while (clock_.SleepFor(absl::Milliseconds(options_.interval_ms), stop));
}

store::AppendBatch SelfMonitoring::Round(int64_t time_ms) {
  process_.Update();
  BatchBuilder builder(instance_, time_ms);
  LabelsBuilder self;
  self.Set("job", "vigie").Set("instance", instance_);
  builder.AddSample("up", self, 1);
  for (const prometheus::MetricFamily& family : registry_.Collect()) {
    builder.Add(family);
  }
  absl::flat_hash_set<Labels> seen;
  for (const store::BatchSeries& series : builder.batch().series) {
    seen.insert(series.labels);
  }
  for (const Labels& labels : last_round_) {
    if (!seen.contains(labels)) builder.AddSeries(labels, StaleMarker());
  }
  last_round_ = std::move(seen);
  return builder.Take();
}

}  // namespace vigie::server

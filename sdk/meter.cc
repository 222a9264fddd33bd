#include "sdk/meter.h"

#include <cmath>
#include <cstdio>
#include <utility>

#include "sdk/mutex.h"
#include "sdk/series_table.h"
#include "sdk/utf8.h"

namespace vigie::sdk {
namespace {

constexpr size_t kNameBytesMax = 255;
constexpr size_t kBoundsMax = 1000;

constexpr std::pair<Refusal, const char*> kRefusals[] = {
    {Refusal::kNegative, "negative"},
    {Refusal::kNotFinite, "not_finite"},
    {Refusal::kSeriesOverflow, "series_overflow"},
    {Refusal::kInvalidInstrument, "invalid_instrument"},
};
static_assert(std::size(kRefusals) == static_cast<size_t>(Refusal::kCount));

void PrintFault(std::string_view fault) {
  std::fprintf(stderr, "vigie-sdk: %.*s\n", static_cast<int>(fault.size()),
               fault.data());
}

// Empty if there is none.
std::string_view FaultOf(const SeriesTable::Shape& shape) {
  if (!IsValidName(shape.name) || shape.name.size() > kNameBytesMax) {
    return "a name is a letter, then letters, digits or _ . - /, of 255 bytes "
           "at most";
  }
  if (shape.bounds.size() > kBoundsMax) return "more than 1000 bounds";
  for (size_t i = 0; i < shape.bounds.size(); ++i) {
    if (!std::isfinite(shape.bounds[i])) return "a bound is not finite";
    if (i > 0 && shape.bounds[i] <= shape.bounds[i - 1]) {
      return "bounds do not increase";
    }
  }
  return {};
}

}  // namespace

struct Meter::Impl {
  Impl(Resource resource, Options options)
      : resource(std::move(resource)),
        options(std::move(options)),
        start_ns(this->options.clock->UnixNs()) {}

  // What the instruments did not take, once there is any.
  Metric CollectRefusals(int64_t time_ns);

  const Resource resource;
  const Options options;
  const int64_t start_ns;
  const std::shared_ptr<RefusalCounts> refusals =
      std::make_shared<RefusalCounts>();
  bool is_reported[static_cast<int>(Refusal::kCount)] = {};  // by Collect()

  Mutex mutex;  // never held while a hook runs
  std::vector<std::shared_ptr<SeriesTable>> tables VIGIE_SDK_GUARDED_BY(mutex);
  std::vector<std::shared_ptr<const std::function<void()>>> hooks
      VIGIE_SDK_GUARDED_BY(mutex);
};

Metric Meter::Impl::CollectRefusals(int64_t time_ns) {
  Metric out{.name = "vigie.sdk.refusals",
             .description = "Values and instruments that the SDK did not take",
             .kind = Kind::kCounter};
  for (const auto& [why, reason] : kRefusals) {
    const auto count = static_cast<int64_t>(refusals->Get(why));
    if (count == 0) continue;
    Point point{.attributes = std::make_shared<Attributes>(
                    Attributes{{"reason", reason}}),
                .start_ns = std::min(start_ns, time_ns),
                .time_ns = time_ns,
                .value = count};
    bool& reported = is_reported[static_cast<int>(why)];
    if (!std::exchange(reported, true) && time_ns - start_ns >= 1'000'000) {
      Point zero = point;
      zero.time_ns = start_ns;
      zero.value = int64_t{0};
      out.points.push_back(std::move(zero));
    }
    out.points.push_back(std::move(point));
  }
  return out;
}

std::vector<double> SecondsBounds() {
  return {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
          0.5,   0.75, 1,     2.5,  5,     7.5, 10};
}

Meter::Meter(Resource resource, Options options) {
  if (!options.on_fault) options.on_fault = PrintFault;
  impl_ = std::make_unique<Impl>(std::move(resource), std::move(options));
}

Meter::~Meter() = default;

std::shared_ptr<SeriesTable> Meter::MakeTable(
    Kind kind, const InstrumentOptions& options,
    std::span<const std::string_view> keys, std::vector<double> bounds) {
  SeriesTable::Shape shape{.name = ValidUtf8(options.name),
                           .description = ValidUtf8(options.description),
                           .unit = ValidUtf8(options.unit),
                           .kind = kind,
                           .keys = {keys.begin(), keys.end()},
                           .bounds = std::move(bounds),
                           .series_max = options.series_max};
  std::string_view fault = FaultOf(shape);
  if (fault.empty()) {
    MutexLock lock(impl_->mutex);
    const auto same_name = std::find_if(
        impl_->tables.begin(), impl_->tables.end(),
        [&](const auto& table) { return table->shape().name == shape.name; });
    if (same_name == impl_->tables.end()) {
      return impl_->tables.emplace_back(std::make_shared<SeriesTable>(
          std::move(shape), *impl_->options.clock, impl_->refusals));
    }
    if ((*same_name)->shape() == shape) return *same_name;
    fault = "is there already, with another kind, keys, unit or bounds";
  }
  impl_->refusals->Count(Refusal::kInvalidInstrument);
  impl_->options.on_fault("instrument \"" + shape.name +
                          "\": " + std::string(fault));
  return nullptr;
}

void Meter::OnCollect(std::function<void()> hook) {
  MutexLock lock(impl_->mutex);
  impl_->hooks.push_back(
      std::make_shared<const std::function<void()>>(std::move(hook)));
}

Collection Meter::Collect(int64_t time_ns) {
  std::vector<std::shared_ptr<const std::function<void()>>> hooks;
  {
    MutexLock lock(impl_->mutex);
    hooks = impl_->hooks;
  }
  for (const auto& hook : hooks) (*hook)();
  std::vector<std::shared_ptr<SeriesTable>> tables;
  {
    MutexLock lock(impl_->mutex);
    tables = impl_->tables;
  }
  Collection out{.resource = impl_->resource.attributes(),
                 .scope = impl_->options.scope};
  const auto add = [&](Metric metric) {
    if (!metric.points.empty()) out.metrics.push_back(std::move(metric));
  };
  for (const auto& table : tables) add(table->Collect(time_ns));
  add(impl_->CollectRefusals(time_ns));
  return out;
}

}  // namespace vigie::sdk

#include "sdk/series_table.h"

#include <algorithm>
#include <utility>

#include "sdk/instrument.h"
#include "sdk/utf8.h"

namespace vigie::sdk {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;

std::string IndexKey(std::span<const std::string_view> values) {
  std::string out;
  for (const std::string_view value : values) {
    const auto size = static_cast<uint32_t>(value.size());
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += value;
  }
  return out;
}

bool IsCumulative(Kind kind) {
  return kind == Kind::kCounter || kind == Kind::kHistogram;
}

PointValue HistogramOf(const HistogramCell& cell) {
  HistogramValue out{.bounds = cell.bounds};
  for (size_t i = 0; i <= cell.bounds->size(); ++i) {
    out.counts.push_back(cell.counts[i].load(std::memory_order_relaxed));
  }
  out.sum = cell.real.load(std::memory_order_relaxed);
  return out;
}

// Integers as long as no fraction was added and they fit.
PointValue NumberOf(const Cell& cell, Kind kind) {
  const uint64_t whole = cell.whole.load(std::memory_order_relaxed);
  const double real = cell.real.load(std::memory_order_relaxed);
  const bool is_signed = kind == Kind::kUpDownCounter;
  if (real == 0 && (is_signed || whole <= INT64_MAX)) {
    return static_cast<int64_t>(whole);
  }
  return real + (is_signed ? static_cast<double>(static_cast<int64_t>(whole))
                           : static_cast<double>(whole));
}

// What a counter or histogram with `value` began with.
PointValue ZeroOf(const PointValue& value) {
  const auto* histogram = std::get_if<HistogramValue>(&value);
  if (histogram == nullptr) return int64_t{0};
  return HistogramValue{
      .bounds = histogram->bounds,
      .counts = std::vector<uint64_t>(histogram->counts.size())};
}

bool IsZero(const PointValue& value) {
  if (const auto* histogram = std::get_if<HistogramValue>(&value)) {
    return std::all_of(histogram->counts.begin(), histogram->counts.end(),
                       [](uint64_t n) { return n == 0; });
  }
  const auto* whole = std::get_if<int64_t>(&value);
  return whole != nullptr && *whole == 0;
}

}  // namespace

SeriesTable::SeriesTable(Shape shape, const Clock& clock,
                         std::shared_ptr<RefusalCounts> refusals)
    : shape_(std::move(shape)),
      bounds_(std::make_shared<const std::vector<double>>(shape_.bounds)),
      clock_(clock),
      refusals_(std::move(refusals)) {}

SeriesTable::Series SeriesTable::MakeSeries(Attributes attributes) {
  return {.attributes = std::make_shared<Attributes>(std::move(attributes)),
          .cell = shape_.kind == Kind::kHistogram
                      ? std::make_shared<HistogramCell>(refusals_, bounds_)
                      : std::make_shared<Cell>(refusals_),
          .start_ns = clock_.UnixNs()};
}

std::shared_ptr<Cell> SeriesTable::Bind(
    std::span<const std::string_view> values) {
  if (!std::all_of(values.begin(), values.end(), IsValidUtf8)) {
    std::vector<std::string> valid(values.size());
    std::transform(values.begin(), values.end(), valid.begin(), ValidUtf8);
    return Bind(std::vector<std::string_view>(valid.begin(), valid.end()));
  }
  std::string key = IndexKey(values);
  MutexLock lock(mutex_);
  if (const auto found = index_.find(key); found != index_.end()) {
    return series_[found->second].cell;
  }
  if (index_.size() >= shape_.series_max) {
    refusals_->Count(Refusal::kSeriesOverflow);
    if (overflow_ == SIZE_MAX) {
      overflow_ = series_.size();
      series_.push_back(MakeSeries({{"otel.metric.overflow", "true"}}));
    }
    return series_[overflow_].cell;
  }
  Attributes attributes;
  for (size_t i = 0; i < values.size(); ++i) {
    attributes.push_back({shape_.keys[i], std::string(values[i])});
  }
  series_.push_back(MakeSeries(std::move(attributes)));
  index_.emplace(std::move(key), series_.size() - 1);
  return series_.back().cell;
}

void SeriesTable::AppendPoints(Series& series, int64_t time_ns,
                               std::vector<Point>* out) {
  const Cell& cell = *series.cell;
  if (shape_.kind == Kind::kGauge) {
    if (!cell.is_set.load(std::memory_order_acquire)) return;
    out->push_back({.attributes = series.attributes,
                    .time_ns = time_ns,
                    .value = cell.real.load(std::memory_order_relaxed)});
    return;
  }
  PointValue value = shape_.kind == Kind::kHistogram
                         ? HistogramOf(static_cast<const HistogramCell&>(cell))
                         : NumberOf(cell, shape_.kind);
  // The start is later if it was bound meanwhile, or the clock stepped back.
  const int64_t start_ns = std::min(series.start_ns, time_ns);
  // Servers keep milliseconds, and one value for each.
  if (!std::exchange(series.is_reported, true) && IsCumulative(shape_.kind) &&
      !IsZero(value) && start_ns / kNsPerMs < time_ns / kNsPerMs) {
    out->push_back({.attributes = series.attributes,
                    .start_ns = start_ns,
                    .time_ns = start_ns,
                    .value = ZeroOf(value)});
  }
  out->push_back({.attributes = series.attributes,
                  .start_ns = start_ns,
                  .time_ns = time_ns,
                  .value = std::move(value)});
}

Metric SeriesTable::Collect(int64_t time_ns) {
  Metric out{.name = shape_.name,
             .description = shape_.description,
             .unit = shape_.unit,
             .kind = shape_.kind};
  MutexLock lock(mutex_);
  out.points.reserve(series_.size());
  for (Series& series : series_) AppendPoints(series, time_ns, &out.points);
  return out;
}

std::shared_ptr<Cell> BindSeries(SeriesTable* table,
                                 std::span<const std::string_view> values) {
  return table == nullptr ? nullptr : table->Bind(values);
}

}  // namespace vigie::sdk

// Instruments as programs hold them: a name, label keys, and Bind() for the
// handle on one series. Meter makes them; a default-constructed one, or one
// whose meter is gone, binds handles that lead nowhere. Copies are the same
// instrument. Thread-safe.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string_view>

#include "sdk/bound.h"
#include "sdk/label_key.h"

namespace vigie::sdk {

class SeriesTable;  // of one instrument; sdk/series_table.h

// Null if `table` is.
std::shared_ptr<Cell> BindSeries(SeriesTable* table,
                                 std::span<const std::string_view> values);

template <class Bound, LabelKey... keys>
class Instrument {
 public:
  static constexpr std::array<std::string_view, sizeof...(keys)> kKeys = {
      keys.view()...};
  static_assert(AreValidKeys(std::array<std::string_view, sizeof...(keys)>{
                    keys.view()...}),
                "a label key is a letter, then letters, digits or _ . - /, "
                "and is there once");

  Instrument() = default;
  explicit Instrument(std::shared_ptr<SeriesTable> table)
      : table_(std::move(table)) {}

  // The series with these values, in the order of the keys: made with the
  // first call, the same one later. Takes a lock and looks it up: keep the
  // handle where it matters. Beyond series_max it is the one series
  // otel.metric.overflow="true". Bytes that are not UTF-8 become U+FFFD.
  Bound Bind(ValueOf<keys>... values) const {
    const std::array<std::string_view, sizeof...(keys)> row = {
        values.text()...};
    return Bound(BindSeries(table_.get(), row));
  }

 private:
  std::shared_ptr<SeriesTable> table_;
};

template <LabelKey... keys>
using Counter = Instrument<BoundCounter, keys...>;
template <LabelKey... keys>
using UpDownCounter = Instrument<BoundUpDownCounter, keys...>;
template <LabelKey... keys>
using Gauge = Instrument<BoundGauge, keys...>;
template <LabelKey... keys>
using Histogram = Instrument<BoundHistogram, keys...>;

}  // namespace vigie::sdk

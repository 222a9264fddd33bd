// SeriesTable keeps the series of one instrument. Not installed.
// Thread-safe; Collect() from one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sdk/cell.h"
#include "sdk/clock.h"
#include "sdk/collection.h"
#include "sdk/mutex.h"

namespace vigie::sdk {

class SeriesTable {
 public:
  // What two registrations must share to be the same instrument.
  struct Shape {
    std::string name;
    std::string description;
    std::string unit;
    Kind kind = Kind::kGauge;
    std::vector<std::string> keys;
    std::vector<double> bounds;  // of a histogram
    size_t series_max = 0;
    bool operator==(const Shape&) const = default;
  };

  // The clock outlives the table.
  SeriesTable(Shape shape, const Clock& clock,
              std::shared_ptr<RefusalCounts> refusals);

  const Shape& shape() const { return shape_; }

  // One value a key.
  std::shared_ptr<Cell> Bind(std::span<const std::string_view> values);

  // Every series; gauges once they are set. A counter or histogram that is met
  // for the first time and has counted already is preceded by the 0 it started
  // from: increase() would not see its first events otherwise.
  Metric Collect(int64_t time_ns);

 private:
  struct Series {
    std::shared_ptr<const Attributes> attributes;
    std::shared_ptr<Cell> cell;
    int64_t start_ns;
    bool is_reported = false;
  };

  Series MakeSeries(Attributes attributes);
  void AppendPoints(Series& series, int64_t time_ns, std::vector<Point>* out);

  const Shape shape_;
  const std::shared_ptr<const std::vector<double>> bounds_;
  const Clock& clock_;
  const std::shared_ptr<RefusalCounts> refusals_;
  Mutex mutex_;
  // By the values, each after its length.
  std::unordered_map<std::string, size_t> index_ VIGIE_SDK_GUARDED_BY(mutex_);
  std::vector<Series> series_ VIGIE_SDK_GUARDED_BY(mutex_);
  size_t overflow_ VIGIE_SDK_GUARDED_BY(mutex_) = SIZE_MAX;  // in series_
};

}  // namespace vigie::sdk

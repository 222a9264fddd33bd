// From a selector and a window to what can be compared: increases of counters
// in blocks of time, buckets of histograms, points of gauges; and to the
// reason if there is nothing. Nothing is extrapolated: increases are what the
// samples show, resets counted as Prometheus does, whole if the counter is.
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/strings.h"
#include "canary/request.h"
#include "canary/verdict.h"
#include "model/matcher.h"
#include "model/sample.h"
#include "query/charge.h"
#include "store/queryable.h"

namespace vigie::canary {

// How far before a window a counter's last value may lie.
inline constexpr int64_t kLookbackMs = 5 * 60'000;

// Whose samples, and how much may be held. What it points to outlives it.
struct ReadSource {
  const store::Queryable& queryable;
  const Clock& clock;
  Tenant tenant;
  query::QueryAccount& account;
  std::stop_token stop;
  int64_t deadline_ns = 0;

  // kCancelled, kDeadlineExceeded; asked in every loop over samples.
  absl::Status Check() const;
};

// When each job and instance was first seen, to tell a counter that began in
// the window from one that only came into sight.
using FirstSeen = StringMap<int64_t>;

// The series of one selector in (window.start - kLookbackMs, window.end].
class Samples {
 public:
  // kFailedPrecondition if more than kSeriesMax series match. `source` and
  // what it points to outlive the samples. Fills the report's selector, series
  // and interval. What the store cannot read goes to the report's warnings,
  // here and below.
  static absl::StatusOr<Samples> Open(const ReadSource& source,
                                      const std::vector<Matcher>& matchers,
                                      const Window& window, SideReport* report);

  bool empty() const { return snapshot_->size() == 0; }
  size_t size() const { return snapshot_->size(); }
  const Labels& labels(size_t series) const {
    return snapshot_->labels(series);
  }
  bool has_native_histograms() const { return native_; }
  int64_t interval_ms() const { return interval_ms_; }  // 0: not known
  const FirstSeen& first_seen() const { return first_seen_; }

  // What a counter grew by between two samples, the later one in the window.
  struct Increase {
    size_t series = 0;
    int64_t from_ms = 0;
    int64_t to_ms = 0;
    double value = 0;
  };
  // Series by series, in order of time. A series that begins in the window
  // counts from zero if its start time lies there or if `first_seen` knows its
  // job and instance from before. Adds to `report`.
  absl::Status VisitIncreases(
      const FirstSeen& first_seen, SideReport* report,
      const std::function<void(const Increase&)>& visit) const;

  // Finite samples in the window, series by series. Adds to `report`.
  absl::Status VisitValues(
      SideReport* report,
      const std::function<void(size_t series, const Sample&)>& visit) const;

 private:
  const ReadSource* source_ = nullptr;
  Window window_;
  std::unique_ptr<store::SeriesSnapshot> snapshot_;
  bool native_ = false;
  int64_t interval_ms_ = 0;
  FirstSeen first_seen_;
};

// Which job and instance a series belongs to.
std::string InstanceKey(const Labels& labels);

// Why a selector finds nothing in a window: it never did, it did before, or
// which of its matchers finds nothing.
absl::StatusOr<Reason> ExplainEmpty(const ReadSource& source,
                                    const std::vector<Matcher>& matchers,
                                    const Window& window,
                                    std::string_view side);

// kStale if the newest sample is too long before the end of the window.
bool EndedEarly(const SideReport& report, const Window& window, Reason* reason);

}  // namespace vigie::canary

// Queryable: the door through which samples leave the store. A Select is a
// snapshot: what it returns does not change while it is read, whatever is
// appended, sealed or deleted meanwhile.
// Thread-safe, except that one SampleIterator belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_account.h"
#include "model/exemplar.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/tenant.h"
#include "model/time_range.h"

namespace vigie::store {

// How many samples a batch holds at most.
inline constexpr size_t kBatchSamplesMax = 8192;

enum class SampleKind : uint8_t { kFloat, kIntegerHistogram, kFloatHistogram };

// A run of samples of one kind, as columns. Times ascend, within a batch and
// from batch to batch, each time once.
struct SampleBatch {
  SampleKind kind = SampleKind::kFloat;
  std::vector<int64_t> times_ms;
  std::vector<int64_t> starts_ms;  // empty if no sample has a start time
  std::vector<double> values;      // kFloat; staleness markers included
  std::vector<IntegerHistogram> integer_histograms;
  std::vector<FloatHistogram> float_histograms;
};

class SampleIterator {
 public:
  virtual ~SampleIterator() = default;
  // Replaces `*batch`, which may be used again and again. False at the end.
  // kUnavailable if the disk refuses; kFailedPrecondition and
  // kResourceExhausted come from the byte account.
  virtual absl::StatusOr<bool> Next(SampleBatch* batch) = 0;
  // Once Next was false: what had to be left out because its bytes are wrong
  // or gone, naming file and time, for the `warnings` of an answer.
  virtual std::vector<std::string> warnings() const { return {}; }
};

// What a Select found. Samples that come in order after it are not seen, so
// that a batch is seen as a whole or not at all; late ones may be.
// Destroy it before the Queryable. Threads may share it, not its iterators.
class SeriesSnapshot {
 public:
  virtual ~SeriesSnapshot() = default;
  virtual size_t size() const = 0;
  // In ascending order of labels.
  virtual const Labels& labels(size_t series) const = 0;
  // The samples within the selected time range. Charges what it decodes to
  // the account of the Select, which must outlive it.
  virtual std::unique_ptr<SampleIterator> Samples(size_t series) const = 0;
  // The same; `*iterator` is null, or one of this snapshot whose samples are
  // no longer needed: going on with it costs less.
  virtual void Reuse(size_t series,
                     std::unique_ptr<SampleIterator>* iterator) const {
    *iterator = Samples(series);
  }
  // What the caller could not see, for the `warnings` of an answer.
  virtual const std::vector<std::string>& warnings() const = 0;
};

// What the samples are for: a function over the windows (end - range_ms, end]
// at first_ms + n * step_ms. What is too old to be kept one by one is then
// answered from rollups, and the iterators warn where that changes the answer.
struct WindowHint {
  std::string_view function;  // "rate"; "" for the newest sample
  int64_t first_ms = 0;
  int64_t step_ms = 0;  // 0: one window
  int64_t range_ms = 0;
};

struct SelectRequest {
  Tenant tenant;
  TimeRange range;
  std::vector<Matcher> matchers;  // all must match
  // None: the samples as they are. Its name outlives the snapshot.
  std::optional<WindowHint> hint = std::nullopt;
};

// Who asks, how much it may hold and when it should stop.
struct ReadContext {
  ByteAccount* account = nullptr;  // required; outlives the snapshot
  std::stop_token stop;
};

struct NamedCount {
  std::string name;
  uint64_t count = 0;
};

// What a day (UTC) has more of than the day before it had.
struct GrownCount {
  std::string name;
  uint64_t before = 0;
  uint64_t now = 0;
};

// Series per metric name, label name, and pair; distinct values per label.
struct Cardinality {
  uint64_t series = 0;  // active ones, as all of these
  uint64_t label_pairs = 0;
  std::vector<NamedCount> series_by_metric;  // largest first, at most `limit`
  std::vector<NamedCount> values_by_label;
  std::vector<NamedCount> series_by_pair;  // "name=value"

  // All series of the newest day that something is sealed of, against those
  // of the day before; the largest growth first, at most `limit`. A series
  // that paused so long that it left the head meanwhile counts once.
  int64_t day_ms = 0;  // when that day began
  uint64_t series_that_day = 0;
  uint64_t series_the_day_before = 0;
  std::vector<GrownCount> grown_metrics;
  std::vector<GrownCount> grown_labels;  // in values
  std::vector<GrownCount> grown_pairs;
};

// Result of the listing calls; `truncated` if `limit` cut it.
struct NameList {
  std::vector<std::string> names;  // sorted, each once
  bool truncated = false;
  std::vector<std::string> warnings;
};

struct ExemplarSeries {
  Labels series;
  std::vector<Exemplar> exemplars;  // oldest first
};

struct MetricMetadata {
  std::string metric;
  Metadata metadata;
};

class Queryable {
 public:
  virtual ~Queryable() = default;

  // kCancelled once stopped; kFailedPrecondition when over the account.
  virtual absl::StatusOr<std::unique_ptr<SeriesSnapshot>> Select(
      const SelectRequest& request, const ReadContext& context) const = 0;

  // Label names, or values of one label, of the series that match any of
  // `selectors` (each a list of matchers that all must match; none: every
  // series) and may have samples in `range`: windows are looked at whole, so
  // a name may be listed whose last sample is up to a window away.
  // `limit` 0: none.
  virtual absl::StatusOr<NameList> LabelNames(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const ReadContext& context) const = 0;
  virtual absl::StatusOr<NameList> LabelValues(
      const Tenant& tenant, std::string_view label, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const ReadContext& context) const = 0;

  // Label sets, sorted; `*truncated` if `limit` cut them.
  virtual absl::StatusOr<std::vector<Labels>> Series(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors, uint64_t limit,
      const ReadContext& context, bool* truncated) const = 0;

  virtual absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      const Tenant& tenant, const TimeRange& range,
      const std::vector<std::vector<Matcher>>& selectors,
      const ReadContext& context) const = 0;

  // Of one metric, or of all if `metric` is empty; sorted by metric.
  virtual absl::StatusOr<std::vector<MetricMetadata>> ListMetadata(
      const Tenant& tenant, std::string_view metric,
      const ReadContext& context) const = 0;

  virtual absl::StatusOr<Cardinality> CountCardinality(
      const Tenant& tenant, uint64_t limit,
      const ReadContext& context) const = 0;

  // For who keeps what was computed from samples. The version is taken before
  // the first Select. Later, what Selects of `range` at that time saw is what
  // they see now: in the part that UnchangedSince gives, with every batch that
  // has been acknowledged by then. None: this store does not tell.
  virtual std::optional<uint64_t> ChangeVersion(const Tenant&) const {
    return std::nullopt;
  }
  virtual TimeRange UnchangedSince(const Tenant&, uint64_t /*version*/,
                                   const TimeRange& /*range*/) const {
    return {.min_ms = 1, .max_ms = 0};
  }
};

}  // namespace vigie::store

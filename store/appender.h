// Appender: the one door through which samples enter the store, whatever wire
// they came by.
//
// Acknowledged means durable: the completion runs after the bytes of every
// accepted sample are synced and visible to queries, and nothing is visible
// before. Nothing waits: Append returns at once, the completion comes later on
// a thread of the store, or at once if the batch is refused whole.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "model/exemplar.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "model/sample.h"
#include "model/tenant.h"

namespace vigie::store {

// Names a series that the store has seen; 0 names none. Local to one store
// and never reused. May expire: see RefusalReason::kUnknownReference.
struct SeriesRef {
  uint64_t id = 0;
  friend bool operator==(const SeriesRef&, const SeriesRef&) = default;
};

// A series of a batch: by reference if `ref` is set, else by `labels`.
struct BatchSeries {
  Labels labels;
  SeriesRef ref;
};

// `series` below is an index into AppendBatch::series. A start time of 0 is
// unknown; otherwise it says when the counter began, in ms.
struct FloatPoint {
  uint32_t series = 0;
  Sample sample;
  int64_t start_ms = 0;
};
struct IntegerHistogramPoint {
  uint32_t series = 0;
  int64_t time_ms = 0;
  IntegerHistogram histogram;
  int64_t start_ms = 0;
};
struct FloatHistogramPoint {
  uint32_t series = 0;
  int64_t time_ms = 0;
  FloatHistogram histogram;
  int64_t start_ms = 0;
};
// What a delta sum counted in (start_ms, end_ms]. The store adds it to what the
// intervals before it add up to, exactly once: one that ends where the last one
// does, or before, has been counted. A start of 0 is unknown: it goes on there.
struct DeltaPoint {
  uint32_t series = 0;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  double increment = 0;
};
struct ExemplarPoint {
  uint32_t series = 0;
  Exemplar exemplar;
};
struct MetadataPoint {
  std::string metric;  // family name
  Metadata metadata;
};

// Gives the labels of a series that the batch names by reference alone, should
// the store no longer know the reference. So a sender of known series carries
// references only, and a series that has left the head costs it no second
// round. `series` is an index into AppendBatch::series.
class LabelSource {
 public:
  virtual ~LabelSource() = default;
  // Called on a thread of the store until the batch's completion has run, and
  // for series with a reference only.
  virtual Labels LabelsOf(uint32_t series) const = 0;
  // What it keeps in memory: counted among the bytes in flight.
  virtual int64_t bytes() const { return 0; }
};

struct AppendBatch {
  Tenant tenant;
  // The target or resource that the samples are of: they are kept together.
  std::string group;
  std::vector<BatchSeries> series;
  std::shared_ptr<const LabelSource> label_source;  // null: none
  std::vector<FloatPoint> floats;
  std::vector<IntegerHistogramPoint> integer_histograms;
  std::vector<FloatHistogramPoint> float_histograms;
  std::vector<DeltaPoint> deltas;
  std::vector<ExemplarPoint> exemplars;
  std::vector<MetadataPoint> metadata;
};

enum class RefusalReason : uint8_t {
  kInvalidLabels,     // empty set, no metric name, not UTF-8, duplicate name
  kTooOld,            // behind the series' newest by more than the window
  kOutOfRetention,    // older than retention
  kTooFarInFuture,    // ahead of the clock by more than 10 min
  kDuplicateTime,     // same time, other value
  kOverlappingDelta,  // a delta interval overlaps one already counted
  kUnknownReference,  // no label source, and the series has left the head
  kUnsupportedKind,   // a sample kind that is not stored yet
  kLimit,             // a permanent limit: series, label count, length
  kInvalidSample,     // a histogram at odds with itself, an empty interval
};

// "too_old", as metrics and answers name it.
std::string_view RefusalName(RefusalReason reason);
// What a caller should do, as in docs/decisions: kOutOfRange for times and
// limits, kAlreadyExists for duplicates, kUnimplemented for kinds, ...
absl::StatusCode RefusalCode(RefusalReason reason);

// Samples (of any kind, exemplars and metadata included) refused for one
// reason.
struct Refusal {
  RefusalReason reason = RefusalReason::kInvalidLabels;
  uint64_t count = 0;
  std::string example;  // one of them, thing first: `up{job="x"}: ...`
};

struct AppendOutcome {
  // OK: what was not refused is durable. Otherwise nothing of the batch is:
  // kResourceExhausted (queue full) and kUnavailable (disk, shutting down) are
  // temporary, kInternal is not.
  absl::Status status;
  uint64_t floats_accepted = 0;
  uint64_t histograms_accepted = 0;
  uint64_t deltas_accepted = 0;
  uint64_t exemplars_accepted = 0;
  uint64_t metadata_accepted = 0;
  std::vector<Refusal> refusals;  // at most one a reason
  // Parallel to AppendBatch::series; 0 where the series was refused. Another
  // than the one given if that was no longer known.
  std::vector<SeriesRef> refs;
};

using AppendCompletion = absl::AnyInvocable<void(AppendOutcome) &&>;

class Appender {
 public:
  virtual ~Appender() = default;

  // Runs `done` exactly once. It must be quick and must not wait for another
  // append. Bytes in flight are bounded: beyond, the outcome's status is
  // kResourceExhausted. A sample equal to one already stored (same time, same
  // bits) is accepted and stored once.
  virtual void Append(AppendBatch batch, AppendCompletion done) = 0;
};

// For tools and tests that may wait.
AppendOutcome AppendAndWait(Appender& appender, AppendBatch batch);

}  // namespace vigie::store

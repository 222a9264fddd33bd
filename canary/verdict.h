// What the judge answers, with every number it rests on. NaN stands for a
// number that could not be had, and is null in JSON.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "canary/request.h"

namespace vigie::canary {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

enum class Decision { kPass, kMarginal, kInconclusive, kFail };
std::string_view NameOf(Decision decision);

enum class ReasonCode {
  // Why there is no verdict: what is missing.
  kNoSeries,       // nothing matches
  kStale,          // there was something, but it ended
  kNoTraffic,      // the counters of the total stand still
  kNoEvents,       // a rate of nothing, against nothing to compare it with
  kOnlyErrors,     // not one event of the good kind
  kTooFewPoints,   // `needed` says how many more
  kTooUncertain,   // a change that matters would have been missed
  kBucketsDiffer,  // histograms of different bounds
  kNotCounts,      // a counter that grows by fractions
  kNotFloats,      // native histograms
  // Why it is what it is.
  kWorse,
  kWorseButTolerated,
  kSuspicious,
  kBetter,
  kNoDifference,
};
std::string_view NameOf(ReasonCode code);  // "no_series"

struct Reason {
  ReasonCode code = ReasonCode::kNoDifference;
  std::string side = {};  // "baseline", "canary", or "" for both
  std::string text = {};
  double needed = kUnknown;      // how much more data, at the least
  std::string needed_unit = {};  // "points", "requests", ...
};

struct SideReport {
  std::string selector;
  int64_t series = 0;
  int64_t samples = 0;          // in the window
  int64_t samples_skipped = 0;  // NaN, infinite
  int64_t resets = 0;
  int64_t first_ms = 0;  // of samples, 0: none
  int64_t last_ms = 0;
  double interval_s = kUnknown;  // between samples of a series, median
  // Events that count, and of how many: requests, observations, points,
  // seconds of exposure.
  double events = kUnknown;
  double total = kUnknown;
  double level = kUnknown;  // ratio, events a second, quantile, median
  int blocks = 0;
  double dispersion = kUnknown;
  double autocorrelation = kUnknown;
  double inflation = kUnknown;
  double effective_n = kUnknown;
  // What the store could not read of it, each once; they become notes.
  std::vector<std::string> warnings;
};

// P values of the two one-sided questions.
struct TestReport {
  std::string name = {};  // "fisher", "poisson", "mann_whitney"
  double statistic = kUnknown;
  double p_increase = kUnknown;
  double p_decrease = kUnknown;
  double p_independent = kUnknown;  // two-sided, as if nothing were inflated
};

struct EffectReport {
  std::string of;                // "ratio", "rate", "quantile", ...
  double difference = kUnknown;  // canary - baseline, the metric's unit
  double relative = kUnknown;    // of the baseline
  double low = kUnknown;         // interval of the difference
  double high = kUnknown;
  double confidence = kUnknown;  // of that interval, two-sided
  double tolerated = kUnknown;   // differences up to here are acceptable
  double detectable = kUnknown;  // found in four cases of five
  double to_detect = kUnknown;   // what had to be detectable
};

struct MetricVerdict {
  std::string name;
  MetricKind kind = MetricKind::kRatio;
  Direction direction = Direction::kIncrease;
  bool critical = false;
  Decision decision = Decision::kInconclusive;
  double p = kUnknown;           // of "it is not worse", all tests together
  double p_adjusted = kUnknown;  // Holm, over the metrics that are not critical
  std::vector<Reason> reasons;   // never empty
  SideReport baseline;
  SideReport canary;
  std::vector<TestReport> tests;
  EffectReport effect;
  std::vector<std::string> notes;  // warnings of the store among them
};

struct Verdict {
  Decision decision = Decision::kInconclusive;
  std::string summary = {};  // one line
  Windows windows = {};
  double alpha = 0;       // as asked
  double alpha_look = 0;  // of this look
  int64_t looks = 1;
  std::vector<MetricVerdict> metrics = {};  // as asked
};

}  // namespace vigie::canary

#include "canary/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/time/time.h"
#include "base/duration.h"
#include "base/status_macros.h"
#include "canary/judge.h"
#include "model/sample.h"

namespace vigie::canary {
namespace {

// How much is looked at to learn the interval between samples.
constexpr size_t kGapsMax = 4096;
// Of what the store could not read, a side.
constexpr size_t kWarningsMax = 16;
// How far before a window an ended series is looked for.
constexpr int64_t kSearchBackMs = int64_t{24} * 3600 * 1000;

std::string TimeText(int64_t time_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMillis(time_ms),
                          absl::UTCTimeZone());
}

std::string SelectorText(const std::vector<Matcher>& matchers) {
  std::string text;
  for (const Matcher& matcher : matchers) {
    text += text.empty() ? "" : ",";
    text += matcher.ToString();
  }
  return "{" + text + "}";
}

absl::StatusOr<std::unique_ptr<store::SeriesSnapshot>> Select(
    const ReadSource& source, const std::vector<Matcher>& matchers,
    TimeRange range) {
  return source.queryable.Select({source.tenant, range, matchers},
                                 {&source.account.bytes(), source.stop});
}

void Note(const std::vector<std::string>& warnings, SideReport* report) {
  std::vector<std::string>& noted = report->warnings;
  for (const std::string& warning : warnings) {
    if (noted.size() >= kWarningsMax) return;
    if (std::find(noted.begin(), noted.end(), warning) == noted.end()) {
      noted.push_back(warning);
    }
  }
}

}  // namespace

absl::Status ReadSource::Check() const {
  if (stop.stop_requested()) return absl::CancelledError("judge: cancelled");
  if (clock.MonotonicNs() > deadline_ns) {
    return absl::DeadlineExceededError("judge: took too long");
  }
  return absl::OkStatus();
}

std::string InstanceKey(const Labels& labels) {
  std::string key(labels.Get("job"));
  key += '\0';
  key += labels.Get("instance");
  return key;
}

absl::StatusOr<Samples> Samples::Open(const ReadSource& source,
                                      const std::vector<Matcher>& matchers,
                                      const Window& window,
                                      SideReport* report) {
  Samples samples;
  samples.source_ = &source;
  samples.window_ = window;
  VIGIE_ASSIGN_OR_RETURN(
      samples.snapshot_,
      Select(source, matchers,
             {window.start_ms - kLookbackMs + 1, window.end_ms}));
  Note(samples.snapshot_->warnings(), report);
  const size_t count = samples.snapshot_->size();
  if (count > kSeriesMax) {
    return absl::FailedPreconditionError(
        fmt::format("{} matches {} series, the most is {}: narrow the selector",
                    SelectorText(matchers), count, kSeriesMax));
  }
  std::vector<int64_t> gaps;
  store::SampleBatch batch;
  for (size_t i = 0; i < count; ++i) {
    VIGIE_RETURN_IF_ERROR(source.Check());
    auto iterator = samples.snapshot_->Samples(i);
    VIGIE_ASSIGN_OR_RETURN(const bool more, iterator->Next(&batch));
    if (!more) {
      Note(iterator->warnings(), report);
      continue;
    }
    if (batch.kind != store::SampleKind::kFloat) samples.native_ = true;
    const int64_t first_ms = batch.times_ms.front();
    auto [seen, added] = samples.first_seen_.try_emplace(
        InstanceKey(samples.labels(i)), first_ms);
    if (!added) seen->second = std::min(seen->second, first_ms);
    for (size_t k = 1; k < batch.times_ms.size() && gaps.size() < kGapsMax;
         ++k) {
      gaps.push_back(batch.times_ms[k] - batch.times_ms[k - 1]);
    }
  }
  if (!gaps.empty()) {
    const auto middle =
        gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
    std::nth_element(gaps.begin(), middle, gaps.end());
    samples.interval_ms_ = *middle;
    report->interval_s = static_cast<double>(*middle) / 1000;
  }
  report->series = static_cast<int64_t>(count);
  return samples;
}

absl::Status Samples::VisitIncreases(
    const FirstSeen& first_seen, SideReport* report,
    const std::function<void(const Increase&)>& visit) const {
  store::SampleBatch batch;
  for (size_t i = 0; i < size(); ++i) {
    const auto seen = first_seen.find(InstanceKey(labels(i)));
    bool known = false;
    int64_t before_ms = 0;
    double before = 0;
    auto iterator = snapshot_->Samples(i);
    while (true) {
      VIGIE_RETURN_IF_ERROR(source_->Check());
      VIGIE_ASSIGN_OR_RETURN(const bool more, iterator->Next(&batch));
      if (!more) {
        Note(iterator->warnings(), report);
        break;
      }
      if (batch.kind != store::SampleKind::kFloat) continue;
      for (size_t k = 0; k < batch.times_ms.size(); ++k) {
        const int64_t time_ms = batch.times_ms[k];
        const double value = batch.values[k];
        const bool inside = time_ms > window_.start_ms;
        if (!std::isfinite(value)) {
          if (inside && !IsStaleMarker(value)) ++report->samples_skipped;
          continue;
        }
        const int64_t start_ms =
            batch.starts_ms.empty() ? 0 : batch.starts_ms[k];
        if (inside) {
          ++report->samples;
          if (report->first_ms == 0 || time_ms < report->first_ms) {
            report->first_ms = time_ms;
          }
          report->last_ms = std::max(report->last_ms, time_ms);
        }
        if (known && inside) {
          const bool reset = value < before || start_ms > before_ms;
          if (reset) ++report->resets;
          visit({i, before_ms, time_ms, reset ? value : value - before});
        } else if (inside) {
          const bool begins = start_ms > window_.start_ms ||
                              (seen != first_seen.end() &&
                               seen->second < time_ms - interval_ms_ / 2);
          if (begins) {
            visit({i, std::max(window_.start_ms, time_ms - interval_ms_),
                   time_ms, value});
          }
        }
        known = true;
        before_ms = time_ms;
        before = value;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Samples::VisitValues(
    SideReport* report,
    const std::function<void(size_t series, const Sample&)>& visit) const {
  store::SampleBatch batch;
  for (size_t i = 0; i < size(); ++i) {
    auto iterator = snapshot_->Samples(i);
    while (true) {
      VIGIE_RETURN_IF_ERROR(source_->Check());
      VIGIE_ASSIGN_OR_RETURN(const bool more, iterator->Next(&batch));
      if (!more) {
        Note(iterator->warnings(), report);
        break;
      }
      if (batch.kind != store::SampleKind::kFloat) continue;
      for (size_t k = 0; k < batch.times_ms.size(); ++k) {
        const Sample sample{batch.times_ms[k], batch.values[k]};
        if (sample.time_ms <= window_.start_ms) continue;
        if (!std::isfinite(sample.value)) {
          if (!IsStaleMarker(sample.value)) ++report->samples_skipped;
          continue;
        }
        ++report->samples;
        if (report->first_ms == 0 || sample.time_ms < report->first_ms) {
          report->first_ms = sample.time_ms;
        }
        report->last_ms = std::max(report->last_ms, sample.time_ms);
        visit(i, sample);
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Reason> ExplainEmpty(const ReadSource& source,
                                    const std::vector<Matcher>& matchers,
                                    const Window& window,
                                    std::string_view side) {
  const store::ReadContext context{&source.account.bytes(), source.stop};
  Reason reason{.code = ReasonCode::kNoSeries, .side = std::string(side)};
  // It may have ended before the window.
  {
    VIGIE_ASSIGN_OR_RETURN(
        const auto earlier,
        Select(source, matchers,
               {window.start_ms - kSearchBackMs, window.end_ms}));
    int64_t last_ms = 0;
    store::SampleBatch batch;
    for (size_t i = 0; i < std::min(earlier->size(), kSeriesMax); ++i) {
      auto iterator = earlier->Samples(i);
      while (true) {
        VIGIE_RETURN_IF_ERROR(source.Check());
        VIGIE_ASSIGN_OR_RETURN(const bool more, iterator->Next(&batch));
        if (!more) break;
        last_ms = std::max(last_ms, batch.times_ms.back());
      }
    }
    if (last_ms > 0) {
      reason.code = ReasonCode::kStale;
      reason.text = fmt::format(
          "{} series match {}, but the last sample is of {}, before the window",
          earlier->size(), SelectorText(matchers), TimeText(last_ms));
      return reason;
    }
  }
  // Which part of the selector is to blame?
  std::vector<Matcher> name;
  for (const Matcher& matcher : matchers) {
    if (matcher.name() == kMetricName) name.push_back(matcher);
  }
  const TimeRange range{window.start_ms - kSearchBackMs, window.end_ms};
  const auto exists =
      [&](const std::vector<Matcher>& tried) -> absl::StatusOr<bool> {
    bool truncated = false;
    VIGIE_RETURN_IF_ERROR(source.Check());
    VIGIE_ASSIGN_OR_RETURN(
        const std::vector<Labels> found,
        source.queryable.Series(source.tenant, range, {tried}, 1, context,
                                &truncated));
    return !found.empty();
  };
  reason.text = "no series matches " + SelectorText(matchers);
  if (name.empty()) return reason;
  const std::string metric = name.front().value();
  VIGIE_ASSIGN_OR_RETURN(const bool known, exists(name));
  if (!known) {
    reason.text += fmt::format("; there is no metric {}", metric);
    return reason;
  }
  for (const Matcher& matcher : matchers) {
    if (matcher.name() == kMetricName) continue;
    std::vector<Matcher> tried = name;
    tried.push_back(matcher);
    VIGIE_ASSIGN_OR_RETURN(const bool found, exists(tried));
    if (found) continue;
    reason.text +=
        fmt::format("; {} has no series with {}", metric, matcher.ToString());
    return reason;
  }
  reason.text +=
      fmt::format("; {} has series for each matcher, none for all", metric);
  return reason;
}

bool EndedEarly(const SideReport& report, const Window& window,
                Reason* reason) {
  if (report.last_ms == 0) {
    reason->code = ReasonCode::kStale;
    reason->text = fmt::format(
        "{} series, but no finite sample in the window ({} are none)",
        report.series, report.samples_skipped);
    return true;
  }
  const int64_t interval_ms =
      std::isnan(report.interval_s)
          ? 0
          : static_cast<int64_t>(report.interval_s * 1000);
  const int64_t missing_ms = window.end_ms - report.last_ms;
  if (missing_ms <= std::max<int64_t>(4 * interval_ms, 60'000)) return false;
  reason->code = ReasonCode::kStale;
  reason->text =
      fmt::format("the last sample is of {}, {} before the end of the window",
                  TimeText(report.last_ms), FormatDurationMs(missing_ms));
  return true;
}

}  // namespace vigie::canary

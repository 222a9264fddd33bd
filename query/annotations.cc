#include "query/annotations.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/time/time.h"
#include "model/labels.h"
#include "query/number_text.h"
#include "query/parser/parser.h"

namespace vigie::query {
namespace {

// Bounds what is remembered: more are only counted as "more", which is enough
// to say that there were more.
constexpr size_t kRememberedMax = 1'000;

std::string Rfc3339(int64_t time_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                          absl::FromUnixSeconds(time_ms / 1'000),
                          absl::UTCTimeZone());
}

// Makes `*all` cover `one` too.
void Widen(const MonotonicityRepair& one, MonotonicityRepair* all) {
  all->time_ms = std::min(all->time_ms, one.time_ms);
  all->bucket_min = std::min(all->bucket_min, one.bucket_min);
  all->bucket_max = std::max(all->bucket_max, one.bucket_max);
  all->difference_max = std::max(all->difference_max, one.difference_max);
}

}  // namespace

std::string ForMetricName(std::string_view name) {
  if (name.empty()) return "";
  return fmt::format(" for metric name {}", Quoted(name));
}

Annotations::Entry* Annotations::Add(std::vector<Entry>* entries,
                                     std::string text, PositionRange position) {
  // As in Prometheus the text alone tells annotations apart, not the place.
  for (Entry& entry : *entries) {
    if (entry.text == text) return &entry;
  }
  if (entries->size() >= kRememberedMax) return nullptr;
  Entry& entry = entries->emplace_back();
  entry.text = std::move(text);
  entry.position = position;
  return &entry;
}

void Annotations::Warn(std::string_view text, PositionRange position) {
  Add(&warnings_, fmt::format("PromQL warning: {}", text), position);
}

void Annotations::Inform(std::string_view text, PositionRange position) {
  Add(&infos_, fmt::format("PromQL info: {}", text), position);
}

void Annotations::ResetsCollided(std::string_view operation,
                                 PositionRange position) {
  Warn(fmt::format("conflicting counter resets during histogram {}", operation),
       position);
}

void Annotations::BoundsReconciled(std::string_view operation,
                                   PositionRange position) {
  Inform(fmt::format("mismatched custom buckets were reconciled during {}",
                     operation),
         position);
}

void Annotations::NotACounter(std::string_view metric_name,
                              PositionRange position) {
  Warn(fmt::format("this native histogram metric is not a counter: {}",
                   Quoted(metric_name)),
       position);
}

void Annotations::NotAGauge(std::string_view metric_name,
                            PositionRange position) {
  Warn(fmt::format("this native histogram metric is not a gauge: {}",
                   Quoted(metric_name)),
       position);
}

void Annotations::MixedSchemas(std::string_view metric_name,
                               PositionRange position) {
  Warn(fmt::format("vector contains a mix of histograms with exponential and "
                   "custom buckets schemas for metric name {}",
                   Quoted(metric_name)),
       position);
}

void Annotations::WarnOfStore(std::string_view text) {
  if (Entry* entry = Add(&warnings_, std::string(text), {})) {
    entry->placed = false;
  }
}

void Annotations::Monotonicity(std::string_view metric_name,
                               PositionRange position,
                               const MonotonicityRepair& repair) {
  Entry* entry =
      Add(&infos_,
          fmt::format(
              "PromQL info: input to histogram_quantile needed to be fixed for "
              "monotonicity (see https://prometheus.io/docs/prometheus/latest/"
              "querying/functions/#histogram_quantile){}",
              ForMetricName(metric_name)),
          position);
  if (entry == nullptr) return;
  if (!entry->repair) {
    entry->repair = true;
    entry->repaired = repair;
    entry->time_max_ms = repair.time_ms;
  }
  ++entry->repairs;
  entry->time_max_ms = std::max(entry->time_max_ms, repair.time_ms);
  Widen(repair, &entry->repaired);
}

void Annotations::Take(Annotations other) {
  const auto take = [](std::vector<Entry> from, std::vector<Entry>* to) {
    for (Entry& one : from) {
      Entry* entry = Add(to, one.text, one.position);
      if (entry == nullptr) continue;  // others are known
      entry->placed = one.placed;
      if (!one.repair) continue;
      if (!entry->repair) {
        *entry = std::move(one);
        continue;
      }
      entry->repairs += one.repairs;
      entry->time_max_ms = std::max(entry->time_max_ms, one.time_max_ms);
      Widen(one.repaired, &entry->repaired);
    }
  };
  take(std::move(other.warnings_), &warnings_);
  take(std::move(other.infos_), &infos_);
}

std::vector<std::string> Annotations::Texts(const std::vector<Entry>& entries,
                                            std::string_view kind,
                                            std::string_view query) {
  std::vector<std::string> texts;
  for (const Entry& entry : entries) {
    if (texts.size() == kAnnotationsMax) {
      texts.push_back(fmt::format("{} more {} annotations omitted",
                                  entries.size() - kAnnotationsMax, kind));
      break;
    }
    if (!entry.placed) {
      texts.push_back(entry.text);
      continue;
    }
    const std::string place = LineColumn(query, entry.position.begin);
    if (entry.repair) {
      texts.push_back(fmt::format(
          "{}, from buckets {} to {}, with a max diff of {:.2g}, over {} "
          "samples from {} to {} ({})",
          entry.text, GeneralText(entry.repaired.bucket_min),
          GeneralText(entry.repaired.bucket_max), entry.repaired.difference_max,
          entry.repairs, Rfc3339(entry.repaired.time_ms),
          Rfc3339(entry.time_max_ms), place));
    } else {
      texts.push_back(fmt::format("{} ({})", entry.text, place));
    }
  }
  return texts;
}

std::vector<std::string> Annotations::Warnings(std::string_view query) const {
  return Texts(warnings_, "warning", query);
}

std::vector<std::string> Annotations::Infos(std::string_view query) const {
  return Texts(infos_, "info", query);
}

}  // namespace vigie::query

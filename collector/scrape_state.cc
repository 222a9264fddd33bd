#include "collector/scrape_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "model/sample.h"

namespace vigie::collector {
namespace {

std::string_view OutcomeOf(const absl::Status& fetched) {
  switch (fetched.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return "timeout";
    case absl::StatusCode::kOutOfRange:
      return "body_size_limit";
    case absl::StatusCode::kFailedPrecondition:
      return "http_status";
    case absl::StatusCode::kUnavailable:
      return "unreachable";
    default:
      return "invalid_request";
  }
}

// Exposed labels that the target has too become exported_*, unless
// honor_labels leaves them as they are. An exposed empty value counts: with
// honor_labels it takes the target's label away (the Pushgateway relies on it).
LabelsBuilder Merged(const ScrapeJob& job, const Labels& target,
                     const TextLabels& exposed) {
  LabelsBuilder builder;
  for (const auto& [name, value] : exposed) builder.Set(name, value);
  std::vector<std::pair<std::string, std::string>> conflicting;
  for (const LabelView& label : target) {
    if (job.honor_labels) {
      const bool has = std::any_of(
          exposed.begin(), exposed.end(),
          [&](const auto& pair) { return pair.first == label.name; });
      if (!has) builder.Set(label.name, label.value);
      continue;
    }
    if (const std::string_view value = builder.Get(label.name);
        !value.empty()) {
      conflicting.emplace_back(label.name, value);
    }
    builder.Set(label.name, label.value);
  }
  // Shorter names first, so that a.b before exported_a.b keeps its turn.
  std::stable_sort(conflicting.begin(), conflicting.end(),
                   [](const auto& a, const auto& b) {
                     return a.first.size() < b.first.size();
                   });
  for (const auto& [name, value] : conflicting) {
    std::string free = "exported_" + name;
    while (!builder.Get(free).empty()) free.insert(0, "exported_");
    builder.Set(free, value);
  }
  return builder;
}

absl::Status CheckLimits(const ScrapeJob& job, const Labels& labels) {
  int64_t count = 0;
  for (const LabelView& label : labels) {
    ++count;
    if (job.label_name_length_limit > 0 &&
        static_cast<int64_t>(label.name.size()) > job.label_name_length_limit) {
      return absl::OutOfRangeError(fmt::format(
          "label_name_length_limit exceeded: {}: a label name has {} bytes, "
          "the limit is {}",
          labels.metric_name(), label.name.size(),
          job.label_name_length_limit));
    }
    if (job.label_value_length_limit > 0 &&
        static_cast<int64_t>(label.value.size()) >
            job.label_value_length_limit) {
      return absl::OutOfRangeError(fmt::format(
          "label_value_length_limit exceeded: {}: the value of {} has {} "
          "bytes, the limit is {}",
          labels.metric_name(), label.name, label.value.size(),
          job.label_value_length_limit));
    }
  }
  if (job.label_limit > 0 && count > job.label_limit) {
    return absl::OutOfRangeError(
        fmt::format("label_limit exceeded: {} has {} labels, the limit is {}",
                    labels.metric_name(), count, job.label_limit));
  }
  return absl::OkStatus();
}

}  // namespace

ScrapeState::ScrapeState(Labels labels, std::string group)
    : labels_(std::move(labels)),
      group_(std::move(group)),
      reports_{{{"up", {}, false},
                {"scrape_duration_seconds", {}, false},
                {"scrape_samples_scraped", {}, false},
                {"scrape_samples_post_metric_relabeling", {}, false},
                {"scrape_series_added", {}, false}}} {}

absl::StatusOr<std::optional<Labels>> ScrapeState::SampleLabels(
    const ScrapeJob& job, const TextLabels& text) const {
  LabelsBuilder builder = Merged(job, labels_, text);
  if (!ApplyAll(job.metric_relabel_configs, &builder)) return std::nullopt;
  Labels labels = builder.Build();
  if (labels.metric_name().empty()) {
    return absl::InvalidArgumentError(
        "a metric has no name left after relabelling");
  }
  VIGIE_RETURN_IF_ERROR(CheckLimits(job, labels));
  return labels;
}

ScrapeState::Known::value_type* ScrapeState::Find(const ScrapeJob& job,
                                                  const TextParser& parser,
                                                  const TextEntry& entry,
                                                  Labels* labels,
                                                  ScrapeReading* reading) {
  if (auto it = known_.find(entry.series); it != known_.end()) return &*it;
  TextLabels text;
  if (absl::Status status = parser.ReadLabels(entry, &text); !status.ok()) {
    *reading = {Prefixed("exposition", status), "malformed", reading->samples};
    return nullptr;
  }
  auto merged = SampleLabels(job, text);
  if (!merged.ok()) {
    *reading = {
        merged.status(),
        absl::IsOutOfRange(merged.status()) ? "label_limit" : "invalid_labels",
        reading->samples};
    return nullptr;
  }
  Known::value_type& added =
      *known_.try_emplace(std::string(entry.series)).first;
  added.second.type = entry.type;
  added.second.dropped = !merged->has_value();
  if (merged->has_value()) {
    *labels = **std::move(merged);
    ++series_added_;
  }
  return &added;
}

absl::Status ScrapeState::AddSample(const ScrapeJob& job,
                                    const TextParser& parser,
                                    const TextEntry& entry, int64_t time_ms,
                                    Known::value_type* series, Labels labels,
                                    store::AppendBatch* batch) {
  Series& s = series->second;
  const bool own_time = job.honor_timestamps && entry.time_ms.has_value();
  const Sample sample{own_time ? *entry.time_ms : time_ms, entry.value};
  if (s.scrape != scrape_) {
    s.scrape = scrape_;
    s.index = static_cast<uint32_t>(pending_.size());
    ++seen_;
    pending_.push_back(
        {.series = series,
         .sample = sample,
         .by_reference = s.ref.id != 0,
         .tracked = !own_time || job.track_timestamps_staleness});
    if (s.ref.id == 0 && labels.empty()) {
      // Known, but the store has not taken it: say its name again.
      TextLabels text;
      VIGIE_RETURN_IF_ERROR(DecodeSeriesText(series->first, s.type, &text));
      VIGIE_ASSIGN_OR_RETURN(auto again, SampleLabels(job, text));
      labels = std::move(again).value_or(Labels());
    }
    batch->series.push_back({std::move(labels), s.ref});
  } else {
    pending_[s.index].sample = sample;
  }
  batch->floats.push_back({s.index, sample, 0});
  if (!entry.exemplar.empty()) {
    Exemplar exemplar;
    VIGIE_RETURN_IF_ERROR(parser.ReadExemplar(entry, &exemplar));
    if (!entry.exemplar_time_ms) exemplar.time_ms = sample.time_ms;
    batch->exemplars.push_back({s.index, std::move(exemplar)});
  }
  return absl::OkStatus();
}

ScrapeReading ScrapeState::Read(const ScrapeJob& job, const Scrape& scrape,
                                store::AppendBatch* batch) {
  ScrapeReading reading{absl::OkStatus(), "ok", 0};
  if (!scrape.status.ok()) {
    return {scrape.status, OutcomeOf(scrape.status), 0};
  }
  TextParser parser(scrape.body, scrape.format);
  TextEntry entry;
  while (true) {
    const absl::StatusOr<bool> more = parser.Next(&entry);
    if (!more.ok()) {
      return {Prefixed("exposition", more.status()), "malformed",
              reading.samples};
    }
    if (!*more) return reading;
    if (entry.kind != TextEntry::Kind::kSample) {
      NoteMetadata(entry);
      continue;
    }
    ++reading.samples;
    Labels labels;
    Known::value_type* series = Find(job, parser, entry, &labels, &reading);
    if (series == nullptr) return reading;
    if (series->second.dropped) {
      if (series->second.scrape != scrape_) ++seen_;
      series->second.scrape = scrape_;
      continue;
    }
    if (job.sample_limit > 0 &&
        static_cast<int64_t>(batch->floats.size()) >= job.sample_limit) {
      return {absl::OutOfRangeError(fmt::format(
                  "sample_limit exceeded: the target exposes more than {} "
                  "samples",
                  job.sample_limit)),
              "sample_limit", reading.samples};
    }
    if (absl::Status status = AddSample(job, parser, entry, scrape.time_ms,
                                        series, std::move(labels), batch);
        !status.ok()) {
      return {Prefixed("exposition", status), "malformed", reading.samples};
    }
  }
}

ScrapeReading ScrapeState::Compose(const ScrapeJob& job, const Scrape& scrape,
                                   store::AppendBatch* batch) {
  const auto start = [&] {
    ++scrape_;
    seen_ = 0;
    pending_.clear();
    *batch = store::AppendBatch();
    batch->group = group_;
  };
  start();
  series_added_ = 0;
  const size_t expected = known_.size() + kReports;
  batch->series.reserve(expected);
  batch->floats.reserve(expected);
  pending_.reserve(expected);
  const ScrapeReading reading = Read(job, scrape, batch);
  const double post_relabelling = static_cast<double>(batch->floats.size());
  if (!reading.status.ok()) {
    start();  // as if the target had exposed nothing
    series_added_ = 0;
    if (scrape.status.ok()) metadata_.clear();  // half of it was noted
  } else {
    AddMetadata(batch);
  }
  EndVanished(scrape.time_ms, batch);
  AddReports({reading.status.ok() ? 1.0 : 0.0, scrape.duration_s,
              static_cast<double>(reading.samples), post_relabelling,
              static_cast<double>(series_added_)},
             scrape.time_ms, batch);
  return reading;
}

void ScrapeState::EndVanished(int64_t time_ms, store::AppendBatch* batch) {
  if (seen_ == known_.size()) return;
  for (auto it = known_.begin(); it != known_.end();) {
    const auto at = it++;
    Series& s = at->second;
    if (s.scrape == scrape_) continue;
    if (!s.alive || s.ref.id == 0) {
      known_.erase(at);
      continue;
    }
    const auto index = static_cast<uint32_t>(pending_.size());
    const Sample sample{time_ms, StaleMarker()};
    pending_.push_back(
        {.series = &*at, .sample = sample, .by_reference = true, .ends = true});
    batch->series.push_back({Labels(), s.ref});
    batch->floats.push_back({index, sample, 0});
  }
}

Labels ScrapeState::ReportLabels(const char* name) const {
  return LabelsBuilder(labels_).Set(kMetricName, name).Build();
}

void ScrapeState::AddReports(const std::array<double, kReports>& values,
                             int64_t time_ms, store::AppendBatch* batch) {
  for (size_t i = 0; i < kReports; ++i) {
    Report& report = reports_[i];
    const auto index = static_cast<uint32_t>(pending_.size());
    const Sample sample{time_ms, values[i]};
    const bool known = report.ref.id != 0;
    pending_.push_back(
        {.report = &report, .sample = sample, .by_reference = known});
    batch->series.push_back(
        {known ? Labels() : ReportLabels(report.name), report.ref});
    batch->floats.push_back({index, sample, 0});
  }
}

void ScrapeState::NoteMetadata(const TextEntry& entry) {
  auto it = metadata_.find(entry.metric);
  if (it == metadata_.end()) {
    it = metadata_.try_emplace(entry.metric).first;
    it->second.changed = true;
  }
  it->second.scrape = scrape_;
  const auto note = [&](auto* field, const auto& value) {
    if (*field == value) return;
    *field = value;
    it->second.changed = true;
  };
  switch (entry.kind) {
    case TextEntry::Kind::kType:
      return note(&it->second.metadata.type, entry.type);
    case TextEntry::Kind::kHelp:
      return note(&it->second.metadata.help, entry.text);
    case TextEntry::Kind::kUnit:
      return note(&it->second.metadata.unit, entry.text);
    case TextEntry::Kind::kSample:
      return;
  }
}

void ScrapeState::AddMetadata(store::AppendBatch* batch) {
  for (auto it = metadata_.begin(); it != metadata_.end();) {
    const auto at = it++;
    if (at->second.scrape != scrape_) {
      metadata_.erase(at);
      continue;
    }
    if (at->second.changed) {
      batch->metadata.push_back({at->first, at->second.metadata});
    }
    at->second.changed = false;
  }
}

std::optional<store::AppendBatch> ScrapeState::Settle(
    const ScrapeJob& job, const store::AppendOutcome& outcome) {
  const std::vector<Pending> pending = std::exchange(pending_, {});
  if (!outcome.status.ok()) {
    metadata_.clear();  // told again by the next scrape
    return std::nullopt;
  }
  VIGIE_CHECK(outcome.refs.size() == pending.size());
  std::optional<store::AppendBatch> again;
  for (size_t i = 0; i < pending.size(); ++i) {
    const Pending& p = pending[i];
    const store::SeriesRef ref = outcome.refs[i];
    if (p.report != nullptr) {
      p.report->ref = ref;
      p.report->alive = ref.id != 0;
    } else if (p.ends) {
      known_.erase(known_.find(p.series->first));
      continue;
    } else {
      p.series->second.ref = ref;
      p.series->second.alive = ref.id != 0 && p.tracked;
    }
    if (ref.id != 0 || !p.by_reference) continue;
    // The store has forgotten the reference.
    Labels labels;
    if (p.report != nullptr) {
      labels = ReportLabels(p.report->name);
    } else {
      TextLabels text;
      if (!DecodeSeriesText(p.series->first, p.series->second.type, &text)
               .ok()) {
        continue;
      }
      auto merged = SampleLabels(job, text);
      if (!merged.ok() || !merged->has_value()) continue;
      labels = **std::move(merged);
    }
    if (!again) again.emplace().group = group_;
    again->floats.push_back(
        {static_cast<uint32_t>(pending_.size()), p.sample, 0});
    again->series.push_back({std::move(labels), {}});
    pending_.push_back(p);
    pending_.back().by_reference = false;
  }
  return again;
}

store::AppendBatch ScrapeState::Retire(int64_t time_ms) {
  store::AppendBatch batch;
  batch.group = group_;
  const auto end = [&](store::SeriesRef ref) {
    batch.floats.push_back({static_cast<uint32_t>(batch.series.size()),
                            {time_ms, StaleMarker()},
                            0});
    batch.series.push_back({Labels(), ref});
  };
  for (const auto& [text, series] : known_) {
    if (series.alive && series.ref.id != 0) end(series.ref);
  }
  for (const Report& report : reports_) {
    if (report.alive) end(report.ref);
  }
  known_.clear();
  return batch;
}

}  // namespace vigie::collector

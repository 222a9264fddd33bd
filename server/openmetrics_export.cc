#include "server/openmetrics_export.h"

#include <utility>

#include "model/labels.h"
#include "server/json.h"

namespace vigie::server {
namespace {

// What the parts of a family are called beside it.
constexpr std::string_view kSuffixes[] = {"_bucket", "_count",   "_sum",
                                          "_total",  "_created", "_info",
                                          "_gcount", "_gsum"};

bool IsPlainName(std::string_view name) {
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        c == '_' || c == ':';
    if (!letter && !(c >= '0' && c <= '9')) return false;
  }
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9');
}

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string NameText(std::string_view name) {
  return IsPlainName(name) ? std::string(name) : '"' + Escaped(name) + '"';
}

}  // namespace

std::string_view MetricTypeText(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
    case MetricType::kGaugeHistogram:
      return "gaugehistogram";
    case MetricType::kSummary:
      return "summary";
    case MetricType::kInfo:
      return "info";
    case MetricType::kStateSet:
      return "stateset";
    case MetricType::kUnknown:
      break;
  }
  return "unknown";
}

MetadataLines::MetadataLines(std::vector<store::MetricMetadata> all) {
  for (store::MetricMetadata& one : all) {
    if (one.metadata == Metadata()) continue;  // says nothing
    left_.emplace(std::move(one.metric), std::move(one.metadata));
  }
}

void MetadataLines::Append(const std::string& metric, const Metadata& metadata,
                           std::string* out) {
  const std::string name = NameText(metric);
  *out += "# TYPE " + name + ' ';
  *out += MetricTypeText(metadata.type);
  *out += '\n';
  family_ = metadata.type == MetricType::kUnknown ? "" : metric;
  if (metadata.unit.find_first_of(" \t\r\n") != std::string::npos) {
    ++units_left_out_;
  } else if (!metadata.unit.empty()) {
    *out += "# UNIT " + name + ' ' + metadata.unit + '\n';
  }
  if (!metadata.help.empty()) {
    *out += "# HELP " + name + ' ' + Escaped(metadata.help) + '\n';
  }
}

void MetadataLines::Before(std::string_view metric, std::string* out) {
  const auto write = [&](std::string_view family) {
    const auto it = left_.find(family);
    if (it == left_.end()) return false;
    Append(it->first, it->second, out);
    left_.erase(it);
    return true;
  };
  bool of_family = family_ == metric;
  for (const std::string_view suffix : kSuffixes) {
    if (!metric.ends_with(suffix)) continue;
    const std::string_view family =
        metric.substr(0, metric.size() - suffix.size());
    of_family = write(family) || of_family || family_ == family;
  }
  // Of both the metric's own is in force.
  if (write(metric) || of_family || family_.empty()) return;
  *out += "# TYPE " + NameText(metric) + " unknown\n";
  family_.clear();
}

void MetadataLines::Rest(std::string* out) {
  for (const auto& [metric, metadata] : left_) Append(metric, metadata, out);
  left_.clear();
}

void SeriesLines::Add(int64_t time_ms, double value, std::string* out) {
  Line line{series_ + ' '};
  AppendFloatText(value, &line.text);
  line.text += ' ';
  AppendTimestamp(time_ms, &line.text);
  if (exemplars_.empty() && held_.empty()) {
    *out += line.text;
    *out += '\n';
    return;
  }
  if (!exemplars_.empty() && exemplars_.front().time_ms <= time_ms) {
    Attach(&line);
  }
  free_ += line.has_exemplar ? 0 : 1;
  held_.push_back(std::move(line));
  while (!held_.empty() &&
         (held_.front().has_exemplar || free_ > exemplars_.size())) {
    free_ -= held_.front().has_exemplar ? 0 : 1;
    *out += held_.front().text;
    *out += '\n';
    held_.pop_front();
  }
}

uint64_t SeriesLines::Finish(std::string* out) {
  // There are no more free lines than exemplars.
  for (Line& line : held_) {
    if (!line.has_exemplar && !exemplars_.empty()) Attach(&line);
    *out += line.text;
    *out += '\n';
  }
  held_.clear();
  free_ = 0;
  const uint64_t left = exemplars_.size();
  exemplars_.clear();
  return left;
}

void SeriesLines::Attach(Line* line) {
  const Exemplar& exemplar = exemplars_.front();
  line->text += " # ";
  line->text += exemplar.labels.empty() ? "{}" : exemplar.labels.ToString();
  line->text += ' ';
  AppendFloatText(exemplar.value, &line->text);
  line->text += ' ';
  AppendTimestamp(exemplar.time_ms, &line->text);
  line->has_exemplar = true;
  exemplars_.pop_front();
}

}  // namespace vigie::server

#include "collector/otlp_builder.h"

#include <fmt/format.h>

#include <array>

#include "base/strings.h"
#include "collector/otlp_translate.h"
#include "collector/otlp_value.h"

namespace vigie::collector {
namespace {

// What a series and a sample take in a batch beside the label bytes.
constexpr size_t kSeriesBytes =
    sizeof(store::BatchSeries) + sizeof(store::FloatPoint) + 32;

}  // namespace

std::string OtlpPlace::ToString() const {
  if (resource < 0) return "request";
  std::string out = fmt::format("resource_metrics[{}]", resource);
  if (scope >= 0) out += fmt::format(".scope_metrics[{}]", scope);
  if (metric >= 0) out += fmt::format(".metrics[{}]", metric);
  if (!metric_name.empty())
    out += " " + Quoted(TruncatedUtf8(metric_name, kNameBytesShown));
  if (point >= 0) out += fmt::format(": data_points[{}]", point);
  return out;
}

bool OtlpBuilder::Malformed(const char* error, size_t offset) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(
        fmt::format("{}: byte {}: {}", place.ToString(), offset, error));
  }
  return false;
}

bool OtlpBuilder::CheckUtf8(std::string_view text, const char* error) {
  return IsValidUtf8(text) ||
         Malformed(error, static_cast<size_t>(text.data() - message_.data()));
}

bool OtlpBuilder::Charge(size_t bytes) {
  bytes_left_ -= static_cast<int64_t>(bytes);
  if (bytes_left_ < 0 && status_.ok()) {
    status_ = absl::OutOfRangeError(
        fmt::format("{}: the request grows to more than {} bytes of series",
                    place.ToString(), bytes_max_));
  }
  return status_.ok();
}

void OtlpBuilder::Refuse(std::string_view reason, std::string_view why) {
  auto it = std::find_if(decoded_.refusals.begin(), decoded_.refusals.end(),
                         [&](const auto& r) { return r.reason == reason; });
  if (it == decoded_.refusals.end()) {
    decoded_.refusals.push_back(
        {reason, 1, fmt::format("{}: {}", place.ToString(), why)});
  } else {
    ++it->points;
  }
}

void OtlpBuilder::StartResource(std::string job, std::string instance) {
  job_ = std::move(job);
  instance_ = std::move(instance);
  newest_ms_ = 0;
  current_ = {};
  current_.batch.tenant = tenant_;
  current_.batch.group =
      Labels({{"instance", instance_}, {"job", job_}}).ToString();
}

void OtlpBuilder::EndResource() {
  const store::AppendBatch& batch = current_.batch;
  if (batch.series.empty() && batch.metadata.empty()) return;
  decoded_.batches.push_back(std::move(current_));
}

bool OtlpBuilder::ReadAttribute(std::string_view pair, LabelRow* row,
                                std::string_view* key,
                                std::string_view* value) {
  WireFault fault;
  if (!ReadKeyValue(pair, message_.data(), &scratch_, key, value, &fault)) {
    return Malformed(fault.error, fault.offset);
  }
  if (value->data() == scratch_.data()) {
    *value = row->Own(std::exchange(scratch_, {}));
  }
  return true;
}

std::string_view OtlpBuilder::LabelName(std::string_view key, size_t place) {
  if (place >= likely_names_.size()) likely_names_.resize(place + 1);
  auto& [likely_key, likely_label] = likely_names_[place];
  if (key != likely_key || key.empty()) {
    likely_label = Translate(key);
    likely_key = key;
  }
  return likely_label;
}

std::string_view OtlpBuilder::Translate(std::string_view key) {
  if (auto it = label_names_.find(key); it != label_names_.end()) {
    return it->second;
  }
  const std::string_view label =
      label_texts_.emplace_back(PrometheusLabelName(key));
  label_names_.emplace(key, label);
  return label;
}

bool OtlpBuilder::AddSeries(LabelRow* row, std::string_view name,
                            LabelView extra, uint32_t* series) {
  if (!Charge(row->bytes() + name.size() + instance_.size() + job_.size() +
              extra.value.size() + kSeriesBytes)) {
    return false;
  }
  const std::array<LabelView, 4> overrides = {
      {{kMetricName, name}, {"instance", instance_}, {"job", job_}, extra}};
  *series = static_cast<uint32_t>(current_.batch.series.size());
  current_.batch.series.push_back(
      {row->Build({overrides.data(), extra.name.empty() ? 3u : 4u}), {}});
  return true;
}

}  // namespace vigie::collector

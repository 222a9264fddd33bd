#include "cli/push_convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "collector/otlp_translate.h"
#include "collector/text_format.h"
#include "model/labels.h"

namespace vigie::cli {
namespace {

namespace otlp = opentelemetry::proto::metrics::v1;
using collector::OtlpKind;
using collector::TextEntry;
using Request =
    opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;

// Up to here every whole number is a double.
constexpr double kCountMax = 9007199254740992.0;

bool TakeSuffix(std::string_view* name, std::string_view suffix) {
  if (name->size() <= suffix.size() || !name->ends_with(suffix)) return false;
  name->remove_suffix(suffix.size());
  return true;
}

absl::Status At(std::string_view place, std::string_view message) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", place, message));
}

uint64_t Nanoseconds(int64_t time_ms) {
  return static_cast<uint64_t>(time_ms) * 1'000'000;
}

// The samples of one histogram or summary at one time.
struct Group {
  std::string place;  // of the first
  Labels labels;      // without __name__, le and quantile
  int64_t time_ms = 0;
  std::vector<std::pair<double, double>> parts;  // bound or quantile, value
  std::optional<double> sum;
  std::optional<double> count;
};

struct Family {
  std::string name;
  bool summary = false;
  std::vector<Group> groups;
  std::map<std::pair<std::string, int64_t>, size_t> by_labels_and_time;
};

class Converter {
 public:
  Converter(std::string_view text, int64_t now_ms, std::string_view job,
            std::string_view instance)
      : parser_(text, IsOpenMetrics(text) ? collector::TextFormat::kOpenMetrics
                                          : collector::TextFormat::kPrometheus),
        now_ms_(now_ms),
        has_instance_(!instance.empty()) {
    auto* resource = request_.add_resource_metrics();
    AddAttribute("service.name", job, resource->mutable_resource());
    if (has_instance_) {
      AddAttribute("service.instance.id", instance,
                   resource->mutable_resource());
    }
    metrics_ = resource->add_scope_metrics();
  }

  absl::StatusOr<Request> Convert() {
    TextEntry entry;
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, parser_.Next(&entry));
      if (!more) break;
      if (entry.kind == TextEntry::Kind::kType) {
        types_[entry.metric] = entry.type;
      } else if (entry.kind == TextEntry::Kind::kHelp) {
        helps_[entry.metric] = entry.text;
      } else if (entry.kind == TextEntry::Kind::kSample) {
        VIGIE_RETURN_IF_ERROR(AddSample(entry));
      }
    }
    for (const Family& family : families_) {
      for (const Group& group : family.groups) {
        VIGIE_RETURN_IF_ERROR(family.summary ? AddSummary(family, group)
                                             : AddHistogram(family, group));
      }
    }
    return std::move(request_);
  }

 private:
  static bool IsOpenMetrics(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    return text == "# EOF" || text.ends_with("\n# EOF");
  }

  template <class Message>
  static void AddAttribute(std::string_view name, std::string_view value,
                           Message* message) {
    auto* attribute = message->add_attributes();
    attribute->set_key(std::string(name));
    attribute->mutable_value()->set_string_value(std::string(value));
  }

  MetricType TypeOf(std::string_view metric) const {
    const auto it = types_.find(metric);
    return it == types_.end() ? MetricType::kUnknown : it->second;
  }

  // The labels but the metric's name, `le` and `quantile`, each such that
  // OTLP's translation gives it back.
  absl::StatusOr<Labels> PointLabels(const std::string& place,
                                     const collector::TextLabels& text,
                                     std::string_view bound) const {
    LabelsBuilder builder;
    for (const auto& [name, value] : text) {
      if (name == kMetricName || name == bound) continue;
      if (name == "job" || (name == "instance" && has_instance_)) {
        return At(place, fmt::format("label \"{0}\" comes from --{0}", name));
      }
      if (collector::PrometheusLabelName(name) != name) {
        return At(place,
                  fmt::format("OTLP would store label {} as {}", Quoted(name),
                              Quoted(collector::PrometheusLabelName(name))));
      }
      builder.Set(name, value);
    }
    return builder.Build();
  }

  absl::Status AddSample(const TextEntry& entry) {
    const std::string place = parser_.PlaceOf(entry);
    collector::TextLabels text;
    VIGIE_RETURN_IF_ERROR(parser_.ReadLabels(entry, &text));
    const std::string name = text.front().second;
    const int64_t time_ms = entry.time_ms.value_or(now_ms_);
    if (time_ms <= 0) {
      return At(place, "OTLP has no time at or before 1970");
    }

    std::string_view base = name;
    const bool bucket = TakeSuffix(&base, "_bucket");
    const bool sum = !bucket && TakeSuffix(&base, "_sum");
    const bool count = !bucket && !sum && TakeSuffix(&base, "_count");
    const MetricType base_type = TypeOf(base);
    if ((bucket || sum || count) && base_type == MetricType::kHistogram) {
      return AddPart(place, text, base, "le", bucket, sum, time_ms,
                     entry.value);
    }
    if ((sum || count) && base_type == MetricType::kSummary) {
      return AddPart(place, text, base, "quantile", false, sum, time_ms,
                     entry.value);
    }
    if (TypeOf(name) == MetricType::kSummary) {
      return AddPart(place, text, name, "quantile", true, false, time_ms,
                     entry.value);
    }
    VIGIE_ASSIGN_OR_RETURN(const Labels labels, PointLabels(place, text, ""));
    return AddNumber(place, name, labels, time_ms, entry.value);
  }

  absl::Status AddNumber(const std::string& place, const std::string& name,
                         const Labels& labels, int64_t time_ms, double value) {
    std::string_view stem = name;
    const bool total = TakeSuffix(&stem, "_total");
    const bool counter = TypeOf(name) == MetricType::kCounter ||
                         (total && TypeOf(stem) == MetricType::kCounter);
    // The server puts "_total" behind the name of a monotonic sum. A counter
    // without it can only keep its name as a sum that may fall.
    const bool monotonic =
        counter && total &&
        collector::PrometheusMetricName(stem, "", OtlpKind::kCounter) == name;
    otlp::Metric* metric = nullptr;
    if (monotonic) {
      metric = MetricNamed(stem, name, stem, 'm');
    } else {
      VIGIE_RETURN_IF_ERROR(CheckName(
          place, name, counter ? OtlpKind::kUpDownCounter : OtlpKind::kGauge));
      metric = MetricNamed(name, name, name, counter ? 's' : 'g');
    }
    otlp::NumberDataPoint* point;
    if (counter) {
      metric->mutable_sum()->set_aggregation_temporality(
          otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
      metric->mutable_sum()->set_is_monotonic(monotonic);
      point = metric->mutable_sum()->add_data_points();
    } else {
      point = metric->mutable_gauge()->add_data_points();
    }
    point->set_time_unix_nano(Nanoseconds(time_ms));
    point->set_as_double(value);
    AddLabels(labels, point);
    return absl::OkStatus();
  }

  static absl::Status CheckName(const std::string& place,
                                const std::string& name, OtlpKind kind) {
    const std::string stored = collector::PrometheusMetricName(name, "", kind);
    if (stored == name) return absl::OkStatus();
    return At(place, fmt::format("OTLP would store metric {} as {}",
                                 Quoted(name), Quoted(stored)));
  }

  // `sent` is the name on the wire, `stored` the one it gets back; HELP may
  // stand under that or under `family`. A metric has one kind, a name may have
  // several (a stray sample named as a histogram).
  otlp::Metric* MetricNamed(std::string_view sent, std::string_view stored,
                            std::string_view family, char kind) {
    auto [it, added] =
        by_name_.try_emplace(fmt::format("{}{}", kind, stored), nullptr);
    if (added) {
      it->second = metrics_->add_metrics();
      it->second->set_name(std::string(sent));
      auto help = helps_.find(stored);
      if (help == helps_.end()) help = helps_.find(family);
      if (help != helps_.end()) it->second->set_description(help->second);
    }
    return it->second;
  }

  template <class Point>
  static void AddLabels(const Labels& labels, Point* point) {
    for (const LabelView& label : labels) {
      AddAttribute(label.name, label.value, point);
    }
  }

  absl::Status AddPart(const std::string& place,
                       const collector::TextLabels& text,
                       std::string_view family_name, std::string_view bound,
                       bool is_part, bool is_sum, int64_t time_ms,
                       double value) {
    const bool summary = bound == "quantile";
    VIGIE_ASSIGN_OR_RETURN(Labels labels, PointLabels(place, text, bound));
    auto [found, added] =
        family_index_.try_emplace(std::string(family_name), families_.size());
    if (added) {
      families_.push_back({std::string(family_name), summary, {}, {}});
      VIGIE_RETURN_IF_ERROR(
          CheckName(place, families_.back().name,
                    summary ? OtlpKind::kSummary : OtlpKind::kHistogram));
    }
    Family& family = families_[found->second];
    const auto [it, first] = family.by_labels_and_time.try_emplace(
        {labels.bytes(), time_ms}, family.groups.size());
    if (first) {
      family.groups.push_back({place, std::move(labels), time_ms, {}, {}, {}});
    }
    Group& group = family.groups[it->second];
    if (!is_part) {
      std::optional<double>& field = is_sum ? group.sum : group.count;
      if (field) return At(place, "the same sample comes twice");
      field = value;
      return absl::OkStatus();
    }
    const auto label =
        std::find_if(text.begin(), text.end(),
                     [&](const auto& pair) { return pair.first == bound; });
    if (label == text.end()) {
      return At(place, fmt::format("label \"{}\" is missing", bound));
    }
    const std::optional<double> at = collector::ParseTextFloat(label->second);
    if (!at || std::isnan(*at)) {
      return At(place, fmt::format("{}={} is not a number", bound,
                                   Quoted(label->second)));
    }
    group.parts.emplace_back(*at, value);
    return absl::OkStatus();
  }

  static absl::StatusOr<uint64_t> Count(const std::string& place,
                                        double value) {
    if (!(value >= 0 && value <= kCountMax) || std::floor(value) != value) {
      return At(place, fmt::format("{} is not a count", value));
    }
    return static_cast<uint64_t>(value);
  }

  absl::Status AddHistogram(const Family& family, const Group& group) {
    const auto fail = [&](std::string_view what) {
      return At(group.place,
                fmt::format("histogram {}: {}", family.name, what));
    };
    std::vector<std::pair<double, double>> buckets = group.parts;
    std::sort(buckets.begin(), buckets.end());
    std::optional<double> total = group.count;
    const bool has_infinity =
        !buckets.empty() && std::isinf(buckets.back().first);
    if (has_infinity && !total) total = buckets.back().second;
    if (!total) return fail("neither _count nor a bucket with le=\"+Inf\"");
    if (has_infinity && buckets.back().second != *total) {
      return fail("_count differs from the bucket with le=\"+Inf\"");
    }
    if (has_infinity) buckets.pop_back();

    VIGIE_ASSIGN_OR_RETURN(const uint64_t count, Count(group.place, *total));
    otlp::HistogramDataPoint point;
    uint64_t before = 0;
    for (size_t i = 0; i < buckets.size(); ++i) {
      const auto [bound, cumulative] = buckets[i];
      if (std::isinf(bound)) return fail("a bucket with le=\"-Inf\"");
      if (i > 0 && bound == buckets[i - 1].first) {
        return fail(fmt::format("two buckets with le=\"{}\"", bound));
      }
      VIGIE_ASSIGN_OR_RETURN(const uint64_t now,
                             Count(group.place, cumulative));
      if (now < before || now > count) {
        return fail(fmt::format(
            "the bucket with le=\"{}\" counts {}, others do not fit to it",
            bound, now));
      }
      point.add_explicit_bounds(bound);
      point.add_bucket_counts(now - before);
      before = now;
    }
    if (!group.parts.empty()) point.add_bucket_counts(count - before);
    point.set_time_unix_nano(Nanoseconds(group.time_ms));
    point.set_count(count);
    if (group.sum) point.set_sum(*group.sum);
    AddLabels(group.labels, &point);
    otlp::Histogram* histogram =
        MetricNamed(family.name, family.name, family.name, 'h')
            ->mutable_histogram();
    histogram->set_aggregation_temporality(
        otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
    *histogram->add_data_points() = std::move(point);
    return absl::OkStatus();
  }

  absl::Status AddSummary(const Family& family, const Group& group) {
    if (!group.sum || !group.count) {
      return At(group.place,
                fmt::format("summary {}: {} is missing", family.name,
                            group.sum ? "_count" : "_sum"));
    }
    VIGIE_ASSIGN_OR_RETURN(const uint64_t count,
                           Count(group.place, *group.count));
    otlp::SummaryDataPoint* point =
        MetricNamed(family.name, family.name, family.name, 'q')
            ->mutable_summary()
            ->add_data_points();
    point->set_time_unix_nano(Nanoseconds(group.time_ms));
    point->set_count(count);
    point->set_sum(*group.sum);
    for (const auto& [quantile, value] : group.parts) {
      auto* part = point->add_quantile_values();
      part->set_quantile(quantile);
      part->set_value(value);
    }
    AddLabels(group.labels, point);
    return absl::OkStatus();
  }

  Request request_;
  otlp::ScopeMetrics* metrics_;
  collector::TextParser parser_;
  const int64_t now_ms_;
  const bool has_instance_;
  StringMap<MetricType> types_;
  StringMap<std::string> helps_;
  StringMap<otlp::Metric*> by_name_;  // by kind and the name it is stored under
  std::vector<Family> families_;
  StringMap<size_t> family_index_;
};

}  // namespace

absl::StatusOr<Request> ExpositionToOtlp(std::string_view text, int64_t now_ms,
                                         std::string_view job,
                                         std::string_view instance) {
  return Converter(text, now_ms, job, instance).Convert();
}

}  // namespace vigie::cli

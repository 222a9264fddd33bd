// The hand decoder against the generated protobuf classes: a second, plain
// translation of the parsed message has to give the same samples.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "collector/otlp_decode.h"
#include "collector/otlp_translate.h"
#include "tests/collector/otlp_messages.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using namespace vigie::testing;  // NOLINT: short messages
namespace pb = opentelemetry::proto::metrics::v1;
using Attributes = google::protobuf::RepeatedPtrField<
    opentelemetry::proto::common::v1::KeyValue>;
using LabelMap = std::map<std::string, std::string>;

// --- random messages ---
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  ExportRequest Request() {
    ExportRequest request;
    for (int i = Below(4); i > 0; --i)
      FillResource(request.add_resource_metrics());
    return request;
  }

 private:
  int Below(int n) { return std::uniform_int_distribution(0, n - 1)(random_); }
  bool OneIn(int n) { return Below(n) == 0; }
  template <class T>
  T Pick(std::initializer_list<T> from) {
    return from.begin()[Below(static_cast<int>(from.size()))];
  }
  double Number() {
    return Pick({0.0, -0.0, 1.0, 0.25, -17.5, 1e300, 5e-324, HUGE_VAL,
                 std::bit_cast<double>(kNormalNanBits)});
  }
  uint64_t Time() {
    return OneIn(20) ? 0 : kTNano + static_cast<uint64_t>(Below(5)) * 1'500'000;
  }

  void FillAttributes(Attributes* to) {
    for (int i = Below(4); i > 0; --i) {
      auto* pair = to->Add();
      pair->set_key(Pick({"a.b", "a_b", "1st", "_x", "__y", "le", "job",
                          "k\xC3\xA9", "__name__", "quantile"}));
      if (OneIn(50)) pair->set_key("..");
      switch (Below(5)) {
        case 0:
          pair->mutable_value()->set_int_value(Below(100) - 50);
          break;
        case 1:
          pair->mutable_value()->set_bool_value(OneIn(2));
          break;
        case 2:
          break;
        default:
          pair->mutable_value()->set_string_value(
              Pick({"", "v", "\xE6\xB8\xA9", "a;b"}));
      }
    }
  }
  void FillResource(pb::ResourceMetrics* resource) {
    auto* attributes = resource->mutable_resource()->mutable_attributes();
    if (!OneIn(3)) SetAttribute(attributes, "service.name", "svc");
    if (OneIn(2)) SetAttribute(attributes, "service.namespace", "ns");
    if (OneIn(2)) SetAttribute(attributes, "service.instance.id", "i-1");
    if (OneIn(2)) SetAttribute(attributes, "host.name", "h");
    for (int i = Below(3); i > 0; --i) {
      auto* scope = resource->add_scope_metrics();
      scope->mutable_scope()->set_name("lib");
      for (int j = Below(12); j > 0; --j) FillMetric(scope->add_metrics());
    }
  }
  pb::AggregationTemporality Temporality() {
    return OneIn(5) ? pb::AGGREGATION_TEMPORALITY_DELTA
                    : pb::AGGREGATION_TEMPORALITY_CUMULATIVE;
  }
  template <class Point>
  void FillPoint(Point* point) {
    FillAttributes(point->mutable_attributes());
    point->set_time_unix_nano(Time());
    if (OneIn(2)) point->set_start_time_unix_nano(kTNano - 1'000'000'000);
    if (OneIn(10)) point->set_flags(1);
  }
  template <class Point>
  void FillExemplars(Point* point) {
    for (int i = Below(3); i > 0; --i) {
      auto* exemplar = point->add_exemplars();
      exemplar->set_as_double(Below(4));
      if (OneIn(2)) exemplar->set_time_unix_nano(kTNano);
      exemplar->set_trace_id(std::string(16, 'a'));
    }
  }
  void FillNumbers(
      google::protobuf::RepeatedPtrField<pb::NumberDataPoint>* to) {
    for (int i = Below(4); i > 0; --i) {
      auto* point = to->Add();
      FillPoint(point);
      if (OneIn(3)) {
        point->set_as_int(Below(1000) - 500);
      } else if (!OneIn(20)) {
        point->set_as_double(Number());
      }
      FillExemplars(point);
    }
  }
  void FillMetric(pb::Metric* metric) {
    metric->set_name(
        Pick({"http.requests", "a", "0.9", "x_total", "...", "cpu.time"}));
    metric->set_unit(Pick({"", "s", "1", "By/s", "{x}"}));
    metric->set_description(Pick({"", "what it is"}));
    switch (Below(5)) {
      case 0:
        FillNumbers(metric->mutable_gauge()->mutable_data_points());
        break;
      case 1:
        metric->mutable_sum()->set_is_monotonic(OneIn(2));
        metric->mutable_sum()->set_aggregation_temporality(Temporality());
        FillNumbers(metric->mutable_sum()->mutable_data_points());
        break;
      case 2:
        FillHistogram(metric->mutable_histogram());
        break;
      case 3:
        FillExponential(metric->mutable_exponential_histogram());
        break;
      case 4:
        for (int i = Below(3); i > 0; --i) {
          auto* point = metric->mutable_summary()->add_data_points();
          FillPoint(point);
          point->set_count(Below(9));
          point->set_sum(Number());
          for (int j = Below(3); j > 0; --j) {
            auto* quantile = point->add_quantile_values();
            quantile->set_quantile(Pick({0.5, 0.99, 1.0, 0.0}));
            quantile->set_value(Number());
          }
        }
    }
  }
  void FillHistogram(pb::Histogram* histogram) {
    histogram->set_aggregation_temporality(Temporality());
    for (int i = Below(3); i > 0; --i) {
      auto* point = histogram->add_data_points();
      FillPoint(point);
      uint64_t total = 0;
      const int bounds = Below(5);
      for (int j = 0; j < bounds; ++j) point->add_explicit_bounds(j + 0.5);
      for (int j = 0; j <= bounds; ++j) {
        point->add_bucket_counts(static_cast<uint64_t>(Below(9)));
        total += point->bucket_counts(j);
      }
      point->set_count(OneIn(10) ? total + 1 : total);
      if (OneIn(10)) point->add_explicit_bounds(99);
      if (!OneIn(3)) point->set_sum(Number());
      FillExemplars(point);
    }
  }
  void FillExponential(pb::ExponentialHistogram* histogram) {
    histogram->set_aggregation_temporality(Temporality());
    for (int i = Below(3); i > 0; --i) {
      auto* point = histogram->add_data_points();
      FillPoint(point);
      point->set_scale(Below(18) - 5);
      uint64_t total = 0;
      for (auto* side :
           {point->mutable_positive(), point->mutable_negative()}) {
        side->set_offset(Below(40) - 20);
        for (int j = Below(30); j > 0; --j) {
          side->add_bucket_counts(OneIn(2) ? 0
                                           : static_cast<uint64_t>(Below(200)));
          total += side->bucket_counts(side->bucket_counts_size() - 1);
        }
      }
      point->set_zero_count(static_cast<uint64_t>(Below(5)));
      point->set_count(total + point->zero_count() + (OneIn(10) ? 1 : 0));
      if (OneIn(2)) point->set_zero_threshold(0.5);
      point->set_sum(Number());
    }
  }

  std::mt19937 random_;
};

// --- what a message says, from the parsed classes ---
struct Facts {
  std::vector<std::string> lines;  // sorted in the end
  uint64_t points = 0;
  uint64_t refused = 0;
  bool operator==(const Facts&) const = default;
};

std::string Line(const LabelMap& labels, int64_t time_ms, double value,
                 int64_t start_ms) {
  LabelsBuilder builder;
  for (const auto& [name, text] : labels) builder.Set(name, text);
  return fmt::format("{} {:016x} @{} since {}", builder.Build().ToString(),
                     std::bit_cast<uint64_t>(value), time_ms, start_ms);
}

std::string Text(const opentelemetry::proto::common::v1::AnyValue& value) {
  if (value.has_string_value()) return value.string_value();
  if (value.has_int_value()) return std::to_string(value.int_value());
  if (value.has_bool_value()) return value.bool_value() ? "true" : "false";
  return "";
}

class Reference {
 public:
  static Facts Of(const ExportRequest& request) {
    Reference reference;
    for (const auto& resource : request.resource_metrics()) {
      reference.Resource(resource);
    }
    std::sort(reference.facts_.lines.begin(), reference.facts_.lines.end());
    return reference.facts_;
  }

 private:
  void Resource(const pb::ResourceMetrics& resource) {
    LabelMap attributes;
    for (const auto& pair : resource.resource().attributes()) {
      attributes[pair.key()] = Text(pair.value());
    }
    identity_.clear();
    std::string job = attributes["service.name"];
    const std::string name_space = attributes["service.namespace"];
    if (!job.empty() && !name_space.empty()) job = name_space + "/" + job;
    if (!job.empty()) identity_["job"] = job;
    if (!attributes["service.instance.id"].empty()) {
      identity_["instance"] = attributes["service.instance.id"];
    }
    newest_ms_ = 0;
    for (const auto& scope : resource.scope_metrics()) {
      for (const auto& metric : scope.metrics()) Metric(metric);
    }
    if (newest_ms_ > 0 && !identity_.empty() &&
        attributes.contains("host.name")) {
      LabelMap labels = identity_;
      labels["__name__"] = "target_info";
      labels["host_name"] = attributes["host.name"];
      facts_.lines.push_back(Line(labels, newest_ms_, 1, 0));
    }
  }

  // Empty, with the point counted as refused, if it cannot have labels.
  template <class Point>
  bool LabelsOf(const std::string& family, const Point& point, LabelMap* out) {
    ++facts_.points;
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const auto& pair : point.attributes()) {
      pairs.emplace_back(pair.key(), Text(pair.value()));
    }
    std::stable_sort(
        pairs.begin(), pairs.end(),
        [](const auto& a, const auto& b) { return a.first < b.first; });
    bool fine = !family.empty() && point.time_unix_nano() != 0;
    for (const auto& [key, text] : pairs) {
      const std::string name = PrometheusLabelName(key);
      if (name.empty()) fine = false;
      auto [it, added] = out->emplace(name, text);
      if (!added) it->second += ";" + text;
    }
    for (const auto& [name, value] : identity_) (*out)[name] = value;
    if (!fine) ++facts_.refused;
    return fine;
  }

  template <class Point>
  void Add(LabelMap labels, const std::string& name, const std::string& extra,
           const std::string& text, const Point& point, double value,
           bool with_start) {
    labels["__name__"] = name;
    if (!extra.empty()) labels[extra] = text;
    const bool ended = (point.flags() & 1) != 0;
    const int64_t time_ms =
        static_cast<int64_t>(point.time_unix_nano() / 1'000'000);
    const int64_t start_ms =
        static_cast<int64_t>(point.start_time_unix_nano() / 1'000'000);
    newest_ms_ = std::max(newest_ms_, time_ms);
    facts_.lines.push_back(Line(labels, time_ms, ended ? StaleMarker() : value,
                                with_start && !ended ? start_ms : 0));
  }

  void Metric(const pb::Metric& metric) {
    const auto name = [&](OtlpKind kind) {
      return PrometheusMetricName(metric.name(), metric.unit(), kind);
    };
    if (metric.has_gauge()) {
      for (const auto& point : metric.gauge().data_points()) {
        Number(name(OtlpKind::kGauge), point,
               pb::AGGREGATION_TEMPORALITY_CUMULATIVE, false, false);
      }
    } else if (metric.has_sum()) {
      for (const auto& point : metric.sum().data_points()) {
        Number(name(metric.sum().is_monotonic() ? OtlpKind::kCounter
                                                : OtlpKind::kUpDownCounter),
               point, metric.sum().aggregation_temporality(), true,
               metric.sum().is_monotonic());
      }
    } else if (metric.has_histogram()) {
      for (const auto& point : metric.histogram().data_points()) {
        Histogram(name(OtlpKind::kHistogram), point,
                  metric.histogram().aggregation_temporality());
      }
    } else if (metric.has_exponential_histogram()) {
      for (const auto& point : metric.exponential_histogram().data_points()) {
        Exponential(name(OtlpKind::kHistogram), point,
                    metric.exponential_histogram().aggregation_temporality());
      }
    } else if (metric.has_summary()) {
      for (const auto& point : metric.summary().data_points()) {
        const std::string family = name(OtlpKind::kSummary);
        LabelMap labels;
        if (!LabelsOf(family, point, &labels)) continue;
        Add(labels, family + "_sum", "", "", point, point.sum(), true);
        Add(labels, family + "_count", "", "", point,
            static_cast<double>(point.count()), true);
        for (const auto& q : point.quantile_values()) {
          Add(labels, family, "quantile", BoundText(q.quantile()), point,
              q.value(), false);
        }
      }
    }
  }

  // Whether the store could add a delta up.
  template <class Point>
  static bool CanAdd(const Point& point, double increment) {
    return point.start_time_unix_nano() != 0 && std::isfinite(increment) &&
           point.start_time_unix_nano() / 1'000'000 <
               point.time_unix_nano() / 1'000'000;
  }

  void Number(const std::string& family, const pb::NumberDataPoint& point,
              pb::AggregationTemporality temporality, bool with_start,
              bool monotonic) {
    LabelMap labels;
    if (!LabelsOf(family, point, &labels)) return;
    const bool ended = (point.flags() & 1) != 0;
    const double value = point.has_as_int()
                             ? static_cast<double>(point.as_int())
                             : point.as_double();
    if (!ended && !point.has_as_int() && !point.has_as_double()) {
      ++facts_.refused;
    } else if (temporality == pb::AGGREGATION_TEMPORALITY_DELTA && !ended) {
      if (!CanAdd(point, value) || (monotonic && value < 0)) {
        ++facts_.refused;
        return;
      }
      Add(labels, family, "", "", point, value, true);
      facts_.lines.back() += " delta";
    } else {
      Add(labels, family, "", "", point, value, with_start);
    }
  }

  void Histogram(const std::string& family, const pb::HistogramDataPoint& point,
                 pb::AggregationTemporality temporality) {
    LabelMap labels;
    if (!LabelsOf(family, point, &labels)) return;
    const bool ended = (point.flags() & 1) != 0;
    uint64_t total = 0;
    for (const uint64_t n : point.bucket_counts()) total += n;
    const bool delta =
        temporality == pb::AGGREGATION_TEMPORALITY_DELTA && !ended;
    if ((!ended &&
         (total != point.count() ||
          point.bucket_counts_size() != point.explicit_bounds_size() + 1)) ||
        (delta && !CanAdd(point, point.sum()))) {
      ++facts_.refused;
      return;
    }
    const size_t first = facts_.lines.size();
    uint64_t below = 0;
    for (int i = 0; i < point.explicit_bounds_size(); ++i) {
      if (!ended) below += point.bucket_counts(i);
      Add(labels, family + "_bucket", "le", BoundText(point.explicit_bounds(i)),
          point, static_cast<double>(below), true);
    }
    const auto count = static_cast<double>(point.count());
    Add(labels, family + "_bucket", "le", "+Inf", point, count, true);
    Add(labels, family + "_count", "", "", point, count, true);
    if (point.has_sum() || ended) {
      Add(labels, family + "_sum", "", "", point, point.sum(), true);
    }
    for (size_t i = first; delta && i < facts_.lines.size(); ++i) {
      facts_.lines[i] += " delta";
    }
  }

  void Exponential(const std::string& family,
                   const pb::ExponentialHistogramDataPoint& point,
                   pb::AggregationTemporality temporality) {
    LabelMap labels;
    if (!LabelsOf(family, point, &labels)) return;
    const bool ended = (point.flags() & 1) != 0;
    uint64_t total = point.zero_count();
    for (const uint64_t n : point.positive().bucket_counts()) total += n;
    for (const uint64_t n : point.negative().bucket_counts()) total += n;
    if (temporality == pb::AGGREGATION_TEMPORALITY_DELTA ||
        (!ended && (point.scale() < -4 || total != point.count()))) {
      ++facts_.refused;
      return;
    }
    const int down = std::max(0, point.scale() - 8);
    const auto buckets =
        [&](const pb::ExponentialHistogramDataPoint::Buckets& side) {
          std::map<int64_t, uint64_t> merged;
          for (int i = 0; i < side.bucket_counts_size(); ++i) {
            // floor((offset + i) / 2^down) + 1
            const double index =
                std::floor((side.offset() + i) / std::exp2(down));
            merged[static_cast<int64_t>(index) + 1] += side.bucket_counts(i);
          }
          std::erase_if(merged, [](const auto& b) { return b.second == 0; });
          return merged;
        };
    Add(labels, family, "", "", point, point.sum(), true);
    if (!ended) {
      facts_.lines.back() += DescribeHistogram(
          std::min(point.scale(), 8),
          point.zero_threshold() == 0 ? 1e-128 : point.zero_threshold(),
          point.zero_count(), point.count(), buckets(point.positive()),
          buckets(point.negative()));
    }
  }

 public:
  static std::string DescribeHistogram(
      int schema, double zero_threshold, uint64_t zero_count, uint64_t count,
      const std::map<int64_t, uint64_t>& positive,
      const std::map<int64_t, uint64_t>& negative) {
    std::string out = fmt::format(" schema {} zero {} {} count {}", schema,
                                  zero_threshold, zero_count, count);
    for (const auto& [index, n] : positive)
      out += fmt::format(" {}:{}", index, n);
    out += " /";
    for (const auto& [index, n] : negative)
      out += fmt::format(" {}:{}", index, n);
    return out;
  }

 private:
  Facts facts_;
  LabelMap identity_;
  int64_t newest_ms_ = 0;
};

// --- what the hand decoder gives, in the same form ---
std::map<int64_t, uint64_t> Unroll(const std::vector<BucketSpan>& spans,
                                   const std::vector<uint64_t>& buckets) {
  std::map<int64_t, uint64_t> out;
  int64_t index = 0;
  size_t at = 0;
  for (const BucketSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length; ++i, ++index, ++at) {
      if (buckets.at(at) > 0) out[index] = buckets.at(at);
    }
  }
  EXPECT_EQ(at, buckets.size());
  return out;
}

Facts FactsOf(const OtlpDecoded& decoded) {
  Facts facts;
  facts.points = decoded.points;
  for (const auto& refusal : decoded.refusals) facts.refused += refusal.points;
  for (const auto& [batch, points] : decoded.batches) {
    const auto line = [&](uint32_t series, int64_t time_ms, double value,
                          int64_t start_ms) {
      const std::string labels = batch.series.at(series).labels.ToString();
      facts.lines.push_back(fmt::format("{} {:016x} @{} since {}", labels,
                                        std::bit_cast<uint64_t>(value), time_ms,
                                        start_ms));
    };
    for (const auto& p : batch.floats) {
      line(p.series, p.sample.time_ms, p.sample.value, p.start_ms);
    }
    for (const auto& p : batch.deltas) {
      line(p.series, p.end_ms, p.increment, p.start_ms);
      facts.lines.back() += " delta";
    }
    for (const auto& p : batch.integer_histograms) {
      const IntegerHistogram& h = p.histogram;
      line(p.series, p.time_ms, h.sum, p.start_ms);
      if (IsStaleMarker(h.sum)) continue;
      facts.lines.back() += Reference::DescribeHistogram(
          h.schema, h.zero_threshold, h.zero_count, h.count,
          Unroll(h.positive_spans, h.positive_buckets),
          Unroll(h.negative_spans, h.negative_buckets));
    }
  }
  std::sort(facts.lines.begin(), facts.lines.end());
  return facts;
}

TEST(OtlpDifferentialTest, GivesTheSamplesThatTheGeneratedClassesGive) {
  constexpr uint32_t kMessages = 3'000;
  uint64_t lines = 0, refused = 0;
  for (uint32_t seed = 1; seed <= kMessages; ++seed) {
    const ExportRequest request = Generator(seed).Request();
    const std::string bytes = request.SerializeAsString();

    auto decoded = DecodeOtlp(bytes, Tenant{}, 64 << 20);

    ASSERT_THAT(decoded, IsOk()) << "seed " << seed;
    const Facts got = FactsOf(*decoded), want = Reference::Of(request);
    ASSERT_THAT(got.lines, ::testing::ElementsAreArray(want.lines))
        << "seed " << seed << "\n"
        << request.DebugString();
    ASSERT_EQ(got.points, want.points) << "seed " << seed;
    ASSERT_EQ(got.refused, want.refused) << "seed " << seed;
    lines += got.lines.size();
    refused += got.refused;
  }
  // The messages are not empty ones.
  EXPECT_GT(lines, 10 * kMessages);
  EXPECT_GT(refused, kMessages);
}

// A cut or a flipped byte either gives an error or something that is still a
// message; it must not be taken for what it was not.
TEST(OtlpDifferentialTest, TakesNoCutMessageThatTheGeneratedClassesRefuse) {
  uint64_t refused = 0;
  for (uint32_t seed = 1; seed <= 500; ++seed) {
    std::mt19937 random(seed);
    std::string bytes = Generator(seed).Request().SerializeAsString();
    if (bytes.empty()) continue;
    bytes.resize(random() % bytes.size());

    const bool taken = DecodeOtlp(bytes, Tenant{}, 64 << 20).ok();

    ExportRequest parsed;
    const bool parses = parsed.ParseFromString(bytes);
    ASSERT_EQ(taken, parses) << "seed " << seed;
    refused += !taken;
  }
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace vigie::collector

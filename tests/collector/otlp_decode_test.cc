#include "collector/otlp_decode.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "tests/collector/otlp_messages.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using namespace vigie::testing;  // NOLINT: short messages
namespace pb = opentelemetry::proto::metrics::v1;

constexpr int64_t kBytesMax = 64 << 20;

absl::StatusOr<OtlpDecoded> Decode(const ExportRequest& request) {
  return DecodeOtlp(request.SerializeAsString(), Tenant{}, kBytesMax);
}

// `name{labels} value @ms` of every float.
std::vector<std::string> Floats(const OtlpDecoded& decoded) {
  std::vector<std::string> out;
  for (const OtlpBatch& one : decoded.batches) {
    for (const store::FloatPoint& point : one.batch.floats) {
      out.push_back(fmt::format(
          "{} {} @{}", one.batch.series.at(point.series).labels.ToString(),
          IsStaleMarker(point.sample.value)
              ? "stale"
              : fmt::to_string(point.sample.value),
          point.sample.time_ms - kT));
    }
  }
  return out;
}

std::vector<std::string> FloatsOf(const ExportRequest& request) {
  auto decoded = Decode(request);
  if (!decoded.ok()) return {decoded.status().ToString()};
  return Floats(*decoded);
}

// The one refusal of a request, "reason: example".
std::string RefusalOf(const ExportRequest& request) {
  auto decoded = Decode(request);
  if (!decoded.ok()) return decoded.status().ToString();
  if (decoded->refusals.size() != 1) {
    return fmt::format("{} refusals", decoded->refusals.size());
  }
  return fmt::format("{}: {}", decoded->refusals[0].reason,
                     decoded->refusals[0].example);
}

TEST(OtlpDecodeTest, NamesASeriesAfterMetricAttributesAndService) {
  ExportRequest request;
  auto* resource = AddResource(&request, {{"service.namespace", "shop"},
                                          {"service.name", "cart"},
                                          {"service.instance.id", "cart-1"}});
  auto* point = AddGauge(resource, "queue.depth", 3.5);
  SetAttribute(point->mutable_attributes(), "queue.name", "mail");

  EXPECT_THAT(FloatsOf(request),
              ElementsAre("queue_depth{instance=\"cart-1\", job=\"shop/cart\", "
                          "queue_name=\"mail\"} 3.5 @0"));
}

TEST(OtlpDecodeTest, GivesOneBatchAResourceInAGroupOfItsOwn) {
  ExportRequest request;
  AddGauge(AddResource(&request, {{"service.name", "a"}}), "x", 1);
  AddGauge(AddResource(&request, {{"service.name", "b"}}), "x", 2);

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  ASSERT_THAT(decoded->batches, SizeIs(2));
  EXPECT_NE(decoded->batches[0].batch.group, decoded->batches[1].batch.group);
  EXPECT_EQ(decoded->batches[0].points, 1u);
  EXPECT_EQ(decoded->points, 2u);
}

TEST(OtlpDecodeTest, WritesOtherResourceAttributesToTargetInfoAtTheNewestTime) {
  ExportRequest request;
  auto* resource = AddResource(
      &request, {{"service.name", "cart"}, {"host.name", "node-7"}});
  AddGauge(resource, "old", 1)->set_time_unix_nano(kTNano - 5'000'000'000);
  AddGauge(resource, "new", 1);

  EXPECT_THAT(
      FloatsOf(request),
      ElementsAre("old{job=\"cart\"} 1 @-5000", "new{job=\"cart\"} 1 @0",
                  "target_info{host_name=\"node-7\", job=\"cart\"} 1 @0"));
}

TEST(OtlpDecodeTest, WritesNoTargetInfoWithoutAnIdentity) {
  ExportRequest request;
  AddGauge(AddResource(&request, {{"host.name", "node-7"}}), "x", 1);

  EXPECT_THAT(FloatsOf(request), ElementsAre("x 1 @0"));
}

TEST(OtlpDecodeTest, CarriesTheStartTimeAndTypeOfACounter) {
  ExportRequest request;
  auto* point = AddSum(AddResource(&request, {}), "orders", 7);
  point->set_start_time_unix_nano(kTNano - 60'000'000'000);
  request.mutable_resource_metrics(0)
      ->mutable_scope_metrics(0)
      ->mutable_metrics(0)
      ->set_description("Orders placed.");

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  const store::AppendBatch& batch = decoded->batches.at(0).batch;
  EXPECT_THAT(Floats(*decoded), ElementsAre("orders_total 7 @0"));
  EXPECT_EQ(batch.floats.at(0).start_ms, kT - 60'000);
  ASSERT_THAT(batch.metadata, SizeIs(1));
  EXPECT_EQ(batch.metadata[0].metric, "orders_total");
  EXPECT_EQ(batch.metadata[0].metadata,
            (Metadata{MetricType::kCounter, "Orders placed.", ""}));
}

TEST(OtlpDecodeTest, SumsTheBucketsOfAHistogramUp) {
  ExportRequest request;
  AddHistogram(AddResource(&request, {}), "latency", {0.1, 0.5, 1},
               {1, 2, 0, 4}, 9.5, "s");

  EXPECT_THAT(
      FloatsOf(request),
      ElementsAre("latency_seconds_bucket{le=\"0.1\"} 1 @0",
                  "latency_seconds_bucket{le=\"0.5\"} 3 @0",
                  "latency_seconds_bucket{le=\"1\"} 3 @0",
                  "latency_seconds_bucket{le=\"+Inf\"} 7 @0",
                  "latency_seconds_count 7 @0", "latency_seconds_sum 9.5 @0"));
}

TEST(OtlpDecodeTest, TakesAHistogramWithoutBucketsOrSum) {
  ExportRequest request;
  auto* point = AddHistogram(AddResource(&request, {}), "h", {}, {}, 0);
  point->clear_sum();
  point->set_count(5);

  EXPECT_THAT(FloatsOf(request),
              ElementsAre("h_bucket{le=\"+Inf\"} 5 @0", "h_count 5 @0"));
}

TEST(OtlpDecodeTest, PutsAnExemplarOnTheBucketItsValueFallsInto) {
  ExportRequest request;
  auto* point =
      AddHistogram(AddResource(&request, {}), "h", {1, 2}, {1, 1, 1}, 6);
  for (const double value : {1.0, 1.5, 9.0}) {
    auto* exemplar = point->add_exemplars();
    exemplar->set_as_double(value);
    exemplar->set_time_unix_nano(kTNano - 1'000'000);
    exemplar->set_trace_id(std::string(16, '\xAB'));
    SetAttribute(exemplar->mutable_filtered_attributes(), "user", "u1");
  }

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  const store::AppendBatch& batch = decoded->batches.at(0).batch;
  ASSERT_THAT(batch.exemplars, SizeIs(3));
  std::vector<std::string> les;
  for (const auto& e : batch.exemplars) {
    les.emplace_back(batch.series[e.series].labels.Get("le"));
  }
  EXPECT_THAT(les, ElementsAre("1", "2", "+Inf"));
  EXPECT_EQ(batch.exemplars[0].exemplar,
            (Exemplar{Labels({{"trace_id", "abababababababababababababababab"},
                              {"user", "u1"}}),
                      1.0, kT - 1}));
}

TEST(OtlpDecodeTest, LeavesAttributesOfAnExemplarOutThatAreTooLong) {
  ExportRequest request;
  auto* point = AddGauge(AddResource(&request, {}), "x", 1);
  auto* exemplar = point->add_exemplars();
  exemplar->set_as_int(4);
  exemplar->set_span_id("12345678");
  SetAttribute(exemplar->mutable_filtered_attributes(), "blob",
               std::string(200, 'x'));

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  ASSERT_THAT(decoded->batches.at(0).batch.exemplars, SizeIs(1));
  EXPECT_EQ(decoded->batches[0].batch.exemplars[0].exemplar,
            (Exemplar{Labels({{"span_id", "3132333435363738"}}), 4, kT}));
}

TEST(OtlpDecodeTest, EndsEverySeriesOfAPointWithoutRecordedValue) {
  ExportRequest request;
  auto* resource = AddResource(&request, {});
  auto* gauge = AddGauge(resource, "g", 1);
  gauge->clear_as_double();
  gauge->set_flags(pb::DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK);
  auto* histogram = AddHistogram(resource, "h", {1}, {}, 0);
  histogram->clear_sum();
  histogram->set_flags(pb::DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK);

  EXPECT_THAT(FloatsOf(request),
              ElementsAre("g stale @0", "h_bucket{le=\"1\"} stale @0",
                          "h_bucket{le=\"+Inf\"} stale @0", "h_count stale @0",
                          "h_sum stale @0"));
}

TEST(OtlpDecodeTest, TranslatesASummary) {
  ExportRequest request;
  auto* point = AddMetric(AddResource(&request, {}), "rpc")
                    ->mutable_summary()
                    ->add_data_points();
  point->set_time_unix_nano(kTNano);
  point->set_count(4);
  point->set_sum(2.5);
  auto* quantile = point->add_quantile_values();
  quantile->set_quantile(0.99);
  quantile->set_value(1.5);

  EXPECT_THAT(FloatsOf(request), ElementsAre("rpc_sum 2.5 @0", "rpc_count 4 @0",
                                             "rpc{quantile=\"0.99\"} 1.5 @0"));
}

TEST(OtlpDecodeTest, PassesADeltaSumOnWithItsInterval) {
  ExportRequest request;
  AddSum(AddResource(&request, {}), "orders", 7,
         pb::AGGREGATION_TEMPORALITY_DELTA);

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  const store::AppendBatch& batch = decoded->batches.at(0).batch;
  EXPECT_THAT(batch.floats, IsEmpty());
  ASSERT_THAT(batch.deltas, SizeIs(1));
  EXPECT_EQ(batch.deltas[0].start_ms, kT - 60'000);
  EXPECT_EQ(batch.deltas[0].end_ms, kT);
  EXPECT_EQ(batch.deltas[0].increment, 7);
}

pb::ExponentialHistogramDataPoint* AddExponential(ExportRequest* request,
                                                  int scale) {
  auto* histogram =
      AddMetric(AddResource(request, {}), "e")->mutable_exponential_histogram();
  histogram->set_aggregation_temporality(
      pb::AGGREGATION_TEMPORALITY_CUMULATIVE);
  auto* point = histogram->add_data_points();
  point->set_time_unix_nano(kTNano);
  point->set_scale(scale);
  return point;
}

pb::HistogramDataPoint* AddDeltaHistogram(pb::ResourceMetrics* resource,
                                          const std::vector<double>& bounds,
                                          const std::vector<uint64_t>& counts,
                                          double sum) {
  auto* point = AddHistogram(resource, "h", bounds, counts, sum);
  point->set_start_time_unix_nano(kTNano - 60'000'000'000);
  resource->mutable_scope_metrics(0)
      ->mutable_metrics(0)
      ->mutable_histogram()
      ->set_aggregation_temporality(pb::AGGREGATION_TEMPORALITY_DELTA);
  return point;
}

TEST(OtlpDecodeTest, ADeltaHistogramBecomesADeltaOfEachOfItsSeries) {
  ExportRequest request;
  AddDeltaHistogram(AddResource(&request, {}), {1, 2}, {3, 0, 4}, 9.5);

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  ASSERT_THAT(decoded->batches, SizeIs(1));
  const store::AppendBatch& batch = decoded->batches[0].batch;
  std::vector<std::string> deltas;
  for (const store::DeltaPoint& p : batch.deltas) {
    deltas.push_back(fmt::format("{} {} ({}, {}]",
                                 batch.series.at(p.series).labels.ToString(),
                                 p.increment, p.start_ms - kT, p.end_ms - kT));
  }
  EXPECT_THAT(deltas,
              ElementsAre("h_bucket{le=\"1\"} 3 (-60000, 0]",
                          "h_bucket{le=\"2\"} 3 (-60000, 0]",
                          "h_bucket{le=\"+Inf\"} 7 (-60000, 0]",
                          "h_count 7 (-60000, 0]", "h_sum 9.5 (-60000, 0]"));
  EXPECT_THAT(batch.floats, IsEmpty());
  EXPECT_EQ(decoded->batches[0].points, 1u);
}

TEST(OtlpDecodeTest, ShiftsExponentialBucketsByOne) {
  ExportRequest request;
  auto* point = AddExponential(&request, 3);
  point->set_count(10);
  point->set_sum(5);
  point->set_zero_count(1);
  point->mutable_positive()->set_offset(-2);
  for (const int n : {1, 0, 2, 0, 0, 0, 0, 3}) {
    point->mutable_positive()->add_bucket_counts(n);
  }
  point->mutable_negative()->set_offset(4);
  point->mutable_negative()->add_bucket_counts(3);

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  const auto& points = decoded->batches.at(0).batch.integer_histograms;
  ASSERT_THAT(points, SizeIs(1));
  const IntegerHistogram want = {
      .schema = 3,
      .zero_threshold = 1e-128,
      .zero_count = 1,
      .count = 10,
      .sum = 5,
      .positive_spans = {{-1, 3}, {4, 1}},
      .negative_spans = {{5, 1}},
      .positive_buckets = {1, 0, 2, 3},
      .negative_buckets = {3},
      .custom_values = {},
  };
  EXPECT_EQ(points[0].histogram, want);
}

TEST(OtlpDecodeTest, MergesBucketsOfAScaleAboveEight) {
  ExportRequest request;
  auto* point = AddExponential(&request, 9);
  point->set_count(15);
  point->mutable_positive()->set_offset(-3);
  for (const int n : {1, 2, 4, 8})
    point->mutable_positive()->add_bucket_counts(n);

  auto decoded = Decode(request);

  // Indexes -3, -2, -1, 0 fall into -2, -1, -1, 0 at half the scale.
  ASSERT_THAT(decoded, IsOk());
  const auto& h =
      decoded->batches.at(0).batch.integer_histograms.at(0).histogram;
  EXPECT_EQ(h.schema, 8);
  EXPECT_THAT(h.positive_spans, ElementsAre(BucketSpan{-1, 3}));
  EXPECT_THAT(h.positive_buckets, ElementsAre(1, 6, 8));
}

TEST(OtlpDecodeTest, RefusesAScaleBelowMinusFour) {
  ExportRequest request;
  AddExponential(&request, -5);

  EXPECT_EQ(RefusalOf(request),
            "invalid_point: resource_metrics[0].scope_metrics[0].metrics[0] "
            "\"e\": data_points[0]: scale -5 is below -4");
}

TEST(OtlpDecodeTest, JoinsAttributesThatBecomeOneLabel) {
  ExportRequest request;
  auto* point = AddGauge(AddResource(&request, {}), "x", 1);
  SetAttribute(point->mutable_attributes(), "a_b", "2");
  SetAttribute(point->mutable_attributes(), "a.b", "1");

  EXPECT_THAT(FloatsOf(request), ElementsAre("x{a_b=\"1;2\"} 1 @0"));
}

TEST(OtlpDecodeTest, KeepsLongAndForeignValuesAsTheyAre) {
  for (const std::string& value :
       {std::string(127, 'a'), std::string(128, 'b'), std::string(20'000, 'c'),
        std::string("1234567\xC3\xA9"), std::string("12345678\xE6\xB8\xA9x")}) {
    ExportRequest request;
    SetAttribute(
        AddGauge(AddResource(&request, {}), "x", 1)->mutable_attributes(), "k",
        value);

    auto decoded = Decode(request);

    ASSERT_THAT(decoded, IsOk());
    EXPECT_EQ(decoded->batches.at(0).batch.series.at(0).labels,
              Labels({{"__name__", "x"}, {"k", value}}));
  }
}

TEST(OtlpDecodeTest, WritesValuesOfOtherKindsAsText) {
  ExportRequest request;
  auto* attributes =
      AddGauge(AddResource(&request, {}), "x", 1)->mutable_attributes();
  const auto add = [&](const char* key) {
    auto* pair = attributes->Add();
    pair->set_key(key);
    return pair->mutable_value();
  };
  add("b")->set_bool_value(true);
  add("i")->set_int_value(-7);
  add("d")->set_double_value(1e-7);
  add("d2")->set_double_value(2.5e22);
  add("y")->set_bytes_value(std::string("\x01\xFF", 2));
  auto* list = add("l")->mutable_array_value();
  list->add_values()->set_string_value("q\"<");
  list->add_values()->set_double_value(2);
  list->add_values();
  auto* map = add("m")->mutable_kvlist_value();
  SetAttribute(map->mutable_values(), "z", "1");
  SetAttribute(map->mutable_values(), "a", "2");

  EXPECT_THAT(FloatsOf(request),
              ElementsAre("x{b=\"true\", d=\"1e-7\", d2=\"2.5e+22\", i=\"-7\", "
                          "l=\"[\\\"q\\\\\\\"\\\\u003c\\\",2,null]\", "
                          "m=\"{\\\"a\\\":\\\"2\\\",\\\"z\\\":\\\"1\\\"}\", "
                          "y=\"Af8=\"} 1 @0"));
}

TEST(OtlpDecodeTest, RefusesABadPointAloneWithItsPlace) {
  ExportRequest request;
  auto* resource = AddResource(&request, {});
  AddGauge(resource, "fine", 1);
  auto* point =
      AddHistogram(resource, "http.duration", {1, 2, 3}, {1, 1, 1, 1}, 4);
  point->add_bucket_counts(0);

  auto decoded = Decode(request);

  ASSERT_THAT(decoded, IsOk());
  EXPECT_THAT(Floats(*decoded), ElementsAre("fine 1 @0"));
  EXPECT_EQ(decoded->points, 2u);
  ASSERT_THAT(decoded->refusals, SizeIs(1));
  EXPECT_EQ(decoded->refusals[0].points, 1u);
  EXPECT_EQ(decoded->refusals[0].example,
            "resource_metrics[0].scope_metrics[0].metrics[1] "
            "\"http.duration\": data_points[0]: 5 bucket counts for 3 bounds");
}

TEST(OtlpDecodeTest, NamesWhatIsWrongWithAPoint) {
  const auto refusal = [](auto change) {
    ExportRequest request;
    change(AddResource(&request, {}));
    return RefusalOf(request);
  };

  EXPECT_THAT(refusal([](auto* r) { AddGauge(r, "x", 1)->clear_as_double(); }),
              HasSubstr("invalid_point: resource_metrics[0].scope_metrics[0]."
                        "metrics[0] \"x\": data_points[0]: no value"));
  EXPECT_THAT(
      refusal([](auto* r) { AddGauge(r, "x", 1)->clear_time_unix_nano(); }),
      HasSubstr("no time"));
  EXPECT_THAT(refusal([](auto* r) { AddGauge(r, "...", 1); }),
              HasSubstr("invalid_labels"));
  EXPECT_THAT(refusal([](auto* r) {
                SetAttribute(AddGauge(r, "x", 1)->mutable_attributes(), "",
                             "v");
              }),
              HasSubstr("attributes[0]: \"\" leaves no label name"));
  EXPECT_THAT(refusal([](auto* r) {
                AddHistogram(r, "h", {2, 1}, {0, 0, 0}, 0);
              }),
              HasSubstr("explicit_bounds[1]: 1 is not above 2"));
  EXPECT_THAT(refusal([](auto* r) {
                AddHistogram(r, "h", {1, HUGE_VAL}, {0, 0, 0}, 0);
              }),
              HasSubstr("explicit_bounds[1] is +Inf"));
  EXPECT_THAT(refusal([](auto* r) {
                AddHistogram(r, "h", {1}, {1, 1}, 0)->set_count(3);
              }),
              HasSubstr("buckets do not add up to the count 3"));
  EXPECT_THAT(refusal([](auto* r) {
                AddSum(r, "s", 1, pb::AGGREGATION_TEMPORALITY_UNSPECIFIED);
              }),
              HasSubstr("sum without aggregation temporality"));
  EXPECT_THAT(refusal([](auto* r) {
                AddSum(r, "s", 1, pb::AGGREGATION_TEMPORALITY_DELTA)
                    ->clear_start_time_unix_nano();
              }),
              HasSubstr("delta sum without an interval"));
  EXPECT_THAT(refusal([](auto* r) {
                auto* point =
                    AddSum(r, "s", 1, pb::AGGREGATION_TEMPORALITY_DELTA);
                point->set_start_time_unix_nano(kTNano + 1);
                point->set_time_unix_nano(kTNano + 2);
              }),
              HasSubstr("delta sum's interval lies within a millisecond"));
  EXPECT_THAT(refusal([](auto* r) {
                AddSum(r, "s", 1, pb::AGGREGATION_TEMPORALITY_DELTA)
                    ->set_as_double(HUGE_VAL);
              }),
              HasSubstr("delta sum of +Inf"));
  EXPECT_THAT(refusal([](auto* r) {
                AddSum(r, "s", -1, pb::AGGREGATION_TEMPORALITY_DELTA);
              }),
              HasSubstr("monotonic delta sum of -1"));
  EXPECT_THAT(
      refusal([](auto* r) {
        AddDeltaHistogram(r, {1}, {1, 1}, 3)->clear_start_time_unix_nano();
      }),
      HasSubstr("delta histogram without an interval"));
  EXPECT_THAT(
      refusal([](auto* r) {
        auto* histogram = AddMetric(r, "e")->mutable_exponential_histogram();
        histogram->set_aggregation_temporality(
            pb::AGGREGATION_TEMPORALITY_DELTA);
        histogram->add_data_points()->set_time_unix_nano(kTNano);
      }),
      HasSubstr("unsupported_kind: resource_metrics[0].scope_metrics[0]."
                "metrics[0] \"e\": data_points[0]: delta exponential"));
}

TEST(OtlpDecodeTest, RefusesAMalformedMessageWholeWithItsPlace) {
  ExportRequest request;
  auto* resource = AddResource(&request, {});
  AddGauge(resource, "fine", 1);
  AddGauge(resource, "x", 1);
  std::string bytes = request.SerializeAsString();
  // Field 3 of the last point becomes a group.
  const size_t at = bytes.rfind('\x19');
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '\x1B';

  EXPECT_THAT(
      DecodeOtlp(bytes, Tenant{}, kBytesMax),
      HasError(absl::StatusCode::kInvalidArgument,
               fmt::format("resource_metrics[0].scope_metrics[0].metrics[1] "
                           "\"x\": data_points[0]: byte {}: groups are not "
                           "supported",
                           at)));
}

TEST(OtlpDecodeTest, RefusesAMessageWithAStringThatIsNotUtf8) {
  ExportRequest request;
  SetAttribute(
      AddGauge(AddResource(&request, {}), "x", 1)->mutable_attributes(), "k",
      "MARK");
  std::string bytes = request.SerializeAsString();
  bytes[bytes.find("MARK")] = '\xFF';

  EXPECT_THAT(DecodeOtlp(bytes, Tenant{}, kBytesMax),
              HasError(absl::StatusCode::kInvalidArgument,
                       HasSubstr("string is not UTF-8")));
}

TEST(OtlpDecodeTest, RefusesAttributesNestedTooDeeply) {
  ExportRequest request;
  auto* pair = AddGauge(AddResource(&request, {}), "x", 1)->add_attributes();
  pair->set_key("deep");
  auto* value = pair->mutable_value();
  for (int i = 0; i < 40; ++i)
    value = value->mutable_array_value()->add_values();

  EXPECT_THAT(Decode(request), HasError(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("nested too deeply")));
}

TEST(OtlpDecodeTest, RefusesARequestThatGrowsBeyondTheBound) {
  ExportRequest request;
  std::vector<double> bounds;
  for (int i = 0; i < 5'000; ++i) bounds.push_back(i);
  auto* point = AddHistogram(AddResource(&request, {}), "h", bounds,
                             std::vector<uint64_t>(5'001, 0), 0);
  SetAttribute(point->mutable_attributes(), "long", std::string(100'000, 'x'));

  EXPECT_THAT(Decode(request), HasError(absl::StatusCode::kOutOfRange,
                                        HasSubstr("grows to more than")));
}

TEST(OtlpDecodeTest, TakesAnEmptyMessage) {
  auto decoded = DecodeOtlp("", Tenant{}, kBytesMax);

  ASSERT_THAT(decoded, IsOk());
  EXPECT_THAT(decoded->batches, IsEmpty());
}

}  // namespace
}  // namespace vigie::collector

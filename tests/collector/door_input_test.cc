// Hostile input at every door: each bad point is refused with its reason or
// stored exactly, and nothing else of its request is lost.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "collector/otlp_decode.h"
#include "collector/remote_write.h"
#include "prometheus/remote/write_v2.pb.h"
#include "tests/collector/otlp_messages.h"
#include "tests/collector/remote_write_fixture.h"

namespace vigie::collector {
namespace {

using ::testing::HasSubstr;
namespace v1 = ::prometheus::remote;
namespace v2 = ::prometheus::remote::v2;
namespace otlp = ::opentelemetry::proto::metrics::v1;

double OddNan() { return std::bit_cast<double>(uint64_t{0xFFF4000000000123}); }

// All samples, as "labels @time bits" or, of a histogram, "labels @time count".
std::vector<std::string> Contents(const testing::MemoryStore& store) {
  std::vector<std::string> out;
  ByteAccount account("test", int64_t{1} << 30);
  const auto snapshot = store.Select({}, {.account = &account, .stop = {}});
  for (size_t i = 0; i < (*snapshot)->size(); ++i) {
    const std::string name = (*snapshot)->labels(i).ToString();
    auto samples = (*snapshot)->Samples(i);
    store::SampleBatch batch;
    while (samples->Next(&batch).value()) {
      for (size_t j = 0; j < batch.times_ms.size(); ++j) {
        std::string what;
        if (!batch.values.empty()) {
          what =
              fmt::format("{:016x}", std::bit_cast<uint64_t>(batch.values[j]));
        } else if (!batch.integer_histograms.empty()) {
          what = fmt::format("count {}", batch.integer_histograms[j].count);
        } else {
          what = fmt::format("count {}", batch.float_histograms[j].count);
        }
        out.push_back(fmt::format("{} @{} {}", name, batch.times_ms[j], what));
      }
    }
  }
  return out;
}

std::string Bits(double value) {
  return fmt::format("{:016x}", std::bit_cast<uint64_t>(value));
}

// What both versions of remote write, whose histograms have the same fields,
// are sent between two good series.
struct WriteCase {
  const char* what;
  LabelList labels = {{"__name__", "bad"}};
  std::string raw_value = {};  // replaces "MARK" in the bytes
  std::vector<Sample> samples = {};
  std::function<void(v2::Histogram*)> histogram = nullptr;
  // Of these one: the refusal's text, or what is stored.
  std::string refused = {};
  std::vector<std::string> stored = {};
};

LabelList ManyLabels(int count) {
  LabelList labels = {{"__name__", "bad"}};
  for (int i = 0; i < count; ++i) {
    labels.emplace_back(fmt::format("l{:05}", i), "v");
  }
  return labels;
}

std::vector<WriteCase> WriteCases() {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const std::vector<Sample> one = {{kT, 1}};
  std::vector<WriteCase> cases = {
      {.what = "unsorted",
       .labels = {{"__name__", "bad"}, {"b", "1"}, {"a", "1"}},
       .samples = one,
       .refused = "label \"a\" is not in sorted order"},
      {.what = "duplicate",
       .labels = {{"__name__", "bad"}, {"a", "1"}, {"a", "1"}},
       .samples = one,
       .refused = "label \"a\" occurs twice"},
      {.what = "no labels",
       .labels = {},
       .samples = one,
       .refused = "no metric name"},
      {.what = "empty metric name",
       .labels = {{"__name__", ""}, {"a", "1"}},
       .samples = one,
       .refused = "no metric name"},
      {.what = "empty label name",
       .labels = {{"", "1"}, {"__name__", "bad"}},
       .samples = one,
       .refused = "labels[0] has no name"},
      {.what = "value is not UTF-8",
       .labels = {{"__name__", "bad"}, {"a", "MARK"}},
       .raw_value = "\xC0\xAF\xFF\xFE",
       .samples = one,
       .refused = "the value of label \"a\" is not UTF-8"},
      {.what = "name is not UTF-8",
       .labels = {{"__name__", "bad"}, {"zMARK", "1"}},
       .raw_value = "\xED\xA0\x80z",
       .samples = one,
       .refused = "the name of labels[1] is not UTF-8"},
      {.what = "10 000 labels",
       .labels = ManyLabels(10'000),
       .samples = one,
       .refused = "limit: 1"},
      {.what = "two values at one time",
       .samples = {{kT, 1}, {kT, 2}},
       .refused = "duplicate_time: 1, first: bad",
       .stored = {fmt::format("bad @{} {}", kT, Bits(1))}},
      {.what = "not-a-numbers",
       .samples = {{kT, OddNan()},
                   {kT + 1, StaleMarker()},
                   {kT + 2, NormalNan()},
                   {kT + 3, -0.0},
                   {kT + 4, 5e-324}},
       .stored = {fmt::format("bad @{} {}", kT, Bits(OddNan())),
                  fmt::format("bad @{} {}", kT + 1, Bits(StaleMarker())),
                  fmt::format("bad @{} {}", kT + 2, Bits(NormalNan())),
                  fmt::format("bad @{} {}", kT + 3, Bits(-0.0)),
                  fmt::format("bad @{} {}", kT + 4, Bits(5e-324))}},
      {.what = "times at the edges",
       .samples = {{kMin, 1}, {-1, 2}, {0, 3}, {kMax, 4}},
       .stored = {fmt::format("bad @{} {}", kMin, Bits(1)),
                  fmt::format("bad @-1 {}", Bits(2)),
                  fmt::format("bad @0 {}", Bits(3)),
                  fmt::format("bad @{} {}", kMax, Bits(4))}},
  };
  struct HistogramCase {
    const char* why;  // "" if it is stored, with count 3
    std::function<void(v2::Histogram*)> change;
  };
  const std::vector<HistogramCase> histograms = {
      {"", [](auto*) {}},
      {"schema -5", [](auto* h) { h->set_schema(-5); }},
      {"schema -2147483648", [](auto* h) { h->set_schema(INT32_MIN); }},
      {"bounds beside schema 0", [](auto* h) { h->add_custom_values(1); }},
      {"buckets do not add up", [](auto* h) { h->set_count_int(4); }},
      {"buckets do not add up",
       [](auto* h) { h->set_zero_count_int(UINT64_MAX); }},
      {"",
       [](auto* h) {  // NaN was observed twice
         h->set_positive_deltas(0, 0);
         h->set_sum(NAN);
       }},
      {"span 1 reaches bucket 2147483649",
       [](auto* h) { h->add_positive_spans()->set_length(1u << 31); }},
      {"spans name",
       [](auto* h) { h->mutable_positive_spans(0)->set_length(2); }},
      {"spans name", [](auto* h) { h->add_negative_deltas(1); }},
      {"span 1 has the offset -1",
       [](auto* h) {
         auto* span = h->add_positive_spans();
         span->set_offset(-1);
         span->set_length(1);
         h->add_positive_deltas(0);
       }},
      {"reaches bucket 2147483648",
       [](auto* h) {
         h->mutable_positive_spans(0)->set_offset(INT32_MAX);
         h->add_positive_spans()->set_length(1);
         h->add_positive_deltas(0);
       }},
      {"below zero",
       [](auto* h) {
         h->mutable_positive_spans(0)->set_length(2);
         h->add_positive_deltas(-4);
       }},
      {"beyond 63 bits",
       [](auto* h) {
         h->mutable_positive_spans(0)->set_length(2);
         h->add_positive_deltas(INT64_MAX);
       }},
      {"a negative count",
       [](auto* h) {
         h->clear_positive_deltas();
         h->set_count_float(3);
         h->add_positive_counts(-3);
       }},
      {"",
       [](auto* h) {  // float buckets need not add up
         h->clear_positive_deltas();
         h->set_count_float(3);
         h->add_positive_counts(7.5);
       }},
      {"bound 1 of custom buckets is 2",
       [](auto* h) {
         h->set_schema(-53);
         h->add_custom_values(2);
         h->add_custom_values(2);
       }},
      {"bound 0 of custom buckets is nan",
       [](auto* h) {
         h->set_schema(-53);
         h->add_custom_values(NAN);
       }},
      {"custom buckets up to 3, with 1 bounds",
       [](auto* h) {
         h->set_schema(-53);
         h->add_custom_values(2);
         h->mutable_positive_spans(0)->set_offset(2);
       }},
      {"custom buckets beside negative or zero ones",
       [](auto* h) {
         h->set_schema(-53);
         h->set_zero_threshold(1);
       }},
  };
  for (const HistogramCase& c : histograms) {
    WriteCase& out = cases.emplace_back(WriteCase{.what = c.why});
    out.histogram = [change = c.change](v2::Histogram* h) {
      h->set_count_int(3);
      h->set_timestamp(kT);
      h->add_positive_spans()->set_length(1);
      h->add_positive_deltas(3);
      change(h);
    };
    if (*c.why == '\0') {
      out.stored = {fmt::format("bad @{} count 3", kT)};
    } else {
      out.refused = c.why;
    }
  }
  return cases;
}

std::string Marked(std::string bytes, const std::string& with) {
  if (!with.empty()) bytes.replace(bytes.find("MARK"), 4, with);
  return bytes;
}

std::string MessageV1(const WriteCase& c) {
  v1::WriteRequest request;
  AddSample(AddSeries(&request, {{"__name__", "a_good"}}), 1);
  v1::TimeSeries* bad = AddSeries(&request, c.labels);
  for (const Sample& sample : c.samples) {
    AddSample(bad, sample.value, sample.time_ms);
  }
  if (c.histogram) {
    v2::Histogram histogram;
    c.histogram(&histogram);
    bad->add_histograms()->ParseFromString(histogram.SerializeAsString());
  }
  AddSample(AddSeries(&request, {{"__name__", "z_good"}}), 1);
  return Marked(request.SerializeAsString(), c.raw_value);
}

std::string MessageV2(const WriteCase& c) {
  v2::Request request;
  request.add_symbols("");
  const auto add = [&](const LabelList& labels) {
    auto* series = request.add_timeseries();
    const auto symbol = [&](const std::string& text) {
      if (text.empty()) return series->add_labels_refs(0);
      series->add_labels_refs(static_cast<uint32_t>(request.symbols_size()));
      request.add_symbols(text);
    };
    for (const auto& [name, value] : labels) {
      symbol(name);
      symbol(value);
    }
    return series;
  };
  const auto sample = [](v2::TimeSeries* series, const Sample& one) {
    auto* out = series->add_samples();
    out->set_value(one.value);
    out->set_timestamp(one.time_ms);
  };
  sample(add({{"__name__", "a_good"}}), {kT, 1});
  v2::TimeSeries* bad = add(c.labels);
  for (const Sample& one : c.samples) sample(bad, one);
  if (c.histogram) c.histogram(bad->add_histograms());
  sample(add({{"__name__", "z_good"}}), {kT, 1});
  return Marked(request.SerializeAsString(), c.raw_value);
}

class WriteInputTest : public ::testing::TestWithParam<const char*> {};

TEST_P(WriteInputTest, BadInputIsRefusedByNameOrStoredExactly) {
  const bool second = std::string_view(GetParam()) == "v2";
  for (const WriteCase& c : WriteCases()) {
    SCOPED_TRACE(c.what);
    testing::MemoryStore store;
    testing::SimulatedClock clock(kT);
    ::prometheus::Registry registry;
    RemoteWriteDoor door(store, clock, registry, {});
    DoorAnswer answer;

    // Twice, so that the series are known the second time.
    for (int i = 0; i < 2; ++i) {
      door.Handle(
          {{},
           second ? "application/x-protobuf;"
                    "proto=io.prometheus.write.v2.Request"
                  : "application/x-protobuf",
           "snappy",
           compress::CompressSnappyBlock(second ? MessageV2(c) : MessageV1(c))},
          [&](DoorAnswer got) { answer = std::move(got); });

      EXPECT_EQ(answer.status, c.refused.empty() ? 204 : 400) << answer.body;
      EXPECT_THAT(answer.body, HasSubstr(c.refused));
      std::vector<std::string> want = c.stored;
      want.insert(want.begin(), fmt::format("a_good @{} {}", kT, Bits(1)));
      want.push_back(fmt::format("z_good @{} {}", kT, Bits(1)));
      EXPECT_EQ(Contents(store), want);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(RemoteWrite, WriteInputTest,
                         ::testing::Values("v1", "v2"),
                         [](const auto& info) { return info.param; });

// Strings that are not UTF-8 spoil an OTLP message whole, and attributes may
// come in any order and twice: decisions 0037 and otlp_decode_test.cc.
TEST(OtlpInputTest, BadInputIsRefusedByNameOrStoredExactly) {
  using vigie::testing::AddGauge;
  using vigie::testing::AddMetric;
  using vigie::testing::SetAttribute;
  const auto exponential = [](otlp::ResourceMetrics* r) {
    auto* histogram = AddMetric(r, "bad")->mutable_exponential_histogram();
    histogram->set_aggregation_temporality(
        otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
    auto* point = histogram->add_data_points();
    point->set_time_unix_nano(vigie::testing::kTNano);
    point->set_count(3);
    point->mutable_positive()->add_bucket_counts(3);
    return point;
  };
  struct Case {
    const char* what;
    std::function<void(otlp::ResourceMetrics*)> add;
    const char* refused = "";
    std::vector<std::string> stored = {};
  };
  const std::vector<Case> cases = {
      {"not-a-number",
       [](auto* r) { AddGauge(r, "bad", OddNan()); },
       "",
       {fmt::format("bad @{} {}", kT, Bits(OddNan()))}},
      {"the last time there is",
       [](auto* r) { AddGauge(r, "bad", 1)->set_time_unix_nano(UINT64_MAX); },
       "",
       {fmt::format("bad @18446744073709 {}", Bits(1))}},
      {"no time", [](auto* r) { AddGauge(r, "bad", 1)->set_time_unix_nano(0); },
       "no time"},
      {"no name", [](auto* r) { AddGauge(r, "", 1); }, "no metric name"},
      {"empty attribute name",
       [](auto* r) {
         SetAttribute(AddGauge(r, "bad", 1)->mutable_attributes(), "", "v");
       },
       "leaves no label name"},
      {"10 000 attributes",
       [](auto* r) {
         auto* point = AddGauge(r, "bad", 1);
         for (int i = 0; i < 10'000; ++i) {
           SetAttribute(point->mutable_attributes(), fmt::format("l{}", i),
                        "v");
         }
       },
       "labels, at most"},
      {"count and buckets disagree",
       [&](auto* r) { exponential(r)->set_count(4); },
       "buckets do not add up to the count 4"},
      {"counts beyond 64 bits",
       [&](auto* r) {
         auto* point = exponential(r);
         point->mutable_positive()->add_bucket_counts(UINT64_MAX);
         point->set_count(2);
       },
       "buckets do not add up"},
      {"index beyond 32 bits",
       [&](auto* r) {
         exponential(r)->mutable_positive()->set_offset(INT32_MAX);
       },
       "beyond 32 bits"},
      {"scale below -4", [&](auto* r) { exponential(r)->set_scale(-5); },
       "scale -5"},
      {"a scale far above",
       [&](auto* r) {
         exponential(r)->set_scale(INT32_MAX);
         r->mutable_scope_metrics(0)
             ->mutable_metrics(1)
             ->mutable_exponential_histogram()
             ->mutable_data_points(0)
             ->mutable_positive()
             ->set_offset(INT32_MIN);
       },
       "",
       {fmt::format("bad @{} count 3", kT)}},
      {"infinite sum",
       [&](auto* r) { exponential(r)->set_sum(HUGE_VAL); },
       "",
       {fmt::format("bad @{} count 3", kT)}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    vigie::testing::ExportRequest request;
    auto* resource = vigie::testing::AddResource(&request, {});
    AddGauge(resource, "a_good", 1);
    c.add(resource);
    AddGauge(resource, "z_good", 1);

    auto decoded = DecodeOtlp(request.SerializeAsString(), Tenant{}, 64 << 20);

    ASSERT_TRUE(decoded.ok()) << decoded.status();
    testing::MemoryStore store;
    std::string said;
    for (const PointRefusal& refusal : decoded->refusals) {
      said += refusal.example;
    }
    for (OtlpBatch& one : decoded->batches) {
      const auto outcome = store::AppendAndWait(store, std::move(one.batch));
      for (const auto& refusal : outcome.refusals) said += refusal.example;
    }
    EXPECT_THAT(said, HasSubstr(c.refused));
    EXPECT_EQ(said.empty(), *c.refused == '\0') << said;
    std::vector<std::string> want = c.stored;
    want.insert(want.begin(), fmt::format("a_good @{} {}", kT, Bits(1)));
    want.push_back(fmt::format("z_good @{} {}", kT, Bits(1)));
    EXPECT_EQ(Contents(store), want);
  }
}

}  // namespace
}  // namespace vigie::collector

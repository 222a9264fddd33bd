// What is exported as OpenMetrics text and imported into an empty store is
// there as it was, exemplars and metadata included.
#include "server/store_transfer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

#include "tests/store/store_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using vigie::testing::IsOk;

class Collecting final : public OperationSink {
 public:
  void OnProgress(std::string_view, uint64_t, uint64_t,
                  std::string_view) override {}
  void OnWarning(std::string_view text) override {
    warnings.emplace_back(text);
  }
  absl::Status OnData(std::string_view piece) override {
    text += piece;
    return absl::OkStatus();
  }
  std::vector<std::string> warnings;
  std::string text;
};

class StoreTransferTest : public store::StoreTest {
 protected:
  StoreTransferTest() { Open(); }

  struct All {
    store::Contents samples;
    std::map<Labels, std::vector<Exemplar>> exemplars;
    std::map<std::string, Metadata> metadata;
  };
  static All AllOf(const store::Store& store) {
    ByteAccount account("query", 64 << 20);
    All all;
    all.samples = store::ContentsOf(store.queryable());
    const auto exemplars =
        store.queryable().Exemplars({}, {}, {}, {&account, {}});
    EXPECT_THAT(exemplars, IsOk());
    for (const auto& one : *exemplars)
      all.exemplars[one.series] = one.exemplars;
    const auto metadata =
        store.queryable().ListMetadata({}, "", {&account, {}});
    EXPECT_THAT(metadata, IsOk());
    for (const auto& one : *metadata) all.metadata[one.metric] = one.metadata;
    return all;
  }

  std::string Export(const std::string& format, Collecting* sink) {
    OperationRequest request{.verb = "export"};
    request.format = format;
    const auto result = RunOperation(*store_, request, *sink, {});
    EXPECT_THAT(result, IsOk());
    return result.ok() ? *result : "";
  }
  // Into a store of its own.
  std::unique_ptr<store::LocalStore> Import(const std::string& text) {
    const std::string file =
        fmt::format("{}/text-{}", directory_.path(), ++imports_);
    std::ofstream(file, std::ios::binary) << text;
    auto opened = store::LocalStore::Open(
        fmt::format("{}/again-{}", directory_.path(), imports_), options_,
        clock_, others_);
    EXPECT_THAT(opened, IsOk());
    for (int times = 0; times < 2; ++times) {  // the second changes nothing
      Collecting sink;
      OperationRequest request{.verb = "import", .paths = {file}};
      EXPECT_THAT(RunOperation(**opened, request, sink, {}), IsOk());
      EXPECT_THAT(sink.warnings, IsEmpty());
    }
    return *std::move(opened);
  }

  // `count` samples a second apart, up to now; exemplars of the given times.
  void AppendTraced(const Labels& labels, int count,
                    const std::vector<int64_t>& times_ms) {
    store::AppendBatch batch;
    batch.series.push_back({labels, {}});
    for (int i = 0; i < count; ++i) {
      batch.floats.push_back(
          {0, {store::kNowMs - 1'000 * (count - 1 - i), i + 0.1}});
    }
    for (const int64_t time_ms : times_ms) {
      batch.exemplars.push_back(
          {0,
           {Labels{{"trace_id", fmt::format("\"{}\\", time_ms)}}, 0.5,
            time_ms}});
    }
    EXPECT_THAT(Append(std::move(batch)).refusals, IsEmpty());
  }

  prometheus::Registry others_;
  int imports_ = 0;
};

TEST_F(StoreTransferTest, OpenMetricsTextComesBackAsItWas) {
  const int64_t now = store::kNowMs;
  AppendTraced({{"__name__", "a_total"}, {"job", "x\n\"\\"}}, 5,
               {now - 90'000, now - 2'500, now - 2'500, now + 700});
  AppendTraced({{"__name__", "h_bucket"}, {"le", "1.0"}}, 3,
               {now, now + 1, now + 2});
  AppendTraced({{"__name__", "h_count"}}, 1, {});
  // Nothing is told of it, so its `le` stays as it is written.
  AppendTraced({{"__name__", "h_other"}, {"le", "1"}}, 2, {});
  AppendTraced({{"__name__", "with.dots"}, {"a b", "c"}}, 2, {now});
  store::AppendBatch told;
  told.metadata = {
      {"a", {MetricType::kCounter, " Of \"all\"\nkinds: \\n.", "seconds"}},
      {"h", {MetricType::kHistogram, "", ""}},
      {"with.dots", {MetricType::kGauge, "Dots.", ""}},
      {"z_gone", {MetricType::kUnknown, "No series.", ""}}};
  EXPECT_THAT(Append(std::move(told)).refusals, IsEmpty());
  const All before = AllOf(*store_);
  ASSERT_THAT(before.exemplars, SizeIs(3));
  ASSERT_THAT(before.metadata, SizeIs(4));

  Collecting sink;
  Export("openmetrics", &sink);
  EXPECT_THAT(sink.warnings, IsEmpty());
  const auto again = Import(sink.text);

  const All after = AllOf(*again);
  EXPECT_EQ(after.samples, before.samples) << sink.text;
  EXPECT_EQ(after.exemplars, before.exemplars) << sink.text;
  EXPECT_EQ(after.metadata, before.metadata) << sink.text;
}

TEST_F(StoreTransferTest, AnExemplarIsOnTheFirstSampleThatIsNotOlder) {
  AppendTraced({{"__name__", "m"}}, 3, {store::kNowMs - 1'500});

  Collecting sink;
  Export("openmetrics", &sink);

  EXPECT_EQ(sink.text,
            "m 0.1 1699999998\n"
            "m 1.1 1699999999 # {trace_id=\"\\\"1699999998500\\\\\"} 0.5 "
            "1699999998.500\n"
            "m 2.1 1700000000\n"
            "# EOF\n");
}

TEST_F(StoreTransferTest, WhatTheTextCannotHoldIsSaidAndInJsonLines) {
  const int64_t now = store::kNowMs;
  AppendTraced({{"__name__", "m"}}, 1, {now - 2, now - 1, now});
  AppendTraced({{"__name__", "bare"}}, 0, {now});
  store::AppendBatch told;
  told.metadata = {{"m", {MetricType::kGauge, "", "per second"}}};
  EXPECT_THAT(Append(std::move(told)).refusals, IsEmpty());

  Collecting text, json;
  const std::string result = Export("openmetrics", &text);
  Export("jsonl", &json);

  EXPECT_THAT(result, HasSubstr("\"exemplars\":1"));
  EXPECT_THAT(text.warnings, ElementsAre(HasSubstr("2 exemplars left out"),
                                         HasSubstr("1 units left out")));
  EXPECT_THAT(json.warnings, IsEmpty());
  EXPECT_THAT(json.text, HasSubstr(R"("unit":"per second")"));
  EXPECT_THAT(json.text, HasSubstr(fmt::format("\"timestamp\":{}", now - 2)));
  EXPECT_THAT(json.text, HasSubstr(fmt::format("\"timestamp\":{}", now)));
}

// Longer than the pieces that an import reads.
TEST_F(StoreTransferTest, ExemplarsOfALongTextAreAllThere) {
  std::string text = "# TYPE m counter\n";
  const std::string pad(3'000, 'p');
  for (int i = 0; text.size() < (17 << 20); ++i) {
    text += fmt::format(
        "m{{i=\"{}\",pad=\"{}\"}} 1 1700000000{}\n", i, pad,
        i % 100 == 0 ? fmt::format(" # {{trace_id=\"{}\"}} 1", i) : "");
  }
  text += "# HELP m Many.\n# EOF\n";

  const auto again = Import(text);

  const All all = AllOf(*again);
  EXPECT_THAT(all.exemplars, SizeIs((all.samples.size() + 99) / 100));
  EXPECT_EQ(all.metadata.at("m"),
            (Metadata{MetricType::kCounter, "Many.", ""}));
}

}  // namespace
}  // namespace vigie::server

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "collector/remote_write.h"
#include "collector/remote_write_decode.h"
#include "prometheus/remote/write_v2.pb.h"
#include "tests/collector/remote_write_fixture.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
namespace pb = ::prometheus::remote::v2;

constexpr char kType[] =
    "application/x-protobuf;proto=io.prometheus.write.v2.Request";

// Builds requests as a sender does: texts go into the table once.
class Request {
 public:
  Request() { request_.add_symbols(""); }
  uint32_t Symbol(const std::string& text) {
    if (text.empty()) return 0;
    auto [it, added] = symbols_.emplace(text, request_.symbols_size());
    if (added) request_.add_symbols(text);
    return static_cast<uint32_t>(it->second);
  }
  pb::TimeSeries* Add(const LabelList& labels) {
    pb::TimeSeries* series = request_.add_timeseries();
    for (const auto& [name, value] : labels) {
      series->add_labels_refs(Symbol(name));
      series->add_labels_refs(Symbol(value));
    }
    return series;
  }
  pb::TimeSeries* Add(const LabelList& labels, double value,
                      int64_t time_ms = kT, int64_t start_ms = 0) {
    pb::TimeSeries* series = Add(labels);
    pb::Sample* sample = series->add_samples();
    sample->set_value(value);
    sample->set_timestamp(time_ms);
    sample->set_start_timestamp(start_ms);
    return series;
  }
  pb::Request* operator->() { return &request_; }
  std::string bytes() const { return request_.SerializeAsString(); }

 private:
  pb::Request request_;
  std::map<std::string, int> symbols_;
};

class RemoteWriteV2Test : public RemoteWriteTest {
 protected:
  DoorAnswer Send(const Request& request) { return SendV2(request.bytes()); }
  DoorAnswer SendV2(const std::string& bytes) {
    return SendBody(compress::CompressSnappyBlock(bytes), kType);
  }
};

auto Written(int samples, int histograms, int exemplars) {
  const std::string prefix = "X-Prometheus-Remote-Write-";
  return AllOf(
      Contains(Pair(prefix + "Samples-Written", std::to_string(samples))),
      Contains(Pair(prefix + "Histograms-Written", std::to_string(histograms))),
      Contains(Pair(prefix + "Exemplars-Written", std::to_string(exemplars))));
}

TEST_F(RemoteWriteV2Test, TakesSamplesWithTheirStartAndSaysWhatIsWritten) {
  Request request;
  request.Add({{"__name__", "a_total"}, {"job", "x"}}, 1, kT, kT - 60'000);
  request.Add({{"__name__", "b_total"}}, 2)->set_created_timestamp(kT - 1'000);
  request.Add({{"__name__", "gauge"}}, StaleMarker());

  const DoorAnswer answer = Send(request);

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
  EXPECT_THAT(answer.headers, Written(3, 0, 0));
  const store::AppendBatch& batch = appender_.batches.at(0);
  EXPECT_EQ(batch.group, "remote_write");
  EXPECT_EQ(batch.series.at(0).labels,
            Labels({{"__name__", "a_total"}, {"job", "x"}}));
  ASSERT_THAT(batch.floats, SizeIs(3));
  EXPECT_EQ(batch.floats[0].start_ms, kT - 60'000);
  EXPECT_EQ(batch.floats[1].start_ms, kT - 1'000);
  EXPECT_EQ(batch.floats[2].start_ms, 0);
  EXPECT_EQ(batch.floats[2].sample, (Sample{kT, StaleMarker()}));
}

TEST_F(RemoteWriteV2Test, TakesHistogramsExemplarsAndMetadata) {
  Request request;
  pb::TimeSeries* series = request.Add({{"__name__", "h"}});
  pb::Histogram* histogram = series->add_histograms();
  histogram->set_count_int(5);
  histogram->set_sum(2.5);
  histogram->set_schema(3);
  auto* span = histogram->add_positive_spans();
  span->set_offset(1);
  span->set_length(2);
  histogram->add_positive_deltas(2);
  histogram->add_positive_deltas(1);
  histogram->set_timestamp(kT);
  histogram->set_start_timestamp(kT - 5);
  pb::Exemplar* exemplar = series->add_exemplars();
  exemplar->add_labels_refs(request.Symbol("trace_id"));
  exemplar->add_labels_refs(request.Symbol("ab"));
  exemplar->set_value(0.5);
  exemplar->set_timestamp(kT);
  series->mutable_metadata()->set_type(pb::Metadata::HISTOGRAM);
  series->mutable_metadata()->set_help_ref(request.Symbol("How long."));
  series->mutable_metadata()->set_unit_ref(request.Symbol("seconds"));

  const DoorAnswer answer = Send(request);

  EXPECT_EQ(answer.status, 204);
  EXPECT_THAT(answer.headers, Written(0, 1, 1));
  const store::AppendBatch& batch = appender_.batches.at(0);
  ASSERT_THAT(batch.integer_histograms, SizeIs(1));
  EXPECT_EQ(batch.integer_histograms[0].start_ms, kT - 5);
  EXPECT_THAT(batch.integer_histograms[0].histogram.positive_buckets,
              ElementsAre(2, 3));
  ASSERT_THAT(batch.exemplars, SizeIs(1));
  EXPECT_EQ(batch.exemplars[0].exemplar,
            (Exemplar{Labels({{"trace_id", "ab"}}), 0.5, kT}));
  ASSERT_THAT(batch.metadata, SizeIs(1));
  EXPECT_EQ(batch.metadata[0].metric, "h");
  EXPECT_EQ(batch.metadata[0].metadata,
            (Metadata{MetricType::kHistogram, "How long.", "seconds"}));
}

TEST_F(RemoteWriteV2Test, MetadataIsOfTheFamilyAndOnceARequest) {
  Request request;
  for (const char* name : {"d_bucket", "d_count", "d_sum"}) {
    pb::TimeSeries* series = request.Add({{"__name__", name}}, 1);
    series->mutable_metadata()->set_type(pb::Metadata::HISTOGRAM);
  }
  request.Add({{"__name__", "q_sum"}}, 1)
      ->mutable_metadata()
      ->set_type(pb::Metadata::SUMMARY);
  request.Add({{"__name__", "c_total"}}, 1)
      ->mutable_metadata()
      ->set_type(pb::Metadata::COUNTER);

  ASSERT_EQ(Send(request).status, 204);

  std::vector<std::string> families;
  for (const auto& point : appender_.batches.at(0).metadata) {
    families.push_back(point.metric);
  }
  EXPECT_THAT(families, ElementsAre("d", "q", "c_total"));
}

TEST_F(RemoteWriteV2Test, KnownSeriesGoByReferenceWhateverTheirSymbols) {
  Request first;
  first.Add({{"__name__", "up"}, {"job", "a"}}, 1);
  first.Add({{"__name__", "up"}, {"job", "b"}}, 1);
  ASSERT_EQ(Send(first).status, 204);
  Request second;
  second.Symbol("others");
  second.Symbol("b");
  second.Add({{"__name__", "up"}, {"job", "a"}}, 2, kT + 1);
  second.Add({{"__name__", "up"}, {"job", "b"}}, 2, kT + 1);
  second.Add({{"__name__", "up"}, {"job", "c"}}, 2, kT + 1);

  ASSERT_EQ(Send(second).status, 204);

  const store::AppendBatch& batch = appender_.batches.at(1);
  ASSERT_THAT(batch.series, SizeIs(3));
  EXPECT_NE(batch.series[0].ref.id, 0u);
  EXPECT_NE(batch.series[1].ref.id, 0u);
  EXPECT_EQ(batch.series[2].ref.id, 0u);
  EXPECT_EQ(batch.label_source->LabelsOf(1),
            Labels({{"__name__", "up"}, {"job", "b"}}));
}

TEST_F(RemoteWriteV2Test, ChangedMetadataOfAKnownSeriesIsTaken) {
  for (const char* help : {"Before.", "After."}) {
    Request request;
    pb::TimeSeries* series = request.Add({{"__name__", "up"}}, 1);
    series->mutable_metadata()->set_help_ref(request.Symbol(help));
    ASSERT_EQ(Send(request).status, 204);
  }

  ASSERT_THAT(appender_.batches.at(1).metadata, SizeIs(1));
  EXPECT_EQ(appender_.batches[1].metadata[0].metadata.help, "After.");
}

TEST_F(RemoteWriteV2Test, KnownSeriesBringTheirMetadataNowAndThen) {
  Request request;
  request.Add({{"__name__", "up"}}, 1)
      ->mutable_metadata()
      ->set_type(pb::Metadata::GAUGE);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(Send(request).status, 204);

  size_t with = 0;
  for (const auto& batch : appender_.batches) with += !batch.metadata.empty();

  EXPECT_GT(with, 10u);
  EXPECT_LT(with, 100u);
}

TEST_F(RemoteWriteV2Test, WhatIsWrongWithASeriesIsSaidAndTheRestTaken) {
  using Change = void (*)(Request*, pb::TimeSeries*);
  struct Case {
    const char* why;
    Change change;
  };
  const std::vector<Case> cases = {
      {"invalid_labels: 1, first: timeseries[1]: 3 labels_refs, an odd number",
       [](Request*, pb::TimeSeries* s) { s->add_labels_refs(0); }},
      {"timeseries[1]: labels_refs[1]: 4711 is not among",
       [](Request*, pb::TimeSeries* s) { s->set_labels_refs(1, 4711); }},
      {"timeseries[1]: no metric name",
       [](Request*, pb::TimeSeries* s) { s->clear_labels_refs(); }},
      {"timeseries[1] \"x\": labels[1] has no name",
       [](Request*, pb::TimeSeries* s) {
         s->add_labels_refs(0);
         s->add_labels_refs(1);
       }},
      {"label \"__name__\" occurs twice",
       [](Request*, pb::TimeSeries* s) {
         s->add_labels_refs(s->labels_refs(0));
         s->add_labels_refs(s->labels_refs(1));
       }},
      {"label \"B\" is not in sorted order",
       [](Request* r, pb::TimeSeries* s) {
         s->add_labels_refs(r->Symbol("B"));
         s->add_labels_refs(1);
       }},
      {"invalid_series: 2, first: timeseries[1]: both samples and histograms",
       [](Request*, pb::TimeSeries* s) { s->add_histograms(); }},
      {"empty_series: 1, first: timeseries[1]: neither",
       [](Request*, pb::TimeSeries* s) { s->clear_samples(); }},
      {"invalid_exemplar: 1",
       [](Request*, pb::TimeSeries* s) {
         s->add_exemplars()->add_labels_refs(9999);
       }},
      {"invalid_metadata: 1, first: timeseries[1]: metadata: 77 or 0",
       [](Request*, pb::TimeSeries* s) {
         s->mutable_metadata()->set_help_ref(77);
       }},
  };
  for (const Case& c : cases) {
    Request request;
    request.Add({{"__name__", "fine"}}, 1);
    c.change(&request, request.Add({{"__name__", "x"}}, 1));
    request.Add({{"__name__", "good"}}, 1);

    const DoorAnswer answer = Send(request);

    EXPECT_EQ(answer.status, 400) << c.why;
    EXPECT_THAT(answer.body, HasSubstr(c.why));
    EXPECT_THAT(answer.headers,
                Contains(Pair("X-Prometheus-Remote-Write-Samples-Written",
                              ::testing::AnyOf("2", "3"))));
    const store::AppendBatch& batch = appender_.batches.back();
    EXPECT_EQ(batch.floats.back().series, batch.series.size() - 1) << c.why;
  }
}

TEST_F(RemoteWriteV2Test, AMalformedRequestIsRefusedWholeWithZerosWritten) {
  Request unterminated;
  unterminated.Add({{"__name__", "x"}}, 1);
  pb::Request no_empty_symbol;
  no_empty_symbol.add_symbols("x");
  pb::Request no_symbols;
  no_symbols.add_timeseries();
  const std::vector<std::pair<std::string, const char*>> cases = {
      {unterminated.bytes() + "\x0B", "groups are not supported"},
      {no_empty_symbol.SerializeAsString(),
       "symbols[0] is not the empty string"},
      {no_symbols.SerializeAsString(), "no symbols"},
      {std::string("\x0A\x00", 2), "fields of prometheus.WriteRequest"},
      {unterminated.bytes() + std::string("\x2A\x02\x12\x05", 4),
       "timeseries[1]: byte"},
  };
  for (const auto& [bytes, why] : cases) {
    const DoorAnswer answer = SendV2(bytes);

    EXPECT_EQ(answer.status, 400) << why;
    EXPECT_THAT(answer.body, HasSubstr(why));
    EXPECT_THAT(answer.headers, Written(0, 0, 0));
  }
  EXPECT_THAT(appender_.batches, IsEmpty());
}

TEST_F(RemoteWriteV2Test, AVersionOneDoorDoesNotSwallowItsRequest) {
  Request request;
  request.Add({{"__name__", "x"}}, 1);

  const DoorAnswer answer = SendBytes(request.bytes());

  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("io.prometheus.write.v2.Request"));
}

TEST_F(RemoteWriteV2Test, EveryAnswerSaysWhatIsWritten) {
  Request request;
  request.Add({{"__name__", "x"}}, 1);
  const std::string body = compress::CompressSnappyBlock(request.bytes());
  appender_.store.RefuseWith(absl::ResourceExhaustedError("queue is full"));
  const DoorAnswer pressed = Send(request);
  appender_.store.RefuseWith(absl::OkStatus());

  const DoorAnswer encoded = SendBody(body, kType, "gzip");
  const DoorAnswer large = SendV2(std::string(2 << 20, '\0'));
  const DoorAnswer empty = SendV2("");
  const DoorAnswer old =
      SendBody(compress::CompressSnappyBlock(""), "application/x-protobuf");

  EXPECT_EQ(pressed.status, 429);
  EXPECT_THAT(pressed.headers, Written(0, 0, 0));
  EXPECT_EQ(encoded.status, 415);
  EXPECT_THAT(encoded.headers, Written(0, 0, 0));
  EXPECT_EQ(large.status, 413);
  EXPECT_THAT(large.headers, Written(0, 0, 0));
  EXPECT_EQ(empty.status, 204);
  EXPECT_THAT(empty.headers, Written(0, 0, 0));
  EXPECT_EQ(old.status, 204);
  EXPECT_THAT(old.headers, IsEmpty());
}

TEST_F(RemoteWriteV2Test, SymbolsAreBoundedAsTheirMemoryIs) {
  pb::Request request;
  for (int i = 0; i < 200'000; ++i) request.add_symbols("");

  const DoorAnswer answer = SendV2(request.SerializeAsString());

  EXPECT_EQ(answer.status, 413);
}

// --- the hand decoder against the generated classes, with aliases ---

TEST(RemoteWriteV2DifferentialTest, GivesWhatTheGeneratedClassesGive) {
  uint64_t samples = 0, refused = 0, known = 0;
  testing::SimulatedClock clock(kT);
  SeriesAliases aliases({.entries_max = 4096, .idle = absl::Hours(1)}, clock);
  std::map<Labels, uint64_t> ids;
  for (uint32_t seed = 1; seed <= 2'000; ++seed) {
    std::mt19937 random(seed);
    Request request;
    std::vector<std::string> want;
    uint64_t want_refused = 0;
    for (uint32_t i = random() % 8; i > 0; --i) {
      LabelList labels;
      std::vector<LabelView> kept;
      for (const char* name : {"__name__", "a", "b", "b", "caf\xC3\xA9"}) {
        const char* values[] = {"x", "y", "", "\xE6\xB8\xA9"};
        if (random() % 4 != 0) labels.emplace_back(name, values[random() % 4]);
      }
      if (random() % 8 == 0) std::shuffle(labels.begin(), labels.end(), random);
      bool fine = !labels.empty() && labels[0].first == "__name__" &&
                  !labels[0].second.empty();
      for (size_t j = 1; j < labels.size(); ++j) {
        fine = fine && labels[j - 1].first < labels[j].first;
      }
      pb::TimeSeries* series = request.Add(labels);
      if (random() % 16 == 0) {
        series->add_labels_refs(0);
        fine = false;
      }
      for (const auto& [name, value] : labels) {
        if (!value.empty()) kept.push_back({name, value});
      }
      const auto created_ms = static_cast<int64_t>(random() % 2 * random());
      series->set_created_timestamp(created_ms);
      for (uint32_t j = 1 + random() % 4; j > 0; --j) {
        pb::Sample* sample = series->add_samples();
        sample->set_value(std::bit_cast<double>(
            static_cast<uint64_t>(random()) << 32 | random()));
        sample->set_timestamp(static_cast<int64_t>(random()) - (1LL << 31));
        sample->set_start_timestamp(random() % 2 * random());
        if (fine) {
          want.push_back(fmt::format(
              "{} {:016x} @{} from {}", Labels::FromSorted(kept).ToString(),
              std::bit_cast<uint64_t>(sample->value()), sample->timestamp(),
              sample->start_timestamp() != 0 ? sample->start_timestamp()
                                             : created_ms));
        }
        want_refused += !fine;
      }
    }
    const std::string bytes = request.bytes();
    WriteMessage message;
    message.bytes = bytes;
    message.batch_bytes_max = 64 << 20;
    message.aliases = &aliases;
    message.salt = aliases.SaltOf("door", "");

    auto decoded = DecodeWriteRequestV2(message);

    ASSERT_THAT(decoded, testing::IsOk()) << "seed " << seed;
    std::vector<Labels> labels;
    std::vector<store::SeriesRef> given, refs;
    for (uint32_t i = 0; i < decoded->batch.series.size(); ++i) {
      const store::BatchSeries& series = decoded->batch.series[i];
      labels.push_back(series.ref.id == 0
                           ? series.labels
                           : decoded->batch.label_source->LabelsOf(i));
      given.push_back(series.ref);
      refs.push_back({ids.emplace(labels[i], ids.size() + 1).first->second});
      if (series.ref.id != 0) {
        ASSERT_EQ(series.ref, refs.back()) << "seed " << seed;
        ++known;
      }
    }
    aliases.Learn(decoded->aliases, given, refs);
    std::vector<std::string> got;
    for (const store::FloatPoint& point : decoded->batch.floats) {
      got.push_back(fmt::format("{} {:016x} @{} from {}",
                                labels.at(point.series).ToString(),
                                std::bit_cast<uint64_t>(point.sample.value),
                                point.sample.time_ms, point.start_ms));
    }
    ASSERT_EQ(got, want) << "seed " << seed;
    uint64_t got_refused = 0;
    for (const auto& refusal : decoded->refusals) got_refused += refusal.count;
    ASSERT_EQ(got_refused, want_refused) << "seed " << seed;
    samples += got.size();
    refused += got_refused;
  }
  EXPECT_GT(samples, 2'000u);
  EXPECT_GT(refused, 2'000u);
  EXPECT_GT(known, 500u);
}

}  // namespace
}  // namespace vigie::collector

#include "server/remote_read.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/compress/compress.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "prometheus/remote/read.pb.h"
#include "server/result_json.h"
#include "server/selector_deadline.h"

namespace vigie::server {
namespace {

namespace wire = prometheus::remote;
using Pairs = std::vector<std::pair<std::string, std::string>>;

template <class Histogram>
void FillHistogram(const Histogram& from, int64_t time_ms,
                   wire::Histogram* to) {
  constexpr bool kInteger = std::is_same_v<Histogram, IntegerHistogram>;
  to->set_timestamp(time_ms);
  to->set_sum(from.sum);
  to->set_schema(from.schema);
  to->set_zero_threshold(from.zero_threshold);
  to->set_reset_hint(static_cast<wire::Histogram::ResetHint>(from.reset_hint));
  const auto spans = [](const std::vector<BucketSpan>& spans, auto* out) {
    for (const BucketSpan& span : spans) {
      wire::BucketSpan* added = out->Add();
      added->set_offset(span.offset);
      added->set_length(span.length);
    }
  };
  spans(from.positive_spans, to->mutable_positive_spans());
  spans(from.negative_spans, to->mutable_negative_spans());
  if constexpr (kInteger) {
    to->set_count_int(from.count);
    to->set_zero_count_int(from.zero_count);
    // On the wire each bucket is told by its distance to the one before.
    const auto deltas = [](const std::vector<uint64_t>& counts, auto* out) {
      uint64_t before = 0;
      for (const uint64_t count : counts) {
        out->Add(static_cast<int64_t>(count - before));
        before = count;
      }
    };
    deltas(from.positive_buckets, to->mutable_positive_deltas());
    deltas(from.negative_buckets, to->mutable_negative_deltas());
  } else {
    to->set_count_float(from.count);
    to->set_zero_count_float(from.zero_count);
    to->mutable_positive_counts()->Add(from.positive_buckets.begin(),
                                       from.positive_buckets.end());
    to->mutable_negative_counts()->Add(from.negative_buckets.begin(),
                                       from.negative_buckets.end());
  }
  to->mutable_custom_values()->Add(from.custom_values.begin(),
                                   from.custom_values.end());
}

void AddSamples(const store::SampleBatch& batch, wire::TimeSeries* out) {
  for (size_t i = 0; i < batch.times_ms.size(); ++i) {
    switch (batch.kind) {
      case store::SampleKind::kFloat: {
        wire::Sample* sample = out->add_samples();
        sample->set_timestamp(batch.times_ms[i]);
        sample->set_value(batch.values[i]);
        break;
      }
      case store::SampleKind::kIntegerHistogram:
        FillHistogram(batch.integer_histograms[i], batch.times_ms[i],
                      out->add_histograms());
        break;
      case store::SampleKind::kFloatHistogram:
        FillHistogram(batch.float_histograms[i], batch.times_ms[i],
                      out->add_histograms());
        break;
    }
  }
}

// A length-delimited field, whose body was made elsewhere.
void AppendField(int number, std::string_view body, std::string* out) {
  uint8_t head[16];
  uint8_t* end = google::protobuf::io::CodedOutputStream::WriteTagToArray(
      static_cast<uint32_t>(number) << 3 | 2, head);
  end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(
      body.size(), end);
  out->append(reinterpret_cast<const char*>(head),
              static_cast<size_t>(end - head));
  out->append(body);
}

// What has been charged to an account, given back at the end.
class Held {
 public:
  explicit Held(ByteAccount& account) : account_(account) {}
  ~Held() { account_.Release(bytes_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  absl::Status Add(int64_t bytes) {
    VIGIE_RETURN_IF_ERROR(account_.Charge(bytes));
    bytes_ += bytes;
    return absl::OkStatus();
  }

 private:
  ByteAccount& account_;
  int64_t bytes_ = 0;
};

// Sends a body that is there already, so that it is accounted for until then.
class HeldBody final : public BodySource {
 public:
  HeldBody(std::string body, ByteAccount& listings)
      : body_(std::move(body)), held_(listings) {}
  absl::Status Charge() {
    return held_.Add(static_cast<int64_t>(body_.size()));
  }
  bool Next(std::string* out) override {
    out->append(body_, sent_, kPieceBytes);
    sent_ += kPieceBytes;
    return sent_ < body_.size();
  }

 private:
  const std::string body_;
  Held held_;
  size_t sent_ = 0;
};

class Reader {
 public:
  // All of them outlive it.
  Reader(const HttpDependencies& dependencies, const HttpOptions& options,
         const HttpRequest& request, ByteAccount& listings)
      : dependencies_(dependencies),
        samples_max_(options.remote_read_samples_max),
        stop_(request.stop),
        request_(request),
        account_("remote read (http.remote_read_bytes_max)",
                 options.remote_read_bytes_max, &listings),
        held_(account_) {
    if (dependencies.external_labels) {
      external_labels_ = dependencies.external_labels();
    }
  }

  // A ReadResponse, encoded and compressed.
  absl::StatusOr<std::string> Answer(const wire::ReadRequest& request) {
    std::string response;
    for (const wire::Query& query : request.queries()) {
      std::string result;
      VIGIE_RETURN_IF_ERROR(AnswerQuery(query, &result));
      AppendField(wire::ReadResponse::kResultsFieldNumber, result, &response);
    }
    // The compressed copy, at its largest.
    VIGIE_RETURN_IF_ERROR(
        held_.Add(static_cast<int64_t>(response.size() * 7 / 6 + 64)));
    return compress::CompressSnappyBlock(response);
  }

 private:
  absl::StatusOr<std::vector<Matcher>> MatchersOf(
      const wire::Query& query) const {
    constexpr Matcher::Type kTypes[] = {
        Matcher::Type::kEqual, Matcher::Type::kNotEqual, Matcher::Type::kRegex,
        Matcher::Type::kNotRegex};
    std::vector<Matcher> matchers;
    const SelectorDeadline deadline(request_, dependencies_.clock);
    for (const wire::LabelMatcher& matcher : query.matchers()) {
      VIGIE_RETURN_IF_ERROR(deadline.Check());
      const auto type = static_cast<size_t>(matcher.type());
      if (type >= std::size(kTypes)) {
        return absl::InvalidArgumentError("invalid matcher type");
      }
      const bool ours =
          kTypes[type] == Matcher::Type::kEqual &&
          std::find(external_labels_.begin(), external_labels_.end(),
                    std::pair(matcher.name(), matcher.value())) !=
              external_labels_.end();
      if (ours) continue;
      VIGIE_ASSIGN_OR_RETURN(
          Matcher built,
          Matcher::Create(kTypes[type], matcher.name(), matcher.value()));
      matchers.push_back(std::move(built));
    }
    return matchers;
  }

  absl::Status AnswerQuery(const wire::Query& query, std::string* result) {
    store::SelectRequest select;
    select.range = {query.start_timestamp_ms(), query.end_timestamp_ms()};
    VIGIE_ASSIGN_OR_RETURN(select.matchers, MatchersOf(query));
    VIGIE_ASSIGN_OR_RETURN(
        const std::unique_ptr<store::SeriesSnapshot> snapshot,
        dependencies_.queryable.Select(select, {&account_, stop_}));
    wire::TimeSeries series;
    std::string encoded;
    for (size_t i = 0; i < snapshot->size(); ++i) {
      if (stop_.stop_requested()) {
        return absl::CancelledError("remote read was canceled");
      }
      series.Clear();
      VIGIE_RETURN_IF_ERROR(ReadSamples(*snapshot->Samples(i), &series));
      if (series.samples().empty() && series.histograms().empty()) continue;
      AddLabels(snapshot->labels(i), &series);
      // Once here, once in the response.
      VIGIE_RETURN_IF_ERROR(
          held_.Add(2 * static_cast<int64_t>(series.ByteSizeLong() + 16)));
      encoded.clear();
      series.AppendToString(&encoded);
      AppendField(wire::QueryResult::kTimeseriesFieldNumber, encoded, result);
    }
    return absl::OkStatus();
  }

  absl::Status ReadSamples(store::SampleIterator& samples,
                           wire::TimeSeries* series) {
    store::SampleBatch batch;
    Held decoded(account_);
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, samples.Next(&batch));
      if (!more) return absl::OkStatus();
      samples_ += static_cast<int64_t>(batch.times_ms.size());
      if (samples_ > samples_max_) {
        return absl::OutOfRangeError(
            fmt::format("exceeded sample limit ({}; "
                        "http.remote_read_samples_max)",
                        samples_max_));
      }
      VIGIE_RETURN_IF_ERROR(decoded.Add(
          static_cast<int64_t>(batch.times_ms.size() * sizeof(wire::Sample))));
      AddSamples(batch, series);
    }
  }

  void AddLabels(const Labels& labels, wire::TimeSeries* series) const {
    LabelsBuilder builder(labels);
    for (const auto& [name, value] : external_labels_) {
      if (!labels.Has(name)) builder.Set(name, value);
    }
    for (const LabelView& label : builder.Build()) {
      wire::Label* added = series->add_labels();
      added->set_name(std::string(label.name));
      added->set_value(std::string(label.value));
    }
  }

  const HttpDependencies& dependencies_;
  const int64_t samples_max_;
  const std::stop_token stop_;
  const HttpRequest& request_;
  Pairs external_labels_;
  ByteAccount account_;
  Held held_;
  int64_t samples_ = 0;
};

absl::StatusOr<wire::ReadRequest> ParseRequest(const HttpRequest& request,
                                               int64_t body_bytes_max) {
  VIGIE_ASSIGN_OR_RETURN(
      const std::string body,
      compress::DecompressSnappyBlock(request.body, body_bytes_max));
  wire::ReadRequest read;
  if (!read.ParseFromString(body)) {
    return absl::InvalidArgumentError("malformed body: not a ReadRequest");
  }
  bool samples = read.accepted_response_types().empty();
  for (const int type : read.accepted_response_types()) {
    samples = samples || type == wire::ReadRequest::SAMPLES;
  }
  if (!samples) {
    return absl::InvalidArgumentError(
        "server does not support any of the requested response types: it has "
        "SAMPLES alone");
  }
  return read;
}

HttpAnswer TextError(const absl::Status& error) {
  HttpAnswer answer = ErrorAnswer(error);  // for its status and headers
  // Prometheus has 400 for its limits here.
  if (answer.status == 422) answer.status = 400;
  answer.content_type = "text/plain; charset=utf-8";
  answer.body = std::string(MessageOf(error)) + '\n';
  return answer;
}

}  // namespace

HttpAnswer AnswerRemoteRead(const HttpRequest& request,
                            const HttpDependencies& dependencies,
                            const HttpOptions& options, ByteAccount& listings) {
  if (!options.remote_read) {
    return {.status = 403,
            .body =
                "remote read is not enabled (vigie.yml: "
                "http.remote_read)\n"};
  }
  absl::StatusOr<wire::ReadRequest> read =
      ParseRequest(request, options.body_bytes_max);
  if (!read.ok()) return TextError(read.status());
  absl::StatusOr<std::string> body =
      Reader(dependencies, options, request, listings).Answer(*read);
  if (!body.ok()) return TextError(body.status());
  auto source = std::make_unique<HeldBody>(*std::move(body), listings);
  if (absl::Status status = source->Charge(); !status.ok()) {
    return TextError(absl::ResourceExhaustedError(status.message()));
  }
  HttpAnswer answer;
  answer.content_type = "application/x-protobuf";
  answer.headers.emplace_back("Content-Encoding", "snappy");
  if (source->Next(&answer.body)) answer.rest = std::move(source);
  return answer;
}

}  // namespace vigie::server

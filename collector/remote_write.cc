#include "collector/remote_write.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "base/compress/compress.h"
#include "base/strings.h"
#include "collector/ingest_counters.h"
#include "collector/remote_write_decode.h"

namespace vigie::collector {
namespace {

constexpr std::string_view kRetryAfterSeconds = "1";
constexpr std::string_view kAccepted =
    "application/x-protobuf;proto=prometheus.WriteRequest with snappy";

std::string_view Trim(std::string_view s) {
  const size_t first = s.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

std::string Lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

// Version 1 of the protocol, or nothing said.
bool IsWriteRequest(std::string_view content_type) {
  if (Trim(content_type).empty()) return true;
  size_t at = content_type.find(';');
  if (Lower(Trim(content_type.substr(0, at))) != "application/x-protobuf") {
    return false;
  }
  while (at != std::string_view::npos) {
    content_type.remove_prefix(at + 1);
    at = content_type.find(';');
    const std::string_view parameter = Trim(content_type.substr(0, at));
    const size_t equals = parameter.find('=');
    if (equals == std::string_view::npos ||
        Lower(Trim(parameter.substr(0, equals))) != "proto") {
      continue;
    }
    std::string_view value = Trim(parameter.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    if (value != "prometheus.WriteRequest") return false;
  }
  return true;
}

DoorAnswer Failure(int status, std::string_view text) {
  DoorAnswer answer{status, {}, std::string(text) + "\n"};
  answer.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
  if (status == 429 || status == 503) {
    answer.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  }
  return answer;
}

// For a batch that the store refused whole; docs/decisions and STYLE.md 4.
int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 503;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAlreadyExists:
      return 400;
    default:
      return 500;
  }
}

// One line for each reason.
struct Refused {
  std::string reason;
  uint64_t count = 0;
  std::string example;
};

}  // namespace

struct RemoteWriteDoor::Impl {
  Impl(store::Appender& appender, const Clock& clock,
       prometheus::Registry& registry, const RemoteWriteOptions& options)
      : appender(appender),
        options(options),
        counters("remote_write", clock, registry) {}

  // Refuses the request whole.
  void Fail(int status, std::string_view text, Done done) {
    counters.Request(fmt::to_string(status));
    counters.RefusedWhole(fmt::to_string(status), text);
    std::move(done)(Failure(status, text));
  }

  // `refused` is what the decoder left out.
  void Finish(uint64_t samples, uint64_t appended, std::vector<Refused> refused,
              store::AppendOutcome outcome, Done done) {
    if (!outcome.status.ok()) {
      counters.Refused(WholeBatchReason(outcome.status.code()), appended,
                       MessageOf(outcome.status));
      return Fail(HttpStatus(outcome.status.code()), MessageOf(outcome.status),
                  std::move(done));
    }
    const uint64_t accepted =
        outcome.floats_accepted + outcome.histograms_accepted;
    uint64_t lost = appended > accepted ? appended - accepted : 0;
    for (const Refused& reason : refused) lost += reason.count;
    for (store::Refusal& refusal : outcome.refusals) {
      const std::string name(store::RefusalName(refusal.reason));
      counters.Refused(name, refusal.count, refusal.example);
      refused.push_back({name, refusal.count, std::move(refusal.example)});
    }
    if (lost == 0) {
      counters.Request("204");
      return std::move(done)(DoorAnswer{});
    }
    std::string text = fmt::format(
        "{} of {} samples refused, the rest is stored", lost, samples);
    for (const Refused& reason : refused) {
      text += fmt::format("\n{}: {}, first: {}", reason.reason, reason.count,
                          CutExample(reason.example));
    }
    counters.Request("400");
    std::move(done)(Failure(400, text));
  }

  store::Appender& appender;
  const RemoteWriteOptions options;
  IngestCounters counters;
};

RemoteWriteDoor::RemoteWriteDoor(store::Appender& appender, const Clock& clock,
                                 prometheus::Registry& registry,
                                 const RemoteWriteOptions& options)
    : impl_(std::make_shared<Impl>(appender, clock, registry, options)) {}
RemoteWriteDoor::~RemoteWriteDoor() = default;

void RemoteWriteDoor::Handle(RemoteWriteRequest request, Done done) {
  Impl& impl = *impl_;
  if (!IsWriteRequest(request.content_type)) {
    return impl.Fail(
        415,
        fmt::format("content type {} is not supported; send {}",
                    Quoted(CutExample(request.content_type)), kAccepted),
        std::move(done));
  }
  const std::string encoding = Lower(Trim(request.content_encoding));
  if (!encoding.empty() && encoding != "snappy") {
    return impl.Fail(
        415,
        fmt::format("content encoding {} is not supported; send {}",
                    Quoted(CutExample(encoding)), kAccepted),
        std::move(done));
  }
  absl::StatusOr<std::string> message = compress::DecompressSnappyBlock(
      request.body, impl.options.decompressed_bytes_max);
  absl::StatusOr<WriteRequestDecoded> decoded =
      message.ok() ? DecodeWriteRequest(*message, impl.options.batch_bytes_max)
                   : absl::StatusOr<WriteRequestDecoded>(message.status());
  if (!decoded.ok()) {
    const bool too_large = absl::IsOutOfRange(decoded.status());
    return impl.Fail(too_large ? 413 : 400,
                     fmt::format("{}{}", too_large ? "" : "malformed body: ",
                                 MessageOf(decoded.status())),
                     std::move(done));
  }
  message = std::string();

  impl.counters.Received(decoded->samples);
  std::vector<Refused> refused;
  for (WriteRefusal& refusal : decoded->refusals) {
    impl.counters.Refused(refusal.reason, refusal.count, refusal.example);
    if (refusal.of_samples) {
      refused.push_back({std::string(refusal.reason), refusal.count,
                         std::move(refusal.example)});
    }
  }
  store::AppendBatch& batch = decoded->batch;
  batch.tenant = std::move(request.tenant);
  const uint64_t samples = decoded->samples;
  const uint64_t appended = batch.floats.size() +
                            batch.integer_histograms.size() +
                            batch.float_histograms.size();
  if (batch.series.empty() && batch.metadata.empty()) {
    return impl.Finish(samples, 0, std::move(refused), {}, std::move(done));
  }
  impl.appender.Append(
      std::move(batch),
      [impl = impl_, samples, appended, refused = std::move(refused),
       done = std::move(done)](store::AppendOutcome outcome) mutable {
        impl->Finish(samples, appended, std::move(refused), std::move(outcome),
                     std::move(done));
      });
}

}  // namespace vigie::collector

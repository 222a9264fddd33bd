#include "collector/remote_write.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string_view>
#include <utility>

#include "base/compress/compress.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "collector/ingest_counters.h"
#include "collector/remote_write_decode.h"

namespace vigie::collector {
namespace {

constexpr std::string_view kRetryAfterSeconds = "1";
constexpr std::string_view kAccepted =
    "application/x-protobuf;proto=io.prometheus.write.v2.Request or "
    "application/x-protobuf;proto=prometheus.WriteRequest, with snappy";

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

// Which message the content type says, 1.0 if it says none; nothing if it is
// something else.
std::optional<WriteVersion> VersionOf(std::string_view content_type) {
  std::optional<WriteVersion> version = WriteVersion::k1;
  if (Trim(content_type).empty()) return version;
  size_t at = content_type.find(';');
  if (Lower(Trim(content_type.substr(0, at))) != "application/x-protobuf") {
    return std::nullopt;
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
    if (value == "prometheus.WriteRequest") {
      version = WriteVersion::k1;
    } else if (value == "io.prometheus.write.v2.Request") {
      version = WriteVersion::k2;
    } else {
      return std::nullopt;
    }
  }
  return version;
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

// Buffers of messages, kept from one request to the next.
class Buffers {
 public:
  // Gives itself back when the last holder lets go of it.
  static std::shared_ptr<compress::Buffer> Take(
      const std::shared_ptr<Buffers>& buffers) {
    std::unique_ptr<compress::Buffer> buffer;
    {
      MutexLock lock(buffers->mutex_);
      if (!buffers->idle_.empty()) {
        buffer = std::move(buffers->idle_.back());
        buffers->idle_.pop_back();
      }
    }
    if (buffer == nullptr) buffer = std::make_unique<compress::Buffer>();
    return {buffer.release(), [buffers](compress::Buffer* done) {
              buffers->Return(std::unique_ptr<compress::Buffer>(done));
            }};
  }

 private:
  static constexpr size_t kIdleMax = 8;
  static constexpr size_t kIdleBytesMax = 4 << 20;  // each

  void Return(std::unique_ptr<compress::Buffer> buffer) {
    if (buffer->capacity() > kIdleBytesMax) return;
    MutexLock lock(mutex_);
    if (idle_.size() < kIdleMax) idle_.push_back(std::move(buffer));
  }

  Mutex mutex_;
  std::vector<std::unique_ptr<compress::Buffer>> idle_ ABSL_GUARDED_BY(mutex_);
};

// One request, from its arrival to its answer.
struct Exchange {
  WriteVersion version = WriteVersion::k1;
  RemoteWriteDoor::Done done;
  // What the decoder found and left out.
  uint64_t samples = 0, others = 0;
  std::vector<Refused> refused;
  uint64_t samples_refused = 0, others_refused = 0;
  // What was given to the store.
  uint64_t samples_appended = 0, others_appended = 0;
  std::vector<SeriesAlias> aliases;
  std::vector<store::SeriesRef> refs;

  void Answer(DoorAnswer answer, const store::AppendOutcome& outcome) && {
    if (version == WriteVersion::k2) {
      const auto written = [&](std::string_view what, uint64_t count) {
        answer.headers.emplace_back(
            fmt::format("X-Prometheus-Remote-Write-{}-Written", what),
            fmt::to_string(count));
      };
      written("Samples", outcome.floats_accepted);
      written("Histograms", outcome.histograms_accepted);
      written("Exemplars", outcome.exemplars_accepted);
    }
    std::move(done)(std::move(answer));
  }
};

std::string LostText(const Exchange& exchange, uint64_t samples_lost,
                     uint64_t others_lost) {
  std::string text =
      fmt::format("{} of {} samples", samples_lost, exchange.samples);
  if (exchange.version == WriteVersion::k2) {
    text += fmt::format(", {} of {} exemplars and metadata", others_lost,
                        exchange.others);
  }
  text += " refused, the rest is stored";
  for (const Refused& reason : exchange.refused) {
    text += fmt::format("\n{}: {}, first: {}", reason.reason, reason.count,
                        CutExample(reason.example));
  }
  return text;
}

uint64_t Missing(uint64_t appended, uint64_t accepted) {
  return appended > accepted ? appended - accepted : 0;
}

}  // namespace

struct RemoteWriteDoor::Impl {
  Impl(store::Appender& appender, const Clock& clock,
       prometheus::Registry& registry, const RemoteWriteOptions& options)
      : appender(appender),
        options(options),
        counters("remote_write", clock, registry),
        aliases(options.aliases, clock) {}

  absl::StatusOr<WriteRequestDecoded> Decode(const RemoteWriteRequest& request,
                                             WriteVersion version) {
    std::shared_ptr<compress::Buffer> buffer = Buffers::Take(buffers);
    VIGIE_RETURN_IF_ERROR(compress::DecompressSnappyBlockInto(
        request.body, options.decompressed_bytes_max, buffer.get()));
    WriteMessage message;
    message.bytes = buffer->view();
    message.owner = std::move(buffer);
    message.batch_bytes_max = options.batch_bytes_max;
    message.aliases = &aliases;
    message.sequence = sequence.fetch_add(1, std::memory_order_relaxed);
    if (version == WriteVersion::k1) {
      message.salt = aliases.SaltOf("remote_write", request.tenant.name);
      return DecodeWriteRequest(message);
    }
    message.salt = aliases.SaltOf("remote_write_v2", request.tenant.name);
    return DecodeWriteRequestV2(message);
  }

  // Refuses the request whole.
  void Fail(int status, std::string_view text, Exchange exchange) {
    counters.Request(fmt::to_string(status));
    counters.RefusedWhole(fmt::to_string(status), text);
    std::move(exchange).Answer(Failure(status, text), {});
  }

  void Finish(Exchange exchange, store::AppendOutcome outcome) {
    if (!outcome.status.ok()) {
      counters.Refused(WholeBatchReason(outcome.status.code()),
                       exchange.samples_appended, MessageOf(outcome.status));
      return Fail(HttpStatus(outcome.status.code()), MessageOf(outcome.status),
                  std::move(exchange));
    }
    aliases.Learn(exchange.aliases, exchange.refs, outcome.refs);
    for (store::Refusal& refusal : outcome.refusals) {
      const std::string name(store::RefusalName(refusal.reason));
      counters.Refused(name, refusal.count, refusal.example);
      exchange.refused.push_back(
          {name, refusal.count, std::move(refusal.example)});
    }
    const uint64_t samples_lost =
        exchange.samples_refused +
        Missing(exchange.samples_appended,
                outcome.floats_accepted + outcome.histograms_accepted);
    // 1.0 knows no answer for these.
    const uint64_t others_lost =
        exchange.version == WriteVersion::k1
            ? 0
            : exchange.others_refused + Missing(exchange.others_appended,
                                                outcome.exemplars_accepted +
                                                    outcome.metadata_accepted);
    if (samples_lost + others_lost == 0) {
      counters.Request("204");
      return std::move(exchange).Answer({}, outcome);
    }
    counters.Request("400");
    DoorAnswer answer =
        Failure(400, LostText(exchange, samples_lost, others_lost));
    std::move(exchange).Answer(std::move(answer), outcome);
  }

  store::Appender& appender;
  const RemoteWriteOptions options;
  IngestCounters counters;
  SeriesAliases aliases;
  const std::shared_ptr<Buffers> buffers = std::make_shared<Buffers>();
  std::atomic<uint64_t> sequence{0};
};

RemoteWriteDoor::RemoteWriteDoor(store::Appender& appender, const Clock& clock,
                                 prometheus::Registry& registry,
                                 const RemoteWriteOptions& options)
    : impl_(std::make_shared<Impl>(appender, clock, registry, options)) {}
RemoteWriteDoor::~RemoteWriteDoor() = default;

void RemoteWriteDoor::Handle(RemoteWriteRequest request, Done done) {
  Impl& impl = *impl_;
  const std::optional<WriteVersion> version = VersionOf(request.content_type);
  Exchange exchange;
  exchange.version = version.value_or(WriteVersion::k1);
  exchange.done = std::move(done);
  if (!version.has_value()) {
    return impl.Fail(
        415,
        fmt::format("content type {} is not supported; send {}",
                    Quoted(CutExample(request.content_type)), kAccepted),
        std::move(exchange));
  }
  const std::string encoding = Lower(Trim(request.content_encoding));
  if (!encoding.empty() && encoding != "snappy") {
    return impl.Fail(
        415,
        fmt::format("content encoding {} is not supported; send {}",
                    Quoted(CutExample(encoding)), kAccepted),
        std::move(exchange));
  }
  absl::StatusOr<WriteRequestDecoded> decoded =
      impl.Decode(request, exchange.version);
  if (!decoded.ok()) {
    const bool too_large = absl::IsOutOfRange(decoded.status());
    return impl.Fail(too_large ? 413 : 400,
                     fmt::format("{}{}", too_large ? "" : "malformed body: ",
                                 MessageOf(decoded.status())),
                     std::move(exchange));
  }
  impl.counters.Received(decoded->samples);
  exchange.samples = decoded->samples;
  exchange.others = decoded->others;
  for (WriteRefusal& refusal : decoded->refusals) {
    impl.counters.Refused(refusal.reason, refusal.count, refusal.example);
    (refusal.of_samples ? exchange.samples_refused : exchange.others_refused) +=
        refusal.count;
    if (refusal.of_samples || exchange.version == WriteVersion::k2) {
      exchange.refused.push_back({std::string(refusal.reason), refusal.count,
                                  std::move(refusal.example)});
    }
  }
  store::AppendBatch& batch = decoded->batch;
  if (batch.series.empty() && batch.metadata.empty()) {
    return impl.Finish(std::move(exchange), {});
  }
  batch.tenant = std::move(request.tenant);
  exchange.samples_appended = batch.floats.size() +
                              batch.integer_histograms.size() +
                              batch.float_histograms.size();
  exchange.others_appended = batch.exemplars.size() + batch.metadata.size();
  exchange.aliases = std::move(decoded->aliases);
  exchange.refs.reserve(batch.series.size());
  for (const store::BatchSeries& series : batch.series) {
    exchange.refs.push_back(series.ref);
  }
  impl.appender.Append(std::move(batch),
                       [impl = impl_, exchange = std::move(exchange)](
                           store::AppendOutcome outcome) mutable {
                         impl->Finish(std::move(exchange), std::move(outcome));
                       });
}

}  // namespace vigie::collector

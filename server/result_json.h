// The envelope of API v1 and the streaming writer of query results: an answer
// of 100 MB is made 64 KiB at a time.
// Source: prometheus.io/docs/prometheus/latest/querying/api.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_account.h"
#include "model/labels.h"
#include "query/value.h"
#include "server/http_message.h"

namespace vigie::server {

inline constexpr std::string_view kTruncatedWarning =
    "results truncated due to limit";

// Hints of a refusal that may pass.
inline constexpr std::string_view kRetryAfterSeconds = "5";

// {"status":"success","data":`data`,...}; `data` is JSON already.
HttpAnswer SuccessAnswer(std::string data,
                         const std::vector<std::string>& warnings = {});

// {"status":"error",...} with the type, and with the HTTP status that
// Prometheus gives it: bad_data 400, not_found 404, execution 422, canceled
// 499, internal 500, timeout and unavailable 503.
HttpAnswer ErrorAnswer(const absl::Status& error);

// What `stats` adds: nothing that was not measured.
struct StatsBlock {
  bool wanted = false;
  bool all = false;  // the plan and the samples of each step too
  int64_t queued_ns = 0;
};

// An array under `data`, item by item through `append`.
class ListSource final : public BodySource {
 public:
  using AppendItem = absl::AnyInvocable<void(size_t, std::string*)>;
  ListSource(size_t items, AppendItem append,
             std::vector<std::string> warnings);
  bool Next(std::string* out) override;

 private:
  const size_t items_;
  AppendItem append_;
  const std::vector<std::string> warnings_;
  size_t next_ = 0;
  bool begun_ = false;
};

// The result of a query.
class ResultSource final : public BodySource {
 public:
  ResultSource(query::QueryResult result, StatsBlock stats);
  bool Next(std::string* out) override;

 private:
  void Begin(std::string* out);
  void End(std::string* out);
  // Append elements until `*out` is full; false once all are written.
  bool NextOf(const query::Vector& vector, size_t full, std::string* out);
  bool NextOf(const query::Matrix& matrix, size_t full, std::string* out);

  query::QueryResult result_;
  const StatsBlock stats_;
  bool begun_ = false;
  bool is_list_ = false;
  size_t element_ = 0;    // the next series
  size_t float_ = 0;      // the next of its floats
  size_t histogram_ = 0;  // the next of its histograms
};

// 200 with the first piece made here, so that a short answer is one body. For
// a long one `bytes`, what the source holds, are charged to `account` until it
// is sent: slow clients must not hold the memory of all. kResourceExhausted
// if that is too much; `account` outlives the answer.
absl::StatusOr<HttpAnswer> StreamAnswer(std::unique_ptr<BodySource> source,
                                        int64_t bytes, ByteAccount& account);

// About what a result takes in memory.
int64_t BytesOf(const query::QueryResult& result);
int64_t BytesOf(const std::vector<std::string>& names);
int64_t BytesOf(const std::vector<Labels>& series);

}  // namespace vigie::server

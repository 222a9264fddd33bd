// OtlpBuilder makes batches of one OTLP message while it is being walked: it
// knows where the walk is (for errors), what may still be taken, the resource's
// identity, and how attributes become labels. The walk is otlp_decode.cc, the
// points are otlp_points.cc.
// Thread-compatible; lives as long as one message is decoded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "collector/label_row.h"
#include "collector/otlp_decode.h"
#include "collector/wire_reader.h"

namespace vigie::collector {

inline constexpr std::string_view kInvalidPoint = "invalid_point";
inline constexpr std::string_view kInvalidLabels = "invalid_labels";
inline constexpr std::string_view kUnsupportedKind = "unsupported_kind";

// Of a sender's name, in errors.
inline constexpr size_t kNameBytesShown = 200;

// What every message of a walk is called in errors; -1 outside of it.
struct OtlpPlace {
  int resource = -1;
  int scope = -1;
  int metric = -1;
  std::string_view metric_name;
  int point = -1;
  // `resource_metrics[0].scope_metrics[1].metrics[3] "x": data_points[2]`.
  std::string ToString() const;
};

class OtlpBuilder {
 public:
  // Both outlive the builder.
  OtlpBuilder(std::string_view message, const Tenant& tenant,
              int64_t batch_bytes_max)
      : message_(message),
        tenant_(tenant),
        bytes_left_(batch_bytes_max),
        bytes_max_(batch_bytes_max) {}

  // A reader of a part of the message.
  WireReader Open(std::string_view bytes) const {
    return {bytes, message_.data()};
  }

  // The first error is kept and ends the walk; these return false then.
  bool ok() const { return status_.ok(); }
  bool Malformed(const char* error, size_t offset);
  bool Check(const WireReader& reader) {
    return reader.error() == nullptr ||
           Malformed(reader.error(), reader.offset());
  }
  bool CheckUtf8(std::string_view text, const char* error);
  bool Charge(size_t bytes);

  void CountPoint() { ++decoded_.points; }
  // Counts a point as refused; `reason` is a literal.
  void Refuse(std::string_view reason, std::string_view why);

  // Starts a batch of the resource whose samples have these labels.
  void StartResource(std::string job, std::string instance);
  // Hands the batch over.
  void EndResource();

  // One KeyValue; what is no string of the message is kept by `row`.
  bool ReadAttribute(std::string_view pair, LabelRow* row,
                     std::string_view* key, std::string_view* value);
  // Empty if nothing is left of the key. Each key is translated once; that of
  // the attribute at the same place of the point before is the likely one.
  std::string_view LabelName(std::string_view key, size_t place);

  // `extra` is `le` or `quantile`, or empty. False if over the bound.
  bool AddSeries(LabelRow* row, std::string_view name, LabelView extra,
                 uint32_t* series);
  void AddFloat(uint32_t series, int64_t time_ms, double value,
                int64_t start_ms) {
    current_.batch.floats.push_back({series, {time_ms, value}, start_ms});
  }
  void AddDelta(uint32_t series, int64_t start_ms, int64_t end_ms,
                double increment) {
    current_.batch.deltas.push_back({series, start_ms, end_ms, increment});
  }
  void Accepted(int64_t time_ms) {
    ++current_.points;
    newest_ms_ = std::max(newest_ms_, time_ms);
  }

  store::AppendBatch& batch() { return current_.batch; }
  bool has_identity() const { return !job_.empty() || !instance_.empty(); }
  // Of the points accepted for this resource, 0 if none.
  int64_t newest_ms() const { return newest_ms_; }

  absl::StatusOr<OtlpDecoded> Finish() && {
    if (!status_.ok()) return status_;
    return std::move(decoded_);
  }

  OtlpPlace place;

 private:
  std::string_view Translate(std::string_view key);

  const std::string_view message_;
  const Tenant& tenant_;
  int64_t bytes_left_;
  const int64_t bytes_max_;
  absl::Status status_;
  OtlpDecoded decoded_;

  // Of the current resource.
  OtlpBatch current_;
  std::string job_, instance_;
  int64_t newest_ms_ = 0;

  // Attribute names, views into message_, and what they became.
  absl::flat_hash_map<std::string_view, std::string_view> label_names_;
  std::deque<std::string> label_texts_;
  std::vector<std::pair<std::string_view, std::string_view>> likely_names_;
  std::string scratch_;
};

}  // namespace vigie::collector

// Annotations: what a query has to say about its result. Each is said once,
// with the place of the expression it is about.
// Source: Prometheus 3, util/annotations (wording, limits).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "query/parser/ast.h"

namespace vigie::query {

// How many of each kind an answer carries.
inline constexpr size_t kAnnotationsMax = 10;

// A repaired classic histogram, told once for all steps it occurred in.
struct MonotonicityRepair {
  int64_t time_ms = 0;
  double bucket_min = 0;
  double bucket_max = 0;
  double difference_max = 0;
};

class Annotations {
 public:
  // `text` is what follows "PromQL warning: ".
  void Warn(std::string_view text, PositionRange position);
  void Inform(std::string_view text, PositionRange position);
  void Monotonicity(std::string_view metric_name, PositionRange position,
                    const MonotonicityRepair& repair);
  // Of native histograms that met; `operation` is "addition" and the like.
  void ResetsCollided(std::string_view operation, PositionRange position);
  void BoundsReconciled(std::string_view operation, PositionRange position);
  void NotACounter(std::string_view metric_name, PositionRange position);
  void NotAGauge(std::string_view metric_name, PositionRange position);
  void MixedSchemas(std::string_view metric_name, PositionRange position);
  // As it is, without prefix or place: what the store could not show.
  void WarnOfStore(std::string_view text);

  bool empty() const { return warnings_.empty() && infos_.empty(); }

  // What was said elsewhere in the meantime.
  void Take(Annotations other);

  std::vector<std::string> Warnings(std::string_view query) const;
  std::vector<std::string> Infos(std::string_view query) const;

 private:
  struct Entry {
    std::string text;
    PositionRange position;
    bool placed = true;
    bool repair = false;
    MonotonicityRepair repaired;
    int64_t repairs = 0;
    int64_t time_max_ms = 0;
  };
  static Entry* Add(std::vector<Entry>* entries, std::string text,
                    PositionRange position);
  static std::vector<std::string> Texts(const std::vector<Entry>& entries,
                                        std::string_view kind,
                                        std::string_view query);

  std::vector<Entry> warnings_;
  std::vector<Entry> infos_;
};

// ` for metric name "x"`, or nothing if the name is empty.
std::string ForMetricName(std::string_view name);

}  // namespace vigie::query

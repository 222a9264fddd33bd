// How an export writes OpenMetrics text that an import reads back: the lines of
// a series with its exemplars, and what is told about its metric.
// docs/formats/export.md. Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "store/queryable.h"

namespace vigie::server {

std::string_view MetricTypeText(MetricType type);

// The TYPE, HELP and UNIT lines, each metric's once.
class MetadataLines {
 public:
  explicit MetadataLines(std::vector<store::MetricMetadata> all);

  // Appends those that belong before the series called `metric`: its own, or
  // of the family it is a part of ("m" for "m_bucket"). A type holds until the
  // next one, so a metric that nothing is told about may get an unknown one.
  void Before(std::string_view metric, std::string* out);
  // Appends what belongs to no metric that was written.
  void Rest(std::string* out);

  // Units that the text cannot have: they hold a blank.
  uint64_t units_left_out() const { return units_left_out_; }

 private:
  void Append(const std::string& metric, const Metadata& metadata,
              std::string* out);
  std::map<std::string, Metadata, std::less<>> left_;
  std::string family_;  // that the type in force is of; empty: unknown
  uint64_t units_left_out_ = 0;
};

// The lines of one series. An exemplar goes on the first line that is not older
// than it, or on the last one that has none; a few lines are held back for it.
class SeriesLines {
 public:
  // `exemplars` oldest first.
  SeriesLines(std::string series, std::vector<Exemplar> exemplars)
      : series_(std::move(series)),
        exemplars_(exemplars.begin(), exemplars.end()) {}

  void Add(int64_t time_ms, double value, std::string* out);
  // How many exemplars found no line.
  uint64_t Finish(std::string* out);

 private:
  struct Line {
    std::string text;
    bool has_exemplar = false;
  };
  void Attach(Line* line);

  const std::string series_;
  std::deque<Exemplar> exemplars_;
  std::deque<Line> held_;
  size_t free_ = 0;  // of those held, without an exemplar
};

}  // namespace vigie::server

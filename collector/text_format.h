// TextParser reads what a target exposes: Prometheus text 0.0.4 (with quoted
// UTF-8 names, as Prometheus 3) and OpenMetrics 1.0. It takes and refuses what
// Prometheus does; where it is stricter: docs/decisions/0040-text-format.md.
// Source: prometheus.io "Exposition formats"; OpenMetrics 1.0.
//
// Finding the extent of a series is separate from decoding its labels, so that
// a caller who knows the text of a series already pays for the scan alone.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/exemplar.h"

namespace vigie::collector {

enum class TextFormat { kPrometheus, kOpenMetrics };

// By the media type: "application/openmetrics-text; version=1.0.0". Anything
// else, none too, is taken as Prometheus text.
TextFormat TextFormatOf(std::string_view content_type);

// The value of the Accept header that asks for what TextParser reads.
std::string_view TextFormatAccept();

// Unescaped, in the order of the text with `__name__` first; empty values are
// kept, as `honor_labels` tells them from absent ones.
using TextLabels = std::vector<std::pair<std::string, std::string>>;

// Decodes `series` as TextEntry has it. The bounds of classic histograms and
// summaries (`type`) are written as Prometheus 3 does: le="1" is le="1.0".
// kInvalidArgument for what is not UTF-8, empty names and duplicates.
absl::Status DecodeSeriesText(std::string_view series, MetricType type,
                              TextLabels* out);

struct TextEntry {
  enum class Kind { kSample, kType, kHelp, kUnit };
  Kind kind = Kind::kSample;

  // kSample. Views are into the parser's text.
  std::string_view series;                 // name and labels, as written
  MetricType type = MetricType::kUnknown;  // of the TYPE line before it
  double value = 0;
  std::optional<int64_t> time_ms;
  std::string_view exemplar;  // its labels in braces; empty: there is none
  double exemplar_value = 0;
  std::optional<int64_t> exemplar_time_ms;

  // kType (with `type`), kHelp, kUnit.
  std::string metric;
  std::string text;
};

class TextParser {
 public:
  // `text` outlives the parser.
  explicit TextParser(std::string_view text,
                      TextFormat format = TextFormat::kPrometheus);

  // False at the end. `*entry` may be used again and again. kInvalidArgument
  // `line:column: what was expected`, both from 1, columns in bytes; nothing
  // can be read after an error.
  absl::StatusOr<bool> Next(TextEntry* entry);

  // The labels of the sample that Next gave last; errors as Next.
  absl::Status ReadLabels(const TextEntry& entry, TextLabels* out) const;
  absl::Status ReadExemplar(const TextEntry& entry, Exemplar* out) const;

  // "line:column" of the sample that Next gave last, for errors of others.
  std::string PlaceOf(const TextEntry& entry) const;

 private:
  struct Fault {
    const char* at = nullptr;
    std::string message;
  };
  bool ReadComment(TextEntry* entry, bool* found, Fault* fault);
  bool ReadMetadata(TextEntry* entry, Fault* fault);
  bool ReadSample(TextEntry* entry, Fault* fault);
  bool ReadExemplarText(TextEntry* entry, Fault* fault);
  bool ReadTime(std::string_view word, int64_t* time_ms) const;
  absl::Status ErrorAt(const char* at, std::string_view message) const;

  const TextFormat format_;
  const char* at_;
  const char* const end_;
  const char* line_start_;
  int64_t line_ = 1;
  const char* entry_line_start_;  // of the entry that Next gave last
  int64_t entry_line_ = 1;
  MetricType type_ = MetricType::kUnknown;
  bool ended_ = false;  // "# EOF" was read
};

// As Go's strconv.ParseFloat without hexadecimal and underscores: "1e3",
// "+Inf", "nan". Every NaN is the normal one. Nullopt for anything else and
// beyond the range of a double.
std::optional<double> ParseTextFloat(std::string_view word);

}  // namespace vigie::collector

#include "store/label_rules.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace vigie::store {
namespace {

// Keeps a hostile label from filling logs and answers.
constexpr size_t kShownBytesMax = 200;

std::string Shown(const Labels& labels) {
  std::string text = labels.ToString();
  if (text.size() > kShownBytesMax) {
    // Never cut within a UTF-8 sequence: answers travel as JSON.
    size_t end = kShownBytesMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
      --end;
    }
    text.resize(end);
    text += "...";
  }
  return text;
}

// Bytes that are no UTF-8 cannot be shown as they are.
std::string Escaped(std::string_view bytes) {
  std::string out;
  for (const char c : bytes.substr(0, kShownBytesMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

LabelFault Invalid(std::string message) {
  return {RefusalReason::kInvalidLabels, std::move(message)};
}

}  // namespace

std::optional<LabelFault> FindLabelFault(const Labels& labels) {
  if (labels.empty()) return Invalid("{}: a series needs a metric name");
  size_t count = 0;
  bool named = false;
  for (const LabelView& label : labels) {
    ++count;
    if (label.name.empty()) {
      return Invalid(fmt::format("label with the value \"{}\": empty name",
                                 Escaped(label.value)));
    }
    if (!IsValidUtf8(label.name)) {
      return Invalid(
          fmt::format("label \"{}\": name is not UTF-8", Escaped(label.name)));
    }
    if (!IsValidUtf8(label.value)) {
      return Invalid(fmt::format("label \"{}\": value \"{}\" is not UTF-8",
                                 Escaped(label.name), Escaped(label.value)));
    }
    named = named || label.name == kMetricName;
    if (label.name.size() > kLabelNameBytesMax) {
      return LabelFault{
          RefusalReason::kLimit,
          fmt::format("label \"{}...\": name of {} bytes, at most {}",
                      Escaped(label.name), label.name.size(),
                      kLabelNameBytesMax)};
    }
    if (label.value.size() > kLabelValueBytesMax) {
      return LabelFault{
          RefusalReason::kLimit,
          fmt::format("label \"{}\": value of {} bytes, at most {}",
                      Escaped(label.name), label.value.size(),
                      kLabelValueBytesMax)};
    }
  }
  if (!named) {
    return Invalid(
        fmt::format("{}: a series needs a metric name", Shown(labels)));
  }
  if (count > kLabelsMax) {
    return LabelFault{RefusalReason::kLimit,
                      fmt::format("{}: {} labels, at most {}", Shown(labels),
                                  count, kLabelsMax)};
  }
  return std::nullopt;
}

std::optional<LabelFault> FindExemplarFault(const Exemplar& exemplar) {
  size_t characters = 0;
  for (const LabelView& label : exemplar.labels) {
    if (!IsValidUtf8(label.name) || !IsValidUtf8(label.value)) {
      return LabelFault{RefusalReason::kInvalidLabels, "a label is not UTF-8"};
    }
    for (const char c : label.name) characters += (c & 0xC0) != 0x80;
    for (const char c : label.value) characters += (c & 0xC0) != 0x80;
  }
  if (characters <= kExemplarLabelCharactersMax) return std::nullopt;
  return LabelFault{RefusalReason::kLimit,
                    fmt::format("labels of {} characters, at most {}",
                                characters, kExemplarLabelCharactersMax)};
}

std::optional<LabelFault> FindMetadataFault(std::string_view metric,
                                            const Metadata& metadata) {
  if (metric.empty() || !IsValidUtf8(metric) || !IsValidUtf8(metadata.help) ||
      !IsValidUtf8(metadata.unit)) {
    return LabelFault{RefusalReason::kInvalidLabels,
                      "metadata: an empty metric name or no UTF-8"};
  }
  if (metric.size() > kLabelValueBytesMax ||
      metadata.help.size() + metadata.unit.size() > kMetadataTextBytesMax) {
    return LabelFault{
        RefusalReason::kLimit,
        fmt::format("{}: metadata of more than {} bytes", metric.substr(0, 200),
                    kMetadataTextBytesMax)};
  }
  return std::nullopt;
}

}  // namespace vigie::store

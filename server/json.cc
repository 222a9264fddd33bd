#include "server/json.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "model/histogram_buckets.h"

namespace vigie::server {
namespace {

// How many bytes the UTF-8 sequence at text[0] has; 0 if it is malformed.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  size_t length;
  uint8_t low = 0x80, high = 0xbf;  // what the second byte may be
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

void AppendEscaped(char c, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      *out += "\\\"";
      break;
    case '\\':
      *out += "\\\\";
      break;
    case '\n':
      *out += "\\n";
      break;
    case '\r':
      *out += "\\r";
      break;
    case '\t':
      *out += "\\t";
      break;
    default:
      *out += "\\u00";
      *out += kHex[static_cast<uint8_t>(c) >> 4];
      *out += kHex[static_cast<uint8_t>(c) & 15];
  }
}

void AppendQuoted(double value, std::string* out) {
  *out += '"';
  AppendFloatText(value, out);
  *out += '"';
}

void AppendBucket(const HistogramBucket& bucket, std::string* out) {
  // 0: open on the left; 1: open on the right; 2: on both; 3: on neither.
  const char boundaries = bucket.lower_inclusive
                              ? (bucket.upper_inclusive ? '3' : '1')
                              : (bucket.upper_inclusive ? '0' : '2');
  *out += '[';
  *out += boundaries;
  *out += ',';
  AppendQuoted(bucket.lower, out);
  *out += ',';
  AppendQuoted(bucket.upper, out);
  *out += ',';
  AppendQuoted(bucket.count, out);
  *out += ']';
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  size_t start = 0;  // of the run that needs no escape
  size_t i = 0;
  const auto flush = [&] { out->append(text, start, i - start); };
  while (i < text.size()) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      ++i;
      continue;
    }
    if (c < 0x80) {
      flush();
      AppendEscaped(text[i], out);
      start = ++i;
      continue;
    }
    const size_t length = SequenceLength(text.substr(i));
    if (length == 0) {
      flush();
      *out += "\\ufffd";
      start = ++i;
      continue;
    }
    // U+2028 and U+2029 end a line in JavaScript.
    const std::string_view sequence = text.substr(i, length);
    if (sequence == "\xe2\x80\xa8" || sequence == "\xe2\x80\xa9") {
      flush();
      *out += sequence == "\xe2\x80\xa8" ? "\\u2028" : "\\u2029";
      start = i += length;
      continue;
    }
    i += length;
  }
  flush();
  *out += '"';
}

void AppendFloatText(double value, std::string* out) {
  if (std::isnan(value)) {
    *out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    *out += value > 0 ? "+Inf" : "-Inf";
    return;
  }
  char buffer[64];
  const double magnitude = std::abs(value);
  const bool exponent =
      magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  // Above 2^53 std::to_chars would print the double's exact digits, Go the
  // shortest ones and zeros behind them.
  const bool large = !exponent && magnitude >= 1e15;
  const auto result =
      std::to_chars(buffer, buffer + sizeof buffer, value,
                    exponent || large ? std::chars_format::scientific
                                      : std::chars_format::fixed);
  const std::string_view text(buffer, result.ptr - buffer);
  if (!large) {
    *out += text;
    return;
  }
  const size_t e = text.find('e');
  int power = 0;
  std::from_chars(buffer + e + 2, result.ptr, power);  // past "e+"
  // At 1e15 a double's neighbours are 1/8 apart: a fraction may be left.
  std::string_view mantissa = text.substr(0, e);
  if (mantissa[0] == '-') {
    *out += '-';
    mantissa.remove_prefix(1);
  }
  int before_point = power + 1;
  for (const char c : mantissa) {
    if (c == '.') continue;
    if (before_point == 0) *out += '.';
    *out += c;
    --before_point;
  }
  if (before_point > 0) out->append(before_point, '0');
}

void AppendTimestamp(int64_t time_ms, std::string* out) {
  // Through uint64_t, as the smallest int64_t has no positive counterpart.
  auto magnitude = static_cast<uint64_t>(time_ms);
  if (time_ms < 0) {
    *out += '-';
    magnitude = -magnitude;
  }
  char buffer[24];
  const auto result =
      std::to_chars(buffer, buffer + sizeof buffer, magnitude / 1000);
  out->append(buffer, result.ptr);
  if (const uint64_t ms = magnitude % 1000; ms != 0) {
    *out += '.';
    *out += static_cast<char>('0' + ms / 100);
    *out += static_cast<char>('0' + ms / 10 % 10);
    *out += static_cast<char>('0' + ms % 10);
  }
}

void AppendSample(const Sample& sample, std::string* out) {
  *out += '[';
  AppendTimestamp(sample.time_ms, out);
  *out += ',';
  AppendQuoted(sample.value, out);
  *out += ']';
}

void AppendLabels(const Labels& labels, std::string* out) {
  *out += '{';
  bool first = true;
  for (const LabelView& label : labels) {
    if (!first) *out += ',';
    first = false;
    AppendJsonString(label.name, out);
    *out += ':';
    AppendJsonString(label.value, out);
  }
  *out += '}';
}

void AppendHistogram(const FloatHistogram& histogram, std::string* out) {
  *out += "{\"count\":";
  AppendQuoted(histogram.count, out);
  *out += ",\"sum\":";
  AppendQuoted(histogram.sum, out);
  const std::vector<HistogramBucket> buckets = BucketsOf(histogram);
  for (size_t i = 0; i < buckets.size(); ++i) {
    *out += i == 0 ? ",\"buckets\":[" : ",";
    AppendBucket(buckets[i], out);
  }
  *out += buckets.empty() ? "}" : "]}";
}

void AppendJsonField(std::string_view name, std::string_view value,
                     std::string* out) {
  if (out->back() != '{') *out += ',';
  AppendJsonString(name, out);
  *out += ':';
  AppendJsonString(value, out);
}

void AppendStrings(const std::vector<std::string>& strings, std::string* out) {
  *out += '[';
  for (size_t i = 0; i < strings.size(); ++i) {
    if (i > 0) *out += ',';
    AppendJsonString(strings[i], out);
  }
  *out += ']';
}

}  // namespace vigie::server

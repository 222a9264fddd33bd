#include "server/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

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

// The upper bound of bucket `index`, exclusive of the infinite one.
double UpperBound(int32_t index, const FloatHistogram& histogram) {
  if (histogram.schema == kCustomBucketsSchema) {
    if (index < 0) return -HUGE_VAL;
    const auto i = static_cast<size_t>(index);
    return i < histogram.custom_values.size() ? histogram.custom_values[i]
                                              : HUGE_VAL;
  }
  if (histogram.schema <= 0) {
    const int64_t exponent = static_cast<int64_t>(index) << -histogram.schema;
    // The last finite bucket ends at the largest double.
    if (exponent == 1024) return std::numeric_limits<double>::max();
    return std::ldexp(
        1.0, static_cast<int>(std::clamp<int64_t>(exponent, -3000, 3000)));
  }
  const int32_t per_power = 1 << histogram.schema;
  const int32_t in_power = index & (per_power - 1);
  const int32_t exponent = index >> histogram.schema;
  if (in_power == 0 && exponent == 1024) {
    return std::numeric_limits<double>::max();
  }
  // Rounded once, from more bits than a double has: the bounds that
  // Prometheus keeps in a table.
  const auto fraction = static_cast<double>(
      exp2l(static_cast<long double>(in_power) / per_power));
  return std::ldexp(fraction, exponent);
}

struct Bucket {
  double lower;
  double upper;
  bool lower_inclusive;
  bool upper_inclusive;
  double count;
};

// The non-empty buckets of one sign, by growing distance from zero.
std::vector<Bucket> BucketsOf(const FloatHistogram& histogram, bool positive) {
  const auto& spans =
      positive ? histogram.positive_spans : histogram.negative_spans;
  const auto& counts =
      positive ? histogram.positive_buckets : histogram.negative_buckets;
  const bool custom = histogram.schema == kCustomBucketsSchema;
  std::vector<Bucket> buckets;
  int32_t index = 0;
  size_t next = 0;
  for (const BucketSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length && next < counts.size(); ++i) {
      const double count = counts[next++];
      const double near = UpperBound(index - 1, histogram);
      const double far = UpperBound(index, histogram);
      if (count != 0) {
        Bucket bucket{positive ? near : -far, positive ? far : -near, false,
                      false, count};
        bucket.lower_inclusive = custom ? index == 0 : bucket.lower < 0;
        bucket.upper_inclusive = custom || bucket.upper > 0;
        buckets.push_back(bucket);
      }
      ++index;
    }
  }
  return buckets;
}

void AppendQuoted(double value, std::string* out) {
  *out += '"';
  AppendFloatText(value, out);
  *out += '"';
}

void AppendBucket(const Bucket& bucket, std::string* out) {
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
  std::vector<Bucket> buckets = BucketsOf(histogram, false);
  std::reverse(buckets.begin(), buckets.end());
  if (histogram.zero_count != 0 && histogram.schema != kCustomBucketsSchema) {
    buckets.push_back({-histogram.zero_threshold, histogram.zero_threshold,
                       true, true, histogram.zero_count});
  }
  const std::vector<Bucket> positive = BucketsOf(histogram, true);
  buckets.insert(buckets.end(), positive.begin(), positive.end());
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

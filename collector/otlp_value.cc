#include "collector/otlp_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/strings.h"

namespace vigie::collector {
namespace {

bool SetFault(const WireReader& reader, WireFault* fault) {
  *fault = {reader.error(), reader.offset()};
  return false;
}

// The one field of an AnyValue that is set.
struct Value {
  uint32_t field = 0;  // 0: none
  uint64_t bits = 0;
  std::string_view bytes;
};

bool ReadValue(std::string_view any, const char* origin, Value* value,
               WireFault* fault) {
  WireReader reader(any, origin);
  while (reader.Next()) {
    switch (reader.field()) {
      case 2:
      case 3:
        reader.ReadVarint(&value->bits);
        break;
      case 4:
        reader.ReadFixed64(&value->bits);
        break;
      case 1:
        reader.Read(&value->bytes);
        if (reader.error() == nullptr && !IsValidUtf8(value->bytes)) {
          reader.Fail("string is not UTF-8");
        }
        break;
      case 5:
      case 6:
        if (value->field == reader.field()) reader.Fail("field occurs twice");
        [[fallthrough]];
      case 7:
        reader.Read(&value->bytes);
        break;
      default:
        continue;
    }
    value->field = reader.field();
  }
  return reader.error() == nullptr || SetFault(reader, fault);
}

bool ReadPair(std::string_view pair, const char* origin, std::string_view* key,
              std::string_view* any, WireFault* fault) {
  WireReader reader(pair, origin);
  bool seen = false;
  while (reader.Next()) {
    if (reader.field() == 1) {
      reader.Read(key);
      if (reader.error() == nullptr && !IsValidUtf8(*key)) {
        reader.Fail("attribute name is not UTF-8");
      }
    } else if (reader.field() == 2) {
      if (seen) reader.Fail("field occurs twice");
      seen = true;
      reader.Read(any);
    }
  }
  return reader.error() == nullptr || SetFault(reader, fault);
}

std::string DoubleText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  const double size = std::abs(value);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  std::array<char, 64> text;
  const auto end = std::to_chars(
      text.data(), text.data() + text.size(), value,
      exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string out(text.data(), end.ptr);
  // 1e-07 is 1e-7 in JSON as Go writes it.
  if (const size_t at = out.rfind("e-0"); at != std::string::npos) {
    out.erase(at + 2, 1);
  }
  return out;
}

std::string Base64(std::string_view bytes) {
  return absl::Base64Escape(ToAbsl(bytes));
}

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\\') {
      *out += {'\\', c};
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' ||
               c == '&') {
      *out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else if (text.substr(i, 3) == "\xE2\x80\xA8" ||
               text.substr(i, 3) == "\xE2\x80\xA9") {
      *out += text[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

bool AppendJson(std::string_view any, const char* origin, int depth,
                std::string* out, WireFault* fault);

bool AppendJsonList(std::string_view list, const char* origin, int depth,
                    std::string* out, WireFault* fault) {
  out->push_back('[');
  WireReader reader(list, origin);
  bool first = true;
  while (reader.Next()) {
    if (reader.field() != 1) continue;
    std::string_view any;
    reader.Read(&any);
    if (reader.error() != nullptr) break;
    if (!first) out->push_back(',');
    first = false;
    if (!AppendJson(any, origin, depth, out, fault)) return false;
  }
  out->push_back(']');
  return reader.error() == nullptr || SetFault(reader, fault);
}

bool AppendJsonMap(std::string_view map, const char* origin, int depth,
                   std::string* out, WireFault* fault) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  WireReader reader(map, origin);
  while (reader.Next()) {
    if (reader.field() != 1) continue;
    std::string_view pair, key, any;
    reader.Read(&pair);
    if (reader.error() != nullptr) break;
    if (!ReadPair(pair, origin, &key, &any, fault)) return false;
    pairs.emplace_back(key, any);
  }
  if (reader.error() != nullptr) return SetFault(reader, fault);
  std::stable_sort(
      pairs.begin(), pairs.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  out->push_back('{');
  for (size_t i = 0; i < pairs.size(); ++i) {
    // Of equal keys the last one counts.
    if (i + 1 < pairs.size() && pairs[i + 1].first == pairs[i].first) continue;
    if (out->back() != '{') out->push_back(',');
    AppendJsonString(pairs[i].first, out);
    out->push_back(':');
    if (!AppendJson(pairs[i].second, origin, depth, out, fault)) return false;
  }
  out->push_back('}');
  return true;
}

bool AppendJson(std::string_view any, const char* origin, int depth,
                std::string* out, WireFault* fault) {
  if (depth > kValueDepthMax) {
    *fault = {"attribute value is nested too deeply",
              static_cast<size_t>(any.data() - origin)};
    return false;
  }
  Value value;
  if (!ReadValue(any, origin, &value, fault)) return false;
  switch (value.field) {
    case 1:
      AppendJsonString(value.bytes, out);
      break;
    case 2:
      *out += value.bits != 0 ? "true" : "false";
      break;
    case 3:
      *out += fmt::to_string(static_cast<int64_t>(value.bits));
      break;
    case 4:
      *out += DoubleText(std::bit_cast<double>(value.bits));
      break;
    case 5:
      return AppendJsonList(value.bytes, origin, depth + 1, out, fault);
    case 6:
      return AppendJsonMap(value.bytes, origin, depth + 1, out, fault);
    case 7:
      AppendJsonString(Base64(value.bytes), out);
      break;
    default:
      *out += "null";
  }
  return true;
}

}  // namespace

bool AnyValueText(std::string_view any, const char* origin,
                  std::string* scratch, std::string_view* text,
                  WireFault* fault) {
  Value value;
  if (!ReadValue(any, origin, &value, fault)) return false;
  scratch->clear();
  switch (value.field) {
    case 0:
      break;
    case 1:
      *text = value.bytes;
      return true;
    case 7:
      *scratch = Base64(value.bytes);
      break;
    default:
      if (!AppendJson(any, origin, 0, scratch, fault)) return false;
  }
  *text = *scratch;
  return true;
}

bool ReadKeyValue(std::string_view pair, const char* origin,
                  std::string* scratch, std::string_view* key,
                  std::string_view* text, WireFault* fault) {
  std::string_view any;
  *key = {};
  return ReadPair(pair, origin, key, &any, fault) &&
         AnyValueText(any, origin, scratch, text, fault);
}

}  // namespace vigie::collector

#include "server/form.h"

#include <fmt/format.h>

#include "base/status_macros.h"
#include "model/labels.h"

namespace vigie::server {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::StatusOr<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return absl::InvalidArgumentError(
            fmt::format("invalid URL escape {}", Quoted(text.substr(i, 3))));
      }
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> PercentDecode(std::string_view text) {
  return Decode(text, false);
}

absl::Status Form::Add(std::string_view encoded) {
  while (!encoded.empty()) {
    const size_t end = encoded.find('&');
    const std::string_view pair = encoded.substr(0, end);
    encoded.remove_prefix(end == std::string_view::npos ? encoded.size()
                                                        : end + 1);
    if (pair.empty()) continue;
    // Proxies disagree on what a semicolon separates, so nobody may use it.
    if (pair.find(';') != std::string_view::npos) {
      return absl::InvalidArgumentError("invalid semicolon separator in query");
    }
    if (pairs_.size() == kFormPairsMax) {
      return absl::InvalidArgumentError(
          fmt::format("more than {} parameters", kFormPairsMax));
    }
    const size_t equals = pair.find('=');
    VIGIE_ASSIGN_OR_RETURN(std::string name,
                           Decode(pair.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      VIGIE_ASSIGN_OR_RETURN(value, Decode(pair.substr(equals + 1), true));
    }
    pairs_.emplace_back(std::move(name), std::move(value));
  }
  return absl::OkStatus();
}

std::string_view Form::Get(std::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return value;
  }
  return {};
}

std::vector<std::string_view> Form::GetAll(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : pairs_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

}  // namespace vigie::server

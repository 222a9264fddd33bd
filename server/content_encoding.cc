#include "server/content_encoding.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/strings.h"

namespace vigie::server {
namespace {

// A weight of zero: "0", "0.", "0.000".
bool IsZeroWeight(std::string_view text) {
  return !text.empty() && text[0] == '0' &&
         text.find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

std::optional<compress::StreamCompressor::Format> ChooseEncoding(
    std::string_view accept_encoding) {
  using Format = compress::StreamCompressor::Format;
  bool gzip = false;
  bool deflate = false;
  while (!accept_encoding.empty()) {
    const size_t comma = accept_encoding.find(',');
    std::string_view item = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(
        comma == std::string_view::npos ? accept_encoding.size() : comma + 1);
    std::string_view weight;
    if (const size_t semicolon = item.find(';');
        semicolon != std::string_view::npos) {
      weight =
          ToStd(absl::StripAsciiWhitespace(ToAbsl(item.substr(semicolon + 1))));
      item = item.substr(0, semicolon);
    }
    const absl::string_view name = absl::StripAsciiWhitespace(ToAbsl(item));
    if ((weight.starts_with("q=") || weight.starts_with("Q=")) &&
        IsZeroWeight(weight.substr(2))) {
      continue;
    }
    if (absl::EqualsIgnoreCase(name, "gzip") || name == "*") gzip = true;
    if (absl::EqualsIgnoreCase(name, "deflate")) deflate = true;
  }
  if (gzip) return Format::kGzip;
  if (deflate) return Format::kZlib;
  return std::nullopt;
}

}  // namespace vigie::server

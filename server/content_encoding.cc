#include "server/content_encoding.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/strings.h"

namespace vigie::server {
namespace {

std::string_view Trimmed(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}

// The part before `separator`, which `*text` loses.
std::string_view Cut(char separator, std::string_view* text) {
  const size_t at = text->find(separator);
  const std::string_view head = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return head;
}

// Of "gzip;q=0.5"; 1 unless it is told.
double WeightOf(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view one = Trimmed(Cut(';', &parameters));
    double weight = 1;
    if ((one.starts_with("q=") || one.starts_with("Q=")) &&
        absl::SimpleAtod(ToAbsl(one.substr(2)), &weight)) {
      return std::clamp(weight, 0.0, 1.0);
    }
  }
  return 1;
}

}  // namespace

std::optional<compress::StreamCompressor::Format> ChooseEncoding(
    std::string_view accept_encoding) {
  using Format = compress::StreamCompressor::Format;
  // What is not named has the weight of "*"; identity needs no name.
  std::optional<double> zstd, gzip, deflate, identity, any;
  while (!accept_encoding.empty()) {
    std::string_view item = Cut(',', &accept_encoding);
    const absl::string_view name = ToAbsl(Trimmed(Cut(';', &item)));
    std::optional<double>* weight =
        absl::EqualsIgnoreCase(name, "zstd")       ? &zstd
        : absl::EqualsIgnoreCase(name, "gzip")     ? &gzip
        : absl::EqualsIgnoreCase(name, "deflate")  ? &deflate
        : absl::EqualsIgnoreCase(name, "identity") ? &identity
        : name == "*"                              ? &any
                                                   : nullptr;
    if (weight != nullptr && !*weight) *weight = WeightOf(item);
  }
  std::optional<Format> best;
  double best_weight = 0;
  const auto offer = [&](Format format, double weight) {
    if (weight > best_weight) {
      best = format;
      best_weight = weight;
    }
  };
  // Of equal ones the cheapest; a "*" means what everybody knows.
  offer(Format::kZstd, zstd.value_or(0));
  offer(Format::kGzip, gzip.value_or(any.value_or(0)));
  offer(Format::kZlib, deflate.value_or(0));
  if (identity.value_or(0) > best_weight) return std::nullopt;
  return best;
}

std::string_view EncodingName(compress::StreamCompressor::Format format) {
  using Format = compress::StreamCompressor::Format;
  return format == Format::kZstd   ? "zstd"
         : format == Format::kGzip ? "gzip"
                                   : "deflate";
}

}  // namespace vigie::server

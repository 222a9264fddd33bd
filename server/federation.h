// /federate: the newest sample of every series that a match[] selects, in the
// text format, for another server to scrape.
// Source: Prometheus 3, web/federate.go; expfmt.Negotiate for the names.
// Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/byte_account.h"
#include "server/http_frontend.h"
#include "server/http_message.h"

namespace vigie::server {

// What becomes of a name that the plain text format cannot have.
enum class NameEscaping : uint8_t {
  kUnderscores,  // each such character is _
  kDots,         // . is _dot_, _ is __, others are __
  kValues,       // U__ before, and code points in hex between underscores
  kAllowUtf8,    // quoted
};

// By the parameter `escaping` of an Accept header; kUnderscores without one.
NameEscaping NegotiateEscaping(std::string_view accept);

std::string EscapeName(std::string_view name, NameEscaping escaping);

// Errors are text, as scrapers log them: 400 for a broken selector, else what
// API v1 answers. Samples that are older than the lookback, staleness markers
// and native histograms (which the text format cannot have) are left out; the
// external labels are added where a series has none of that name. What it holds
// while it is sent comes from `listings`, which outlives the answer.
HttpAnswer AnswerFederation(const HttpRequest& request,
                            const HttpDependencies& dependencies,
                            ByteAccount& listings);

}  // namespace vigie::server

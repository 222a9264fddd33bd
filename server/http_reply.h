// The head of an answer, and the target of a request, as bytes of HTTP/1.1.
// Source: RFC 9112.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/compress/compress.h"
#include "server/http_message.h"

namespace vigie::server {

// How the client wants its answer.
struct ReplyForm {
  bool head_only = false;
  bool http_1_0 = false;
  bool keep_alive = true;
  std::optional<compress::StreamCompressor::Format> encoding;
  int64_t now_ms = 0;  // for Date
};

// Status line and headers, the blank line included. An answer with a `rest`
// is chunked, or for HTTP/1.0 ended by the close.
std::string FormatHead(const HttpAnswer& answer, const ReplyForm& form);

// Splits origin form ("/a?b") and absolute form ("http://host/a?b") into
// path and query. False for anything else, "*" excepted.
bool FillTarget(std::string_view target, HttpRequest* request);

std::string_view ReasonPhrase(int status);

std::string BodyLimitText(int64_t body_bytes_max);

}  // namespace vigie::server

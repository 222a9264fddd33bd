// Which encoding an answer may have. Source: RFC 9110, section 12.5.3.
#pragma once

#include <optional>
#include <string_view>

#include "base/compress/compress.h"

namespace vigie::server {

// By an Accept-Encoding header: the one of the greatest weight, of equal ones
// zstd before gzip before deflate; none if it names none of them, or would
// rather have the answer as it is.
std::optional<compress::StreamCompressor::Format> ChooseEncoding(
    std::string_view accept_encoding);

// As Content-Encoding says it.
std::string_view EncodingName(compress::StreamCompressor::Format format);

}  // namespace vigie::server

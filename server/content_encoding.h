// Which encoding an answer may have. Source: RFC 9110, section 12.5.3.
#pragma once

#include <optional>
#include <string_view>

#include "base/compress/compress.h"

namespace vigie::server {

// By an Accept-Encoding header: gzip before deflate, whichever the client
// does not weigh with 0; none if it names neither.
std::optional<compress::StreamCompressor::Format> ChooseEncoding(
    std::string_view accept_encoding);

}  // namespace vigie::server

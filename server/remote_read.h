// Remote read: another Prometheus asks for raw samples, to evaluate queries
// itself. The form SAMPLES, of which the whole answer is in memory at once, as
// its compression wants it: hence its own limits.
// Source: Prometheus 3, storage/remote (read_handler.go, codec.go).
// Thread-safe.
#pragma once

#include "base/byte_account.h"
#include "server/http_frontend.h"
#include "server/http_message.h"

namespace vigie::server {

// Errors are text, as readers log them:
//   400  the body is wrong, a limit of HttpOptions is exceeded, or the reader
//        takes nothing but STREAMED_XOR_CHUNKS
//   403  HttpOptions does not switch it on
// and else what API v1 answers. External labels are added to the series, and
// matchers that ask for exactly them are fulfilled. What is held while it is
// sent comes from `listings`, which outlives the answer.
HttpAnswer AnswerRemoteRead(const HttpRequest& request,
                            const HttpDependencies& dependencies,
                            const HttpOptions& options, ByteAccount& listings);

}  // namespace vigie::server

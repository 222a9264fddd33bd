// How a connection reads the body of a request: within limits, and only as
// far as it has come.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>

#include "absl/strings/match.h"
#include "base/strings.h"
#include "server/http_connection.h"

namespace vigie::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kReadBytes = 64 << 10;

}  // namespace

asio::awaitable<bool> HttpConnection::ReadBody(Parser& parser,
                                               std::string* body) {
  const auto& head = parser.get();
  const std::string coding(head[http::field::transfer_encoding]);
  if (!coding.empty() && !absl::EqualsIgnoreCase(coding, "chunked")) {
    co_await Refuse(
        501, "malformed",
        fmt::format("transfer encoding \"{}\" is not supported\n", coding));
    co_return false;
  }
  const auto length = parser.content_length();
  if (length && *length > static_cast<uint64_t>(core_.limits.body_bytes_max)) {
    co_await Refuse(413, "body_too_large",
                    BodyLimitText(core_.limits.body_bytes_max));
    co_return false;
  }
  if (coding.empty() && (!length || *length == 0)) co_return true;

  const std::string expect(head[http::field::expect]);
  if (!expect.empty() && version_ >= 11) {
    if (!absl::EqualsIgnoreCase(expect, "100-continue")) {
      co_await Refuse(417, "malformed",
                      "only the expectation 100-continue is known\n");
      co_return false;
    }
    if (!co_await Write("HTTP/1.1 100 Continue\r\n\r\n", {})) co_return false;
  }
  Arm(core_.limits.body_timeout);
  const bool read = length ? co_await ReadKnownLength(*length, body)
                           : co_await ReadChunked(parser, body);
  Disarm();
  co_return read;
}

absl::Status HttpConnection::Grow(std::string* body, size_t size,
                                  size_t size_max) {
  if (size > body->capacity()) {
    const size_t capacity =
        std::max(size, std::min(size_max, 2 * body->capacity()));
    const int64_t more = static_cast<int64_t>(capacity) - body_charged_;
    if (more > 0) {
      if (absl::Status status = core_.bodies.Charge(more); !status.ok()) {
        return status;
      }
      body_charged_ += more;
    }
    body->reserve(capacity);
  }
  body->resize(size);
  return absl::OkStatus();
}

asio::awaitable<bool> HttpConnection::ReadKnownLength(size_t length,
                                                      std::string* body) {
  // What came with the head, then straight into the body: no second copy.
  size_t have = std::min(length, buffer_.size());
  const auto* held = static_cast<const char*>(buffer_.data().data());
  body->assign(held, have);
  buffer_.consume(have);
  while (have < length) {
    // As much again as has come: a client that only claims to send much
    // is not believed.
    const size_t room = std::min(length, std::max(2 * have, have + kReadBytes));
    if (absl::Status status = Grow(body, room, length); !status.ok()) {
      Disarm();
      co_await Refuse(503, "bodies_too_large",
                      fmt::format("{}\n", MessageOf(status)));
      co_return false;
    }
    while (have < room) {
      error_code error;
      const size_t got = co_await socket_.async_read_some(
          asio::buffer(body->data() + have, room - have),
          asio::redirect_error(asio::use_awaitable, error));
      have += got;
      if (!error) continue;
      if (timed_out_) {
        co_await Refuse(
            408, "body_timeout",
            fmt::format("request body took longer than {}\n",
                        absl::FormatDuration(core_.limits.body_timeout)));
      }
      co_return false;
    }
  }
  co_return true;
}

asio::awaitable<bool> HttpConnection::ReadChunked(Parser& parser,
                                                  std::string* body) {
  size_t have = 0;
  const auto limit = static_cast<size_t>(core_.limits.body_bytes_max);
  while (!parser.is_done()) {
    if (have > limit) {
      Disarm();
      co_await Refuse(413, "body_too_large",
                      BodyLimitText(core_.limits.body_bytes_max));
      co_return false;
    }
    // One byte above the limit is enough to see that it is exceeded.
    const size_t room =
        std::min(limit + 1, std::max(2 * have, have + kReadBytes));
    if (absl::Status status = Grow(body, room, limit + 1); !status.ok()) {
      Disarm();
      co_await Refuse(503, "bodies_too_large",
                      fmt::format("{}\n", MessageOf(status)));
      co_return false;
    }
    parser.get().body().data = body->data() + have;
    parser.get().body().size = room - have;
    parser.get().body().more = true;
    error_code error;
    co_await http::async_read(socket_, buffer_, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    have = room - parser.get().body().size;
    if (!error || error == http::error::need_buffer) continue;
    if (timed_out_) {
      co_await Refuse(
          408, "body_timeout",
          fmt::format("request body took longer than {}\n",
                      absl::FormatDuration(core_.limits.body_timeout)));
    } else if (error.category() ==
                   http::make_error_code(http::error::bad_chunk).category() &&
               error != http::error::partial_message) {
      Disarm();
      co_await Refuse(400, "malformed",
                      fmt::format("malformed body: {}\n", error.message()));
    }
    co_return false;
  }
  body->resize(have);
  if (have > limit) {
    Disarm();
    co_await Refuse(413, "body_too_large",
                    BodyLimitText(core_.limits.body_bytes_max));
    co_return false;
  }
  co_return true;
}

}  // namespace vigie::server

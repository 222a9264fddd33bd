// HttpConnection: one client's stream of requests and answers. For the sources
// of the HTTP core alone, as it brings Asio and Beast along.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/compress/compress.h"
#include "server/http_core.h"
#include "server/http_message.h"
#include "server/http_reply.h"

namespace vigie::server {

// All but the constructor run on the connection's strand, which is the
// executor of its socket.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // Any accepted stream: TCP or a UNIX socket.
  using Socket = boost::asio::generic::stream_protocol::socket;

  // `core` outlives it; `io` is what the socket runs on.
  HttpConnection(HttpCore& core, std::shared_ptr<boost::asio::io_context> io,
                 Socket socket);
  ~HttpConnection() { ReleaseBody(); }

  // Serves until one of the two sides ends it.
  boost::asio::awaitable<void> Run();
  // One connection too many: says so if that takes no waiting, and closes.
  void RefuseAtOnce();
  void Drain();   // close when idle, and after the answer otherwise
  void Cancel();  // now

  boost::asio::any_io_executor executor() { return socket_.get_executor(); }

 private:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;
  using TimePoint = std::chrono::steady_clock::time_point;
  using Parser =
      boost::beast::http::request_parser<boost::beast::http::buffer_body>;

  // One request and its answer. False: close.
  Awaitable<bool> ServeOne();
  Awaitable<bool> AwaitFirstByte();
  // Answers the client itself where the head or the body cannot be had.
  Awaitable<bool> ReadHead(Parser& parser);
  Awaitable<bool> ReadBody(Parser& parser, std::string* body);
  Awaitable<bool> ReadKnownLength(size_t length, std::string* body);
  Awaitable<bool> ReadChunked(Parser& parser, std::string* body);
  Awaitable<HttpAnswer> Handle(HttpRequest request);
  // False: the connection is of no more use.
  Awaitable<bool> Send(HttpAnswer answer, const ReplyForm& form);
  Awaitable<bool> SendRest(HttpAnswer answer, const ReplyForm& form,
                           compress::StreamCompressor* compressor,
                           std::string head);
  Awaitable<bool> Write(std::string_view first, std::string_view second);
  // For requests that never reach the handler; closes the connection.
  Awaitable<void> Refuse(int status, std::string_view fault, std::string text);
  Awaitable<void> Linger();
  // Runs `work` on the codec pool; the caller goes on where it was.
  Awaitable<void> RunOnCodec(absl::AnyInvocable<void()> work);

  // Makes room for `size` bytes, charged before they are had, and for some
  // more, but for no more than `size_max`.
  absl::Status Grow(std::string* body, size_t size, size_t size_max);
  void ReleaseBody() { core_.bodies.Release(std::exchange(body_charged_, 0)); }

  // The pending operation fails once the time is over. The timer is rarely
  // touched: it may go off before its time, and then looks at the deadline.
  void Arm(absl::Duration timeout);
  void Disarm() { deadline_ = TimePoint::max(); }
  void AwaitTimer();
  // Requests stop_ once the client has left.
  void Watch();
  void Unwatch();

  HttpCore& core_;
  const std::shared_ptr<boost::asio::io_context> io_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  TimePoint deadline_ = TimePoint::max();
  TimePoint timer_at_ = TimePoint::max();  // max: it is not running
  uint64_t timer_generation_ = 0;
  uint64_t watch_generation_ = 0;
  bool timed_out_ = false;
  bool idle_ = false;
  bool draining_ = false;
  bool cancelled_ = false;
  int64_t body_charged_ = 0;
  int version_ = 11;
  std::optional<std::stop_source> stop_;  // set while a request is handled
};

}  // namespace vigie::server

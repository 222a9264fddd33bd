#include "server/http_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/strings.h"
#include "server/content_encoding.h"

namespace vigie::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kIdleBufferBytes = 4 << 10;
constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kWriteBytes = 256 << 10;
// After a refusal that leaves a body unread: a close would reset the
// connection before the client has read why.
constexpr size_t kLingerBytesMax = 4 << 20;
constexpr auto kLingerTimeout = absl::Seconds(2);

// Lets another thread come back to a strand. The strand's executor must not
// outlive its io_context, and that thread may let go of it after the server
// has ended.
struct Lease {
  std::shared_ptr<asio::io_context> io;  // first, so destroyed last
  asio::any_io_executor executor;
};

std::string PeerName(const HttpConnection::Socket::endpoint_type& peer) {
  asio::ip::tcp::endpoint tcp;
  if (peer.size() > tcp.capacity() || (peer.data()->sa_family != AF_INET &&
                                       peer.data()->sa_family != AF_INET6)) {
    return "a local socket";
  }
  std::memcpy(tcp.data(), peer.data(), peer.size());
  tcp.resize(peer.size());
  return tcp.address().to_string();
}

bool IsEncoded(const HttpAnswer& answer) {
  return std::any_of(
      answer.headers.begin(), answer.headers.end(),
      [](const auto& header) { return header.first == "Content-Encoding"; });
}

}  // namespace

HttpConnection::HttpConnection(HttpCore& core,
                               std::shared_ptr<asio::io_context> io,
                               Socket socket)
    : core_(core),
      io_(std::move(io)),
      socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      buffer_(kHeaderBytesMax + kReadBytes) {}

asio::awaitable<void> HttpConnection::RunOnCodec(
    absl::AnyInvocable<void()> work) {
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [this, &work](auto handler) {
        Lease lease{io_, asio::get_associated_executor(handler)};
        TaskPool::Task task = [&work, lease = std::move(lease),
                               handler = std::move(handler)]() mutable {
          work();
          asio::post(lease.executor, std::move(handler));
        };
        // A full pool must not lose the connection: do it here.
        if (!core_.codec.TrySubmit(task)) std::move(task)();
      },
      asio::use_awaitable);
}

void HttpConnection::Arm(absl::Duration timeout) {
  timed_out_ = false;
  deadline_ =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  if (deadline_ < timer_at_) AwaitTimer();
}

void HttpConnection::AwaitTimer() {
  timer_at_ = deadline_;
  timer_.expires_at(timer_at_);
  timer_.async_wait(
      [self = shared_from_this(),
       generation = ++timer_generation_](const error_code& error) {
        if (error || generation != self->timer_generation_) return;
        self->timer_at_ = TimePoint::max();
        if (self->deadline_ == TimePoint::max()) return;
        if (std::chrono::steady_clock::now() < self->deadline_) {
          self->AwaitTimer();
          return;
        }
        self->timed_out_ = true;
        error_code ignored;
        self->socket_.cancel(ignored);
      });
}

void HttpConnection::Watch() {
  const uint64_t generation = ++watch_generation_;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this(),
                                         generation](const error_code& error) {
    if (generation != self->watch_generation_ || !self->stop_) return;
    if (!error) {
      char byte;
      const ssize_t got = ::recv(self->socket_.native_handle(), &byte, 1,
                                 MSG_PEEK | MSG_DONTWAIT);
      // More bytes are the next request; whether an end follows behind
      // them shows when it is read.
      if (got > 0) return;
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        self->Watch();
        return;
      }
    }
    self->core_.metrics.clients_left.Increment();
    self->stop_->request_stop();
  });
}

void HttpConnection::Unwatch() {
  ++watch_generation_;
  error_code ignored;
  socket_.cancel(ignored);
}

void HttpConnection::RefuseAtOnce() {
  HttpAnswer answer{.status = 503};
  answer.body =
      fmt::format("more than {} connections are open (http.connections_max)\n",
                  core_.limits.connections_max);
  answer.headers.emplace_back("Retry-After", "5");
  ReplyForm form;
  form.keep_alive = false;
  form.now_ms = core_.clock.NowMs();
  const std::string reply = FormatHead(answer, form) + answer.body;
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.write_some(asio::buffer(reply), ignored);
  socket_.shutdown(Socket::shutdown_send, ignored);
  socket_.close(ignored);
}

void HttpConnection::Drain() {
  draining_ = true;
  error_code ignored;
  if (idle_) socket_.cancel(ignored);
}

void HttpConnection::Cancel() {
  draining_ = cancelled_ = true;
  if (stop_) stop_->request_stop();
  error_code ignored;
  socket_.close(ignored);
}

asio::awaitable<void> HttpConnection::Run() {
  while (co_await ServeOne()) {
  }
  timer_.cancel();
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

asio::awaitable<bool> HttpConnection::ServeOne() {
  if (cancelled_ || (draining_ && buffer_.size() == 0)) co_return false;
  if (buffer_.size() == 0 && !co_await AwaitFirstByte()) co_return false;

  Parser parser;
  parser.header_limit(kHeaderBytesMax);
  parser.body_limit(boost::none);  // ReadBody does, and names the limit
  if (!co_await ReadHead(parser)) co_return false;

  HttpRequest request;
  request.arrival_ns = core_.clock.MonotonicNs();
  std::string fault;
  if (!FillTarget(std::string_view(parser.get().target().data(),
                                   parser.get().target().size()),
                  &request)) {
    co_await Refuse(400, "malformed", "malformed request target\n");
    co_return false;
  }
  request.method = std::string(parser.get().method_string());
  for (const auto& field : parser.get()) {
    request.headers.emplace_back(
        absl::AsciiStrToLower(absl::string_view(field.name_string().data(),
                                                field.name_string().size())),
        std::string(field.value()));
  }
  if (version_ >= 11 && request.Header("host").empty()) {
    co_await Refuse(400, "malformed", "header Host is missing\n");
    co_return false;
  }
  if (!co_await ReadBody(parser, &request.body)) {
    ReleaseBody();
    co_return false;
  }

  ReplyForm form;
  form.head_only = request.method == "HEAD";
  form.http_1_0 = version_ < 11;
  form.keep_alive = parser.keep_alive();
  form.encoding = ChooseEncoding(request.Header("accept-encoding"));

  HttpAnswer answer = co_await Handle(std::move(request));
  ReleaseBody();
  if (cancelled_) co_return false;
  form.keep_alive = form.keep_alive && !draining_ && !core_.draining;
  form.now_ms = core_.clock.NowMs();
  co_return co_await Send(std::move(answer), form) && form.keep_alive;
}

asio::awaitable<bool> HttpConnection::AwaitFirstByte() {
  // An idle connection should cost little: what a long request needed goes.
  if (buffer_.capacity() > kReadBytes) buffer_.shrink_to_fit();
  idle_ = true;
  Arm(core_.limits.idle_timeout);
  error_code error;
  const size_t got = co_await socket_.async_read_some(
      buffer_.prepare(kIdleBufferBytes),
      asio::redirect_error(asio::use_awaitable, error));
  Disarm();
  idle_ = false;
  if (timed_out_) core_.metrics.Fault("idle_timeout").Increment();
  if (error) co_return false;
  buffer_.commit(got);
  co_return true;
}

asio::awaitable<bool> HttpConnection::ReadHead(Parser& parser) {
  Arm(core_.limits.header_timeout);
  error_code error;
  co_await http::async_read_header(
      socket_, buffer_, parser,
      asio::redirect_error(asio::use_awaitable, error));
  Disarm();
  version_ = static_cast<int>(parser.get().version());
  if (!error) co_return true;
  if (cancelled_ || error == http::error::end_of_stream) co_return false;
  if (timed_out_) {
    co_await Refuse(
        408, "header_timeout",
        fmt::format("request headers took longer than {}\n",
                    absl::FormatDuration(core_.limits.header_timeout)));
  } else if (error == http::error::header_limit ||
             error == http::error::buffer_overflow) {
    co_await Refuse(431, "header_too_large",
                    fmt::format("request line and headers are longer than {} "
                                "bytes\n",
                                kHeaderBytesMax));
  } else if (error.category() ==
             http::make_error_code(http::error::bad_method).category()) {
    co_await Refuse(400, "malformed",
                    fmt::format("malformed request: {}\n", error.message()));
  }
  co_return false;
}

asio::awaitable<HttpAnswer> HttpConnection::Handle(HttpRequest request) {
  const bool watched = core_.watched == nullptr || core_.watched(request);
  stop_.emplace();
  request.stop = stop_->get_token();
  if (watched) Watch();
  std::unique_ptr<HttpAnswer> answer =
      co_await asio::async_initiate<const asio::use_awaitable_t<>&,
                                    void(std::unique_ptr<HttpAnswer>)>(
          [this, &request](auto handler) {
            Lease lease{io_, asio::get_associated_executor(handler)};
            Responder responder([lease = std::move(lease),
                                 handler = std::move(handler)](
                                    HttpAnswer answer) mutable {
              asio::post(lease.executor, [handler = std::move(handler),
                                          answer = std::make_unique<HttpAnswer>(
                                              std::move(answer))]() mutable {
                std::move(handler)(std::move(answer));
              });
            });
            core_.handler(std::move(request), std::move(responder));
          },
          asio::use_awaitable);
  if (watched) Unwatch();
  stop_.reset();
  co_return std::move(*answer);
}

asio::awaitable<bool> HttpConnection::Send(HttpAnswer answer,
                                           const ReplyForm& form) {
  const bool compressed =
      form.encoding && !form.head_only && answer.status == 200 &&
      !IsEncoded(answer) &&
      (answer.rest != nullptr || answer.body.size() >= kCompressBytesMin);
  std::unique_ptr<compress::StreamCompressor> compressor;
  if (compressed) {
    compressor = std::make_unique<compress::StreamCompressor>(*form.encoding);
    answer.headers.emplace_back("Content-Encoding",
                                EncodingName(*form.encoding));
    absl::AnyInvocable<void()> work = [&] {
      std::string out;
      compressor->Append(answer.body, &out);
      if (answer.rest == nullptr) compressor->Finish(&out);
      answer.body = std::move(out);
    };
    co_await RunOnCodec(std::move(work));
  }
  std::string head = FormatHead(answer, form);
  if (answer.rest != nullptr && !form.head_only) {
    co_return co_await SendRest(std::move(answer), form, compressor.get(),
                                std::move(head));
  }
  co_return co_await Write(head,
                           form.head_only ? std::string_view() : answer.body);
}

asio::awaitable<bool> HttpConnection::SendRest(
    HttpAnswer answer, const ReplyForm& form,
    compress::StreamCompressor* compressor, std::string head) {
  // A client of HTTP/1.0 knows no chunks: the close ends the body.
  const bool chunked = !form.http_1_0;
  std::string piece = std::move(answer.body);
  bool more = true;
  while (true) {
    if (!piece.empty()) {
      std::string before = std::move(head);
      head.clear();
      if (chunked) {
        before += fmt::format("{:x}\r\n", piece.size());
        piece += "\r\n";
      }
      if (!more && chunked) piece += "0\r\n\r\n";
      if (!co_await Write(before, piece)) co_return false;
      if (!more) co_return chunked;
    } else if (!more) {
      co_return co_await Write(head, chunked ? "0\r\n\r\n" : "") && chunked;
    }
    piece.clear();
    absl::AnyInvocable<void()> work = [&] {
      if (compressor == nullptr) {
        more = answer.rest->Next(&piece);
        return;
      }
      // Until there is something to send: compressed pieces are small.
      while (more && piece.size() < kPieceBytes) {
        std::string plain;
        more = answer.rest->Next(&plain);
        compressor->Append(plain, &piece);
        if (!more) compressor->Finish(&piece);
        if (piece.size() >= kPieceBytes / 4) break;
      }
    };
    co_await RunOnCodec(std::move(work));
    if (cancelled_) co_return false;
  }
}

asio::awaitable<bool> HttpConnection::Write(std::string_view first,
                                            std::string_view second) {
  while (!first.empty() || !second.empty()) {
    const std::string_view slice = second.substr(0, kWriteBytes);
    const std::array<asio::const_buffer, 2> buffers{
        asio::buffer(first.data(), first.size()),
        asio::buffer(slice.data(), slice.size())};
    Arm(core_.limits.body_timeout);
    error_code error;
    co_await asio::async_write(
        socket_, buffers, asio::redirect_error(asio::use_awaitable, error));
    Disarm();
    if (timed_out_) core_.metrics.Fault("write_timeout").Increment();
    if (error) co_return false;
    first = {};
    second.remove_prefix(slice.size());
  }
  co_return true;
}

asio::awaitable<void> HttpConnection::Refuse(int status, std::string_view fault,
                                             std::string text) {
  core_.metrics.Fault(fault).Increment();
  uint64_t suppressed;
  if (core_.log_limiter.Pass(&suppressed)) {
    error_code ignored;
    spdlog::warn("HTTP request from {} refused ({} more since): {}",
                 PeerName(socket_.remote_endpoint(ignored)), suppressed,
                 text.substr(0, text.size() - 1));
  }
  HttpAnswer answer{.status = status, .body = std::move(text)};
  if (status == 503) answer.headers.emplace_back("Retry-After", "5");
  ReplyForm form;
  form.keep_alive = false;
  form.now_ms = core_.clock.NowMs();
  const std::string head = FormatHead(answer, form);
  if (co_await Write(head, answer.body)) co_await Linger();
}

asio::awaitable<void> HttpConnection::Linger() {
  error_code error;
  socket_.shutdown(Socket::shutdown_send, error);
  buffer_.clear();
  Arm(kLingerTimeout);
  for (size_t read = 0; read < kLingerBytesMax && !error && !draining_;) {
    read += co_await socket_.async_read_some(
        buffer_.prepare(kReadBytes),
        asio::redirect_error(asio::use_awaitable, error));
  }
  Disarm();
}

}  // namespace vigie::server

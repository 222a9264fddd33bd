#include "server/http_server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/byte_account.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "server/content_encoding.h"
#include "server/http_reply.h"
#include "server/http_server_metrics.h"

namespace vigie::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr int kIoThreads = 2;
constexpr size_t kIdleBufferBytes = 4 << 10;
constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kWriteBytes = 256 << 10;
// After a refusal that leaves a body unread: a close would reset the
// connection before the client has read why.
constexpr size_t kLingerBytesMax = 4 << 20;
constexpr auto kLingerTimeout = std::chrono::seconds(2);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

std::chrono::nanoseconds ToChrono(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

class Connection;

// Lets another thread come back to a strand. The strand's executor must not
// outlive its io_context, and that thread may let go of it after the server
// has ended.
struct Lease {
  std::shared_ptr<asio::io_context> io;  // first, so destroyed last
  asio::any_io_executor executor;
};

// What the connections of one server share; outlives them all.
struct Core {
  Core(const HttpLimits& limits, HttpServer::Handler handler, TaskPool& codec,
       const Clock& clock, prometheus::Registry& registry)
      : limits(limits),
        handler(std::move(handler)),
        codec(codec),
        clock(clock),
        metrics(registry),
        bodies("HTTP request bodies", limits.bodies_bytes_max),
        log_limiter(clock, absl::Seconds(10)) {}

  const HttpLimits limits;
  const HttpServer::Handler handler;
  TaskPool& codec;
  const Clock& clock;
  HttpServerMetrics metrics;
  ByteAccount bodies;
  LogRateLimiter log_limiter;
  const std::shared_ptr<asio::io_context> io =
      std::make_shared<asio::io_context>(kIoThreads);

  Mutex mutex;
  CondVar closed;
  // Connections are in it from accept until they are closed.
  absl::flat_hash_map<Connection*, std::weak_ptr<Connection>> connections
      ABSL_GUARDED_BY(mutex);
  // Written under the mutex. Connections look at it themselves, as they are
  // told one after the other.
  std::atomic<bool> draining = false;
};

// Runs `work` on the codec pool; the caller goes on where it was.
asio::awaitable<void> RunOn(Core& core, absl::AnyInvocable<void()> work) {
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [&core, &work](auto handler) {
        Lease lease{core.io, asio::get_associated_executor(handler)};
        TaskPool::Task task = [&work, lease = std::move(lease),
                               handler = std::move(handler)]() mutable {
          work();
          asio::post(lease.executor, std::move(handler));
        };
        // A full pool must not lose the connection: do it here.
        if (!core.codec.TrySubmit(task)) std::move(task)();
      },
      asio::use_awaitable);
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Core& core, tcp::socket socket)
      : core_(core),
        socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        buffer_(kHeaderBytesMax + kReadBytes) {}
  ~Connection() { ReleaseBody(); }

  // All run on the connection's strand.
  asio::awaitable<void> Run();
  // One connection too many: says so if that takes no waiting, and closes.
  void RefuseAtOnce();
  void Drain();   // close when idle, and after the answer otherwise
  void Cancel();  // now

  asio::any_io_executor executor() { return socket_.get_executor(); }

 private:
  using Parser = http::request_parser<http::buffer_body>;

  // One request and its answer. False: close.
  asio::awaitable<bool> ServeOne();
  asio::awaitable<bool> AwaitFirstByte();
  // Answers the client itself where the head or the body cannot be had.
  asio::awaitable<bool> ReadHead(Parser& parser);
  asio::awaitable<bool> ReadBody(Parser& parser, std::string* body);
  asio::awaitable<bool> ReadKnownLength(size_t length, std::string* body);
  asio::awaitable<bool> ReadChunked(Parser& parser, std::string* body);
  asio::awaitable<HttpAnswer> Handle(HttpRequest request);
  // False: the connection is of no more use.
  asio::awaitable<bool> Send(HttpAnswer answer, const ReplyForm& form);
  asio::awaitable<bool> SendRest(HttpAnswer answer, const ReplyForm& form,
                                 compress::StreamCompressor* compressor,
                                 std::string head);
  asio::awaitable<bool> Write(std::string_view first, std::string_view second);
  // For requests that never reach the handler; closes the connection.
  asio::awaitable<void> Refuse(int status, std::string_view fault,
                               std::string text);
  asio::awaitable<void> Linger();

  // Makes room for `size` bytes, charged before they are had, and for some
  // more, but for no more than `size_max`.
  absl::Status Grow(std::string* body, size_t size, size_t size_max);
  void ReleaseBody() { core_.bodies.Release(std::exchange(body_charged_, 0)); }

  // The pending operation fails once the time is over.
  void Arm(std::chrono::nanoseconds timeout);
  void Disarm();
  // Requests stop_ once the client has left.
  void Watch();
  void Unwatch();

  Core& core_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  beast::flat_buffer buffer_;
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

void Connection::Arm(std::chrono::nanoseconds timeout) {
  timed_out_ = false;
  const uint64_t generation = ++timer_generation_;
  timer_.expires_after(timeout);
  timer_.async_wait(
      [self = shared_from_this(), generation](const error_code& error) {
        if (error || generation != self->timer_generation_) return;
        self->timed_out_ = true;
        error_code ignored;
        self->socket_.cancel(ignored);
      });
}

void Connection::Disarm() {
  ++timer_generation_;
  timer_.cancel();
}

void Connection::Watch() {
  const uint64_t generation = ++watch_generation_;
  socket_.async_wait(
      tcp::socket::wait_read,
      [self = shared_from_this(), generation](const error_code& error) {
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

void Connection::Unwatch() {
  ++watch_generation_;
  error_code ignored;
  socket_.cancel(ignored);
}

void Connection::RefuseAtOnce() {
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
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  socket_.close(ignored);
}

void Connection::Drain() {
  draining_ = true;
  error_code ignored;
  if (idle_) socket_.cancel(ignored);
}

void Connection::Cancel() {
  draining_ = cancelled_ = true;
  if (stop_) stop_->request_stop();
  error_code ignored;
  socket_.close(ignored);
}

asio::awaitable<void> Connection::Run() {
  while (co_await ServeOne()) {
  }
  Disarm();
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

asio::awaitable<bool> Connection::ServeOne() {
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

asio::awaitable<bool> Connection::AwaitFirstByte() {
  // An idle connection should cost little: what a long request needed goes.
  if (buffer_.capacity() > kReadBytes) buffer_.shrink_to_fit();
  idle_ = true;
  Arm(ToChrono(core_.limits.idle_timeout));
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

asio::awaitable<bool> Connection::ReadHead(Parser& parser) {
  Arm(ToChrono(core_.limits.header_timeout));
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

asio::awaitable<bool> Connection::ReadBody(Parser& parser, std::string* body) {
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
  Arm(ToChrono(core_.limits.body_timeout));
  const bool read = length ? co_await ReadKnownLength(*length, body)
                           : co_await ReadChunked(parser, body);
  Disarm();
  co_return read;
}

absl::Status Connection::Grow(std::string* body, size_t size, size_t size_max) {
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

asio::awaitable<bool> Connection::ReadKnownLength(size_t length,
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

asio::awaitable<bool> Connection::ReadChunked(Parser& parser,
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

asio::awaitable<HttpAnswer> Connection::Handle(HttpRequest request) {
  stop_.emplace();
  request.stop = stop_->get_token();
  Watch();
  std::unique_ptr<HttpAnswer> answer =
      co_await asio::async_initiate<const asio::use_awaitable_t<>&,
                                    void(std::unique_ptr<HttpAnswer>)>(
          [this, &request](auto handler) {
            Lease lease{core_.io, asio::get_associated_executor(handler)};
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
  Unwatch();
  stop_.reset();
  co_return std::move(*answer);
}

asio::awaitable<bool> Connection::Send(HttpAnswer answer,
                                       const ReplyForm& form) {
  const bool compressed =
      form.encoding && !form.head_only && answer.status == 200 &&
      (answer.rest != nullptr || answer.body.size() >= kCompressBytesMin);
  std::unique_ptr<compress::StreamCompressor> compressor;
  if (compressed) {
    compressor = std::make_unique<compress::StreamCompressor>(*form.encoding);
    answer.headers.emplace_back(
        "Content-Encoding",
        *form.encoding == compress::StreamCompressor::Format::kGzip
            ? "gzip"
            : "deflate");
    absl::AnyInvocable<void()> work = [&] {
      std::string out;
      compressor->Append(answer.body, &out);
      if (answer.rest == nullptr) compressor->Finish(&out);
      answer.body = std::move(out);
    };
    co_await RunOn(core_, std::move(work));
  }
  std::string head = FormatHead(answer, form);
  if (answer.rest != nullptr && !form.head_only) {
    co_return co_await SendRest(std::move(answer), form, compressor.get(),
                                std::move(head));
  }
  co_return co_await Write(head,
                           form.head_only ? std::string_view() : answer.body);
}

asio::awaitable<bool> Connection::SendRest(
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
    co_await RunOn(core_, std::move(work));
    if (cancelled_) co_return false;
  }
}

asio::awaitable<bool> Connection::Write(std::string_view first,
                                        std::string_view second) {
  while (!first.empty() || !second.empty()) {
    const std::string_view slice = second.substr(0, kWriteBytes);
    const std::array<asio::const_buffer, 2> buffers{
        asio::buffer(first.data(), first.size()),
        asio::buffer(slice.data(), slice.size())};
    Arm(ToChrono(core_.limits.body_timeout));
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

asio::awaitable<void> Connection::Refuse(int status, std::string_view fault,
                                         std::string text) {
  core_.metrics.Fault(fault).Increment();
  uint64_t suppressed;
  if (core_.log_limiter.Pass(&suppressed)) {
    error_code ignored;
    spdlog::warn("HTTP request from {} refused ({} more since): {}",
                 socket_.remote_endpoint(ignored).address().to_string(),
                 suppressed, text.substr(0, text.size() - 1));
  }
  HttpAnswer answer{.status = status, .body = std::move(text)};
  if (status == 503) answer.headers.emplace_back("Retry-After", "5");
  ReplyForm form;
  form.keep_alive = false;
  form.now_ms = core_.clock.NowMs();
  const std::string head = FormatHead(answer, form);
  if (co_await Write(head, answer.body)) co_await Linger();
}

asio::awaitable<void> Connection::Linger() {
  error_code error;
  socket_.shutdown(tcp::socket::shutdown_send, error);
  buffer_.clear();
  Arm(kLingerTimeout);
  for (size_t read = 0; read < kLingerBytesMax && !error && !draining_;) {
    read += co_await socket_.async_read_some(
        buffer_.prepare(kReadBytes),
        asio::redirect_error(asio::use_awaitable, error));
  }
  Disarm();
}

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpLimits& limits, Handler handler, TaskPool& codec,
              const Clock& clock, prometheus::Registry& registry)
      : core_(limits, std::move(handler), codec, clock, registry),
        acceptor_(asio::make_strand(*core_.io)) {}

  ~BeastServer() override {
    Shutdown(absl::ZeroDuration());
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Listen(const std::string& address);
  const std::string& address() const override { return address_; }
  void Shutdown(absl::Duration timeout) override;

 private:
  asio::awaitable<void> Accept();
  void Open(tcp::socket socket);
  // Tells every connection, on its own strand.
  void TellAll(void (Connection::*what)());

  Core core_;
  tcp::acceptor acceptor_;
  std::string address_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>>
      work_;
  std::vector<std::thread> threads_;
};

absl::Status BeastServer::Listen(const std::string& address) {
  const auto refuse = [&](std::string_view why) {
    return absl::UnavailableError(
        fmt::format("cannot listen on \"{}\": {}", address, why));
  };
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return refuse("want host:port");
  }
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty()) host = "0.0.0.0";
  error_code error;
  tcp::resolver resolver(*core_.io);
  const auto found = resolver.resolve(
      host, address.substr(colon + 1),
      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) return refuse(error.message());
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error)
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return refuse(error.message());
  const auto port = acceptor_.local_endpoint(error).port();
  address_ = fmt::format("{}:{}", address.substr(0, colon), port);

  asio::co_spawn(acceptor_.get_executor(), Accept(), [](std::exception_ptr) {});
  work_.emplace(core_.io->get_executor());
  for (int i = 0; i < kIoThreads; ++i) {
    threads_.emplace_back([this] { core_.io->run(); });
  }
  return absl::OkStatus();
}

asio::awaitable<void> BeastServer::Accept() {
  asio::steady_timer pause(acceptor_.get_executor());
  while (acceptor_.is_open()) {
    auto [error, socket] = co_await acceptor_.async_accept(
        asio::make_strand(*core_.io), asio::as_tuple(asio::use_awaitable));
    if (!error) {
      Open(std::move(socket));
      continue;
    }
    if (error == asio::error::operation_aborted) co_return;
    uint64_t suppressed;
    if (core_.log_limiter.Pass(&suppressed)) {
      spdlog::warn("HTTP accept failed ({} more records since): {}", suppressed,
                   error.message());
    }
    // Out of descriptors: the connection stays in the queue, so wait.
    core_.metrics.Fault("accept").Increment();
    pause.expires_after(kAcceptPause);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

void BeastServer::Open(tcp::socket socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  auto connection = std::make_shared<Connection>(core_, std::move(socket));
  bool refused = false;
  {
    MutexLock lock(core_.mutex);
    if (core_.draining) return;
    refused = static_cast<int64_t>(core_.connections.size()) >=
              core_.limits.connections_max;
    if (!refused) core_.connections.emplace(connection.get(), connection);
  }
  if (refused) {
    core_.metrics.Fault("connections_max").Increment();
    connection->RefuseAtOnce();
    return;
  }
  core_.metrics.connections.Increment();
  Connection* const key = connection.get();
  asio::co_spawn(
      connection->executor(),
      [connection]() -> asio::awaitable<void> { co_await connection->Run(); },
      [this, key, connection](std::exception_ptr failure) {
        if (failure != nullptr) {
          spdlog::error("HTTP connection ended by an exception");
        }
        core_.metrics.connections.Decrement();
        MutexLock lock(core_.mutex);
        core_.connections.erase(key);
        core_.closed.NotifyAll();
      });
}

void BeastServer::TellAll(void (Connection::*what)()) {
  std::vector<std::shared_ptr<Connection>> open;
  {
    MutexLock lock(core_.mutex);
    for (const auto& [key, weak] : core_.connections) {
      if (std::shared_ptr<Connection> connection = weak.lock()) {
        open.push_back(std::move(connection));
      }
    }
  }
  for (std::shared_ptr<Connection>& connection : open) {
    auto executor = connection->executor();
    asio::post(executor, [connection = std::move(connection), what] {
      (connection.get()->*what)();
    });
  }
}

void BeastServer::Shutdown(absl::Duration timeout) {
  {
    MutexLock lock(core_.mutex);
    core_.draining = true;
  }
  asio::post(acceptor_.get_executor(), [this] {
    error_code ignored;
    acceptor_.close(ignored);
  });
  TellAll(&Connection::Drain);
  const auto deadline = std::chrono::steady_clock::now() + ToChrono(timeout);
  {
    MutexLock lock(core_.mutex);
    while (!core_.connections.empty()) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) break;
      core_.closed.WaitFor(core_.mutex, left);
    }
  }
  TellAll(&Connection::Cancel);
  MutexLock lock(core_.mutex);
  while (!core_.connections.empty()) core_.closed.Wait(core_.mutex);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& address, const HttpLimits& limits, Handler handler,
    TaskPool& codec, const Clock& clock, prometheus::Registry& registry) {
  auto server = std::make_unique<BeastServer>(limits, std::move(handler), codec,
                                              clock, registry);
  if (absl::Status status = server->Listen(address); !status.ok()) {
    return status;
  }
  return server;
}

}  // namespace vigie::server

#include "server/http_server.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "server/http_connection.h"
#include "server/http_core.h"

namespace vigie::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr int kIoThreads = 2;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpLimits& limits, Handler handler, Watched watched,
              TaskPool& codec, const Clock& clock,
              prometheus::Registry& registry)
      : core_(limits, std::move(handler), std::move(watched), codec, clock,
              registry),
        acceptor_(asio::make_strand(*io_)) {}

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
  void TellAll(void (HttpConnection::*what)());

  HttpCore core_;
  // Also held by answers that are still on their way.
  const std::shared_ptr<asio::io_context> io_ =
      std::make_shared<asio::io_context>(kIoThreads);
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
  tcp::resolver resolver(*io_);
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
  work_.emplace(io_->get_executor());
  for (int i = 0; i < kIoThreads; ++i) {
    threads_.emplace_back([this] { io_->run(); });
  }
  return absl::OkStatus();
}

asio::awaitable<void> BeastServer::Accept() {
  asio::steady_timer pause(acceptor_.get_executor());
  while (acceptor_.is_open()) {
    auto [error, socket] = co_await acceptor_.async_accept(
        asio::make_strand(*io_), asio::as_tuple(asio::use_awaitable));
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
  auto connection =
      std::make_shared<HttpConnection>(core_, io_, std::move(socket));
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
  HttpConnection* const key = connection.get();
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

void BeastServer::TellAll(void (HttpConnection::*what)()) {
  std::vector<std::shared_ptr<HttpConnection>> open;
  {
    MutexLock lock(core_.mutex);
    for (const auto& [key, weak] : core_.connections) {
      if (std::shared_ptr<HttpConnection> connection = weak.lock()) {
        open.push_back(std::move(connection));
      }
    }
  }
  for (std::shared_ptr<HttpConnection>& connection : open) {
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
  TellAll(&HttpConnection::Drain);
  const auto deadline =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  {
    MutexLock lock(core_.mutex);
    while (!core_.connections.empty()) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) break;
      core_.closed.WaitFor(core_.mutex, left);
    }
  }
  TellAll(&HttpConnection::Cancel);
  MutexLock lock(core_.mutex);
  while (!core_.connections.empty()) core_.closed.Wait(core_.mutex);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& address, const HttpLimits& limits, Handler handler,
    TaskPool& codec, const Clock& clock, prometheus::Registry& registry,
    Watched watched) {
  auto server = std::make_unique<BeastServer>(
      limits, std::move(handler), std::move(watched), codec, clock, registry);
  if (absl::Status status = server->Listen(address); !status.ok()) {
    return status;
  }
  return server;
}

}  // namespace vigie::server

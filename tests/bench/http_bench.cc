// What HTTP itself costs a remote write: requests of one size over kept
// connections, routed to a handler that looks at nothing. Prints the server's
// CPU (the process without the client threads) a request, and what that is a
// million samples at 2000 a request.
//
// Usage: http_bench [REQUESTS [BODY_BYTES [CONNECTIONS]]]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <prometheus/registry.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/task_pool.h"
#include "server/http_server.h"
#include "server/router.h"

namespace {

namespace server = vigie::server;

constexpr double kSamplesARequest = 2'000;

double CpuSeconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec);
}

// Sends `count` requests one after the other; returns the thread's own CPU.
double Play(int port, int count, const std::string& body) {
  const double before = CpuSeconds(CLOCK_THREAD_CPUTIME_ID);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  VIGIE_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address),
                        sizeof(address)) == 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::string request =
      "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
      "X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  std::string answer(4096, '\0');
  for (int i = 0; i < count; ++i) {
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t n =
          ::send(fd, request.data() + sent, request.size() - sent, 0);
      VIGIE_CHECK(n > 0);
      sent += static_cast<size_t>(n);
    }
    // A 204 has no body, so it ends with its head.
    for (size_t have = 0;;) {
      const ssize_t n =
          ::recv(fd, answer.data() + have, answer.size() - have, 0);
      VIGIE_CHECK(n > 0);
      have += static_cast<size_t>(n);
      if (std::string_view(answer.data(), have).ends_with("\r\n\r\n")) break;
    }
  }
  ::close(fd);
  return CpuSeconds(CLOCK_THREAD_CPUTIME_ID) - before;
}

}  // namespace

int main(int argc, char** argv) {
  const int requests = argc > 1 ? std::atoi(argv[1]) : 20'000;
  const std::string body(argc > 2 ? std::atoi(argv[2]) : 56'000, 'x');
  const int connections = argc > 3 ? std::atoi(argv[3]) : 4;

  const vigie::SystemClock clock;
  prometheus::Registry registry;
  vigie::TaskPool codec(2, 2'000);
  vigie::TaskPool queries(1, 1);
  server::Router router(codec, queries, clock, registry);
  std::atomic<uint64_t> bytes = 0;
  router.Add({.methods = {"POST"},
              .path = "/api/v1/write",
              .name = "/api/v1/write",
              .place = server::Place::kDecode,
              .cancellable = false},
             [&](server::HttpRequest request, server::Responder responder) {
               bytes += request.body.size();
               responder.Answer({.status = 204});
             });
  router.SetReady(true);
  auto started = server::HttpServer::Start(
      "127.0.0.1:0", {},
      [&](server::HttpRequest request, server::Responder responder) {
        router.Handle(std::move(request), std::move(responder));
      },
      codec, clock, registry,
      [&](const server::HttpRequest& request) {
        return router.IsCancellable(request);
      });
  VIGIE_CHECK(started.ok());
  const std::string& address = (*started)->address();
  const int port = std::atoi(address.c_str() + address.rfind(':') + 1);

  const double before = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<double> client_cpu(static_cast<size_t>(connections));
  {
    std::vector<std::jthread> clients;
    for (double& cpu : client_cpu) {
      clients.emplace_back(
          [&] { cpu = Play(port, requests / connections, body); });
    }
  }
  const std::chrono::duration<double> wall =
      std::chrono::steady_clock::now() - begin;
  double cpu = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - before;
  for (const double client : client_cpu) cpu -= client;
  const int sent = requests / connections * connections;
  VIGIE_CHECK(bytes == static_cast<uint64_t>(sent) * body.size());
  std::printf(
      "%d requests of %zu bytes, %d connections: %.1f us CPU a request "
      "(%.4f CPU-s/M samples), %.0f requests/s\n",
      sent, body.size(), connections, 1e6 * cpu / sent,
      1e6 * cpu / sent / kSamplesARequest, sent / wall.count());
  return 0;
}

// SmtpStub: a mail server on a port of its own that answers what a test tells
// it to, for servers that refuse, lie, stop or never answer. No TLS.
// The answer function runs on a thread per connection.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace vigie::testing {

class SmtpStub {
 public:
  // Returned instead of an answer: the connection is closed.
  static constexpr std::string_view kClose = "close";

  // Called with "" on connection, with each line of the client, and with "."
  // once the data have ended. What it returns is sent as it is; "" is nothing.
  using Answer = std::function<std::string(const std::string& line)>;

  explicit SmtpStub(Answer answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address),
                      &size) != 0) {
      std::perror("smtp_stub");
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }

  ~SmtpStub() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  SmtpStub(const SmtpStub&) = delete;
  SmtpStub& operator=(const SmtpStub&) = delete;

  int port() const { return port_; }
  std::vector<std::string> lines() const {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  // The data of each message, as they came over the wire.
  std::vector<std::string> messages() const {
    std::lock_guard lock(mutex_);
    return messages_;
  }

  // What a server without faults says.
  static std::string Polite(const std::string& line) {
    if (line.empty()) return "220 stub\r\n";
    if (line.starts_with("EHLO")) return "250-stub\r\n250 8BITMIME\r\n";
    if (line == "DATA") return "354 go on\r\n";
    if (line == "QUIT") return "221 bye\r\n";
    return "250 2.0.0 ok\r\n";
  }

 private:
  void Accept() {
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      std::lock_guard lock(mutex_);
      if (closing_) {
        ::close(fd);
        return;
      }
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    std::string buffer, line;
    bool going_on = Say(fd, "");
    while (going_on && ReadUntil(fd, "\r\n", &buffer, &line)) {
      going_on = Say(fd, line);
      if (!going_on || line != "DATA" || !in_data_) continue;
      std::string message;
      if (!ReadUntil(fd, "\r\n.\r\n", &buffer, &message)) break;
      {
        std::lock_guard lock(mutex_);
        messages_.push_back(message + "\r\n");
      }
      going_on = Say(fd, ".");
    }
    std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
  }

  bool Say(int fd, const std::string& line) {
    const std::string answer = answer_(line);
    in_data_ = answer.starts_with("354");
    {
      std::lock_guard lock(mutex_);
      lines_.push_back(line);
    }
    if (answer == kClose) return false;
    std::string_view rest = answer;
    while (!rest.empty()) {
      const ssize_t n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      rest.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  static bool ReadUntil(int fd, std::string_view end, std::string* buffer,
                        std::string* out) {
    size_t at;
    while ((at = buffer->find(end)) == std::string::npos) {
      char bytes[16 << 10];
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) return false;
      buffer->append(bytes, static_cast<size_t>(n));
    }
    *out = buffer->substr(0, at);
    buffer->erase(0, at + end.size());
    return true;
  }

  const Answer answer_;
  int listener_ = -1;
  int port_ = 0;
  static thread_local inline bool in_data_ = false;
  mutable std::mutex mutex_;  // guards everything below
  bool closing_ = false;
  std::vector<int> open_;
  std::vector<std::string> lines_;
  std::vector<std::string> messages_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace vigie::testing

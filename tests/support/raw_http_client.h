// A client that sends exactly the bytes it is told to, for hostile requests.
// Reads give up after ten seconds, so that a server that hangs fails a test.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace vigie::testing {

struct RawReply {
  int status = 0;  // 0: the connection ended before a whole answer came
  std::map<std::string, std::string> headers;  // names as sent
  std::string body;                            // chunks put together
};

class RawHttpClient {
 public:
  // `address` is "127.0.0.1:port".
  explicit RawHttpClient(const std::string& address) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    const size_t colon = address.rfind(':');
    to.sin_port =
        htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    connected_ =
        ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    timeval patience{.tv_sec = 10, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawHttpClient() { Close(); }
  RawHttpClient(RawHttpClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        held_(std::move(other.held_)) {}

  bool connected() const { return connected_; }

  // False once the server has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent =
          ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // The next answer; without a body if `head_only`.
  RawReply Receive(bool head_only = false) {
    RawReply reply;
    std::string line;
    if (!Line(&line) || line.size() < 12) return reply;
    const int status = std::atoi(line.c_str() + 9);
    while (Line(&line) && !line.empty()) {
      const size_t colon = line.find(": ");
      if (colon == std::string::npos) return reply;
      reply.headers[line.substr(0, colon)] = line.substr(colon + 2);
    }
    bool whole = true;
    if (head_only || status == 204 || status == 100) {
    } else if (reply.headers.contains("Content-Length")) {
      whole = Bytes(
          std::strtoull(reply.headers["Content-Length"].c_str(), nullptr, 10),
          &reply.body);
    } else if (reply.headers.contains("Transfer-Encoding")) {
      whole = Chunks(&reply.body);
    } else {
      reply.body = std::exchange(held_, {}) + ToEnd();
    }
    if (whole) reply.status = status;
    return reply;
  }

  RawReply Ask(std::string_view request, bool head_only = false) {
    Send(request);
    return Receive(head_only);
  }
  RawReply Get(const std::string& target, const std::string& headers = "") {
    return Ask("GET " + target + " HTTP/1.1\r\nHost: test\r\n" + headers +
               "\r\n");
  }
  RawReply PostForm(const std::string& target, const std::string& body,
                    const std::string& headers = "") {
    return Ask("POST " + target +
               " HTTP/1.1\r\nHost: test\r\nContent-Type: "
               "application/x-www-form-urlencoded\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body);
  }

  // What comes until the server closes.
  std::string ToEnd() {
    std::string rest = std::exchange(held_, {});
    while (More()) rest += std::exchange(held_, {});
    return rest;
  }
  // True if the server closes, or has, without sending anything more.
  bool AwaitEnd() { return ToEnd().empty() && ended_; }

 private:
  bool More() {
    char buffer[16 << 10];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) {
      ended_ = got == 0 || errno == ECONNRESET;
      return false;
    }
    held_.append(buffer, static_cast<size_t>(got));
    return true;
  }
  bool Line(std::string* line) {
    size_t end;
    while ((end = held_.find("\r\n")) == std::string::npos) {
      if (!More()) return false;
    }
    *line = held_.substr(0, end);
    held_.erase(0, end + 2);
    return true;
  }
  bool Bytes(size_t count, std::string* out) {
    while (held_.size() < count) {
      if (!More()) return false;
    }
    *out += held_.substr(0, count);
    held_.erase(0, count);
    return true;
  }
  bool Chunks(std::string* out) {
    while (true) {
      std::string line, end;
      if (!Line(&line)) return false;
      const size_t size = std::strtoull(line.c_str(), nullptr, 16);
      if (!Bytes(size, out) || !Line(&end) || !end.empty()) return false;
      if (size == 0) return true;
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string held_;
};

}  // namespace vigie::testing

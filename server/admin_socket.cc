#include "server/admin_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::server {
namespace {

using nlohmann::json;

// A client that takes nothing of an answer for so long is given up.
constexpr time_t kSendSecondsMax = 60;
constexpr size_t kReadBytes = 64 << 10;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status SocketError(std::string_view path, int cause) {
  return absl::UnavailableError(
      fmt::format("{}: {}", path, std::strerror(cause)));
}

// The address of `path`. A path longer than an address holds is named through
// a descriptor of its directory, which must then live as long as the address
// is used.
struct Address {
  sockaddr_un bytes = {};
  Descriptor directory;
};

absl::StatusOr<Address> AddressOf(const std::string& path) {
  Address address;
  address.bytes.sun_family = AF_UNIX;
  std::string name = path;
  if (name.size() >= sizeof(address.bytes.sun_path)) {
    const std::filesystem::path whole(path);
    const std::string parent = whole.parent_path().string();
    address.directory =
        Descriptor(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!address.directory) return SocketError(parent, errno);
    name = fmt::format("/proc/self/fd/{}/{}", address.directory.get(),
                       whole.filename().string());
  }
  if (name.size() >= sizeof(address.bytes.sun_path)) {
    return SocketError(path, ENAMETOOLONG);
  }
  std::memcpy(address.bytes.sun_path, name.c_str(), name.size() + 1);
  return address;
}

// An error carries errno in its message only; `*cause` has it too.
absl::StatusOr<Descriptor> ConnectTo(const std::string& path, int* cause) {
  *cause = 0;
  VIGIE_ASSIGN_OR_RETURN(const Address address, AddressOf(path));
  Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.bytes),
                sizeof(address.bytes)) != 0) {
    *cause = errno;
    return SocketError(path, *cause);
  }
  return fd;
}

absl::Status SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      return absl::CancelledError(
          fmt::format("the client has left: {}", std::strerror(errno)));
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

std::string Line(const json& event) {
  return event.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

// Reads lines; waits for `wake` too, which then ends the reading.
class LineReader {
 public:
  LineReader(int fd, int wake) : fd_(fd), wake_(wake) {}

  // Without its end. kUnavailable at the end of the stream, kCancelled once
  // `wake` is readable, kOutOfRange for a line over `bytes_max`.
  absl::StatusOr<std::string> Next(size_t bytes_max) {
    size_t scanned = 0;
    while (true) {
      const size_t end = buffer_.find('\n', scanned);
      if (end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      scanned = buffer_.size();
      if (scanned > bytes_max) {
        return absl::OutOfRangeError(
            fmt::format("a line of more than {} bytes", bytes_max));
      }
      pollfd fds[2] = {{fd_, POLLIN, 0}, {wake_, POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0) {
        if (errno == EINTR) continue;
        return absl::UnavailableError(std::strerror(errno));
      }
      if (fds[1].revents != 0) return absl::CancelledError("stopped");
      buffer_.resize(scanned + kReadBytes);
      const ssize_t got =
          ::recv(fd_, buffer_.data() + scanned, kReadBytes, MSG_DONTWAIT);
      buffer_.resize(scanned + static_cast<size_t>(std::max<ssize_t>(got, 0)));
      if (got == 0) return absl::UnavailableError("the other end has closed");
      if (got < 0 && errno != EAGAIN && errno != EINTR) {
        return absl::UnavailableError(std::strerror(errno));
      }
    }
  }

 private:
  const int fd_;
  const int wake_;
  std::string buffer_;
};

void Wake(int event_fd) {
  const uint64_t one = 1;
  // Fails only where it is awake already.
  [[maybe_unused]] const ssize_t ignored = ::write(event_fd, &one, sizeof(one));
}

class SocketSink final : public OperationSink {
 public:
  explicit SocketSink(int fd) : fd_(fd) {}
  void OnProgress(std::string_view what, uint64_t done, uint64_t total,
                  std::string_view unit) override {
    Send({{"event", "progress"},
          {"what", what},
          {"done", done},
          {"total", total},
          {"unit", unit}});
  }
  void OnWarning(std::string_view text) override {
    Send({{"event", "warning"}, {"text", text}});
  }
  absl::Status OnData(std::string_view text) override {
    return SendAll(fd_, Line({{"event", "data"}, {"text", text}}));
  }

 private:
  // Whoever has left is noticed by the watcher.
  void Send(const json& event) { SendAll(fd_, Line(event)).IgnoreError(); }
  const int fd_;
};

class UnixAdminSocket final : public AdminSocket {
 public:
  UnixAdminSocket(std::string path, store::Store& store)
      : path_(std::move(path)), store_(store) {}

  ~UnixAdminSocket() override {
    watcher_.request_stop();
    if (wake_) Wake(wake_.get());
    if (watcher_.joinable()) watcher_.join();
    if (listening_) {
      std::error_code ignored;
      std::filesystem::remove(path_, ignored);
    }
  }

  absl::Status Listen();

 private:
  struct Client {
    Descriptor fd;
    Descriptor wake;  // readable once the operation is to stop
    std::stop_source stop;
    bool ended = false;  // guarded by mutex_
    std::jthread thread;
  };

  void Watch(const std::stop_token& stop);
  void Accept();
  void Reap();
  void Serve(Client* client);

  const std::string path_;
  store::Store& store_;
  Descriptor listening_;
  Descriptor wake_;  // readable when the watcher must look again
  Mutex mutex_;
  std::list<Client> clients_;  // of the watcher alone
  std::jthread watcher_;
};

absl::Status UnixAdminSocket::Listen() {
  int cause = 0;
  if (ConnectTo(path_, &cause).ok()) {
    return absl::UnavailableError(
        fmt::format("{}: another server answers there", path_));
  }
  if (cause == ECONNREFUSED) ::unlink(path_.c_str());
  VIGIE_ASSIGN_OR_RETURN(const Address address, AddressOf(path_));
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Descriptor fd(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!wake_ || !fd) return SocketError(path_, errno);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.bytes),
             sizeof(address.bytes)) != 0) {
    return SocketError(path_, errno);
  }
  // Nobody can connect before listen.
  if (::chmod(path_.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      ::listen(fd.get(), static_cast<int>(kOperationsMax)) != 0) {
    const int error = errno;
    ::unlink(path_.c_str());
    return SocketError(path_, error);
  }
  listening_ = std::move(fd);
  watcher_ = std::jthread([this](const std::stop_token& stop) { Watch(stop); });
  return absl::OkStatus();
}

void UnixAdminSocket::Watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> fds = {{listening_.get(), POLLIN, 0},
                               {wake_.get(), POLLIN, 0}};
    // Both ends of the lists grow alike: only this thread changes clients_.
    for (const Client& client : clients_) {
      const bool left = client.stop.stop_requested();
      fds.push_back({left ? -1 : client.fd.get(), POLLRDHUP, 0});
    }
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
    uint64_t count;
    [[maybe_unused]] const ssize_t ignored =
        ::read(wake_.get(), &count, sizeof(count));
    size_t i = 2;
    for (Client& client : clients_) {
      if (fds[i++].revents == 0) continue;
      client.stop.request_stop();
      Wake(client.wake.get());
    }
    Reap();
    if (fds[0].revents != 0) Accept();
  }
  for (Client& client : clients_) {
    client.stop.request_stop();
    Wake(client.wake.get());
  }
  clients_.clear();  // joins
}

void UnixAdminSocket::Reap() {
  for (auto it = clients_.begin(); it != clients_.end();) {
    bool ended = false;
    {
      MutexLock lock(mutex_);
      ended = it->ended;
    }
    it = ended ? clients_.erase(it) : std::next(it);
  }
}

void UnixAdminSocket::Accept() {
  Descriptor fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return;  // it has left already
  const timeval patience = {kSendSecondsMax, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  Descriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake || static_cast<int64_t>(clients_.size()) >= kOperationsMax) {
    SendAll(
        fd.get(),
        Line({{"event", "error"},
              {"code", static_cast<int>(absl::StatusCode::kResourceExhausted)},
              {"message",
               fmt::format("{} operations run already", clients_.size())}}))
        .IgnoreError();
    return;
  }
  Client& client = clients_.emplace_back();
  client.fd = std::move(fd);
  client.wake = std::move(wake);
  client.thread = std::jthread([this, raw = &client] { Serve(raw); });
}

void UnixAdminSocket::Serve(Client* client) {
  LineReader reader(client->fd.get(), client->wake.get());
  const absl::StatusOr<std::string> line = reader.Next(kOperationBytesMax);
  const auto run = [&]() -> absl::StatusOr<std::string> {
    VIGIE_RETURN_IF_ERROR(line.status());
    VIGIE_ASSIGN_OR_RETURN(const OperationRequest request,
                           DecodeOperation(*line));
    spdlog::info("admin: {}", *line);
    SocketSink sink(client->fd.get());
    return RunOperation(store_, request, sink, client->stop.get_token());
  };
  const absl::StatusOr<std::string> result = run();
  json event;
  if (result.ok()) {
    event = {{"event", "result"},
             {"result", json::parse(*result, nullptr, false)}};
  } else {
    spdlog::warn("admin: {}", MessageOf(result.status()));
    event = {{"event", "error"},
             {"code", static_cast<int>(result.status().code())},
             {"message", MessageOf(result.status())}};
  }
  SendAll(client->fd.get(), Line(event)).IgnoreError();
  ::shutdown(client->fd.get(), SHUT_RDWR);
  MutexLock lock(mutex_);
  client->ended = true;
  Wake(wake_.get());
}

// One event of the server; a value once it is the last.
absl::StatusOr<std::optional<std::string>> Take(const std::string& line,
                                                OperationSink& sink) {
  const json event = json::parse(line, nullptr, false);
  const auto text = [&](const char* name) {
    return event.contains(name) && event[name].is_string()
               ? event[name].get<std::string>()
               : std::string();
  };
  const auto number = [&](const char* name) {
    return event.contains(name) && event[name].is_number_unsigned()
               ? event[name].get<uint64_t>()
               : 0;
  };
  const std::string kind = event.is_object() ? text("event") : "";
  if (kind == "progress") {
    sink.OnProgress(text("what"), number("done"), number("total"),
                    text("unit"));
  } else if (kind == "warning") {
    sink.OnWarning(text("text"));
  } else if (kind == "data") {
    VIGIE_RETURN_IF_ERROR(sink.OnData(text("text")));
  } else if (kind == "result" && event.contains("result")) {
    return event["result"].dump();
  } else if (kind == "error") {
    return absl::Status(static_cast<absl::StatusCode>(number("code")),
                        ToAbsl(text("message")));
  } else {
    return absl::InternalError(
        fmt::format("the server sent what is no event: {}", line));
  }
  return std::nullopt;
}

class UnixAdminConnection final : public AdminConnection {
 public:
  explicit UnixAdminConnection(Descriptor fd) : fd_(std::move(fd)) {}

  absl::StatusOr<std::string> Ask(const OperationRequest& request,
                                  OperationSink& sink,
                                  std::stop_token stop) override {
    const Descriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) return SocketError("eventfd", errno);
    const std::stop_callback on_stop(stop, [&] { Wake(wake.get()); });
    VIGIE_RETURN_IF_ERROR(SendAll(fd_.get(), EncodeOperation(request) + "\n"));
    LineReader reader(fd_.get(), wake.get());
    while (true) {
      const absl::StatusOr<std::string> line = reader.Next(SIZE_MAX);
      if (absl::IsCancelled(line.status())) return line.status();
      if (!line.ok()) {
        return absl::UnavailableError(fmt::format(
            "the server ended in between: {}", MessageOf(line.status())));
      }
      VIGIE_ASSIGN_OR_RETURN(std::optional<std::string> result,
                             Take(*line, sink));
      if (result) return *std::move(result);
    }
  }

 private:
  const Descriptor fd_;
};

}  // namespace

std::string AdminSocketPath(const std::string& data_directory) {
  return data_directory + "/admin.sock";
}

absl::StatusOr<std::unique_ptr<AdminSocket>> AdminSocket::Start(
    const std::string& path, store::Store& store) {
  auto socket = std::make_unique<UnixAdminSocket>(path, store);
  VIGIE_RETURN_IF_ERROR(socket->Listen());
  return socket;
}

absl::StatusOr<std::unique_ptr<AdminConnection>> AdminConnection::Connect(
    const std::string& path) {
  int cause = 0;
  absl::StatusOr<Descriptor> fd = ConnectTo(path, &cause);
  if (cause == ENOENT || cause == ECONNREFUSED) {
    return absl::NotFoundError(fmt::format("{}: no server answers", path));
  }
  VIGIE_RETURN_IF_ERROR(fd.status());
  return std::make_unique<UnixAdminConnection>(*std::move(fd));
}

}  // namespace vigie::server

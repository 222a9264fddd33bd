// What passes between the HTTP core, which knows sockets, and the handlers,
// which know vigie: a request read whole, an answer that may come later and
// in pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace vigie::server {

// An answer longer than this is made and sent in pieces of about this size.
inline constexpr size_t kPieceBytes = 64 << 10;

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // without query; still percent-encoded
  std::string query;   // what follows '?', still encoded
  HeaderList headers;  // names in lower case, in the order sent
  std::string body = {};
  std::string path_argument;  // set by the router: the {} segment, decoded
  int64_t arrival_ns = 0;     // Clock::MonotonicNs() when the head was read
  // Requested when the client has left or the server ends.
  std::stop_token stop;

  // The first header of that name (lower case), or "".
  std::string_view Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

// The rest of a long answer, made on demand so that it is never in memory as a
// whole. Used by one thread at a time, but not always the same one.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // Appends the next piece, about kPieceBytes. False: that was the last.
  virtual bool Next(std::string* out) = 0;
};

struct HttpAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  HeaderList headers = {};
  std::string body = {};
  // What follows `body`, if anything.
  std::unique_ptr<BodySource> rest = nullptr;
};

// Takes the one answer to a request, on any thread. Dropped without an answer
// it says 500 itself, so that no client waits for ever.
class Responder {
 public:
  using Done = absl::AnyInvocable<void(HttpAnswer) &&>;
  explicit Responder(Done done) : done_(std::move(done)) {}
  Responder(Responder&& other) noexcept
      : done_(std::exchange(other.done_, nullptr)) {}
  Responder& operator=(Responder&&) = delete;
  ~Responder() {
    if (done_) {
      std::exchange(done_, nullptr)(
          HttpAnswer{.status = 500, .body = "no answer was made\n"});
    }
  }

  void Answer(HttpAnswer answer) {
    std::exchange(done_, nullptr)(std::move(answer));
  }

 private:
  Done done_;
};

}  // namespace vigie::server

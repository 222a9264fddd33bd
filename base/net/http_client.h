// A blocking HTTP client on libcurl, for scraping and for webhooks.
// Thread-safe; each call uses a handle of its own from a pool, so connections
// to the same host are kept.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace vigie::net {

struct HttpRequest {
  std::string method = "GET";
  std::string url = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  absl::Duration timeout = absl::Seconds(10);
  int64_t response_bytes_max = 64 << 20;  // after decompression
  bool accept_gzip = true;
  int redirects_max = 10;       // credentials do not follow to another host
  bool path_is_secret = false;  // errors then name the host only
  // A longer body is cut there, and so is the connection; no error.
  bool cut_long_body = false;
};

struct HttpResponse {
  int status = 0;  // whatever the server answered; 404 is no error here
  std::string content_type;
  std::string body;
  int64_t retry_after_s = 0;  // 0: the header was absent
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // kDeadlineExceeded after `timeout`, kCancelled once `stop` is requested,
  // kOutOfRange for a longer body, kInvalidArgument for a malformed URL,
  // kUnavailable for anything the network does.
  absl::StatusOr<HttpResponse> Do(const HttpRequest& request,
                                  std::stop_token stop);

 private:
  struct Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace vigie::net

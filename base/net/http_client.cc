#include "base/net/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <list>
#include <mutex>
#include <string_view>
#include <system_error>

#include "base/check.h"
#include "base/duration.h"
#include "base/mutex.h"
#include "base/status_macros.h"

namespace vigie::net {
namespace {

// Connections kept when nobody uses them; the one longest idle goes first.
constexpr size_t kIdleMax = 256;
// How long the wait for the network may be deaf to a missed wake-up.
constexpr int kPollMs = 1000;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string UrlPart(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  std::string out = text;
  curl_free(text);
  return out;
}

struct ParsedUrl {
  std::string origin;   // scheme://host:port, by which connections are kept
  std::string display;  // for messages: no user, password, query or fragment
};

absl::StatusOr<ParsedUrl> ParseUrl(const HttpRequest& request) {
  // The text itself stays out of the message: it may hold a password.
  const auto malformed = [](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("malformed URL: {}", why));
  };
  std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  VIGIE_CHECK(url != nullptr);
  const CURLUcode code = curl_url_set(
      url.get(), CURLUPART_URL, request.url.c_str(), CURLU_NON_SUPPORT_SCHEME);
  if (code != CURLUE_OK) return malformed(curl_url_strerror(code));
  const std::string scheme = UrlPart(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return malformed(fmt::format("scheme \"{}\" is not http or https", scheme));
  }
  ParsedUrl out;
  out.origin =
      fmt::format("{}://{}", scheme, UrlPart(url.get(), CURLUPART_HOST));
  if (const std::string port = UrlPart(url.get(), CURLUPART_PORT);
      !port.empty()) {
    out.origin += ":" + port;
  }
  out.display = out.origin;
  if (!request.path_is_secret)
    out.display += UrlPart(url.get(), CURLUPART_PATH);
  return out;
}

bool IsToken(std::string_view s) {
  return !s.empty() && std::all_of(s.begin(), s.end(), [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) !=
               std::string_view::npos;
  });
}

// What the callback of a running transfer sees.
struct Transfer {
  std::string body = {};
  int64_t bytes_max = 0;
  bool too_long = false;
};

size_t TakeBody(char* bytes, size_t, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  // curl calls this after decompression, in pieces of at most 16 KiB.
  const auto held = static_cast<int64_t>(transfer->body.size());
  if (static_cast<int64_t>(count) > transfer->bytes_max - held) {
    transfer->body.append(bytes,
                          static_cast<size_t>(transfer->bytes_max - held));
    transfer->too_long = true;
    return 0;
  }
  transfer->body.append(bytes, count);
  return count;
}

absl::StatusOr<std::unique_ptr<curl_slist, FreeList>> HeaderList(
    const HttpRequest& request) {
  std::unique_ptr<curl_slist, FreeList> list;
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    VIGIE_CHECK(longer != nullptr);
    list.release();
    list.reset(longer);
  };
  // curl asks before it sends a long body, and waits a second for an answer
  // that many servers do not give.
  add("Expect:");
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name) || value.find_first_of(std::string_view("\r\n\0", 3)) !=
                              std::string::npos) {
      return absl::InvalidArgumentError(
          fmt::format("malformed header \"{}\"", IsToken(name) ? name : "?"));
    }
    add(value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  }
  return list;
}

}  // namespace

struct HttpClient::Pool {
  // A connection with what drives it. The multi handle owns the connection;
  // unlike an easy handle alone it can be woken from another thread.
  struct Slot {
    std::unique_ptr<CURLM, FreeMulti> multi{curl_multi_init()};
    std::unique_ptr<CURL, FreeEasy> easy{curl_easy_init()};
    std::string origin;
  };

  std::unique_ptr<Slot> Take(const std::string& origin) {
    {
      MutexLock lock(mutex);
      for (auto it = idle.rbegin(); it != idle.rend(); ++it) {
        if ((*it)->origin != origin) continue;
        std::unique_ptr<Slot> slot = std::move(*it);
        idle.erase(std::next(it).base());
        return slot;
      }
    }
    auto slot = std::make_unique<Slot>();
    VIGIE_CHECK(slot->multi != nullptr && slot->easy != nullptr);
    curl_multi_setopt(slot->multi.get(), CURLMOPT_MAXCONNECTS, 1L);
    slot->origin = origin;
    return slot;
  }

  void Return(std::unique_ptr<Slot> slot) {
    std::unique_ptr<Slot> oldest;  // closed outside the lock
    MutexLock lock(mutex);
    idle.push_back(std::move(slot));
    if (idle.size() > kIdleMax) {
      oldest = std::move(idle.front());
      idle.pop_front();
    }
  }

  Mutex mutex;
  std::list<std::unique_ptr<Slot>> idle ABSL_GUARDED_BY(mutex);  // oldest first
};

HttpClient::HttpClient() : pool_(std::make_unique<Pool>()) {
  static std::once_flag once;
  std::call_once(once, [] {
    VIGIE_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
  });
}

HttpClient::~HttpClient() = default;

namespace {

void SetOptions(CURL* easy, const HttpRequest& request,
                const curl_slist* headers, Transfer* transfer, char* error) {
  const auto set = [easy](CURLoption option, auto value) {
    VIGIE_CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  // Without it a cancelled call would wait for the resolver's thread.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  // What is fetched is what the configuration names, not the environment.
  set(CURLOPT_PROXY, "");
  set(CURLOPT_FOLLOWLOCATION, request.redirects_max > 0 ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(std::max(request.redirects_max, 0)));
  set(CURLOPT_UNRESTRICTED_AUTH, 0L);
  set(CURLOPT_TIMEOUT_MS,
      static_cast<long>(std::clamp<int64_t>(
          absl::ToInt64Milliseconds(request.timeout), 1, 86'400'000)));
  set(CURLOPT_USERAGENT, "vigie");
  set(CURLOPT_HTTPHEADER, headers);
  if (request.accept_gzip) set(CURLOPT_ACCEPT_ENCODING, "gzip");
  set(CURLOPT_WRITEFUNCTION, &TakeBody);
  set(CURLOPT_WRITEDATA, transfer);
  set(CURLOPT_ERRORBUFFER, error);
  if (!request.body.empty() || request.method == "POST") {
    set(CURLOPT_POSTFIELDS, request.body.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE,
        static_cast<curl_off_t>(request.body.size()));
  }
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "POST" &&
             (request.method != "GET" || !request.body.empty())) {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

absl::Status ErrorOf(CURLcode code, const char* detail, CURL* easy,
                     const HttpRequest& request, const ParsedUrl& url,
                     const Transfer& transfer) {
  const std::string what = fmt::format("{} {}", request.method, url.display);
  if (transfer.too_long) {
    return absl::OutOfRangeError(
        fmt::format("{}: the body is longer than {} bytes", what,
                    request.response_bytes_max));
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return absl::DeadlineExceededError(fmt::format(
        "{}: no complete answer within {}", what,
        FormatDurationMs(absl::ToInt64Milliseconds(request.timeout))));
  }
  // What the system said ("Connection refused") tells more than curl does.
  long system_error = 0;
  if (code == CURLE_COULDNT_CONNECT) {
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &system_error);
  }
  if (system_error != 0) {
    return absl::UnavailableError(fmt::format(
        "{}: {}", what,
        std::generic_category().message(static_cast<int>(system_error))));
  }
  return absl::UnavailableError(fmt::format(
      "{}: {}", what, *detail != '\0' ? detail : curl_easy_strerror(code)));
}

}  // namespace

absl::StatusOr<HttpResponse> HttpClient::Do(const HttpRequest& request,
                                            std::stop_token stop) {
  VIGIE_ASSIGN_OR_RETURN(const ParsedUrl url, ParseUrl(request));
  if (!IsToken(request.method)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: malformed method", url.display));
  }
  VIGIE_ASSIGN_OR_RETURN(const auto headers, HeaderList(request));

  std::unique_ptr<Pool::Slot> slot = pool_->Take(url.origin);
  CURL* easy = slot->easy.get();
  CURLM* multi = slot->multi.get();
  Transfer transfer{.bytes_max = request.response_bytes_max};
  char error[CURL_ERROR_SIZE] = "";
  SetOptions(easy, request, headers.get(), &transfer, error);
  VIGIE_CHECK(curl_multi_add_handle(multi, easy) == CURLM_OK);

  CURLMcode driven = CURLM_OK;
  {
    std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
    int running = 1;
    while (!stop.stop_requested()) {
      driven = curl_multi_perform(multi, &running);
      if (driven != CURLM_OK || running == 0) break;
      driven = curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr);
      if (driven != CURLM_OK) break;
    }
  }
  CURLcode result = CURLE_RECV_ERROR;
  bool finished = false;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    result = message->data.result;
    finished = true;
  }

  HttpResponse response;
  absl::Status failed;
  const bool cut = transfer.too_long && request.cut_long_body;
  if (finished && result != CURLE_OK && !cut) {
    failed = ErrorOf(result, error, easy, request, url, transfer);
  } else if (finished) {
    long status = 0;
    curl_off_t retry_after = 0;
    const char* content_type = nullptr;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &content_type);
    response.status = static_cast<int>(status);
    response.retry_after_s = retry_after;
    if (content_type != nullptr) response.content_type = content_type;
    response.body = std::move(transfer.body);
  }
  curl_multi_remove_handle(multi, easy);
  curl_easy_reset(easy);
  if (!finished) {
    if (driven != CURLM_OK) {
      return absl::InternalError(fmt::format("{} {}: {}", request.method,
                                             url.display,
                                             curl_multi_strerror(driven)));
    }
    return absl::CancelledError(
        fmt::format("{} {}: cancelled", request.method, url.display));
  }
  pool_->Return(std::move(slot));
  if (!failed.ok()) return failed;
  return response;
}

}  // namespace vigie::net

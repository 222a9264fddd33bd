#include "base/net/smtp_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <mutex>
#include <string_view>
#include <system_error>

#include "base/check.h"
#include "base/duration.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::net {
namespace {

// All that a server says in one session; more is an attack or a fault.
constexpr size_t kRepliesBytesMax = 64 << 10;
constexpr size_t kReplyTextMax = 512;
// RFC 5321, 4.5.3.1.3.
constexpr size_t kAddressBytesMax = 254;
// How long the wait for the network may be deaf to a missed wake-up.
constexpr int kPollMs = 1000;

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// The sockets, so that they can be ended from outside: curl waits for the
// answer to QUIT in a call that cannot be woken, and bounded by two minutes.
class Sockets {
 public:
  void Opened(int fd) {
    MutexLock lock(mutex_);
    open_.push_back(fd);
    if (ended_) ::shutdown(fd, SHUT_RDWR);
  }
  void Close(int fd) {
    MutexLock lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
  }
  // Nothing more is read: QUIT still goes out, its answer is not awaited.
  void StopReading() {
    MutexLock lock(mutex_);
    for (const int fd : open_) ::shutdown(fd, SHUT_RD);
  }
  void End() {
    MutexLock lock(mutex_);
    ended_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }

 private:
  Mutex mutex_;
  std::vector<int> open_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// What the callbacks of a running session see.
struct Session {
  const SmtpRequest* request = nullptr;
  Sockets sockets = {};
  size_t sent = 0;
  size_t reply_bytes = 0;
  bool too_long = false;
  bool authenticated = false;
  bool unauthenticated_data = false;
  bool leaving = false;  // QUIT is out: what is said now answers that
  int code = 0;          // of the last reply that is whole
  std::string text = {};
  std::string lines = {};  // of a reply that goes on
};

curl_socket_t OpenSocket(void* user, curlsocktype, curl_sockaddr* address) {
  const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC,
                          address->protocol);
  if (fd >= 0) static_cast<Session*>(user)->sockets.Opened(fd);
  return fd;
}

int CloseSocket(void* user, curl_socket_t fd) {
  static_cast<Session*>(user)->sockets.Close(fd);
  return 0;
}

size_t GiveMessage(char* out, size_t, size_t size, void* user) {
  auto* session = static_cast<Session*>(user);
  if (!session->request->username.empty() && !session->authenticated) {
    // curl goes on where a server offers no AUTH at all.
    session->unauthenticated_data = true;
    return CURL_READFUNC_ABORT;
  }
  const std::string& message = session->request->message;
  const size_t count = std::min(size, message.size() - session->sent);
  std::memcpy(out, message.data() + session->sent, count);
  session->sent += count;
  return count;
}

// curl gives every line of a reply to the callback for headers.
size_t TakeReplyLine(char* bytes, size_t, size_t size, void* user) {
  auto* session = static_cast<Session*>(user);
  if (session->leaving) return size;
  session->reply_bytes += size;
  if (session->reply_bytes > kRepliesBytesMax) {
    session->too_long = true;
    return 0;
  }
  std::string_view line(bytes, size);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) {
    line.remove_suffix(1);
  }
  if (line.size() < 3 ||
      !std::all_of(line.begin(), line.begin() + 3,
                   [](unsigned char c) { return std::isdigit(c); })) {
    return size;
  }
  if (!session->lines.empty()) session->lines += ' ';
  session->lines += line.substr(std::min<size_t>(4, line.size()));
  if (line.size() > 3 && line[3] == '-') return size;
  session->code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
  session->text = TruncatedUtf8(session->lines, kReplyTextMax);
  session->lines.clear();
  if (session->code == 235) session->authenticated = true;
  return size;
}

// After a refusal curl says QUIT and waits for the answer, minutes if it must.
int WatchForQuit(CURL*, curl_infotype type, char* bytes, size_t size,
                 void* user) {
  auto* session = static_cast<Session*>(user);
  if (type == CURLINFO_HEADER_OUT &&
      std::string_view(bytes, size).starts_with("QUIT")) {
    session->leaving = true;
    session->sockets.StopReading();
  }
  return 0;
}

size_t DropBody(char*, size_t, size_t size, void*) { return size; }

bool IsHostCharacter(unsigned char c) {
  return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == ':';
}

absl::Status CheckHost(std::string_view what, std::string_view host) {
  if (!host.empty() && host.size() <= 253 &&
      std::all_of(host.begin(), host.end(), IsHostCharacter)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format("malformed {}", what));
}

absl::Status CheckAddress(std::string_view address) {
  // Whatever ends a command or its argument; addresses beyond ASCII need an
  // extension that few servers have.
  const bool plain =
      std::all_of(address.begin(), address.end(), [](unsigned char c) {
        return c > ' ' && c < 0x7f && c != '<' && c != '>';
      });
  const size_t at = address.rfind('@');
  if (!plain || address.size() > kAddressBytesMax ||
      at == std::string_view::npos || at == 0 || at + 1 == address.size()) {
    return absl::InvalidArgumentError("malformed mail address");
  }
  return absl::OkStatus();
}

absl::Status Check(const SmtpRequest& request) {
  VIGIE_RETURN_IF_ERROR(CheckHost("host", request.host));
  if (!request.hello.empty()) {
    VIGIE_RETURN_IF_ERROR(CheckHost("name for EHLO", request.hello));
  }
  if (request.port < 1 || request.port > 65535) {
    return absl::InvalidArgumentError("malformed port");
  }
  for (const std::string* text :
       {&request.username, &request.password, &request.identity}) {
    if (text->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("user or password with a zero byte");
    }
  }
  VIGIE_RETURN_IF_ERROR(CheckAddress(request.from));
  if (request.to.empty()) return absl::InvalidArgumentError("no recipient");
  for (const std::string& address : request.to) {
    VIGIE_RETURN_IF_ERROR(CheckAddress(address));
  }
  return absl::OkStatus();
}

std::unique_ptr<curl_slist, FreeList> Recipients(const SmtpRequest& request) {
  std::unique_ptr<curl_slist, FreeList> list;
  for (const std::string& address : request.to) {
    curl_slist* longer = curl_slist_append(list.get(), address.c_str());
    VIGIE_CHECK(longer != nullptr);
    list.release();
    list.reset(longer);
  }
  return list;
}

void SetOptions(CURL* easy, const SmtpRequest& request,
                const curl_slist* recipients, Session* session, char* error) {
  const auto set = [easy](CURLoption option, auto value) {
    VIGIE_CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  };
  const bool implicit = request.tls == SmtpRequest::Tls::kImplicit;
  const std::string host = request.host.find(':') == std::string::npos
                               ? request.host
                               : "[" + request.host + "]";
  set(CURLOPT_URL, fmt::format("{}://{}:{}/{}", implicit ? "smtps" : "smtp",
                               host, request.port, request.hello)
                       .c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  // Without it a cancelled call would wait for the resolver's thread.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  set(CURLOPT_PROXY, "");
  const long timeout_ms = static_cast<long>(std::clamp<int64_t>(
      absl::ToInt64Milliseconds(request.timeout), 1, 86'400'000));
  set(CURLOPT_TIMEOUT_MS, timeout_ms);
  set(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
  if (request.tls != SmtpRequest::Tls::kNone) {
    set(CURLOPT_USE_SSL, static_cast<long>(CURLUSESSL_ALL));
  }
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, request.verify_certificate ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, request.verify_certificate ? 2L : 0L);
  if (!request.ca_file.empty()) {
    set(CURLOPT_CAINFO, request.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
  }
  if (!request.username.empty()) {
    set(CURLOPT_USERNAME, request.username.c_str());
    set(CURLOPT_PASSWORD, request.password.c_str());
    set(CURLOPT_LOGIN_OPTIONS, request.challenge_only
                                   ? "AUTH=CRAM-MD5"
                                   : "AUTH=CRAM-MD5;AUTH=PLAIN;AUTH=LOGIN");
    if (!request.identity.empty()) {
      set(CURLOPT_SASL_AUTHZID, request.identity.c_str());
    }
  }
  set(CURLOPT_MAIL_FROM, request.from.c_str());
  set(CURLOPT_MAIL_RCPT, recipients);
  set(CURLOPT_UPLOAD, 1L);
  set(CURLOPT_READFUNCTION, &GiveMessage);
  set(CURLOPT_READDATA, session);
  set(CURLOPT_WRITEFUNCTION, &DropBody);
  set(CURLOPT_HEADERFUNCTION, &TakeReplyLine);
  set(CURLOPT_HEADERDATA, session);
  set(CURLOPT_DEBUGFUNCTION, &WatchForQuit);
  set(CURLOPT_DEBUGDATA, session);
  set(CURLOPT_VERBOSE, 1L);
  set(CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  set(CURLOPT_OPENSOCKETDATA, session);
  set(CURLOPT_CLOSESOCKETFUNCTION, &CloseSocket);
  set(CURLOPT_CLOSESOCKETDATA, session);
  set(CURLOPT_ERRORBUFFER, error);
}

absl::Status ErrorOf(CURLcode code, const char* detail, CURL* easy,
                     const Session& session, const std::string& what) {
  const SmtpRequest& request = *session.request;
  if (session.too_long) {
    return absl::UnavailableError(fmt::format(
        "{}: replies longer than {} bytes", what, kRepliesBytesMax));
  }
  if (session.unauthenticated_data) {
    return absl::FailedPreconditionError(
        fmt::format("{}: the server offers no authentication", what));
  }
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(fmt::format(
          "{}: not done within {}", what,
          FormatDurationMs(absl::ToInt64Milliseconds(request.timeout))));
    case CURLE_USE_SSL_FAILED:
      return absl::FailedPreconditionError(
          fmt::format("{}: the server offers no STARTTLS", what));
    case CURLE_LOGIN_DENIED:
      return absl::FailedPreconditionError(
          fmt::format("{}: no authentication that both sides know", what));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
      return absl::FailedPreconditionError(
          fmt::format("{}: TLS: {}", what,
                      *detail != '\0' ? detail : curl_easy_strerror(code)));
    default:
      break;
  }
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

SmtpClient::SmtpClient() {
  static std::once_flag once;
  std::call_once(once, [] {
    VIGIE_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
  });
}

SmtpClient::~SmtpClient() = default;

absl::StatusOr<SmtpReply> SmtpClient::Send(const SmtpRequest& request,
                                           std::stop_token stop) {
  const std::string what =
      fmt::format("SMTP {}:{}", request.host, request.port);
  if (absl::Status valid = Check(request); !valid.ok()) {
    return Prefixed("SMTP", valid);  // the host may be what is malformed
  }
  const auto recipients = Recipients(request);
  char error[CURL_ERROR_SIZE] = "";
  Session session{.request = &request};
  // A connection of its own each time: messages are rare, and a new one sees
  // the server's present certificate and address. Destroyed before `session`.
  std::unique_ptr<CURLM, FreeMulti> multi(curl_multi_init());
  std::unique_ptr<CURL, FreeEasy> easy(curl_easy_init());
  VIGIE_CHECK(multi != nullptr && easy != nullptr);
  SetOptions(easy.get(), request, recipients.get(), &session, error);
  VIGIE_CHECK(curl_multi_add_handle(multi.get(), easy.get()) == CURLM_OK);

  CURLMcode driven = CURLM_OK;
  {
    std::stop_callback wake(stop, [&] {
      session.sockets.End();
      curl_multi_wakeup(multi.get());
    });
    int running = 1;
    while (!stop.stop_requested()) {
      driven = curl_multi_perform(multi.get(), &running);
      if (driven != CURLM_OK || running == 0) break;
      driven = curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr);
      if (driven != CURLM_OK) break;
    }
  }
  session.sockets.StopReading();
  CURLcode result = CURLE_RECV_ERROR;
  bool finished = false;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    result = message->data.result;
    finished = true;
  }
  absl::Status failed;
  if (finished && result != CURLE_OK && session.code < 400) {
    failed = ErrorOf(result, error, easy.get(), session, what);
  }
  curl_multi_remove_handle(multi.get(), easy.get());
  if (finished && (result == CURLE_OK || session.code >= 400)) {
    return SmtpReply{.code = session.code, .text = std::move(session.text)};
  }
  if (stop.stop_requested()) {
    return absl::CancelledError(fmt::format("{}: cancelled", what));
  }
  if (!finished) {
    return absl::InternalError(
        fmt::format("{}: {}", what, curl_multi_strerror(driven)));
  }
  return failed;
}

}  // namespace vigie::net

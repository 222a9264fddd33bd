// A blocking SMTP client on libcurl, for alerts by e-mail. It sends one
// finished message; what is in it is the caller's business.
// Source: RFC 5321, 3207 (STARTTLS), 4954 (AUTH).
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace vigie::net {

struct SmtpRequest {
  std::string host = {};
  int port = 587;
  enum class Tls : uint8_t { kNone, kStartTlsRequired, kImplicit };
  Tls tls = Tls::kStartTlsRequired;
  bool verify_certificate = true;
  std::string ca_file = {};   // "": the system's
  std::string hello = {};     // name given in EHLO; "": the host's
  std::string username = {};  // "": no authentication
  std::string password = {};
  std::string identity = {};    // to act as, with PLAIN; "": the user
  bool challenge_only = false;  // CRAM-MD5 or nothing: no password is sent
  std::string from = {};        // envelope addresses, no names
  std::vector<std::string> to = {};
  std::string message = {};  // RFC 5322, CRLF line ends
  absl::Duration timeout = absl::Seconds(30);
};

struct SmtpReply {
  int code = 0;  // the server's last one, 250 if it took the message
  std::string text;
};

class SmtpClient {
 public:
  SmtpClient();
  ~SmtpClient();
  SmtpClient(const SmtpClient&) = delete;
  SmtpClient& operator=(const SmtpClient&) = delete;

  // OK once the server has answered 250 to the end of the data. An answer of
  // 4xx or 5xx comes back as a reply with that code. kDeadlineExceeded,
  // kCancelled; kUnavailable for the network; kFailedPrecondition if TLS or
  // authentication cannot be had: the message is not sent then.
  // kInvalidArgument for an address or host that could smuggle a command.
  // Replies are the server's words: they may repeat what it was sent.
  absl::StatusOr<SmtpReply> Send(const SmtpRequest& request,
                                 std::stop_token stop);
};

}  // namespace vigie::net

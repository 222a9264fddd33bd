#include "alerting/receivers/http_post.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "alerting/receivers/message_text.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

constexpr int64_t kSecretBytesMax = 64 << 10;
constexpr int64_t kAnswerBytesMax = 16 << 10;
constexpr size_t kAnswerCharactersMax = 200;
// Shorter parts of a URL are words; tokens are longer. Slack's has 24.
constexpr size_t kTokenBytesMin = 16;

// What of a URL must not be repeated: all of it, its password, its path with
// the query, and each part that looks like a token.
std::vector<std::string> SecretsOf(const std::string& url) {
  std::vector<std::string> out = {url};
  const size_t host = url.find("://") + 3;
  const size_t path = std::min(url.find_first_of("/?#", host), url.size());
  const size_t at = url.substr(0, path).rfind('@');
  if (at != std::string::npos && at > host) {
    const std::string user = url.substr(host, at - host);
    out.push_back(user);
    out.push_back(user.substr(std::min(user.find(':') + 1, user.size())));
  }
  const std::string rest = url.substr(path);
  if (rest.size() > 1) out.push_back(rest);
  for (size_t begin = 0; begin < rest.size();) {
    const size_t end =
        std::min(rest.find_first_of("/?#&=", begin), rest.size());
    if (end - begin >= kTokenBytesMin) {
      out.push_back(rest.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return out;
}

absl::StatusOr<std::string> AuthorizationHeader(
    const HttpAuthorization& authorization, std::vector<std::string>* secrets) {
  VIGIE_ASSIGN_OR_RETURN(const std::string secret, authorization.secret.Read());
  secrets->push_back(secret);
  std::string header = secret;
  if (authorization.type == "Basic") {
    VIGIE_ASSIGN_OR_RETURN(const std::string user,
                           authorization.username.Read());
    header = absl::Base64Escape(fmt::format("{}:{}", user, secret));
    secrets->push_back(header);
  }
  return fmt::format("{} {}", authorization.type, header);
}

struct Prepared {
  net::HttpRequest request;
  std::vector<std::string> secrets;
};

absl::StatusOr<Prepared> Prepare(const HttpTarget& target,
                                 const std::string& id, std::string body) {
  VIGIE_ASSIGN_OR_RETURN(const std::string url, target.url.Read());
  if (absl::Status valid = CheckHttpUrl(url); !valid.ok()) {
    return target.url.file.empty() ? valid : Prefixed(target.url.file, valid);
  }
  Prepared out{.request = {.method = "POST",
                           .url = url,
                           .headers = {{"Content-Type", "application/json"},
                                       {"Idempotency-Key", id}},
                           .body = std::move(body),
                           .timeout = target.timeout,
                           .response_bytes_max = kAnswerBytesMax,
                           .redirects_max = 0,
                           .path_is_secret = true,
                           .cut_long_body = true},
               .secrets = SecretsOf(url)};
  if (target.authorization) {
    VIGIE_ASSIGN_OR_RETURN(
        std::string header,
        AuthorizationHeader(*target.authorization, &out.secrets));
    out.request.headers.emplace_back("Authorization", std::move(header));
  }
  return out;
}

void Replace(std::string* text, const std::string& what) {
  constexpr std::string_view kMark = "<secret>";
  for (size_t at = text->find(what); at != std::string::npos;
       at = text->find(what, at + kMark.size())) {
    text->replace(at, what.size(), kMark);
  }
}

DeliveryOutcome OutcomeOf(const net::HttpResponse& response,
                          const std::vector<std::string>& secrets) {
  const int status = response.status;
  DeliveryOutcome out;
  out.answer = fmt::to_string(status);
  if (status >= 200 && status < 300) return out;
  const std::string said = SafeAnswer(response.body, secrets);
  if (!said.empty()) out.answer += " " + said;
  out.temporary = status == 408 || status == 429 || status >= 500;
  if (out.temporary) out.retry_after = absl::Seconds(response.retry_after_s);
  const std::string text =
      status >= 300 && status < 400
          ? fmt::format("answered {}: redirects are not followed", status)
          : "answered " + out.answer;
  out.status = out.temporary ? absl::UnavailableError(text)
                             : absl::FailedPreconditionError(text);
  return out;
}

}  // namespace

absl::StatusOr<std::string> SecretText::Read() const {
  if (file.empty()) return value.Reveal();
  std::ifstream in(file, std::ios::binary);
  std::string text(kSecretBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || in.gcount() == 0 || in.gcount() > kSecretBytesMax) {
    return absl::UnavailableError(fmt::format("{}: cannot be read", file));
  }
  text.resize(static_cast<size_t>(in.gcount()));
  constexpr std::string_view kSpace = " \t\r\n";
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, text.find_first_not_of(kSpace));
  return text;
}

absl::Status CheckHttpUrl(std::string_view url) {
  const bool https = url.starts_with("https://");
  if (!https && !url.starts_with("http://")) {
    return absl::InvalidArgumentError(
        "not a URL that begins with http:// or https://");
  }
  std::string_view host = url.substr(https ? 8 : 7);
  host = host.substr(0, host.find_first_of("/?#"));
  host.remove_prefix(host.rfind('@') + 1);
  if (host.empty() || host.starts_with(':')) {
    return absl::InvalidArgumentError("a URL without a host");
  }
  if (std::any_of(url.begin(), url.end(),
                  [](unsigned char c) { return c <= ' ' || c == 0x7f; })) {
    return absl::InvalidArgumentError("a URL with white space in it");
  }
  return absl::OkStatus();
}

std::string SafeAnswer(std::string_view text,
                       const std::vector<std::string>& secrets) {
  std::string out = SanitizedUtf8(text);
  // The longest first: one may be part of another.
  std::vector<std::string> sorted = secrets;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& secret : sorted) {
    if (!secret.empty()) Replace(&out, secret);
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return CutText(out, kAnswerCharactersMax);
}

PostResult PostJson(net::HttpClient& http, const HttpTarget& target,
                    const std::string& id, std::string body,
                    std::stop_token stop) {
  auto prepared = Prepare(target, id, std::move(body));
  if (!prepared.ok()) {
    // A file may be put right before the next attempt.
    return {{.status = prepared.status(), .temporary = true}};
  }
  auto response = http.Do(prepared->request, stop);
  if (!response.ok()) {
    const bool temporary =
        response.status().code() != absl::StatusCode::kInvalidArgument;
    return {{.status = response.status(), .temporary = temporary}};
  }
  DeliveryOutcome outcome = OutcomeOf(*response, prepared->secrets);
  return {std::move(outcome), *std::move(response)};
}

}  // namespace vigie::alerting

#include "server/http_reply.h"

#include <fmt/format.h>
#include <time.h>

namespace vigie::server {
namespace {

// A line break in a header would begin another one.
void AppendHeader(std::string_view name, std::string_view value,
                  std::string* out) {
  *out += name;
  *out += ": ";
  for (const char c : value) {
    *out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  }
  *out += "\r\n";
}

std::string FormatDate(int64_t now_ms) {
  const time_t seconds = now_ms / 1000;
  tm parts;
  gmtime_r(&seconds, &parts);
  char buffer[40];
  // The process never changes its locale, so the names are English.
  const size_t size =
      strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(buffer, size);
}

}  // namespace

std::string FormatHead(const HttpAnswer& answer, const ReplyForm& form) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", answer.status,
                                 ReasonPhrase(answer.status));
  const bool bodyless = answer.status == 204 || answer.status == 304;
  if (!bodyless) {
    AppendHeader("Content-Type", answer.content_type, &head);
    AppendHeader("X-Content-Type-Options", "nosniff", &head);
  }
  AppendHeader("Date", FormatDate(form.now_ms), &head);
  bool vary_named = false;
  for (const auto& [name, value] : answer.headers) {
    if (name == "Vary") {
      AppendHeader(name, value + ", Accept-Encoding", &head);
      vary_named = true;
      continue;
    }
    AppendHeader(name, value, &head);
  }
  if (!bodyless && !vary_named) AppendHeader("Vary", "Accept-Encoding", &head);
  if (answer.rest == nullptr && !bodyless) {
    AppendHeader("Content-Length", fmt::format("{}", answer.body.size()),
                 &head);
  } else if (answer.rest != nullptr && !form.http_1_0) {
    AppendHeader("Transfer-Encoding", "chunked", &head);
  }
  const bool close_ends_body = answer.rest != nullptr && form.http_1_0;
  if (!form.keep_alive || close_ends_body) {
    AppendHeader("Connection", "close", &head);
  } else if (form.http_1_0) {
    AppendHeader("Connection", "keep-alive", &head);
  }
  head += "\r\n";
  return head;
}

bool FillTarget(std::string_view target, HttpRequest* request) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = target.find_first_of("/?");
    target.remove_prefix(end == std::string_view::npos ? target.size() : end);
    if (target.empty()) target = "/";
  }
  if (!target.starts_with('/') && target != "*") return false;
  const size_t question = target.find('?');
  request->path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) {
    request->query = std::string(target.substr(question + 1));
  }
  return true;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

std::string BodyLimitText(int64_t body_bytes_max) {
  return fmt::format(
      "request body is longer than {} bytes (http.body_bytes_max)\n",
      body_bytes_max);
}

}  // namespace vigie::server

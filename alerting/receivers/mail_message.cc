#include "alerting/receivers/mail_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "alerting/receivers/message_text.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

// RFC 2047: an encoded word has at most 75 characters, its line 76. 30 bytes
// are 40 of base64 and 52 with what is around; a header's name goes before.
constexpr size_t kEncodedWordBytes = 30;
constexpr size_t kHeaderNameMax = 22;
// RFC 5322 allows 998 in a line.
constexpr size_t kPlainHeaderMax = 900;
constexpr size_t kQuotedLineMax = 76;
// Cannot occur in quoted-printable text, where "=" is followed by hexadecimal
// digits or the end of the line.
constexpr std::string_view kBoundary = "=_vigie_part";

bool IsPrintable(unsigned char c) { return c >= ' ' && c < 0x7f; }

std::string WithoutControls(std::string_view value) {
  std::string out;
  for (const char c : SanitizedUtf8(value)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < ' ' || byte == 0x7f ? ' ' : c;
  }
  return out;
}

std::string EncodedWords(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view part = TruncatedUtf8(text, kEncodedWordBytes);
    out += fmt::format("{}=?utf-8?B?{}?=", out.empty() ? "" : "\r\n ",
                       absl::Base64Escape(ToAbsl(part)));
    text.remove_prefix(part.size());
  }
  return out;
}

bool NeedsEncoding(std::string_view value) {
  return value.size() > kPlainHeaderMax ||
         value.find("=?") != std::string_view::npos ||
         !std::all_of(value.begin(), value.end(), IsPrintable);
}

bool IsAtomCharacter(unsigned char c) {
  return std::isalnum(c) || c == ' ' ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(static_cast<char>(c)) !=
             std::string_view::npos;
}

std::string Phrase(std::string_view name) {
  const std::string clean = WithoutControls(name);
  if (NeedsEncoding(clean)) return EncodedWords(clean);
  if (std::all_of(clean.begin(), clean.end(), IsAtomCharacter)) return clean;
  std::string out = "\"";
  for (const char c : clean) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool IsAddress(std::string_view text) {
  const size_t at = text.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < text.size() &&
         text.find('@', at + 1) == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return c > ' ' && c < 0x7f &&
                  std::string_view("<>()[]:;,\\\"")
                          .find(static_cast<char>(c)) == std::string_view::npos;
         });
}

// Takes a phrase, quoted or not, off the front of `text`.
absl::StatusOr<std::string> TakePhrase(std::string_view* text) {
  std::string name;
  if (!text->starts_with('"')) {
    const size_t end = text->find_first_of("<,\"");
    name = Trimmed(text->substr(0, end));
    text->remove_prefix(std::min(end, text->size()));
    return name;
  }
  size_t at = 1;
  for (; at < text->size() && (*text)[at] != '"'; ++at) {
    if ((*text)[at] == '\\' && at + 1 < text->size()) ++at;
    name += (*text)[at];
  }
  if (at >= text->size()) {
    return absl::InvalidArgumentError("address list: a quote without end");
  }
  *text = Trimmed(text->substr(at + 1));
  if (!text->starts_with('<')) {
    return absl::InvalidArgumentError("address list: a name without address");
  }
  return name;
}

absl::StatusOr<MailAddress> TakeAddress(std::string_view* text) {
  MailAddress out;
  auto phrase = TakePhrase(text);
  if (!phrase.ok()) return phrase.status();
  if (text->starts_with('<')) {
    const size_t end = text->find('>');
    if (end == std::string_view::npos) {
      return absl::InvalidArgumentError("address list: \"<\" without \">\"");
    }
    out.name = *std::move(phrase);
    out.address = text->substr(1, end - 1);
    *text = Trimmed(text->substr(end + 1));
  } else {
    out.address = *std::move(phrase);
  }
  if (!IsAddress(out.address)) {
    return absl::InvalidArgumentError("address list: malformed mail address");
  }
  return out;
}

std::string Part(std::string_view type, std::string_view text) {
  return fmt::format(
      "Content-Type: text/{}; charset=UTF-8\r\n"
      "Content-Transfer-Encoding: quoted-printable\r\n\r\n{}",
      type, QuotedPrintable(text));
}

}  // namespace

absl::StatusOr<std::vector<MailAddress>> ParseAddressList(
    std::string_view text) {
  if (!std::all_of(text.begin(), text.end(),
                   [](unsigned char c) { return c >= ' ' && c != 0x7f; })) {
    return absl::InvalidArgumentError("address list: a control character");
  }
  std::vector<MailAddress> out;
  text = Trimmed(text);
  while (true) {
    auto address = TakeAddress(&text);
    if (!address.ok()) return address.status();
    out.push_back(*std::move(address));
    if (text.empty()) return out;
    if (!text.starts_with(',')) {
      return absl::InvalidArgumentError("address list: a comma is missing");
    }
    text = Trimmed(text.substr(1));
  }
}

std::string MailHeader(std::string_view name, std::string_view value) {
  const std::string clean = WithoutControls(value);
  if (!NeedsEncoding(clean)) return fmt::format("{}: {}\r\n", name, clean);
  return fmt::format("{}:{}{}\r\n", name,
                     name.size() > kHeaderNameMax ? "\r\n " : " ",
                     EncodedWords(clean));
}

std::string MailHeader(std::string_view name,
                       const std::vector<MailAddress>& addresses) {
  std::string out = fmt::format("{}:", name);
  for (size_t i = 0; i < addresses.size(); ++i) {
    const MailAddress& address = addresses[i];
    out += i == 0 ? " " : ",\r\n ";
    out +=
        address.name.empty()
            ? address.address
            : fmt::format("{}\r\n <{}>", Phrase(address.name), address.address);
  }
  return out + "\r\n";
}

std::string MailDate(int64_t time_ms) {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000",
                          absl::FromUnixMillis(time_ms), absl::UTCTimeZone());
}

std::string QuotedPrintable(std::string_view text) {
  std::string out;
  size_t column = 0;
  const auto put = [&](std::string_view token) {
    if (column + token.size() >= kQuotedLineMax) {
      out += "=\r\n";
      column = 0;
    }
    out += token;
    column += token.size();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (c == '\n') {
      out += "\r\n";
      column = 0;
      continue;
    }
    const bool line_ends = i + 1 == text.size() || text[i + 1] == '\n' ||
                           text.substr(i + 1).starts_with("\r\n");
    const bool plain =
        IsPrintable(c) && c != '=' && !(c == ' ' && line_ends) &&
        !(c == '.' && (column == 0 || column + 1 >= kQuotedLineMax));
    put(plain ? std::string(1, text[i]) : fmt::format("={:02X}", c));
  }
  if (column > 0) out += "\r\n";
  return out;
}

bool IsMailHeaderName(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '-';
         });
}

std::string MailMessage(const std::string& headers, std::string_view text,
                        std::string_view html) {
  std::string out = headers + "MIME-Version: 1.0\r\n";
  if (html.empty()) return out + Part("plain", text);
  out += fmt::format(
      "Content-Type: multipart/alternative; boundary=\"{}\"\r\n\r\n",
      kBoundary);
  // The preferred one last: RFC 2046, 5.1.4.
  if (!text.empty()) {
    out += fmt::format("--{}\r\n{}\r\n", kBoundary, Part("plain", text));
  }
  out +=
      fmt::format("--{0}\r\n{1}\r\n--{0}--\r\n", kBoundary, Part("html", html));
  return out;
}

}  // namespace vigie::alerting

// The text of a mail: addresses, headers and parts, so that nothing in a value
// can begin a header or end a part.
// Source: RFC 5322, 2045 (quoted-printable), 2046 (multipart), 2047 (encoded
// words).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace vigie::alerting {

struct MailAddress {
  std::string name;     // "" or what stands before <...>, unquoted
  std::string address;  // local@domain
  friend bool operator==(const MailAddress&, const MailAddress&) = default;
};

// `Ops <ops@example.org>, "B, C" <b@example.org>, d@example.org`.
// kInvalidArgument for anything else; groups and comments are not taken.
absl::StatusOr<std::vector<MailAddress>> ParseAddressList(
    std::string_view text);

// "Name: value\r\n". Control characters become spaces; what is not printable
// ASCII, or could be read as an encoded word, becomes encoded words.
std::string MailHeader(std::string_view name, std::string_view value);
std::string MailHeader(std::string_view name,
                       const std::vector<MailAddress>& addresses);

// "Sat, 21 Nov 2026 13:42:04 +0000".
std::string MailDate(int64_t time_ms);

// Line ends become CRLF; no line is longer than 76 or begins with a dot.
std::string QuotedPrintable(std::string_view text);

// True for a name of letters, digits and hyphens.
bool IsMailHeaderName(std::string_view name);

// `headers` are lines made by MailHeader. A part that is empty is left out;
// with neither the body is empty text.
std::string MailMessage(const std::string& headers, std::string_view text,
                        std::string_view html);

}  // namespace vigie::alerting

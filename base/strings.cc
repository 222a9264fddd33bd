#include "base/strings.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

namespace vigie {

absl::Status Prefixed(std::string_view prefix, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      fmt::format("{}: {}", prefix, MessageOf(status)));
}

bool IsValidUtf8(std::string_view s) {
  const auto* p = reinterpret_cast<const unsigned char*>(s.data());
  const auto* end = p + s.size();
  while (p < end) {
    // Names and values are ASCII as a rule: eight bytes at a time.
    for (uint64_t word; end - p >= 8; p += 8) {
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080) != 0) break;
    }
    if (p == end) break;
    if (*p < 0x80) {
      ++p;
      continue;
    }
    int tail;
    uint32_t point;
    if (*p >= 0xC2 && *p <= 0xDF) {
      tail = 1;
      point = *p & 0x1Fu;
    } else if ((*p & 0xF0) == 0xE0) {
      tail = 2;
      point = *p & 0x0Fu;
    } else if (*p >= 0xF0 && *p <= 0xF4) {
      tail = 3;
      point = *p & 0x07u;
    } else {
      return false;
    }
    if (end - p <= tail) return false;
    for (int i = 1; i <= tail; ++i) {
      if ((p[i] & 0xC0) != 0x80) return false;
      point = point << 6 | (p[i] & 0x3Fu);
    }
    if (tail == 2 && (point < 0x800 || (point >= 0xD800 && point <= 0xDFFF))) {
      return false;
    }
    if (tail == 3 && (point < 0x10000 || point > 0x10FFFF)) return false;
    p += tail + 1;
  }
  return true;
}

std::string_view TruncatedUtf8(std::string_view s, size_t bytes_max) {
  if (s.size() <= bytes_max) return s;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(s[end]) & 0xC0) == 0x80) --end;
  return s.substr(0, end);
}

}  // namespace vigie

// Bridges between std::string_view, which we speak, and absl::string_view,
// which Debian's Abseil keeps apart; and the one string-keyed map.
#pragma once

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vigie {

inline absl::string_view ToAbsl(std::string_view s) {
  return {s.data(), s.size()};
}
inline std::string_view ToStd(absl::string_view s) {
  return {s.data(), s.size()};
}

// The message of a status; valid as long as the status.
inline std::string_view MessageOf(const absl::Status& status) {
  return ToStd(status.message());
}

// The same code with `prefix: ` in front of the message: each layer adds what
// only it knows, thing first.
absl::Status Prefixed(std::string_view prefix, const absl::Status& status);

struct StringViewHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const {
    return absl::Hash<std::string_view>{}(s);
  }
};

// Found by std::string_view without building a std::string.
template <class V>
using StringMap =
    absl::flat_hash_map<std::string, V, StringViewHash, std::equal_to<>>;

// True if `s` is well-formed UTF-8 (no surrogates, no overlong forms).
bool IsValidUtf8(std::string_view s);

// At most `bytes_max` bytes of `s`, cut between two characters.
std::string_view TruncatedUtf8(std::string_view s, size_t bytes_max);

}  // namespace vigie

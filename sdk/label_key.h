// Label keys as template arguments, declared once with the instrument:
// AddCounter<"site", "version">(...). A wrong key does not compile.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <string_view>

namespace vigie::sdk {

template <size_t kSize>
struct LabelKey {
  // Implicit, so that a literal is a key.
  consteval LabelKey(const char (&literal)[kSize]) {  // NOLINT
    std::copy_n(literal, kSize, text);
  }
  constexpr std::string_view view() const { return {text, kSize - 1}; }

  char text[kSize] = {};
};

// A letter, then letters, digits, "_", ".", "-" or "/".
constexpr bool IsValidName(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  return !name.empty() && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '_' ||
                  c == '.' || c == '-' || c == '/';
         });
}

// Whether every key is valid and none is there twice.
template <size_t kSize>
consteval bool AreValidKeys(const std::array<std::string_view, kSize>& keys) {
  for (size_t i = 0; i < kSize; ++i) {
    if (!IsValidName(keys[i])) return false;
    for (size_t j = 0; j < i; ++j) {
      if (keys[i] == keys[j]) return false;
    }
  }
  return true;
}

// What Bind() takes for one key: text, or an integer as its decimal. Refers to
// the text, so it lives no longer than the call.
class LabelValue {
 public:
  template <std::convertible_to<std::string_view> Text>
  LabelValue(const Text& text) : text_(text) {}  // NOLINT: implicit
  template <std::integral Number>
  LabelValue(Number number)  // NOLINT: implicit
      : text_(digits_,
              std::to_chars(digits_, digits_ + sizeof digits_, number).ptr -
                  digits_) {}
  LabelValue(bool) = delete;
  LabelValue(const LabelValue&) = delete;
  LabelValue& operator=(const LabelValue&) = delete;

  std::string_view text() const { return text_; }

 private:
  char digits_[24];
  std::string_view text_;
};

// For a parameter list of as many values as there are keys.
template <auto>
using ValueOf = const LabelValue&;

}  // namespace vigie::sdk

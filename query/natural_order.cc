#include "query/natural_order.h"

#include <compare>

namespace vigie::query {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Cuts a run of digits, or of anything else, off the front.
std::string_view TakeRun(std::string_view* text) {
  const bool digits = IsDigit(text->front());
  size_t length = 0;
  while (length < text->size() && IsDigit((*text)[length]) == digits) ++length;
  const std::string_view run = text->substr(0, length);
  text->remove_prefix(length);
  return run;
}

std::string_view WithoutZeros(std::string_view digits) {
  while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
  return digits;
}

}  // namespace

bool NaturallyBefore(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a;
  const std::string_view whole_b = b;
  while (!a.empty() && !b.empty()) {
    const std::string_view x = TakeRun(&a);
    const std::string_view y = TakeRun(&b);
    if (IsDigit(x.front()) && IsDigit(y.front())) {
      const std::string_view m = WithoutZeros(x);
      const std::string_view n = WithoutZeros(y);
      if (m.size() != n.size()) return m.size() < n.size();
      if (m != n) return m < n;
    } else if (x != y) {
      return x < y;
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;
}

}  // namespace vigie::query

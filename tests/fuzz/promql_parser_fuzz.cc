// Whatever parses must print, and the print must parse to the same print.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "query/parser/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vigie::query::ParseExpr;
  using vigie::query::PrintExpr;
  const std::string_view query(reinterpret_cast<const char*>(data), size);
  const auto expr = ParseExpr(query, {.experimental = true});
  if (expr.ok()) {
    const std::string text = PrintExpr(**expr);
    const auto again = ParseExpr(text, {.experimental = true});
    VIGIE_CHECK(again.ok());
    VIGIE_CHECK(PrintExpr(**again) == text);
  }
  (void)vigie::query::ParseMatchers(query);
  return 0;
}

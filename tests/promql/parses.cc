// Whether texts parse: reads one JSON string a line from standard input and
// answers with a JSON string a line, empty if it parses, else the error. Types
// are not checked. For tests/promql/lezer.py.
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "query/parser/parse_state.h"

namespace {

std::string ErrorOf(const std::string& query) {
  vigie::query::Parser parser(query, {.experimental = true});
  if (parser.ParseWhole() != nullptr) return "";
  return parser.error()->message;
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    const nlohmann::json query = nlohmann::json::parse(line, nullptr, false);
    if (!query.is_string()) {
      std::cerr << "not a JSON string: " << line << "\n";
      return 1;
    }
    const nlohmann::json answer = ErrorOf(query.get<std::string>());
    std::cout << answer.dump(-1, ' ', true,
                             nlohmann::json::error_handler_t::replace)
              << "\n";
  }
  return std::cout.good() ? 0 : 1;
}

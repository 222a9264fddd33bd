// The table of PromQL functions: names, argument and result types.
// Source: Prometheus 3, promql/parser/functions.go.
#pragma once

#include <string_view>
#include <vector>

#include "query/parser/ast.h"

namespace vigie::query {

// Null if there is no such function. The table lives as long as the process.
const Function* FindFunction(std::string_view name);

// All of them, experimental ones too, by name.
std::vector<const Function*> AllFunctions();

}  // namespace vigie::query

// Reads a template: its own nodes and the templates that it defines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/template/functions.h"
#include "alerting/template/node.h"

namespace vigie::alerting::tmpl {

struct Parsed {
  Definition main;
  Definitions defined;  // by {{define}} and {{block}}
};

// `variables` are set before the text runs. kInvalidArgument as ErrorAt: what
// does not parse, functions and variables that are not there.
absl::StatusOr<Parsed> Parse(std::string_view text, std::string_view file,
                             const FunctionTable& functions,
                             const std::vector<std::string>& variables);

// Whether every {{template}} of `definition` is among `known` or `own`.
absl::Status CheckNames(const Definition& definition, const Definitions& own,
                        const Definitions& known);

// Whether there is nothing but white space.
bool IsBlank(const Definition& definition);

}  // namespace vigie::alerting::tmpl

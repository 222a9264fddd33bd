// Runs what the parser has read.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "alerting/template/node.h"
#include "alerting/template/template.h"

namespace vigie::alerting::tmpl {

// `own` are the definitions of the text, which go before `known`. Errors have
// their place; kResourceExhausted names the bound.
absl::StatusOr<std::string> Execute(
    const Definition& main, const Definitions& own, const Definitions& known,
    const TemplateValue& data, const TemplateContext& context,
    TemplateDialect dialect, TemplateOutput output);

// What `if` asks: neither zero nor empty nor nil.
bool IsTrue(const TemplateValue& value);

}  // namespace vigie::alerting::tmpl

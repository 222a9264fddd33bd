// Matchers as people write them in an alertmanager.yml: `severity="critical"`,
// `{a=b, "a name"=~"c|d"}`, and back to text.
// Source: prometheus.io "Alertmanager configuration", matchers: the classic
// syntax is tried first, the one for names in UTF-8 where that fails.
// Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/matcher.h"

namespace vigie::alerting {

// Any number of matchers in one text, in the order they stand there; braces
// around them are optional. kInvalidArgument names the matcher that is wrong.
absl::StatusOr<std::vector<Matcher>> ParseMatchers(std::string_view text);

// By name, then value, then kind, as Alertmanager orders those of a route.
void SortMatchers(std::vector<Matcher>& matchers);

// {a="b",c=~"d"}: the part of a group key that a route contributes.
std::string MatchersText(const std::vector<Matcher>& matchers);

}  // namespace vigie::alerting

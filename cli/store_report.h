// What `vigie store inspect` prints.
#pragma once

#include <string>
#include <string_view>

namespace vigie::cli {

// `json` is the result of the operation "inspect", which may be of a server of
// another version: what is not there is left out.
std::string RenderStoreReport(std::string_view json);

}  // namespace vigie::cli

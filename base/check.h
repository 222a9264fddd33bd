// VIGIE_CHECK: a broken invariant is our fault, so the process ends, naming
// the place. For what a caller may get wrong use absl::Status.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace vigie {

[[noreturn]] inline void CheckFailed(const char* expr, const char* file,
                                     int line) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expr);
  std::abort();
}

}  // namespace vigie

#define VIGIE_CHECK(expr) \
  ((expr) ? (void)0 : ::vigie::CheckFailed(#expr, __FILE__, __LINE__))

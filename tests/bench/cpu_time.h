// CPU time of the process, for figures that other programs do not disturb.
#pragma once

#include <sys/resource.h>

namespace vigie::bench {

// Of all threads, user and kernel.
inline double CpuNs() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  auto ns = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e9 +
           static_cast<double>(t.tv_usec) * 1e3;
  };
  return ns(used.ru_utime) + ns(used.ru_stime);
}

}  // namespace vigie::bench

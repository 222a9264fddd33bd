#include "alerting/alert.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace vigie::alerting {

std::string Fingerprint(const Labels& labels) {
  const std::string& bytes = labels.bytes();
  return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
}

}  // namespace vigie::alerting

#include "store/series_identity.h"

#include <xxhash.h>

#include <string>

#include "base/check.h"

namespace vigie::store {

SeriesIdentity IdentityOf(std::string_view tenant, std::string_view labels,
                          std::string_view secret) {
  VIGIE_CHECK(secret.size() == kIdentitySecretBytes);
  // The size of the labels at the end keeps a tenant's name from passing for
  // the end of the labels.
  thread_local std::string bytes;
  bytes.assign(labels);
  bytes.append(tenant);
  const uint64_t size = labels.size();
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  const XXH128_hash_t hash = XXH3_128bits_withSecret(
      bytes.data(), bytes.size(), secret.data(), secret.size());
  return {hash.low64, hash.high64};
}

uint32_t MetricHash(std::string_view metric_name) {
  return static_cast<uint32_t>(
      XXH3_64bits(metric_name.data(), metric_name.size()));
}

uint32_t MetricHash(const Labels& labels) {
  return MetricHash(labels.metric_name());
}

}  // namespace vigie::store

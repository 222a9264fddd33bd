// Any text parses or is refused with its place, as YAML and as a
// prometheus.yml.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/strings.h"
#include "base/yaml/yaml.h"
#include "collector/scrape_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vigie::MessageOf;
  const auto root = vigie::yaml::Node::Parse(
      {reinterpret_cast<const char*>(data), size}, "f");
  if (!root.ok()) {
    VIGIE_CHECK(MessageOf(root.status()).starts_with("f:"));
    return 0;
  }
  const auto config = vigie::collector::ParsePrometheusConfig(*root);
  VIGIE_CHECK(config.ok() || MessageOf(config.status()).starts_with("f:"));
  return 0;
}

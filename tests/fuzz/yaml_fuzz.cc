// Any text parses or is refused with its place, as YAML, as a prometheus.yml
// and as a rule file.
#include <cstdint>
#include <string_view>

#include "alerting/rule_file.h"
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
  const auto rules = vigie::alerting::ParseRuleFile(*root);
  VIGIE_CHECK(rules.ok() || MessageOf(rules.status()).starts_with("f:"));
  return 0;
}

// Resource says what the measurements are of: a service, one instance of it.
// vigie makes service.name the label `job` and service.instance.id `instance`.
// Source: OpenTelemetry specification, "Resource SDK".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vigie::sdk {

struct Attribute {
  std::string key;
  std::string value;
  bool operator==(const Attribute&) const = default;
};
using Attributes = std::vector<Attribute>;

// Reads an environment variable; nullptr if it is not set.
using GetEnv = std::function<const char*(const char* name)>;

class Resource {
 public:
  // An empty `instance` stands for DefaultInstance().
  Resource(std::string_view service, std::string_view instance);

  // From OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES (`key=value,...`,
  // percent-encoded). Without a name the service is
  // "unknown_service:PROGRAM"; pairs that are malformed make the whole
  // variable void, as the specification wants.
  static Resource FromEnvironment();
  static Resource FromEnvironment(const GetEnv& get_env);

  // Replaces the value of `key` if there is one.
  Resource& Set(std::string_view key, std::string_view value);

  // Empty if there is no such key.
  std::string_view Get(std::string_view key) const;
  // In the order they were set; service.name and service.instance.id are
  // always among them.
  const Attributes& attributes() const { return attributes_; }

 private:
  Resource() = default;
  Attributes attributes_;
};

// "HOST:PID"; in a container, where the process is number 1, "HOST" alone, so
// that a StatefulSet's pod keeps its series over a restart.
std::string DefaultInstance();

// `key=value` pairs, separated by commas, percent-decoded, blanks around keys
// and values gone. False if malformed; `out` is unchanged then. OTLP's headers
// are written like this too.
bool ParsePairs(std::string_view text, Attributes* out);

}  // namespace vigie::sdk

#include "sdk/resource.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "sdk/utf8.h"

namespace vigie::sdk {
namespace {

constexpr std::string_view kServiceName = "service.name";
constexpr std::string_view kServiceInstance = "service.instance.id";

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool PercentDecode(std::string_view text, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return false;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

std::string_view ValueOrEmpty(const char* value) {
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

Resource::Resource(std::string_view service, std::string_view instance) {
  Set(kServiceName, service);
  Set(kServiceInstance,
      instance.empty() ? DefaultInstance() : std::string(instance));
}

Resource Resource::FromEnvironment() {
  return FromEnvironment([](const char* name) { return std::getenv(name); });
}

Resource Resource::FromEnvironment(const GetEnv& get_env) {
  Resource out;
  Attributes pairs;
  ParsePairs(ValueOrEmpty(get_env("OTEL_RESOURCE_ATTRIBUTES")), &pairs);
  for (const Attribute& pair : pairs) out.Set(pair.key, pair.value);
  if (const auto name = ValueOrEmpty(get_env("OTEL_SERVICE_NAME"));
      !name.empty()) {
    out.Set(kServiceName, name);
  }
  if (out.Get(kServiceName).empty()) {
    out.Set(kServiceName,
            std::string("unknown_service:") + program_invocation_short_name);
  }
  if (out.Get(kServiceInstance).empty()) {
    out.Set(kServiceInstance, DefaultInstance());
  }
  return out;
}

Resource& Resource::Set(std::string_view key, std::string_view value) {
  const auto found =
      std::find_if(attributes_.begin(), attributes_.end(),
                   [&](const Attribute& a) { return a.key == key; });
  if (found != attributes_.end()) {
    found->value = ValidUtf8(value);
  } else {
    attributes_.push_back({ValidUtf8(key), ValidUtf8(value)});
  }
  return *this;
}

std::string_view Resource::Get(std::string_view key) const {
  const auto found =
      std::find_if(attributes_.begin(), attributes_.end(),
                   [&](const Attribute& a) { return a.key == key; });
  return found == attributes_.end() ? std::string_view() : found->value;
}

std::string DefaultInstance() {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  const std::string name = host[0] == '\0' ? "localhost" : host;
  const pid_t pid = ::getpid();
  return pid == 1 ? name : name + ":" + std::to_string(pid);
}

bool ParsePairs(std::string_view text, Attributes* out) {
  Attributes pairs;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view pair = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (Trimmed(pair).empty()) continue;
    const size_t equals = pair.find('=');
    if (equals == pair.npos) return false;
    Attribute attribute;
    if (!PercentDecode(Trimmed(pair.substr(0, equals)), &attribute.key) ||
        !PercentDecode(Trimmed(pair.substr(equals + 1)), &attribute.value) ||
        attribute.key.empty()) {
      return false;
    }
    pairs.push_back(std::move(attribute));
  }
  out->insert(out->end(), pairs.begin(), pairs.end());
  return true;
}

}  // namespace vigie::sdk

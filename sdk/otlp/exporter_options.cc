#include "sdk/otlp/exporter_options.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/status/status.h"

namespace vigie::sdk {
namespace {

constexpr std::string_view kDefaultPort = "4317";

// A variable that is set, or neither name nor value.
struct Variable {
  std::string name;
  std::string value;
  explicit operator bool() const { return !value.empty(); }
};

absl::Status Fault(const Variable& variable, std::string_view why) {
  std::string text = variable.name + ": \"";
  (text += variable.value) += "\" ";
  return absl::InvalidArgumentError(text += why);
}

class Reader {
 public:
  explicit Reader(const GetEnv& get_env) : get_env_(get_env) {}

  Variable Get(std::string name) const {
    const char* const value = get_env_(name.c_str());
    if (value == nullptr || *value == '\0') return {};
    return {std::move(name), value};
  }
  // For metrics if there is one, otherwise for all signals.
  Variable GetOtlp(std::string_view suffix) const {
    std::string all = "OTEL_EXPORTER_OTLP_", metrics = all + "METRICS_";
    if (Variable own = Get(metrics += suffix)) return own;
    return Get(all += suffix);
  }

 private:
  const GetEnv& get_env_;
};

absl::Status ReadMilliseconds(const Variable& variable, absl::Duration* out) {
  if (!variable) return absl::OkStatus();
  const std::string& text = variable.value;
  int64_t ms = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc() || end != text.data() + text.size() || ms <= 0) {
    return Fault(variable, "is not a positive number of milliseconds");
  }
  *out = absl::Milliseconds(ms);
  return absl::OkStatus();
}

// As the specification has it: only "true", in any case, is true.
absl::Status ReadBool(const Variable& variable, bool* out) {
  if (!variable) return absl::OkStatus();
  std::string text = variable.value;
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  if (text != "true" && text != "false") {
    return Fault(variable, "is neither true nor false");
  }
  *out = text == "true";
  return absl::OkStatus();
}

absl::Status ReadPem(const Variable& variable, std::string* out) {
  if (!variable) return absl::OkStatus();
  std::ifstream file(variable.value, std::ios::binary);
  if (!file) return Fault(variable, "cannot be opened");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  if (text.find("-----BEGIN ") == text.npos) {
    return Fault(variable, "holds no PEM");
  }
  *out = std::move(text);
  return absl::OkStatus();
}

// "http://HOST:PORT", "https://...", or "HOST:PORT" with `insecure` in force.
absl::Status ReadEndpoint(const Variable& variable, bool insecure,
                          OtlpEndpoint* out) {
  if (!variable) return absl::OkStatus();
  std::string_view rest = variable.value;
  const auto strip = [&](std::string_view scheme) {
    if (!rest.starts_with(scheme)) return false;
    rest.remove_prefix(scheme.size());
    return true;
  };
  if (strip("http://")) {
    out->tls = false;
  } else if (strip("https://")) {
    out->tls = true;
  } else {
    out->tls = !insecure;
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  const bool has_port =
      colon != rest.npos && rest.find(']', colon) == rest.npos;
  const std::string_view port = has_port ? rest.substr(colon + 1) : "1";
  if (rest.find_first_of("/?#@ ") != rest.npos ||
      rest.substr(0, has_port ? colon : rest.npos).empty() || port.empty() ||
      port.find_first_not_of("0123456789") != port.npos || port.size() > 5 ||
      std::stoi(std::string(port)) > 65535) {
    return Fault(variable, "is not http://HOST:PORT or https://HOST:PORT");
  }
  out->address = rest;
  if (!has_port) (out->address += ':') += kDefaultPort;
  return absl::OkStatus();
}

absl::Status ReadKeywords(const Reader& read, ExporterOptions* out) {
  if (const Variable v = read.GetOtlp("PROTOCOL"); v && v.value != "grpc") {
    return absl::UnimplementedError(v.name + ": \"" + v.value +
                                    "\": only grpc is spoken here");
  }
  const Variable temporality =
      read.Get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
  if (temporality && temporality.value != "cumulative") {
    return absl::UnimplementedError(temporality.name + ": \"" +
                                    temporality.value +
                                    "\": only cumulative is sent");
  }
  out->compress = false;  // the specification's default
  if (const Variable v = read.GetOtlp("COMPRESSION")) {
    if (v.value != "gzip" && v.value != "none") {
      return Fault(v, "is neither gzip nor none");
    }
    out->compress = v.value == "gzip";
  }
  if (const Variable v = read.Get("OTEL_METRICS_EXPORTER")) {
    if (v.value != "otlp" && v.value != "none") {
      return Fault(v, "is neither otlp nor none");
    }
    out->disabled |= v.value == "none";
  }
  if (const Variable v = read.GetOtlp("HEADERS");
      v && !ParsePairs(v.value, &out->endpoint.headers)) {
    // Headers carry secrets: no value here.
    return absl::InvalidArgumentError(v.name + ": is not KEY=VALUE,...");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExporterOptions> ExporterOptionsFromEnvironment() {
  return ExporterOptionsFromEnvironment(
      [](const char* name) { return std::getenv(name); });
}

absl::StatusOr<ExporterOptions> ExporterOptionsFromEnvironment(
    const GetEnv& get_env) {
  const Reader read(get_env);
  ExporterOptions out;
  out.resource = Resource::FromEnvironment(get_env);
  OtlpEndpoint& endpoint = out.endpoint;
  bool insecure = false;
  // The first fault of them all, in an order that people can follow.
  absl::Status status = ReadBool(read.Get("OTEL_SDK_DISABLED"), &out.disabled);
  if (status.ok()) status = ReadKeywords(read, &out);
  if (status.ok()) status = ReadBool(read.GetOtlp("INSECURE"), &insecure);
  if (status.ok()) {
    status = ReadEndpoint(read.GetOtlp("ENDPOINT"), insecure, &endpoint);
  }
  if (status.ok()) {
    status = ReadMilliseconds(read.GetOtlp("TIMEOUT"), &out.try_timeout);
  }
  if (status.ok()) {
    status = ReadMilliseconds(read.Get("OTEL_METRIC_EXPORT_INTERVAL"),
                              &out.interval);
  }
  if (status.ok()) {
    status = ReadMilliseconds(read.Get("OTEL_METRIC_EXPORT_TIMEOUT"),
                              &out.flush_timeout);
  }
  if (status.ok()) status = ReadPem(read.GetOtlp("CERTIFICATE"), &endpoint.ca);
  if (status.ok()) status = ReadPem(read.GetOtlp("CLIENT_KEY"), &endpoint.key);
  if (status.ok()) {
    status = ReadPem(read.GetOtlp("CLIENT_CERTIFICATE"), &endpoint.certificate);
  }
  if (!status.ok()) return status;
  return out;
}

}  // namespace vigie::sdk

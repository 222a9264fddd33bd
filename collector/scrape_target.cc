#include "collector/scrape_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/duration.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::collector {
namespace {

constexpr std::string_view kAddress = "__address__";
constexpr std::string_view kScheme = "__scheme__";
constexpr std::string_view kPath = "__metrics_path__";
constexpr std::string_view kInterval = "__scrape_interval__";
constexpr std::string_view kTimeout = "__scrape_timeout__";
constexpr std::string_view kParam = "__param_";

bool IsPlain(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

std::string Escaped(std::string_view text, std::string_view also_plain) {
  std::string out;
  for (const char c : text) {
    if (IsPlain(static_cast<unsigned char>(c)) ||
        also_plain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// Sorted by key. Labels behind "__param_" replace the first value of theirs.
std::string Query(const ScrapeJob& job, const Labels& labels) {
  std::vector<std::pair<std::string, std::string>> params;
  for (const LabelView& label : labels) {
    if (label.name.substr(0, kParam.size()) == kParam) {
      params.emplace_back(label.name.substr(kParam.size()), label.value);
    }
  }
  std::vector<std::string_view> seen;
  for (const auto& [key, value] : job.params) {
    // The first value of a key went through the label.
    if (std::find(seen.begin(), seen.end(), key) == seen.end()) {
      seen.push_back(key);
      continue;
    }
    params.emplace_back(key, value);
  }
  std::stable_sort(
      params.begin(), params.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string out;
  for (const auto& [key, value] : params) {
    out += out.empty() ? '?' : '&';
    out += Escaped(key, "") + "=" + Escaped(value, "");
  }
  return out;
}

absl::StatusOr<int64_t> PositiveMs(const Labels& labels,
                                   std::string_view name) {
  absl::StatusOr<int64_t> ms = ParseDurationMs(labels.Get(name));
  if (!ms.ok()) return Prefixed(name, ms.status());
  if (*ms == 0) {
    return absl::InvalidArgumentError(fmt::format("{} is 0", name));
  }
  return ms;
}

Labels Discovered(const ScrapeJob& job, const StaticTargetGroup& group,
                  const std::string& address) {
  LabelsBuilder builder;
  for (const auto& [name, value] : group.labels) builder.Set(name, value);
  builder.Set(kAddress, address);
  const auto set_default = [&](std::string_view name, std::string_view value) {
    if (builder.Get(name).empty()) builder.Set(name, value);
  };
  set_default("job", job.name);
  set_default(kScheme, job.scheme);
  set_default(kPath, job.metrics_path);
  set_default(kInterval, FormatDurationMs(job.interval_ms));
  set_default(kTimeout, FormatDurationMs(job.timeout_ms));
  for (const auto& [key, value] : job.params) {
    set_default(std::string(kParam) + key, value);
  }
  return builder.Build();
}

}  // namespace

int64_t ScrapeTarget::OffsetMs() const {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: the same in every build
  for (const char c : Key()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  hash ^= hash >> 32;
  return static_cast<int64_t>(hash % static_cast<uint64_t>(interval_ms));
}

absl::StatusOr<std::optional<ScrapeTarget>> MakeTarget(
    const ScrapeJob& job, const StaticTargetGroup& group,
    const std::string& given_address) {
  ScrapeTarget target;
  target.discovered_labels = Discovered(job, group, given_address);
  LabelsBuilder builder(target.discovered_labels);
  if (!ApplyAll(job.relabel_configs, &builder)) return std::nullopt;
  const Labels labels = builder.Build();
  const std::string name =
      fmt::format("job {}: target {}", Quoted(job.name), Quoted(given_address));
  const auto invalid = [&](std::string_view what) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", name, what));
  };

  const std::string_view address = labels.Get(kAddress);
  if (address.empty() ||
      address.find_first_of("/@?# \t\r\n") != std::string_view::npos) {
    return invalid(fmt::format("{} is not a valid hostname", Quoted(address)));
  }
  const std::string_view scheme = labels.Get(kScheme);
  if (scheme != "http" && scheme != "https") {
    return invalid(fmt::format("invalid scheme {}", Quoted(scheme)));
  }
  for (auto [key, out] : {std::pair{kInterval, &target.interval_ms},
                          std::pair{kTimeout, &target.timeout_ms}}) {
    absl::StatusOr<int64_t> ms = PositiveMs(labels, key);
    if (!ms.ok()) return Prefixed(name, ms.status());
    *out = *ms;
  }
  if (target.timeout_ms > target.interval_ms) {
    return invalid("the scrape timeout is greater than the scrape interval");
  }
  std::string path = Escaped(labels.Get(kPath), "/!$&'()*+,;=:@");
  if (path.empty() || path[0] != '/') path.insert(path.begin(), '/');
  target.url =
      fmt::format("{}://{}{}{}", scheme, address, path, Query(job, labels));

  LabelsBuilder visible;
  for (const LabelView& label : labels) {
    if (label.name.substr(0, 2) != "__") visible.Set(label.name, label.value);
  }
  if (visible.Get("instance").empty()) visible.Set("instance", address);
  target.labels = visible.Build();
  return target;
}

}  // namespace vigie::collector

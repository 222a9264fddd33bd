#include "alerting/routing_config.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "alerting/matcher_list.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/yaml/yaml.h"
#include "model/labels.h"

namespace vigie::alerting {
namespace {

// Deeper trees are refused; nobody owns one, and reading is recursive.
constexpr int kRouteDepthMax = 50;
constexpr int64_t kTemplateFileBytesMax = 4 << 20;

const std::vector<std::string_view> kUnsupportedTopKeys = {"event_recorder",
                                                           "tracing"};
const std::vector<std::string_view> kUnsupportedRouteKeys = {"labels"};

// The deprecated form: a map of names and values.
absl::Status ReadOldMatchers(yaml::MapReader& map, std::string_view key,
                             Matcher::Type type, std::vector<Matcher>* out) {
  const yaml::Node* node = map.Find(key);
  if (node == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader pairs, node->AsMap());
  for (const auto& [name, value] : pairs.Entries()) {
    if (!IsLegacyLabelName(name)) {
      return value.Error(fmt::format("invalid label name {}", Quoted(name)));
    }
    VIGIE_ASSIGN_OR_RETURN(const std::string text, value.AsString());
    absl::StatusOr<Matcher> matcher = Matcher::Create(type, name, text);
    if (!matcher.ok()) return value.Error(MessageOf(matcher.status()));
    out->push_back(*std::move(matcher));
  }
  return absl::OkStatus();
}

// The keys match, match_re and matchers, with `prefix` before each.
absl::Status ReadAllMatchers(yaml::MapReader& map, const std::string& prefix,
                             std::vector<Matcher>* out) {
  VIGIE_RETURN_IF_ERROR(
      ReadOldMatchers(map, prefix + "match", Matcher::Type::kEqual, out));
  VIGIE_RETURN_IF_ERROR(
      ReadOldMatchers(map, prefix + "match_re", Matcher::Type::kRegex, out));
  if (const yaml::Node* list = map.Find(prefix + "matchers")) {
    VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
    for (const yaml::Node& node : nodes) {
      VIGIE_ASSIGN_OR_RETURN(const std::string text, node.AsString());
      absl::StatusOr<std::vector<Matcher>> parsed = ParseMatchers(text);
      if (!parsed.ok()) return node.Error(MessageOf(parsed.status()));
      for (Matcher& matcher : *parsed) out->push_back(std::move(matcher));
    }
  }
  SortMatchers(*out);
  return absl::OkStatus();
}

class RouteReader {
 public:
  RouteReader(const std::vector<std::string>& receivers,
              const TimeIntervals& intervals,
              std::vector<std::string>* unsupported)
      : receivers_(receivers),
        intervals_(intervals),
        unsupported_(*unsupported) {}

  absl::StatusOr<Route> ReadRoot(const yaml::Node& node);

 private:
  absl::StatusOr<Route> Read(const yaml::Node& node, const Route* parent,
                             int depth);
  absl::Status ReadReceiver(yaml::MapReader& map, Route* route);
  absl::Status ReadGroupBy(yaml::MapReader& map, Route* route);
  absl::Status ReadTimes(yaml::MapReader& map, Route* route);
  absl::Status ReadIntervalNames(yaml::MapReader& map, std::string_view key,
                                 std::vector<std::string>* out);

  const std::vector<std::string>& receivers_;
  const TimeIntervals& intervals_;
  std::vector<std::string>& unsupported_;
};

absl::StatusOr<Route> RouteReader::ReadRoot(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(Route root, Read(node, nullptr, 0));
  if (root.receiver.empty()) {
    return node.Error("the root route must name a receiver");
  }
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  if (!root.matchers.empty()) {
    for (const std::string_view key : {"matchers", "match", "match_re"}) {
      if (const yaml::Node* at = map.Find(key)) {
        return at->Error("the root route must not have any matchers");
      }
    }
  }
  for (const std::string_view key :
       {"mute_time_intervals", "active_time_intervals"}) {
    const yaml::Node* at = map.Find(key);
    if (at != nullptr && !(key.starts_with("mute") ? root.mute_time_intervals
                                                   : root.active_time_intervals)
                              .empty()) {
      return at->Error(fmt::format("the root route must not have any {}", key));
    }
  }
  if (root.continue_matching) {
    return map.Find("continue")->Error("the root route must not continue");
  }
  return root;
}

absl::StatusOr<Route> RouteReader::Read(const yaml::Node& node,
                                        const Route* parent, int depth) {
  if (depth > kRouteDepthMax) {
    return node.Error(
        fmt::format("routes are nested deeper than {}", kRouteDepthMax));
  }
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  Route route;
  if (parent != nullptr) {
    route = *parent;
    route.matchers.clear();
    route.mute_time_intervals.clear();
    route.active_time_intervals.clear();
    route.routes.clear();
    route.continue_matching = false;
  }
  VIGIE_RETURN_IF_ERROR(ReadReceiver(map, &route));
  VIGIE_RETURN_IF_ERROR(ReadAllMatchers(map, "", &route.matchers));
  VIGIE_RETURN_IF_ERROR(ReadGroupBy(map, &route));
  VIGIE_RETURN_IF_ERROR(ReadTimes(map, &route));
  VIGIE_RETURN_IF_ERROR(ReadIntervalNames(map, "mute_time_intervals",
                                          &route.mute_time_intervals));
  VIGIE_RETURN_IF_ERROR(ReadIntervalNames(map, "active_time_intervals",
                                          &route.active_time_intervals));
  VIGIE_RETURN_IF_ERROR(map.Read("continue", &route.continue_matching));
  route.key = MatchersText(route.matchers);
  if (parent != nullptr) route.key = parent->key + "/" + route.key;
  map.MarkUnsupported(kUnsupportedRouteKeys, &unsupported_);
  if (const yaml::Node* children = map.Find("routes")) {
    VIGIE_ASSIGN_OR_RETURN(const auto nodes, children->AsSequence());
    std::vector<Route> routes;
    for (const yaml::Node& child : nodes) {
      VIGIE_ASSIGN_OR_RETURN(Route one, Read(child, &route, depth + 1));
      routes.push_back(std::move(one));
    }
    route.routes = std::move(routes);
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return route;
}

absl::Status RouteReader::ReadReceiver(yaml::MapReader& map, Route* route) {
  std::string receiver;
  VIGIE_RETURN_IF_ERROR(map.Read("receiver", &receiver));
  if (receiver.empty()) return absl::OkStatus();
  if (std::find(receivers_.begin(), receivers_.end(), receiver) ==
      receivers_.end()) {
    return map.Find("receiver")
        ->Error(fmt::format("undefined receiver {} used in route",
                            Quoted(receiver)));
  }
  route->receiver = std::move(receiver);
  return absl::OkStatus();
}

// A list, an empty one too, replaces what the parent says.
absl::Status RouteReader::ReadGroupBy(yaml::MapReader& map, Route* route) {
  const yaml::Node* list = map.Find("group_by");
  if (list == nullptr || list->is_null()) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  route->group_by.clear();
  route->group_by_all = false;
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(std::string name, node.AsString());
    if (name == "...") {
      route->group_by_all = true;
      continue;
    }
    if (name.empty() || !IsValidUtf8(name)) {
      return node.Error(
          fmt::format("invalid label name {} in group_by", Quoted(name)));
    }
    if (std::find(route->group_by.begin(), route->group_by.end(), name) !=
        route->group_by.end()) {
      return node.Error(
          fmt::format("duplicated label {} in group_by", Quoted(name)));
    }
    route->group_by.push_back(std::move(name));
  }
  if (route->group_by_all && !route->group_by.empty()) {
    return list->Error("group_by: `...` must stand alone");
  }
  return absl::OkStatus();
}

absl::Status RouteReader::ReadTimes(yaml::MapReader& map, Route* route) {
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("group_wait", &route->group_wait_ms));
  for (const auto& [key, out] :
       {std::pair{"group_interval", &route->group_interval_ms},
        std::pair{"repeat_interval", &route->repeat_interval_ms}}) {
    VIGIE_RETURN_IF_ERROR(map.ReadDurationMs(key, out));
    if (*out == 0) {
      return map.Find(key)->Error(fmt::format("{} cannot be zero", key));
    }
  }
  return absl::OkStatus();
}

absl::Status RouteReader::ReadIntervalNames(yaml::MapReader& map,
                                            std::string_view key,
                                            std::vector<std::string>* out) {
  const yaml::Node* list = map.Find(key);
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(std::string name, node.AsString());
    if (!intervals_.contains(name)) {
      return node.Error(fmt::format("undefined time interval {} used in route",
                                    Quoted(name)));
    }
    out->push_back(std::move(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<InhibitRule> ReadInhibitRule(
    const yaml::Node& node, std::vector<std::string>* unsupported) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  InhibitRule rule;
  std::string name;
  VIGIE_RETURN_IF_ERROR(map.Read("name", &name));
  VIGIE_RETURN_IF_ERROR(ReadAllMatchers(map, "source_", &rule.source));
  VIGIE_RETURN_IF_ERROR(ReadAllMatchers(map, "target_", &rule.target));
  if (const yaml::Node* equal = map.Find("equal")) {
    VIGIE_ASSIGN_OR_RETURN(const auto nodes, equal->AsSequence());
    for (const yaml::Node& label : nodes) {
      VIGIE_ASSIGN_OR_RETURN(std::string text, label.AsString());
      if (text.empty() || !IsValidUtf8(text)) {
        return label.Error(
            fmt::format("invalid label name {} in equal", Quoted(text)));
      }
      rule.equal.push_back(std::move(text));
    }
  }
  map.MarkUnsupported({"sources"}, unsupported);
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return rule;
}

absl::Status ReadInhibitRules(yaml::MapReader& top, RoutingConfig* config) {
  const yaml::Node* list = top.Find("inhibit_rules");
  if (list == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(InhibitRule rule,
                           ReadInhibitRule(node, &config->unsupported));
    config->inhibit_rules.push_back(std::move(rule));
  }
  return absl::OkStatus();
}

// --- templates ---

absl::StatusOr<std::vector<std::string>> Glob(const std::string& pattern) {
  glob_t found = {};
  const int answer = glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths;
  for (size_t i = 0; answer == 0 && i < found.gl_pathc; ++i) {
    paths.emplace_back(found.gl_pathv[i]);
  }
  globfree(&found);
  if (answer != 0 && answer != GLOB_NOMATCH) {
    return absl::InvalidArgumentError(
        fmt::format("{}: cannot be searched for", pattern));
  }
  return paths;
}

absl::StatusOr<std::string> ReadTemplateFile(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", path, error.message()));
  }
  if (size > kTemplateFileBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("{}: larger than {} bytes", path, kTemplateFileBytesMax));
  }
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in || (size > 0 && !text)) {
    return absl::InvalidArgumentError(fmt::format("{}: cannot be read", path));
  }
  return std::move(text).str();
}

absl::StatusOr<std::shared_ptr<const TemplateSet>> ReadTemplates(
    yaml::MapReader& top) {
  auto set = std::make_shared<TemplateSet>(TemplateDialect::kNotifications);
  VIGIE_RETURN_IF_ERROR(AddDefaultTemplates(*set));
  const yaml::Node* list = top.Find("templates");
  if (list == nullptr) return std::shared_ptr<const TemplateSet>(set);
  VIGIE_ASSIGN_OR_RETURN(const auto nodes, list->AsSequence());
  const auto directory = std::filesystem::path(list->file_name()).parent_path();
  for (const yaml::Node& node : nodes) {
    VIGIE_ASSIGN_OR_RETURN(const std::string pattern, node.AsString());
    auto paths = Glob((directory / pattern).string());
    if (!paths.ok()) return node.Error(MessageOf(paths.status()));
    for (const std::string& path : *paths) {
      absl::StatusOr<std::string> text = ReadTemplateFile(path);
      if (!text.ok()) return node.Error(MessageOf(text.status()));
      VIGIE_RETURN_IF_ERROR(set->AddFile(*text, path));
    }
  }
  return std::shared_ptr<const TemplateSet>(set);
}

absl::Status ReadResolveTimeout(const yaml::Node* global, int64_t* out) {
  if (global == nullptr) return absl::OkStatus();
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, global->AsMap());
  return map.ReadDurationMs("resolve_timeout", out);
}

}  // namespace

absl::StatusOr<RoutingConfig> LoadRoutingConfig(const std::string& path) {
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node root, yaml::Node::LoadFile(path));
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader top, root.AsMap());
  RoutingConfig config;
  const yaml::Node* global = top.Find("global");
  VIGIE_RETURN_IF_ERROR(ReadResolveTimeout(global, &config.resolve_timeout_ms));
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node route, top.Require("route"));
  VIGIE_ASSIGN_OR_RETURN(const yaml::Node receivers, top.Require("receivers"));
  VIGIE_ASSIGN_OR_RETURN(
      config.receivers,
      ReceiverConfig::Parse(global, receivers, &config.unsupported));
  const std::vector<std::string> names = config.receivers.names();
  for (const std::string_view key : {"time_intervals", "mute_time_intervals"}) {
    if (const yaml::Node* list = top.Find(key)) {
      VIGIE_RETURN_IF_ERROR(ReadTimeIntervals(*list, &config.time_intervals));
    }
  }
  RouteReader routes(names, config.time_intervals, &config.unsupported);
  VIGIE_ASSIGN_OR_RETURN(config.root, routes.ReadRoot(route));
  VIGIE_RETURN_IF_ERROR(ReadInhibitRules(top, &config));
  VIGIE_ASSIGN_OR_RETURN(config.templates, ReadTemplates(top));
  VIGIE_RETURN_IF_ERROR(config.receivers.CheckTemplates(*config.templates));
  top.MarkUnsupported(kUnsupportedTopKeys, &config.unsupported);
  VIGIE_RETURN_IF_ERROR(top.Finish());
  return config;
}

namespace {

bool AddMatches(const Route& route, const Labels& labels,
                std::vector<const Route*>* out) {
  if (!MatchesAll(route.matchers, labels)) return false;
  const size_t before = out->size();
  for (const Route& child : route.routes) {
    if (AddMatches(child, labels, out) && !child.continue_matching) break;
  }
  if (out->size() == before) out->push_back(&route);
  return true;
}

}  // namespace

std::vector<const Route*> MatchRoutes(const Route& root, const Labels& labels) {
  std::vector<const Route*> out;
  AddMatches(root, labels, &out);
  return out;
}

}  // namespace vigie::alerting

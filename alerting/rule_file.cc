#include "alerting/rule_file.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>

#include "alerting/template/template.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

const std::vector<std::string>& TemplateVariables() {
  static const auto& names = *new std::vector<std::string>{
      "labels", "value", "externalLabels", "externalURL"};
  return names;
}

// YAML's null is an empty string where a map of strings is expected, as in Go.
absl::StatusOr<std::string> TextOf(const yaml::Node& node) {
  if (node.is_null()) return std::string();
  return node.AsString();
}

// `over` wins.
Pairs Merged(const Pairs& base, const Pairs& over) {
  Pairs out = over;
  for (const auto& pair : base) {
    const bool set = std::any_of(
        over.begin(), over.end(),
        [&](const auto& other) { return other.first == pair.first; });
    if (!set) out.push_back(pair);
  }
  std::sort(out.begin(), out.end());
  return out;
}

class Reader {
 public:
  explicit Reader(const query::ParserOptions& options) : options_(options) {}

  // What could be read; the rest is among the faults.
  std::vector<RuleGroupSpec> Read(const yaml::Node& root);

  // In the order of the file; at most one a rule.
  const std::vector<absl::Status>& faults() const { return faults_; }

 private:
  // Where in the file we are, for messages.
  struct Where {
    std::string group;
    size_t rule = 0;  // from 1; 0: the group itself
    std::string name;
  };

  absl::Status ReadGroups(const yaml::Node& root,
                          std::vector<RuleGroupSpec>* out);
  absl::StatusOr<RuleGroupSpec> ReadGroup(const yaml::Node& node);
  absl::StatusOr<RuleSpec> ReadRule(const yaml::Node& node, Where where);
  absl::Status ReadName(yaml::MapReader& map, Where* where, RuleSpec* rule);
  absl::Status ReadExpr(yaml::MapReader& map, const Where& where,
                        RuleSpec* rule);
  absl::Status ReadTimes(yaml::MapReader& map, const Where& where,
                         RuleSpec* rule);
  absl::StatusOr<Pairs> ReadPairs(yaml::MapReader& map, std::string_view key,
                                  const Where& where, bool templates);

  static absl::Status Error(const yaml::Node& node, const Where& where,
                            std::string_view message);

  const query::ParserOptions options_;
  const TemplateSet templates_{TemplateDialect::kRules};
  std::vector<absl::Status> faults_;
};

absl::Status Reader::Error(const yaml::Node& node, const Where& where,
                           std::string_view message) {
  if (where.rule == 0) {
    return node.Error(
        fmt::format("group {}: {}", Quoted(where.group), message));
  }
  return node.Error(fmt::format("group {}, rule {}, {}: {}",
                                Quoted(where.group), where.rule,
                                Quoted(where.name), message));
}

absl::Status Reader::ReadName(yaml::MapReader& map, Where* where,
                              RuleSpec* rule) {
  std::string record, alert;
  VIGIE_RETURN_IF_ERROR(map.Read("record", &record));
  VIGIE_RETURN_IF_ERROR(map.Read("alert", &alert));
  const bool alerting = !alert.empty();
  rule->kind =
      alerting ? RuleSpec::Kind::kAlerting : RuleSpec::Kind::kRecording;
  rule->name = where->name = alerting ? alert : record;
  if (record.empty() != alerting) {
    return Error(map.node(), *where,
                 alerting ? "only one of 'record' and 'alert' must be set"
                          : "one of 'record' or 'alert' must be set");
  }
  const yaml::Node& node = *map.Find(alerting ? "alert" : "record");
  if (!IsValidUtf8(rule->name)) {
    return Error(node, *where, "the name is not valid UTF-8");
  }
  if (!alerting && record.find_first_of("{}") != std::string::npos) {
    return Error(node, *where,
                 fmt::format("braces present in the recording rule name; "
                             "should it be in expr?: {}",
                             record));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadExpr(yaml::MapReader& map, const Where& where,
                              RuleSpec* rule) {
  const yaml::Node* node = map.Find("expr");
  if (node != nullptr) {
    VIGIE_ASSIGN_OR_RETURN(rule->expr, TextOf(*node));
  }
  if (rule->expr.empty()) {
    return Error(node == nullptr ? map.node() : *node, where,
                 "field 'expr' must be set in rule");
  }
  const auto parsed = query::ParseExpr(rule->expr, options_);
  if (!parsed.ok()) {
    return Error(*node, where,
                 fmt::format("could not parse expression: {}",
                             MessageOf(parsed.status())));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadTimes(yaml::MapReader& map, const Where& where,
                               RuleSpec* rule) {
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("for", &rule->for_ms));
  VIGIE_RETURN_IF_ERROR(
      map.ReadDurationMs("keep_firing_for", &rule->keep_firing_for_ms));
  if (rule->kind == RuleSpec::Kind::kAlerting) return absl::OkStatus();
  for (const std::string_view key : {"for", "keep_firing_for", "annotations"}) {
    const yaml::Node* node = map.Find(key);
    const bool set = key == "for"               ? rule->for_ms != 0
                     : key == "keep_firing_for" ? rule->keep_firing_for_ms != 0
                                                : !rule->annotations.empty();
    if (set) {
      return Error(*node, where,
                   fmt::format("invalid field '{}' in recording rule", key));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Pairs> Reader::ReadPairs(yaml::MapReader& map,
                                        std::string_view key,
                                        const Where& where, bool templates) {
  Pairs out;
  const yaml::Node* node = map.Find(key);
  if (node == nullptr) return out;
  const bool labels = key == "labels";
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader pairs, node->AsMap());
  for (const auto& [name, value] : pairs.Entries()) {
    if (name.empty() || !IsValidUtf8(name) || (labels && name == kMetricName)) {
      return Error(value, where,
                   fmt::format("invalid {} name: {}",
                               labels ? "label" : "annotation", Quoted(name)));
    }
    VIGIE_ASSIGN_OR_RETURN(std::string text, TextOf(value));
    if (!IsValidUtf8(text)) {
      return Error(value, where,
                   fmt::format("{} {}: the value is not valid UTF-8",
                               labels ? "label" : "annotation", Quoted(name)));
    }
    if (templates) {
      const absl::Status status = templates_.Check(text, TemplateVariables());
      if (!status.ok()) {
        return Error(value, where,
                     fmt::format("{} {}: {}", labels ? "label" : "annotation",
                                 Quoted(name), MessageOf(status)));
      }
    }
    out.emplace_back(name, std::move(text));
  }
  std::sort(out.begin(), out.end());
  return out;
}

absl::StatusOr<RuleSpec> Reader::ReadRule(const yaml::Node& node, Where where) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  RuleSpec rule;
  rule.place = node.place();
  VIGIE_RETURN_IF_ERROR(ReadName(map, &where, &rule));
  VIGIE_RETURN_IF_ERROR(ReadExpr(map, where, &rule));
  const bool alerting = rule.kind == RuleSpec::Kind::kAlerting;
  VIGIE_ASSIGN_OR_RETURN(rule.labels,
                         ReadPairs(map, "labels", where, alerting));
  VIGIE_ASSIGN_OR_RETURN(rule.annotations,
                         ReadPairs(map, "annotations", where, alerting));
  VIGIE_RETURN_IF_ERROR(ReadTimes(map, where, &rule));
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return rule;
}

absl::StatusOr<RuleGroupSpec> Reader::ReadGroup(const yaml::Node& node) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, node.AsMap());
  RuleGroupSpec group;
  group.file = node.file_name();
  VIGIE_RETURN_IF_ERROR(map.Read("name", &group.name));
  if (group.name.empty()) return node.Error("Groupname must not be empty");
  if (!IsValidUtf8(group.name)) {
    return map.Find("name")->Error("the name is not valid UTF-8");
  }
  const Where where{.group = group.name, .rule = 0, .name = {}};
  VIGIE_RETURN_IF_ERROR(map.ReadDurationMs("interval", &group.interval_ms));
  VIGIE_RETURN_IF_ERROR(map.Read("limit", &group.limit));
  if (const yaml::Node* offset = map.Find("query_offset");
      offset != nullptr && !offset->is_null()) {
    VIGIE_ASSIGN_OR_RETURN(group.query_offset_ms, offset->AsDurationMs());
  }
  // Not checked as templates here: recording rules take them as they are.
  VIGIE_ASSIGN_OR_RETURN(group.labels, ReadPairs(map, "labels", where, false));
  if (const yaml::Node* rules = map.Find("rules")) {
    VIGIE_ASSIGN_OR_RETURN(const auto nodes, rules->AsSequence());
    for (size_t i = 0; i < nodes.size(); ++i) {
      auto read = ReadRule(nodes[i], {group.name, i + 1, ""});
      if (!read.ok()) {
        faults_.push_back(read.status());
        continue;
      }
      RuleSpec rule = *std::move(read);
      if (rule.kind == RuleSpec::Kind::kAlerting) {
        for (const auto& [name, text] : group.labels) {
          const absl::Status status =
              templates_.Check(text, TemplateVariables());
          if (!status.ok()) {
            return Error(
                *map.Find("labels"), where,
                fmt::format("label {}: {}", Quoted(name), MessageOf(status)));
          }
        }
      }
      rule.labels = Merged(group.labels, rule.labels);
      group.rules.push_back(std::move(rule));
    }
  }
  VIGIE_RETURN_IF_ERROR(map.Finish());
  return group;
}

absl::Status Reader::ReadGroups(const yaml::Node& root,
                                std::vector<RuleGroupSpec>* out) {
  VIGIE_ASSIGN_OR_RETURN(yaml::MapReader map, root.AsMap());
  std::set<std::string> names;
  if (const yaml::Node* groups = map.Find("groups")) {
    VIGIE_ASSIGN_OR_RETURN(const auto nodes, groups->AsSequence());
    for (const yaml::Node& node : nodes) {
      auto group = ReadGroup(node);
      if (!group.ok()) {
        faults_.push_back(group.status());
        continue;
      }
      if (!names.insert(group->name).second) {
        faults_.push_back(
            node.Error(fmt::format("groupname: {} is repeated in the same file",
                                   Quoted(group->name))));
        continue;
      }
      out->push_back(*std::move(group));
    }
  }
  return map.Finish();
}

std::vector<RuleGroupSpec> Reader::Read(const yaml::Node& root) {
  std::vector<RuleGroupSpec> out;
  if (absl::Status status = ReadGroups(root, &out); !status.ok()) {
    faults_.push_back(std::move(status));
  }
  return out;
}

// Sorted; none if nothing matches.
absl::StatusOr<std::vector<std::string>> Matching(const std::string& pattern) {
  glob_t found{};
  const int error = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> out;
  if (error == 0) out.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (error != 0 && error != GLOB_NOMATCH) {
    return absl::NotFoundError(
        fmt::format("{}: the files cannot be listed", pattern));
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<RuleGroupSpec>> ParseRuleFile(
    const yaml::Node& root, const query::ParserOptions& options) {
  Reader reader(options);
  std::vector<RuleGroupSpec> groups = reader.Read(root);
  if (!reader.faults().empty()) return reader.faults().front();
  return groups;
}

std::vector<absl::Status> CheckRuleFile(const yaml::Node& root,
                                        const query::ParserOptions& options) {
  Reader reader(options);
  static_cast<void>(reader.Read(root));
  return reader.faults();
}

absl::StatusOr<std::vector<RuleGroupSpec>> LoadRuleFiles(
    const std::vector<std::string>& patterns, const std::string& directory,
    const query::ParserOptions& options) {
  std::vector<RuleGroupSpec> out;
  std::set<std::string> read;
  for (const std::string& pattern : patterns) {
    const std::string absolute =
        (std::filesystem::path(directory) / pattern).lexically_normal();
    VIGIE_ASSIGN_OR_RETURN(const auto files, Matching(absolute));
    for (const std::string& file : files) {
      if (!read.insert(file).second) continue;
      VIGIE_ASSIGN_OR_RETURN(const yaml::Node root, yaml::Node::LoadFile(file));
      VIGIE_ASSIGN_OR_RETURN(auto groups, ParseRuleFile(root, options));
      std::move(groups.begin(), groups.end(), std::back_inserter(out));
    }
  }
  return out;
}

}  // namespace vigie::alerting

// An alertmanager.yml, unchanged: the tree of routes and who is told.
// Source: prometheus.io "Alertmanager configuration", 0.34.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "alerting/inhibition.h"
#include "alerting/receivers/receiver_config.h"
#include "alerting/template/template.h"
#include "alerting/time_interval.h"
#include "model/labels.h"
#include "model/matcher.h"

namespace vigie::alerting {

// One node of the tree, with what it inherits filled in.
struct Route {
  std::string key;  // as Alertmanager names it: {}/{severity="critical"}
  std::string receiver;
  std::vector<Matcher> matchers;  // all must match; none: everything does
  bool group_by_all = false;      // `...`
  std::vector<std::string> group_by;
  int64_t group_wait_ms = 30'000;
  int64_t group_interval_ms = 5 * 60'000;
  int64_t repeat_interval_ms = 4 * 3600'000;
  bool continue_matching = false;
  // Names of time intervals; not inherited. In one of the first nobody is
  // told, nor outside all of the second if there are any.
  std::vector<std::string> mute_time_intervals;
  std::vector<std::string> active_time_intervals;
  std::vector<Route> routes;
};

struct RoutingConfig {
  Route root;
  std::vector<InhibitRule> inhibit_rules;
  TimeIntervals time_intervals;
  ReceiverConfig receivers;
  std::shared_ptr<const TemplateSet> templates;  // default ones and files
  int64_t resolve_timeout_ms = 5 * 60'000;
  // Keys that Alertmanager knows and vigie does not do yet, with their place.
  std::vector<std::string> unsupported;
};

// kInvalidArgument or kNotFound, `file:line:column: ...`, the first fault, of
// the file and of the template files it names. All or nothing.
absl::StatusOr<RoutingConfig> LoadRoutingConfig(const std::string& path);

// The routes an alert takes, in order: leaves of the tree, or nodes none of
// whose children match.
std::vector<const Route*> MatchRoutes(const Route& root, const Labels& labels);

}  // namespace vigie::alerting

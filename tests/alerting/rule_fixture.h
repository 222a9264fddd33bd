// What tests of rules share: groups from YAML, a store and records in memory
// that outlive the groups, a sink that keeps what it took, and a gate that
// kills the process after a number of steps.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "alerting/alert.h"
#include "alerting/rule_file.h"
#include "alerting/rule_group.h"
#include "query/engine.h"
#include "tests/support/memory_records.h"
#include "tests/support/memory_store.h"
#include "tests/support/simulated_clock.h"
#include "tests/support/status_matchers.h"

namespace vigie::alerting {

// Counts steps to the outside; the one that is too many, and all after it,
// fail: the process is dead. Thread-safe.
class StepGate {
 public:
  void DieAfter(int steps) { left_ = steps; }
  void Revive() { left_ = std::numeric_limits<int>::max(); }
  bool dead() const { return left_ < 0; }
  absl::Status Pass() {
    if (!dead() && left_.fetch_sub(1) > 0) return absl::OkStatus();
    return absl::UnavailableError("the process is dead");
  }

 private:
  std::atomic<int> left_ = std::numeric_limits<int>::max();
};

class GatedRecords final : public store::Records {
 public:
  GatedRecords(store::Records& records, StepGate& gate)
      : records_(records), gate_(gate) {}
  absl::Status Write(const store::RecordBatch& batch) override {
    if (absl::Status status = gate_.Pass(); !status.ok()) return status;
    return records_.Write(batch);
  }
  absl::StatusOr<std::string> Get(const Tenant& tenant, std::string_view table,
                                  std::string_view key) const override {
    return records_.Get(tenant, table, key);
  }
  absl::Status Scan(const Tenant& tenant, std::string_view table,
                    std::string_view first, std::string_view last,
                    absl::FunctionRef<bool(std::string_view, std::string_view)>
                        visit) const override {
    return records_.Scan(tenant, table, first, last, visit);
  }

 private:
  store::Records& records_;
  StepGate& gate_;
};

class GatedAppender final : public store::Appender {
 public:
  GatedAppender(store::Appender& appender, StepGate& gate)
      : appender_(appender), gate_(gate) {}
  void Append(store::AppendBatch batch, store::AppendCompletion done) override {
    if (absl::Status status = gate_.Pass(); !status.ok()) {
      store::AppendOutcome outcome;
      outcome.status = std::move(status);
      std::move(done)(std::move(outcome));
      return;
    }
    appender_.Append(std::move(batch), std::move(done));
  }

 private:
  store::Appender& appender_;
  StepGate& gate_;
};

// Keeps every word it took, in order, and the newest on each label set.
class AlertList final : public AlertSink {
 public:
  explicit AlertList(StepGate* gate = nullptr) : gate_(gate) {}

  void RefuseNext(int takes) {
    std::lock_guard lock(mutex_);
    refuse_ = takes;
  }
  absl::Status Take(const std::vector<Alert>& alerts) override {
    if (gate_ != nullptr) {
      if (absl::Status status = gate_->Pass(); !status.ok()) return status;
    }
    std::lock_guard lock(mutex_);
    if (refuse_ > 0) {
      --refuse_;
      return absl::UnavailableError("sink: refused");
    }
    for (const Alert& alert : alerts) {
      words_.push_back(alert);
      newest_[alert.labels] = alert;
    }
    return absl::OkStatus();
  }
  std::vector<Alert> words() const {
    std::lock_guard lock(mutex_);
    return words_;
  }
  std::map<Labels, Alert> newest() const {
    std::lock_guard lock(mutex_);
    return newest_;
  }
  // Words since the last call.
  std::vector<Alert> TakeWords() {
    std::lock_guard lock(mutex_);
    std::vector<Alert> out;
    out.swap(words_);
    return out;
  }

 private:
  StepGate* const gate_;
  mutable std::mutex mutex_;
  int refuse_ = 0;
  std::vector<Alert> words_;
  std::map<Labels, Alert> newest_;
};

class RuleFixture : public ::testing::Test {
 protected:
  static constexpr int64_t kStart = 1'700'000'040'000;
  static constexpr int64_t kMinute = 60'000;

  static std::vector<RuleGroupSpec> Parse(const std::string& text,
                                          const std::string& file = "r.yml") {
    const auto root = yaml::Node::Parse(text, file);
    EXPECT_TRUE(root.ok()) << root.status();
    auto groups = ParseRuleFile(*root);
    EXPECT_TRUE(groups.ok()) << groups.status();
    return groups.ok() ? *std::move(groups) : std::vector<RuleGroupSpec>();
  }
  // A group "g" of these rules, given as YAML list items.
  static RuleGroupSpec Spec(const std::string& rules,
                            const std::string& keys = "") {
    auto groups = Parse("groups:\n- name: g\n" + keys + "  rules:\n" + rules);
    return groups.empty() ? RuleGroupSpec() : groups[0];
  }

  RuleContext Context() {
    return {.engine = engine_,
            .appender = appender_,
            .records = &gated_records_,
            .sink = &sink_,
            .external_labels = external_labels_,
            .external_url = "http://vigie:9090"};
  }
  std::unique_ptr<RuleGroup> Group(const RuleGroupSpec& spec) {
    return std::make_unique<RuleGroup>(spec, kMinute, Context());
  }
  std::unique_ptr<RuleGroup> Group(const std::string& rules,
                                   const std::string& keys = "") {
    return Group(Spec(rules, keys));
  }
  // As a new process finds it.
  std::unique_ptr<RuleGroup> Restarted(const RuleGroupSpec& spec,
                                       int64_t now_ms) {
    auto group = Group(spec);
    EXPECT_THAT(group->Restore(now_ms), testing::IsOk());
    return group;
  }

  static absl::Status Evaluate(RuleGroup& group, int64_t time_ms) {
    return group.Evaluate(time_ms, std::stop_token());
  }

  void Put(const Labels& labels, int64_t time_ms, double value) {
    store::AppendBatch batch;
    batch.series.push_back({labels, {}});
    batch.floats.push_back({0, {time_ms, value}});
    const auto outcome = store::AppendAndWait(store_, std::move(batch));
    ASSERT_TRUE(outcome.status.ok() && outcome.refusals.empty());
  }

  // The instant vector of an expression as text: `{a="b"} 1`, sorted.
  std::vector<std::string> Ask(const std::string& expr, int64_t time_ms) {
    query::InstantQuery query;
    query.query = expr;
    query.time_ms = time_ms;
    const auto result = engine_.Run(query);
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<std::string> out;
    if (!result.ok()) return out;
    for (const auto& element : std::get<query::Vector>(result->value)) {
      out.push_back(element.labels.ToString() + " " +
                    std::to_string(static_cast<int64_t>(element.sample.value)));
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  testing::SimulatedClock clock_{kStart};
  testing::MemoryStore store_;
  testing::MemoryRecords records_;
  StepGate gate_;
  GatedRecords gated_records_{records_, gate_};
  GatedAppender appender_{store_, gate_};
  AlertList sink_{&gate_};
  query::Engine engine_{store_, clock_, {}};
  std::vector<std::pair<std::string, std::string>> external_labels_;
};

}  // namespace vigie::alerting

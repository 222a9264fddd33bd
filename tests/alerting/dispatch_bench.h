// A dispatcher's state on a workbench: records that crash, receivers that
// listen and remember, time that goes from one due thing to the next.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "alerting/dispatch_state.h"
#include "tests/alerting/crashing_records.h"

namespace vigie::testing {

inline constexpr int64_t kStartMs = 1'700'000'000'000;
inline constexpr int64_t kSecond = 1'000;
inline constexpr int64_t kMinute = 60 * kSecond;
inline constexpr int64_t kHour = 60 * kMinute;

// Somebody who is told things. What it has taken survives the dispatcher.
struct Listener {
  bool send_resolved = true;
  // What it answers; OK: it takes the message.
  alerting::DeliveryOutcome answer = {absl::OkStatus(), false, {}, "200"};
  // It takes the message although it answers something else.
  bool takes_anyway = false;

  std::vector<alerting::Notification> taken;
  std::map<std::string, int> times_taken;  // by id
  std::set<std::string> firing;            // what it believes, by `alertname`
  int attempts = 0;

  void GoDown() {
    answer = {absl::UnavailableError("connection refused"), true, {}, ""};
  }
  void ComeBack() { answer = {absl::OkStatus(), false, {}, "200"}; }

  // The last message: reason, then alerts, ended ones with a minus.
  std::string Last() const { return taken.empty() ? "" : Text(taken.back()); }
  static std::string Text(const alerting::Notification& notification) {
    std::string out = notification.reason + ":";
    for (const alerting::Alert& alert : notification.alerts) {
      out += alert.firing() ? " " : " -";
      out += alert.labels.Get("alertname");
    }
    return out;
  }
};

class ListenerIntegration final : public alerting::Integration {
 public:
  explicit ListenerIntegration(Listener& listener) : listener_(listener) {}
  std::string_view type() const override { return "test"; }
  bool send_resolved() const override { return listener_.send_resolved; }
  alerting::DeliveryOutcome Deliver(const alerting::Notification& notification,
                                    std::stop_token) override {
    ++listener_.attempts;
    if (listener_.answer.status.ok() || listener_.takes_anyway) {
      listener_.taken.push_back(notification);
      ++listener_.times_taken[notification.id];
      for (const alerting::Alert& alert : notification.alerts) {
        const std::string name(alert.labels.Get("alertname"));
        if (alert.firing()) {
          listener_.firing.insert(name);
        } else {
          listener_.firing.erase(name);
        }
      }
    }
    return listener_.answer;
  }

 private:
  Listener& listener_;
};

class DispatchBench {
 public:
  DispatchBench() { config_.root.receiver = "team"; }

  // By receiver.
  std::map<std::string, std::vector<Listener*>> listeners;
  CrashingRecords records;
  alerting::DispatcherOptions options = {.seed = 42};
  prometheus::Registry registry;

  alerting::Route& root() { return config_.root; }
  alerting::RoutingConfig& config() { return config_; }

  absl::Status Start() {
    records.Revive();
    metrics_ = std::make_unique<alerting::DispatchMetrics>(registry);
    auto state = alerting::DispatchState::Restore(
        records, *metrics_, options, "http://vigie",
        std::make_shared<alerting::RoutingConfig>(config_), Integrations(),
        now_);
    if (!state.ok()) return state.status();
    state_ = *std::move(state);
    return absl::OkStatus();
  }
  absl::Status Apply() {
    return state_->Apply(std::make_shared<alerting::RoutingConfig>(config_),
                         Integrations(), now_);
  }
  alerting::DispatchState& state() { return *state_; }
  int64_t now_ms() const { return now_.wall_ms; }
  alerting::Moment now() const { return now_; }

  alerting::Alert Firing(const std::string& name, LabelsBuilder more = {}) {
    alerting::Alert alert;
    alert.labels = more.Set("alertname", name).Build();
    alert.starts_at_ms = now_.wall_ms;
    return alert;
  }
  alerting::Alert Ended(const std::string& name, LabelsBuilder more = {}) {
    alerting::Alert alert = Firing(name, std::move(more));
    alert.ends_at_ms = now_.wall_ms;
    return alert;
  }
  absl::Status Take(std::vector<alerting::Alert> alerts) {
    return state_->Take(alerts, now_);
  }
  absl::Status Fire(const std::string& name) { return Take({Firing(name)}); }
  absl::Status End(const std::string& name) { return Take({Ended(name)}); }

  // Lets `ms` pass, doing everything when it is due. Stops at a crash.
  void Run(int64_t ms) {
    const int64_t end_ns = now_.NsAfterMs(ms);
    while (!records.crashed()) {
      state_->Tick(now_);
      while (auto attempt = state_->NextAttempt(now_)) {
        const alerting::DeliveryOutcome outcome =
            attempt->integration->Deliver(attempt->notification, {});
        if (!state_->Finish(*attempt, outcome, now_).ok()) break;
      }
      const int64_t next_ns = state_->NextNs();
      if (next_ns > end_ns) break;
      MoveTo(std::max(next_ns, now_.mono_ns + 1'000'000));
    }
    if (end_ns > now_.mono_ns) MoveTo(end_ns);
  }

  // Lets time pass and does nothing.
  void MoveMs(int64_t ms) { MoveTo(now_.NsAfterMs(ms)); }

  std::vector<alerting::LedgerEntry> Ledger() {
    auto entries =
        alerting::Ledger::Read(records, 1'000'000, state_->next_sequence());
    EXPECT_TRUE(entries.ok()) << entries.status();
    return *std::move(entries);
  }
  // "owed delivered".
  std::string Events() {
    std::string out;
    for (const auto& entry : Ledger()) {
      out += (out.empty() ? "" : " ") + entry.event;
    }
    return out;
  }

 private:
  alerting::Integrations Integrations() {
    alerting::Integrations out;
    for (const auto& [receiver, list] : listeners) {
      for (Listener* listener : list) {
        out[receiver].push_back(
            std::make_shared<ListenerIntegration>(*listener));
      }
    }
    return out;
  }
  void MoveTo(int64_t mono_ns) {
    now_.wall_ms += (mono_ns - now_.mono_ns) / 1'000'000;
    now_.mono_ns = mono_ns;
  }

  alerting::RoutingConfig config_;
  alerting::Moment now_ = {kStartMs, 5'000'000'000};
  std::unique_ptr<alerting::DispatchMetrics> metrics_;
  std::unique_ptr<alerting::DispatchState> state_;
};

}  // namespace vigie::testing

// What will happen, in order of its time; equal times in the order in which
// they were planned. The clock of the simulation. Thread-compatible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

namespace vigie::demo {

class Timeline {
 public:
  using Action = std::function<void()>;

  double now_s() const { return now_s_; }

  // A delay below zero counts as zero.
  void After(double delay_s, Action action) {
    plans_.push(
        {now_s_ + std::max(delay_s, 0.0), ++planned_, std::move(action)});
  }

  // Infinity if nothing is planned.
  double NextAt() const {
    return plans_.empty() ? std::numeric_limits<double>::infinity()
                          : plans_.top().at_s;
  }

  // Does all that is planned up to `at_s`, that moment included, and what comes
  // of it; then it is `at_s`.
  void RunUntil(double at_s) {
    while (NextAt() <= at_s) {
      // const only because the order must not change; it leaves right away.
      Action action = std::move(const_cast<Plan&>(plans_.top()).action);
      now_s_ = plans_.top().at_s;
      plans_.pop();
      action();
    }
    now_s_ = std::max(now_s_, at_s);
  }

 private:
  struct Plan {
    double at_s;
    uint64_t number;
    Action action;

    bool operator<(const Plan& other) const {  // the largest is the top
      return std::pair(at_s, number) > std::pair(other.at_s, other.number);
    }
  };

  double now_s_ = 0;
  uint64_t planned_ = 0;
  std::priority_queue<Plan> plans_;
};

}  // namespace vigie::demo

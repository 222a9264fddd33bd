// Tells every observer what happens, with the time at which it does.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "deploy/demo/event.h"
#include "deploy/demo/timeline.h"

namespace vigie::demo {

class Audience {
 public:
  // `timeline` and the observers outlive it. Who comes first is told first.
  Audience(const Timeline& timeline, std::vector<Observer*> observers)
      : timeline_(timeline), observers_(std::move(observers)) {}

  template <typename What>
  void Tell(size_t instance, What what) {
    const Event event{timeline_.now_s(), instance, std::move(what)};
    for (Observer* observer : observers_) observer->OnEvent(event);
  }

  void Tell(const Request& request) {
    for (Observer* observer : observers_) observer->OnRequest(request);
  }

 private:
  const Timeline& timeline_;
  const std::vector<Observer*> observers_;
};

}  // namespace vigie::demo

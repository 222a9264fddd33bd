// The event log: what really happened, one line of JSON an event, in a file. A
// line is with the kernel before OnEvent returns, so whoever counts the event
// afterwards is never ahead of the log, not even if the process is killed.
// Requests are not in it. Lines: deploy/demo/README.md.
// Thread-compatible.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "deploy/demo/catalogue.h"
#include "deploy/demo/event.h"

namespace vigie::demo {

// A line, without its end. Same events, same bytes.
std::string ToJson(const Event& event, const std::vector<Instance>& instances,
                   const Catalogue& catalogue);

class EventLog final : public Observer {
 public:
  // Begins the file anew. Null, with errno, if it cannot be opened.
  static std::unique_ptr<EventLog> Open(const std::string& path);

  // Before the first event; both outlive it. The simulation has them, and the
  // simulation is made with its observers.
  void Know(const std::vector<Instance>& instances,
            const Catalogue& catalogue) {
    instances_ = &instances;
    catalogue_ = &catalogue;
  }

  void OnEvent(const Event& event) override;
  void OnRequest(const Request&) override {}

  // False once a line could not be written: the log is not whole.
  bool ok() const { return ok_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit EventLog(std::FILE* file) : file_(file) {}

  std::unique_ptr<std::FILE, Close> file_;
  const std::vector<Instance>* instances_ = nullptr;
  const Catalogue* catalogue_ = nullptr;
  bool ok_ = true;
};

}  // namespace vigie::demo

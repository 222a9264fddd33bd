#include "deploy/demo/event_log.h"

#include <fmt/format.h>

namespace vigie::demo {
namespace {

// The fields of each kind of event, after those that all have. No name that
// comes in needs escaping.
struct Fields {
  const Catalogue& catalogue;

  std::string operator()(const Visit& e) const {
    return fmt::format(R"("visit","site":"{}","version":"{}")",
                       NameOf(e.site, kSiteNames),
                       NameOf(e.release, kReleaseNames));
  }
  std::string operator()(const Search& e) const {
    return fmt::format(R"("search","site":"{}")", NameOf(e.site, kSiteNames));
  }
  std::string operator()(const Login& e) const {
    return fmt::format(R"("login","outcome":"{}")", e.ok ? "ok" : "failed");
  }
  std::string operator()(const BasketCreated& e) const {
    return fmt::format(R"("basket_created","basket":{},"site":"{}")", e.basket,
                       NameOf(e.site, kSiteNames));
  }
  std::string operator()(const BasketAbandoned& e) const {
    return fmt::format(R"("basket_abandoned","basket":{},"site":"{}")",
                       e.basket, NameOf(e.site, kSiteNames));
  }
  std::string operator()(const OrderPlaced& e) const {
    return fmt::format(
        R"("order","order":{},"basket":{},"site":"{}","version":"{}","cents":{})",
        e.order, e.basket, NameOf(e.site, kSiteNames),
        NameOf(e.release, kReleaseNames), e.cents);
  }
  std::string operator()(const PaymentAttempted& e) const {
    return fmt::format(
        R"("payment","order":{},"site":"{}","version":"{}","outcome":"{}")",
        e.order, NameOf(e.site, kSiteNames), NameOf(e.release, kReleaseNames),
        NameOf(e.outcome, kPaymentOutcomeNames));
  }
  std::string operator()(const OrderPaid& e) const {
    std::string lines;
    for (const OrderLine& line : e.lines) {
      lines +=
          fmt::format(R"({}["{}",{}])", lines.empty() ? "" : ",",
                      catalogue.products()[line.product].name, line.quantity);
    }
    return fmt::format(
        R"("paid","order":{},"site":"{}","cents":{},"lines":[{}])", e.order,
        NameOf(e.site, kSiteNames), e.cents, lines);
  }
  std::string operator()(const EmailSent& e) const {
    return fmt::format(R"("email","kind":"{}")",
                       NameOf(e.kind, kEmailKindNames));
  }
  std::string operator()(const Restarted&) const { return R"("restart")"; }
  std::string operator()(const PaymentErrorsSet& e) const {
    return fmt::format(R"("payment_errors","share":{})", e.share);
  }
};

}  // namespace

std::string ToJson(const Event& event, const std::vector<Instance>& instances,
                   const Catalogue& catalogue) {
  return fmt::format(R"({{"at_s":{:.6f},"instance":"{}","event":{}}})",
                     event.at_s, instances[event.instance].name,
                     std::visit(Fields{catalogue}, event.what));
}

std::unique_ptr<EventLog> EventLog::Open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return nullptr;
  return std::unique_ptr<EventLog>(new EventLog(file));
}

void EventLog::OnEvent(const Event& event) {
  const std::string line = ToJson(event, *instances_, *catalogue_) + "\n";
  ok_ = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() &&
        std::fflush(file_.get()) == 0 && ok_;
}

}  // namespace vigie::demo

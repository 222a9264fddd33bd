#include "deploy/demo/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "deploy/demo/simulation.h"

namespace vigie::demo {
namespace {

const std::vector<Instance>& OneInstance() {
  static const auto& instances =
      *new std::vector<Instance>{{Service::kOrders, Release::kV1, "orders-0"}};
  return instances;
}

std::string Line(auto what) {
  return ToJson({.at_s = 1.5, .instance = 0, .what = std::move(what)},
                OneInstance(), Catalogue());
}

constexpr char kBegin[] = R"({"at_s":1.500000,"instance":"orders-0","event":)";

TEST(EventLogTest, EveryKindOfEventIsALineOfJson) {
  EXPECT_EQ(Line(Visit{Site::kDe, Release::kV2}),
            std::string(kBegin) + R"("visit","site":"de","version":"v2"})");
  EXPECT_EQ(Line(Search{Site::kFr}),
            std::string(kBegin) + R"("search","site":"fr"})");
  EXPECT_EQ(Line(Login{false}),
            std::string(kBegin) + R"("login","outcome":"failed"})");
  EXPECT_EQ(
      Line(BasketCreated{3, Site::kEs}),
      std::string(kBegin) + R"("basket_created","basket":3,"site":"es"})");
  EXPECT_EQ(
      Line(BasketAbandoned{3, Site::kEs}),
      std::string(kBegin) + R"("basket_abandoned","basket":3,"site":"es"})");
  EXPECT_EQ(Line(OrderPlaced{7, 3, Site::kFr, Release::kV1, 12990}),
            std::string(kBegin) + R"("order","order":7,"basket":3,"site":"fr",)"
                                  R"("version":"v1","cents":12990})");
  EXPECT_EQ(Line(PaymentAttempted{7, Site::kFr, Release::kV1,
                                  PaymentOutcome::kError}),
            std::string(kBegin) +
                R"("payment","order":7,"site":"fr","version":"v1",)"
                R"("outcome":"error"})");
  EXPECT_EQ(Line(OrderPaid{7, Site::kFr, 7570, {{0, 2}, {1, 1}}}),
            std::string(kBegin) +
                R"("paid","order":7,"site":"fr","cents":7570,)"
                R"("lines":[["oak-mug",2],["oak-lamp",1]]})");
  EXPECT_EQ(Line(EmailSent{EmailKind::kBasketReminder}),
            std::string(kBegin) + R"("email","kind":"basket_reminder"})");
  EXPECT_EQ(Line(Restarted{}), std::string(kBegin) + R"("restart"})");
  EXPECT_EQ(Line(PaymentErrorsSet{0.25}),
            std::string(kBegin) + R"("payment_errors","share":0.25})");
}

TEST(EventLogTest, ALineIsInTheFileWhenTheNextObserverIsTold) {
  const std::string path = ::testing::TempDir() + "/event_log_test.jsonl";
  struct Reader final : Observer {
    explicit Reader(const std::string& path) : file(path) {}
    void OnEvent(const Event& event) override {
      ++events;
      std::string line;
      file.clear();
      ASSERT_TRUE(std::getline(file, line)) << "event " << events;
      EXPECT_NEAR(nlohmann::json::parse(line).at("at_s"), event.at_s, 1e-6);
    }
    void OnRequest(const Request&) override {}
    std::ifstream file;
    int events = 0;
  };
  const auto log = EventLog::Open(path);
  ASSERT_NE(log, nullptr);
  Reader reader(path);
  Simulation simulation({.restart_every_s = 3}, {log.get(), &reader});
  log->Know(simulation.backend().instances(), simulation.catalogue());

  simulation.RunUntil(20);

  EXPECT_GT(reader.events, 100);
  EXPECT_TRUE(log->ok());
}

TEST(EventLogTest, ADiskThatIsFullIsNoticed) {
  const auto log = EventLog::Open("/dev/full");
  ASSERT_NE(log, nullptr);
  const Catalogue catalogue;
  log->Know(OneInstance(), catalogue);

  log->OnEvent({.at_s = 0, .instance = 0, .what = Restarted{}});

  EXPECT_FALSE(log->ok());
}

TEST(EventLogTest, AFileThatCannotBeOpenedIsNoLog) {
  EXPECT_EQ(EventLog::Open("/nowhere/at/all"), nullptr);
}

}  // namespace
}  // namespace vigie::demo

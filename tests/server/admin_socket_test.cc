// The admin socket and the requests it carries, over a real store.
#include "server/admin_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/store/store_fixture.h"

namespace vigie::server {
namespace {

using ::testing::HasSubstr;

class CollectingSink final : public OperationSink {
 public:
  void OnProgress(std::string_view what, uint64_t, uint64_t,
                  std::string_view) override {
    progress.emplace_back(what);
  }
  void OnWarning(std::string_view text) override {
    warnings.emplace_back(text);
  }
  absl::Status OnData(std::string_view text) override {
    data += text;
    return absl::OkStatus();
  }
  std::vector<std::string> progress, warnings;
  std::string data;
};

class AdminSocketTest : public store::StoreTest {
 protected:
  void SetUp() override { Open(); }
  std::string path() const { return AdminSocketPath(directory_.data()); }

  absl::StatusOr<std::string> Ask(const OperationRequest& request) {
    auto connection = AdminConnection::Connect(path());
    if (!connection.ok()) return connection.status();
    return (*connection)->Ask(request, sink_, stop_.get_token());
  }

  CollectingSink sink_;
  std::stop_source stop_;
};

// A socket as a server leaves it that was killed.
void LeaveSocketAt(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
            0);
  ::close(fd);
}

TEST_F(AdminSocketTest, IsForItsOwnerAlone) {
  const auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();

  struct stat status = {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(AdminSocketTest, AnswersWithProgressAndResult) {
  Append(store::SeriesNamed("up"), {{store::kNowMs, 1}});
  const auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  OperationRequest request{.verb = "snapshot"};
  request.directory = directory_.path() + "/copy";

  const auto result = Ask(request);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result, HasSubstr("/copy"));
  EXPECT_THAT(sink_.progress, ::testing::Contains("linking"));
  EXPECT_TRUE(std::filesystem::exists(request.directory + "/FORMAT"));
}

TEST_F(AdminSocketTest, CarriesErrorsWithTheirCodes) {
  const auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();

  EXPECT_EQ(Ask({.verb = "fly"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask({.verb = "snapshot", .directory = "relative"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      Ask({.verb = "snapshot", .directory = directory_.data()}).status().code(),
      absl::StatusCode::kAlreadyExists);
}

TEST_F(AdminSocketTest, TakesTheNextOperationAfterOneThatFailed) {
  const auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  for (int i = 0; i < 3 * kOperationsMax; ++i) {
    ASSERT_FALSE(Ask({.verb = "fly"}).ok());
    ASSERT_TRUE(Ask({.verb = "inspect"}).ok());
  }
}

TEST_F(AdminSocketTest, InspectTellsWhatATenantHasMostOfAndWhatHasGrown) {
  Append(store::SeriesNamed("up", "x"), {{clock_.NowMs(), 1}});
  ASSERT_TRUE(store_->Seal().ok());
  clock_.AdvanceMs(86'400'000);
  for (const char* job : {"x", "y"}) {
    Append(store::SeriesNamed("up", job), {{clock_.NowMs(), 1}});
  }
  ASSERT_TRUE(store_->Seal().ok());
  const auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();

  const auto result = Ask({.verb = "inspect"});

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result,
              HasSubstr(R"("series_by_metric":[{"count":2,"name":"up"}])"));
  EXPECT_THAT(*result,
              HasSubstr(R"("metrics":[{"before":1,"name":"up","now":2}])"));
  EXPECT_THAT(*result,
              HasSubstr(R"("labels":[{"before":1,"name":"job","now":2}])"));
  EXPECT_THAT(*result, HasSubstr(R"("day":"2023-11-15T00:00:00)"));
}

TEST_F(AdminSocketTest, ReplacesTheSocketOfADeadServer) {
  LeaveSocketAt(path());
  EXPECT_EQ(AdminConnection::Connect(path()).status().code(),
            absl::StatusCode::kNotFound);

  const auto socket = AdminSocket::Start(path(), *store_);

  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(Ask({.verb = "inspect"}).ok());
}

TEST_F(AdminSocketTest, LeavesALiveServerItsSocket) {
  const auto first = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(first.ok()) << first.status();

  const auto second = AdminSocket::Start(path(), *store_);

  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Ask({.verb = "inspect"}).ok());
}

TEST_F(AdminSocketTest, IsGoneAfterItsServer) {
  { const auto socket = AdminSocket::Start(path(), *store_); }

  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_EQ(Ask({.verb = "inspect"}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(AdminSocketTest, WorksBelowALongPath) {
  const std::string deep =
      directory_.path() + "/" + std::string(150, 'd') + "/admin.sock";
  std::filesystem::create_directory(std::filesystem::path(deep).parent_path());
  const auto socket = AdminSocket::Start(deep, *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();

  const auto connection = AdminConnection::Connect(deep);

  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE((*connection)->Ask({.verb = "inspect"}, sink_, {}).ok());
}

TEST_F(AdminSocketTest, AnIdleClientDoesNotKeepTheServer) {
  auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  const auto idle = AdminConnection::Connect(path());
  ASSERT_TRUE(idle.ok()) << idle.status();

  socket->reset();  // returns

  EXPECT_FALSE((*idle)->Ask({.verb = "inspect"}, sink_, {}).ok());
}

TEST_F(AdminSocketTest, AStoppedClientIsCancelled) {
  const auto socket = AdminSocket::Start(path(), *store_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  stop_.request_stop();

  EXPECT_EQ(Ask({.verb = "inspect"}).status().code(),
            absl::StatusCode::kCancelled);
}

TEST(OperationRequestTest, ComesBackAsItWent) {
  OperationRequest request{.verb = "delete"};
  request.selectors = {R"(up{job="\"x\""})", "down"};
  request.tenant = "team";
  request.range = {-5, 1'700'000'000'000};
  request.paths = {"/a b", "/c"};
  request.format = "json";
  request.directory = "/d";

  const auto decoded = DecodeOperation(EncodeOperation(request));

  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, request);
}

TEST(OperationRequestTest, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {"", "[]", "{}", R"({"verb":1})", R"({"verb":"a","paths":"b"})",
        R"({"verb":"a","start":1.5})", R"({"verb":"a","x":1})"}) {
    EXPECT_EQ(DecodeOperation(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(OperationRequestTest, SelectorsMustSelect) {
  EXPECT_TRUE(ParseOperationSelectors({"up", R"({job=~".+"})"}).ok());
  EXPECT_FALSE(ParseOperationSelectors({R"({job=~".*"})"}).ok());
  EXPECT_FALSE(ParseOperationSelectors({"up +"}).ok());
}

}  // namespace
}  // namespace vigie::server

#include "cli/progress_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/support/simulated_clock.h"

namespace vigie::cli {
namespace {

using ::testing::HasSubstr;

class ProgressLineTest : public ::testing::Test {
 protected:
  ProgressLineTest() : out_(::open_memstream(&text_, &size_)) {}
  ~ProgressLineTest() override {
    std::fclose(out_);
    std::free(text_);
  }
  std::string Shown() {
    std::fflush(out_);
    return std::string(text_, size_);
  }

  testing::SimulatedClock clock_{0};
  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* out_;
};

TEST_F(ProgressLineTest, ATerminalSeesBarRateAndTimeLeft) {
  ProgressLine line(out_, 120, clock_);
  line.Update("linking", 0, 100 << 20, "bytes");
  clock_.AdvanceMs(10'000);
  line.Update("linking", 25 << 20, 100 << 20, "bytes");

  EXPECT_THAT(Shown(), HasSubstr("linking [======                  ]  25 %"));
  EXPECT_THAT(Shown(), HasSubstr("25.0 MiB of 100.0 MiB  2.5 MiB/s  30s left"));
  EXPECT_THAT(Shown(), ::testing::Not(HasSubstr("\n")));
}

TEST_F(ProgressLineTest, ATerminalIsNotFloodedAndNotWrapped) {
  ProgressLine line(out_, 40, clock_);
  line.Update("a", 0, 10'000, "series");
  const size_t once = Shown().size();
  for (int i = 0; i < 100; ++i) line.Update("a", i, 10'000, "series");
  EXPECT_EQ(Shown().size(), once);

  clock_.AdvanceMs(1000);
  line.Update("a", 5'000, 10'000, "series");
  EXPECT_LE(Shown().size() - once, 39 + std::string("\r\x1b[K").size());
}

TEST_F(ProgressLineTest, WithoutATerminalALineComesEveryTenSeconds) {
  ProgressLine line(out_, 0, clock_);
  line.Update("importing", 0, 0, "samples");
  for (int second = 0; second < 25; ++second) {
    clock_.AdvanceMs(1000);
    line.Update("importing", 1000 * (second + 1), 0, "samples");
  }

  EXPECT_EQ(Shown(),
            "importing  10.0 k samples  1.0 k/s\n"
            "importing  20.0 k samples  1.0 k/s\n");
}

TEST_F(ProgressLineTest, ClearLeavesNothingOnTheScreen) {
  ProgressLine line(out_, 80, clock_);
  line.Update("linking", 1, 2, "bytes");
  line.Clear();
  EXPECT_TRUE(Shown().ends_with("\r\x1b[K"));
}

TEST(AmountTextTest, HasOneUnit) {
  EXPECT_EQ(AmountText(0, "bytes"), "0 B");
  EXPECT_EQ(AmountText(1536, "bytes"), "1.5 KiB");
  EXPECT_EQ(AmountText(999, "series"), "999 series");
  EXPECT_EQ(AmountText(28'800'000, "samples"), "28.8 M samples");
}

}  // namespace
}  // namespace vigie::cli

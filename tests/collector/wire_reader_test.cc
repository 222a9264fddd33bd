#include "collector/wire_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace vigie::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::StrEq;

// The error of walking over all of `bytes`, or "".
std::string Walk(std::string_view bytes) {
  WireReader reader(bytes, bytes.data());
  while (reader.Next()) {
  }
  return reader.error() == nullptr ? "" : reader.error();
}

TEST(WireReaderTest, ReadsEveryKindOfField) {
  using namespace std::string_literals;
  const std::string bytes =
      "\x08\xAC\x02"                          // 1: varint 300
      "\x11\x01\x00\x00\x00\x00\x00\x00\x00"  // 2: fixed64 1
      "\x1A\x02hi"                            // 3: bytes
      "\x25\x07\x00\x00\x00"s;                // 4: fixed32 7
  WireReader reader(bytes, bytes.data());
  uint64_t number = 0;
  std::string_view text;

  ASSERT_TRUE(reader.Next());
  EXPECT_EQ(reader.field(), 1u);
  reader.ReadVarint(&number);
  EXPECT_EQ(number, 300u);
  ASSERT_TRUE(reader.Next());
  reader.ReadFixed64(&number);
  EXPECT_EQ(number, 1u);
  ASSERT_TRUE(reader.Next());
  reader.Read(&text);
  EXPECT_EQ(text, "hi");
  EXPECT_EQ(reader.offset(), 12u);
  ASSERT_TRUE(reader.Next());
  EXPECT_EQ(reader.field(), 4u);
  EXPECT_FALSE(reader.Next());
  EXPECT_EQ(reader.error(), nullptr);
}

TEST(WireReaderTest, RefusesWhatIsMalformed) {
  EXPECT_THAT(Walk("\x08"), StrEq("cut short within a varint"));
  EXPECT_THAT(Walk("\x0A\x05hi"), StrEq("length runs past the end"));
  EXPECT_THAT(Walk("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
              StrEq("length runs past the end"));
  EXPECT_THAT(Walk("\x09\x01"), StrEq("cut short within a fixed-width field"));
  EXPECT_THAT(Walk("\x0D\x01"), StrEq("cut short within a fixed-width field"));
  EXPECT_THAT(Walk("\x0B\x0C"), StrEq("groups are not supported"));
  EXPECT_THAT(Walk("\x0F"), StrEq("bad wire type"));
  EXPECT_THAT(Walk("\x02"), StrEq("bad field number"));
  EXPECT_THAT(Walk("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"),
              StrEq("varint is longer than 64 bits"));
}

TEST(WireReaderTest, FailsOnAKnownFieldOfAnotherTypeAndWritesNothing) {
  const std::string_view bytes = "\x08\x01\x08\x01";
  WireReader reader(bytes, bytes.data());
  std::string_view text = "unchanged";

  ASSERT_TRUE(reader.Next());
  reader.Read(&text);

  EXPECT_EQ(text, "unchanged");
  EXPECT_FALSE(reader.Next());
  EXPECT_STREQ(reader.error(), "known field has another wire type");
}

TEST(WireReaderTest, ReadsRepeatedNumbersPackedAndUnpacked) {
  const std::string_view bytes = "\x0A\x03\x01\xAC\x02\x08\x05";
  WireReader reader(bytes, bytes.data());
  std::vector<uint64_t> numbers;

  while (reader.Next()) {
    reader.ReadRepeatedVarint([&](uint64_t n) { numbers.push_back(n); });
  }

  EXPECT_EQ(reader.error(), nullptr);
  EXPECT_THAT(numbers, ElementsAre(1, 300, 5));
}

TEST(WireReaderTest, RefusesAPackedFieldThatEndsWithinANumber) {
  const std::string_view varints = "\x0A\x02\x01\xAC";
  WireReader reader(varints, varints.data());
  ASSERT_TRUE(reader.Next());
  reader.ReadRepeatedVarint([](uint64_t) {});
  EXPECT_STREQ(reader.error(), "cut short within a varint");

  const std::string_view words = "\x0A\x03\x01\x02\x03";
  WireReader fixed(words, words.data());
  ASSERT_TRUE(fixed.Next());
  fixed.ReadRepeatedFixed64([](uint64_t) {});
  EXPECT_STREQ(fixed.error(), "packed field is no multiple of 8 bytes");
}

TEST(ZigZagTest, UndoesSignedNumbers) {
  EXPECT_EQ(ZigZag(0), 0);
  EXPECT_EQ(ZigZag(1), -1);
  EXPECT_EQ(ZigZag(2), 1);
  EXPECT_EQ(ZigZag(std::numeric_limits<uint64_t>::max()),
            std::numeric_limits<int64_t>::min());
}

}  // namespace
}  // namespace vigie::collector

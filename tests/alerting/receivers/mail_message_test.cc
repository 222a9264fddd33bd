#include "alerting/receivers/mail_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::vigie::testing::HasCode;
using ::vigie::testing::IsOk;

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t end; (end = text.find("\r\n", at)) != std::string::npos;) {
    out.push_back(text.substr(at, end - at));
    at = end + 2;
  }
  if (at < text.size()) out.push_back(text.substr(at));
  return out;
}

TEST(AddressListTest, TakesPlainNamedAndQuotedAddresses) {
  const auto got = ParseAddressList(
      R"( a@x.org,Ops Team <ops@x.org> , "Last, \"First\"" <b@x.org>)");

  ASSERT_THAT(got, IsOk());
  EXPECT_THAT(*got, ElementsAre(MailAddress{"", "a@x.org"},
                                MailAddress{"Ops Team", "ops@x.org"},
                                MailAddress{R"(Last, "First")", "b@x.org"}));
}

class BadAddressListTest : public ::testing::TestWithParam<std::string> {};

TEST_P(BadAddressListTest, IsRefused) {
  EXPECT_THAT(ParseAddressList(GetParam()),
              HasCode(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(
    , BadAddressListTest,
    ::testing::Values("", ",", "a@x.org,", "a", "@x.org", "a@", "a@b@c",
                      "a@x.org b@x.org", "A <a@x.org", "A <a@x.org> b@x.org",
                      "\"A <a@x.org>", "\"A\" a@x.org", "A <>",
                      "a@x.org\r\nBcc: b@x.org", "a@x.org\nb@x.org",
                      "A <a@x.org>\r\nX: y", "group: a@x.org;",
                      "<a@x.org> SIZE=1", "a@exämple.org"));

TEST(MailHeaderTest, LeavesPlainTextAsItIs) {
  EXPECT_EQ(MailHeader("Subject", "[FIRING:1] PaymentsFail"),
            "Subject: [FIRING:1] PaymentsFail\r\n");
}

TEST(MailHeaderTest, CannotBeLeftByLineEnds) {
  EXPECT_EQ(MailHeader("Subject", "a\r\nBcc: evil@x.org\n\tb"),
            "Subject: a  Bcc: evil@x.org  b\r\n");
}

TEST(MailHeaderTest, EncodesWhatIsNotAsciiInWordsOfOneLineEach) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "h\xc3\xa9";

  const std::string header = MailHeader("Subject", text);

  const auto lines = LinesOf(header);
  ASSERT_GT(lines.size(), 2u);
  for (const std::string& line : lines) {
    EXPECT_LE(line.size(), 76u);
    EXPECT_THAT(line, HasSubstr("=?utf-8?B?"));
  }
  EXPECT_THAT(lines[1], ::testing::StartsWith(" "));
}

TEST(MailHeaderTest, EncodesWhatAReaderWouldDecode) {
  EXPECT_EQ(MailHeader("Subject", "=?utf-8?B?ZXZpbA==?="),
            "Subject: =?utf-8?B?PT91dGYtOD9CP1pYWnBiQT09Pz0=?=\r\n");
}

TEST(MailHeaderTest, QuotesAndEncodesNamesOfAddresses) {
  EXPECT_EQ(MailHeader("To", {{"", "a@x.org"},
                              {"Ops, \"night\"", "b@x.org"},
                              {"h\xc3\xa9", "c@x.org"}}),
            "To: a@x.org,\r\n \"Ops, \\\"night\\\"\"\r\n <b@x.org>,\r\n "
            "=?utf-8?B?aMOp?=\r\n <c@x.org>\r\n");
}

TEST(MailHeaderTest, NeverHasALineLongerThanAllowed) {
  for (const std::string& value :
       {std::string(20'000, 'x'), std::string(20'000, ' ')}) {
    for (const std::string& line : LinesOf(MailHeader("Subject", value))) {
      EXPECT_LE(line.size(), 998u);
    }
  }
}

TEST(MailDateTest, IsRfc5322) {
  EXPECT_EQ(MailDate(1'795'240'446'000), "Sat, 21 Nov 2026 05:54:06 +0000");
}

TEST(QuotedPrintableTest, EncodesWhatIsNotPlain) {
  EXPECT_EQ(QuotedPrintable("a=b\xc3\xa9 c \nd\t\r\n.e\rf"),
            "a=3Db=C3=A9 c=20\r\nd=09\r\n=2Ee=0Df\r\n");
  EXPECT_EQ(QuotedPrintable(""), "");
}

TEST(QuotedPrintableTest, BreaksLongLinesSoftly) {
  const std::string out = QuotedPrintable(std::string(200, 'x'));

  const auto lines = LinesOf(out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], std::string(75, 'x') + "=");
  EXPECT_EQ(lines[2].size(), 50u);
}

TEST(QuotedPrintableTest, NoLineBeginsWithADotOrIsTooLong) {
  for (const std::string& text :
       {std::string(500, '.'), std::string(75, 'x') + "....",
        std::string(74, 'x') + "\xc3\xa9.", std::string(300, '\n')}) {
    for (const std::string& line : LinesOf(QuotedPrintable(text))) {
      EXPECT_LE(line.size(), 76u);
      EXPECT_THAT(line, Not(::testing::StartsWith(".")));
    }
  }
}

TEST(MailMessageTest, PutsHtmlLastAndLeavesOutWhatIsEmpty) {
  const std::string both = MailMessage("Subject: x\r\n", "text", "<p>html</p>");
  const std::string text = MailMessage("Subject: x\r\n", "text", "");

  EXPECT_LT(both.find("text/plain"), both.find("text/html"));
  EXPECT_THAT(both, HasSubstr("multipart/alternative"));
  EXPECT_THAT(both, ::testing::EndsWith("--=_vigie_part--\r\n"));
  EXPECT_EQ(text,
            "Subject: x\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=UTF-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\ntext\r\n");
}

TEST(MailMessageTest, ATextCannotEndItsPart) {
  const std::string out =
      MailMessage("", "--=_vigie_part--\n", "\n--=_vigie_part\n");

  size_t count = 0;
  for (const std::string& line : LinesOf(out)) {
    count += line.starts_with("--=_vigie_part");
  }
  EXPECT_EQ(count, 3u);  // two beginnings and the end
}

}  // namespace
}  // namespace vigie::alerting

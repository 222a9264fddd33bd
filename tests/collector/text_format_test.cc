#include "collector/text_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "model/sample.h"
#include "tests/support/status_matchers.h"

namespace vigie::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using ::vigie::testing::HasError;
using ::vigie::testing::IsOk;

absl::StatusOr<std::vector<TextEntry>> Parse(
    std::string_view text, TextFormat format = TextFormat::kPrometheus) {
  TextParser parser(text, format);
  std::vector<TextEntry> out;
  TextEntry entry;
  while (true) {
    const absl::StatusOr<bool> more = parser.Next(&entry);
    if (!more.ok()) return more.status();
    if (!*more) return out;
    out.push_back(entry);
  }
}

absl::StatusOr<TextLabels> LabelsOf(std::string_view line) {
  TextParser parser(line);
  TextEntry entry;
  TextLabels labels;
  const absl::StatusOr<bool> more = parser.Next(&entry);
  if (!more.ok()) return more.status();
  const absl::Status status = parser.ReadLabels(entry, &labels);
  if (!status.ok()) return status;
  return labels;
}

// One sample of `text`; fails the test if there is not exactly one entry.
TextEntry Only(std::string_view text) {
  const auto entries = Parse(text);
  EXPECT_THAT(entries, IsOk()) << text;
  EXPECT_EQ(entries.ok() ? entries->size() : 0, 1u) << text;
  return entries.ok() && !entries->empty() ? entries->front() : TextEntry();
}

TEST(TextParserTest, ReadsSamplesWithValueAndTime) {
  const auto got = Parse(
      "up 1\n"
      "  \t\n"
      "# just a comment\n"
      "#HELP without a blank is one too\n"
      "  a:b{x=\"1\"}  -2.5e3   1700000000123 \n"
      "c{x=\"1\",y=\"2\",}3 -5");

  ASSERT_THAT(got, IsOk());
  ASSERT_EQ(got->size(), 3u);
  EXPECT_EQ((*got)[0].series, "up");
  EXPECT_EQ((*got)[0].value, 1);
  EXPECT_FALSE((*got)[0].time_ms.has_value());
  EXPECT_EQ((*got)[1].series, "a:b{x=\"1\"}");
  EXPECT_EQ((*got)[1].value, -2500);
  EXPECT_EQ((*got)[1].time_ms, 1700000000123);
  EXPECT_EQ((*got)[2].value, 3);
  EXPECT_EQ((*got)[2].time_ms, -5);
}

TEST(TextParserTest, ReadsMetadata) {
  const auto got = Parse(
      "# HELP a text  with \\\\ and \\n and \\\" \n"
      "# TYPE a counter\n"
      "#\tTYPE \t b   histogram  \n"
      "# HELP c\n"
      "# TYPE \"d.e\" untyped\n"
      "# UNIT a seconds\n");

  ASSERT_THAT(got, IsOk());
  ASSERT_EQ(got->size(), 5u);
  EXPECT_EQ((*got)[0].kind, TextEntry::Kind::kHelp);
  EXPECT_EQ((*got)[0].metric, "a");
  EXPECT_EQ((*got)[0].text, "text  with \\ and \n and \\\" ");
  EXPECT_EQ((*got)[1].kind, TextEntry::Kind::kType);
  EXPECT_EQ((*got)[1].type, MetricType::kCounter);
  EXPECT_EQ((*got)[2].metric, "b");
  EXPECT_EQ((*got)[2].type, MetricType::kHistogram);
  EXPECT_EQ((*got)[3].text, "");
  EXPECT_EQ((*got)[4].metric, "d.e");
}

TEST(TextParserTest, ReadsLabelsWithEscapesAndKeepsEmptyOnes) {
  EXPECT_THAT(*LabelsOf(R"(m{a="x\\y\"z\n",b="",c="\t"} 1)"),
              ElementsAre(Pair("__name__", "m"), Pair("a", "x\\y\"z\n"),
                          Pair("b", ""), Pair("c", "\\t")));
  EXPECT_THAT(
      *LabelsOf("m{ a = \"1\" , b=\"2\" , } 1"),
      ElementsAre(Pair("__name__", "m"), Pair("a", "1"), Pair("b", "2")));
  EXPECT_THAT(*LabelsOf("m{} 1"), ElementsAre(Pair("__name__", "m")));
}

TEST(TextParserTest, ReadsQuotedNames) {
  EXPECT_THAT(*LabelsOf(R"({"http.server","l"="v"} 1)"),
              ElementsAre(Pair("__name__", "http.server"), Pair("l", "v")));
  EXPECT_THAT(*LabelsOf(R"({l="v","été\"s"} 1)"),
              ElementsAre(Pair("__name__", "été\"s"), Pair("l", "v")));
  EXPECT_THAT(*LabelsOf(R"({"m"} 1)"), ElementsAre(Pair("__name__", "m")));
}

TEST(TextParserTest, ReadsNumbersAsGoDoes) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(Only("m +Inf").value, infinity);
  EXPECT_EQ(Only("m -inf").value, -infinity);
  EXPECT_EQ(Only("m infinity").value, infinity);
  EXPECT_EQ(Only("m .5").value, 0.5);
  EXPECT_EQ(Only("m 5.").value, 5);
  EXPECT_EQ(Only("m +1E+2").value, 100);
  EXPECT_EQ(Only("m 5e-324").value, 5e-324);
  EXPECT_EQ(Only("m 1e-999").value, 0);
  EXPECT_TRUE(std::signbit(Only("m -0").value));
  for (const char* nan : {"m NaN", "m nan", "m NAN"}) {
    EXPECT_EQ(std::bit_cast<uint64_t>(Only(nan).value), kNormalNanBits);
  }
}

TEST(TextParserTest, RefusesWhatIsNoNumber) {
  for (const char* value :
       {"abc", "1e", "0x1p3", "0x10", "1_000", "+nan", "1e999", "-", "+", "..",
        "1,5", "nan(1)", "infi", "--1", "1\r"}) {
    EXPECT_THAT(Parse(std::string("m ") + value),
                HasError(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith("1:3: the value "),
                               HasSubstr("is not a number"))))
        << value;
  }
}

struct Malformed {
  const char* text;
  const char* message;
};

TEST(TextParserTest, NamesThePlaceOfWhatIsMalformed) {
  const Malformed cases[] = {
      {"a 1\nb 2\nsome_metric{abc} 1",
       "3:16: expected '=' after label name, found \"}\""},
      {"m{a=b} 1", "1:5: expected a label value in quotes, found \"b\""},
      {"m{a=\"b} 1\nn 1", "1:5: the closing quote is missing"},
      {"m{a=\"b\\", "1:5: the closing quote is missing"},
      {"m{a=\"b\" c=\"d\"} 1", "1:9: expected ',' or '}', found \"c\""},
      {"m{a=\"b\"", "1:8: expected ',' or '}', found the end of the line"},
      {"m{a=\"b\",,} 1", "1:9: expected a label name, found \",\""},
      {"m{,} 1", "1:3: expected a label name, found \",\""},
      {"m{1a=\"b\"} 1", "1:3: expected a label name, found \"1\""},
      {"m{\n} 1", "1:3: expected a label name, found the end of the line"},
      {"m",
       "1:2: expected a value after the series, found the end of the "
       "line"},
      {"m{} \nn 1",
       "1:5: expected a value after the series, found the end "
       "of the line"},
      {"1m 2", "1:1: expected a metric name, found \"1\""},
      {"\xC3\xA9t\xC3\xA9 2", "1:1: expected a metric name, found byte 0xc3"},
      {"m 1 2 3", "1:7: expected the end of the line, found \"3\""},
      {"m 1 2.5",
       "1:5: the timestamp \"2.5\" is not a number of "
       "milliseconds"},
      {"m 1 99999999999999999999",
       "1:5: the timestamp \"99999999999999999999\" is not a number of "
       "milliseconds"},
      {"m 1 # {a=\"b\"} 1",
       "1:5: the timestamp \"#\" is not a number of "
       "milliseconds"},
      {"{a=\"b\"} 1", "1:1: the metric has no name"},
      {"{} 1", "1:1: the metric has no name"},
      {"m{\"n\"} 1", "1:3: the metric has a name already"},
      {"{\"m\",\"n\"} 1", "1:6: the metric has a name already"},
      {"# TYPE a", nullptr},
      {"# TYPE a ", "1:10: invalid metric type \"\""},
      {"# TYPE a info", "1:10: invalid metric type \"info\""},
      {"# TYPE a counter b",
       "1:18: expected the end of the line, found "
       "\"b\""},
      {"# TYPE 1 counter", "1:8: expected a metric name, found \"1\""},
      {"# TYPE a-b counter",
       "1:9: expected a blank after the metric name, "
       "found \"-\""},
      {"# HELP a \xFF", "1:10: the help text is not valid UTF-8"},
  };
  for (const Malformed& one : cases) {
    if (one.message == nullptr) {
      EXPECT_THAT(Parse(one.text), HasError(absl::StatusCode::kInvalidArgument,
                                            StartsWith("1:")))
          << one.text;
      continue;
    }
    EXPECT_THAT(Parse(one.text), HasError(absl::StatusCode::kInvalidArgument,
                                          std::string(one.message)))
        << one.text;
  }
}

TEST(TextParserTest, NamesThePlaceOfLabelsThatCannotBe) {
  const Malformed cases[] = {
      {"m{a=\"1\",b=\"2\",a=\"3\"} 1", "1:1: label \"a\" is set twice"},
      {"m{__name__=\"n\"} 1", "1:1: label \"__name__\" is set twice"},
      {"m{a=\"\xFF\"} 1", "1:6: the value of label \"a\" is not valid UTF-8"},
      {"{\"\xFF\"} 1",
       "1:3: the value of label \"__name__\" is not valid "
       "UTF-8"},
      {"{\"m\",\"\xFF\"=\"1\"} 1", "1:7: the label name is not valid UTF-8"},
      {"{\"\"} 1", "1:3: empty metric name"},
      {"m{\"\"=\"1\"} 1", "1:4: empty label name"},
  };
  for (const Malformed& one : cases) {
    EXPECT_THAT(LabelsOf(one.text), HasError(absl::StatusCode::kInvalidArgument,
                                             std::string(one.message)))
        << one.text;
  }
}

TEST(TextParserTest, BoundsTheLabelsOfOneLine) {
  const auto line = [](int labels) {
    std::string text = "m{";
    for (int i = 0; i < labels; ++i) text += "l" + std::to_string(i) + "=\"\",";
    return text + "} 1";
  };

  EXPECT_THAT(LabelsOf(line(1024)), IsOk());
  EXPECT_THAT(Parse(line(1025)), HasError(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("more than 1024 labels")));
}

TEST(TextParserTest, ShowsOnlyTheBeginningOfALongWord) {
  EXPECT_THAT(Parse("m " + std::string(1 << 20, 'x')),
              HasError(absl::StatusCode::kInvalidArgument,
                       ::testing::ResultOf(
                           [](const std::string& s) { return s.size(); },
                           ::testing::Lt(120u))));
}

TEST(TextParserTest, WritesBoundsOfClassicHistogramsAsFloats) {
  const auto bound = [](std::string_view type, std::string_view label,
                        std::string_view value) {
    const std::string text = "# TYPE m " + std::string(type) + "\nm_bucket{" +
                             std::string(label) + "=\"" + std::string(value) +
                             "\"} 1";
    TextParser parser(text);
    TextEntry entry;
    TextLabels labels;
    EXPECT_TRUE(*parser.Next(&entry));
    EXPECT_TRUE(*parser.Next(&entry));
    EXPECT_THAT(parser.ReadLabels(entry, &labels), IsOk());
    return labels.at(1).second;
  };

  EXPECT_EQ(bound("histogram", "le", "1"), "1.0");
  EXPECT_EQ(bound("histogram", "le", "0.10"), "0.1");
  EXPECT_EQ(bound("histogram", "le", "100000"), "100000.0");
  EXPECT_EQ(bound("histogram", "le", "1000000"), "1e+06");
  EXPECT_EQ(bound("histogram", "le", "0.00001"), "1e-05");
  EXPECT_EQ(bound("histogram", "le", "0.0001"), "0.0001");
  EXPECT_EQ(bound("histogram", "le", "+Inf"), "+Inf");
  EXPECT_EQ(bound("histogram", "le", "x"), "x");
  EXPECT_EQ(bound("summary", "quantile", "1"), "1.0");
  EXPECT_EQ(bound("summary", "le", "1"), "1");
  EXPECT_EQ(bound("gauge", "le", "1"), "1");
}

TEST(TextParserTest, ReadsOpenMetrics) {
  const std::string_view text =
      "# TYPE a counter\n"
      "# UNIT a seconds\n"
      "# HELP a the \\\"help\\\"\n"
      "a_total{x=\"1\"} 5 1700000000.5 # {trace_id=\"abc\"} 0.67 "
      "1700000000.25\n"
      "a_total{x=\"2\"} 6 # {} 1\n"
      "# EOF\n";

  const auto got = Parse(text, TextFormat::kOpenMetrics);

  ASSERT_THAT(got, IsOk());
  ASSERT_EQ(got->size(), 5u);
  EXPECT_EQ((*got)[1].kind, TextEntry::Kind::kUnit);
  EXPECT_EQ((*got)[1].text, "seconds");
  EXPECT_EQ((*got)[2].text, "the \"help\"");
  EXPECT_EQ((*got)[3].time_ms, 1700000000500);
  EXPECT_EQ((*got)[3].exemplar, "{trace_id=\"abc\"}");
  Exemplar exemplar;
  ASSERT_THAT(TextParser(text).ReadExemplar((*got)[3], &exemplar), IsOk());
  EXPECT_EQ(exemplar,
            (Exemplar{Labels{{"trace_id", "abc"}}, 0.67, 1700000000250}));
  EXPECT_EQ((*got)[4].exemplar, "{}");
  EXPECT_FALSE((*got)[4].exemplar_time_ms.has_value());
}

TEST(TextParserTest, HoldsOpenMetricsToItsEnd) {
  const auto parse = [](std::string_view text) {
    return Parse(text, TextFormat::kOpenMetrics);
  };

  EXPECT_THAT(parse("# EOF"), IsOk());
  EXPECT_THAT(parse("a 1\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       "2:1: # EOF is missing: the exposition was cut short"));
  EXPECT_THAT(parse(""), HasError(absl::StatusCode::kInvalidArgument,
                                  HasSubstr("# EOF is missing")));
  EXPECT_THAT(parse("# EOF\na 1\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       "2:1: nothing may follow # EOF"));
  EXPECT_THAT(parse("a 1 # {x=\"1\"}\n# EOF\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       "1:14: the value \"\" of the exemplar is not a number"));
  EXPECT_THAT(parse("a 1 # x\n# EOF\n"),
              HasError(absl::StatusCode::kInvalidArgument,
                       "1:7: expected the labels of an exemplar, found "
                       "\"x\""));
  EXPECT_THAT(parse("a 1 1e300\n# EOF\n"),
              HasError(absl::StatusCode::kInvalidArgument, StartsWith("1:5:")));
}

TEST(TextParserTest, EndsAfterAnError) {
  TextParser parser("m\nn 1\n");
  TextEntry entry;

  EXPECT_FALSE(parser.Next(&entry).ok());
  EXPECT_THAT(parser.Next(&entry), ::testing::Truly([](const auto& more) {
                return more.ok() && !*more;
              }));
}

TEST(TextFormatTest, IsChosenByMediaType) {
  EXPECT_EQ(TextFormatOf("application/openmetrics-text; version=1.0.0"),
            TextFormat::kOpenMetrics);
  EXPECT_EQ(TextFormatOf("Application/OpenMetrics-Text ;charset=utf-8"),
            TextFormat::kOpenMetrics);
  EXPECT_EQ(TextFormatOf("text/plain; version=0.0.4"), TextFormat::kPrometheus);
  EXPECT_EQ(TextFormatOf(""), TextFormat::kPrometheus);
}

TEST(DecodeSeriesTextTest, GivesWhatReadLabelsGives) {
  TextLabels labels;
  ASSERT_THAT(DecodeSeriesText("m{le=\"1\"}", MetricType::kHistogram, &labels),
              IsOk());
  EXPECT_THAT(labels, ElementsAre(Pair("__name__", "m"), Pair("le", "1.0")));
  EXPECT_FALSE(DecodeSeriesText("m{", MetricType::kUnknown, &labels).ok());
}

}  // namespace
}  // namespace vigie::collector

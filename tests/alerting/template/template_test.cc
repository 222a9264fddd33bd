#include "alerting/template/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vigie::alerting {
namespace {

using testing::HasCode;
using testing::HasError;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::StartsWith;
using Variant = TemplateValue::Variant;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

absl::StatusOr<std::string> Text(
    const std::string& text, const TemplateContext& context = {},
    TemplateDialect dialect = TemplateDialect::kNotifications) {
  return TemplateSet(dialect).Execute(text, TemplateValue::OfMap({}), context,
                                      TemplateOutput::kText);
}

absl::StatusOr<std::string> Page(const std::string& text) {
  const TemplateValue data =
      TemplateValue::OfMap({{"Bad", "<script>alert('x\"&')</script>"},
                            {"Url", "https://a.example/x?y=1&z=\"2\""},
                            {"Js", "javascript:alert(1)"},
                            {"Labels", TemplateValue::OfPairs({{"a", "b"}})}});
  return TemplateSet(TemplateDialect::kNotifications)
      .Execute(text, data, {}, TemplateOutput::kHtml);
}

TEST(TemplateTest, VariablesAreSetInTheTextAndNotInItsTemplates) {
  TemplateContext context;
  context.variables = {{"labels", TemplateValue::OfPairs({{"job", "shop"}})},
                       {"value", Variant(0.25)}};
  const TemplateSet set(TemplateDialect::kRules);

  EXPECT_EQ(*set.Execute("{{ $labels.job }} {{ $value | humanizePercentage }}",
                         {}, context, TemplateOutput::kText),
            "shop 25%");
  EXPECT_THAT(set.Check("{{ $labels.job }}", {"labels"}), IsOk());
  EXPECT_THAT(set.Check("{{ $labels.job }}", {}),
              HasError(kInvalid, HasSubstr("$labels")));
  EXPECT_THAT(
      set.Check("{{ define \"x\" }}{{ $labels.job }}{{ end }}", {"labels"}),
      HasError(kInvalid, HasSubstr("undefined variable")));
}

TEST(TemplateTest, AMapOfTextsPrintsAsItsDialectPrintsIt) {
  TemplateContext context;
  context.variables = {
      {"l", TemplateValue::OfPairs({{"b", "2"}, {"alertname", "x"}})}};

  EXPECT_EQ(*Text("{{ $l }}", context), "alertname=x, b=2");
  EXPECT_EQ(*Text("{{ $l }}", context, TemplateDialect::kRules),
            "map[alertname:x b:2]");
}

TEST(TemplateTest, WhatIsNotSupportedIsRefusedByNameBeforeItRuns) {
  const TemplateSet set(TemplateDialect::kNotifications);

  for (const std::string name :
       {"call", "toDate", "mustToDate", "routeLabels"}) {
    EXPECT_THAT(
        set.Check("a\n {{ if false }}{{ " + name + " 1 }}{{ end }}", {}),
        HasError(kInvalid, AllOf(StartsWith("2:19: "), HasSubstr(name),
                                 HasSubstr("not supported"))));
  }
  EXPECT_THAT(set.Check("{{ humanize 1 }}", {}),
              HasError(kInvalid, HasSubstr("\"humanize\" is not defined")));
  EXPECT_THAT(
      TemplateSet(TemplateDialect::kRules).Check("{{ humanize 1 }}", {}),
      IsOk());
}

TEST(TemplateTest, TemplatesThatAreNotThereAreFoundByCheck) {
  TemplateSet set(TemplateDialect::kNotifications);
  ASSERT_THAT(set.AddFile("{{ define \"a\" }}{{ template \"b\" . }}{{ end }}",
                          "a.tmpl"),
              IsOk());

  EXPECT_THAT(set.Check("{{ template \"a\" . }}", {}),
              HasError(kInvalid, StartsWith("a.tmpl:1:")));
  ASSERT_THAT(set.AddFile("{{ define \"b\" }}b{{ end }}", "b.tmpl"), IsOk());
  EXPECT_THAT(set.Check("{{ template \"a\" . }}", {}), IsOk());
  EXPECT_THAT(set.Check("x\n{{ template \"c\" . }}", {}),
              HasError(kInvalid, StartsWith("2:")));
}

TEST(TemplateTest, ALaterDefinitionWinsUnlessItIsEmpty) {
  TemplateSet set(TemplateDialect::kNotifications);
  ASSERT_THAT(set.AddFile("{{ define \"t\" }}1{{ end }}", "1.tmpl"), IsOk());
  ASSERT_THAT(set.AddFile("{{ define \"t\" }}2{{ end }}", "2.tmpl"), IsOk());
  ASSERT_THAT(set.AddFile("{{ define \"t\" }} {{ end }}", "3.tmpl"), IsOk());

  EXPECT_EQ(*set.Execute("{{ template \"t\" }}", {}, {}, TemplateOutput::kText),
            "2");
  EXPECT_EQ(*set.Execute("{{ define \"t\" }}own{{ end }}{{ template \"t\" }}",
                         {}, {}, TemplateOutput::kText),
            "own");
}

TEST(TemplateTest, AFileThatDoesNotParseSaysWhereAndChangesNothing) {
  TemplateSet set(TemplateDialect::kNotifications);

  EXPECT_THAT(
      set.AddFile("{{ define \"t\" }}1{{ end }}\n  {{ nope }}", "x.tmpl"),
      HasError(kInvalid, StartsWith("x.tmpl:2:6: ")));
  EXPECT_THAT(set.Check("{{ template \"t\" }}", {}), HasCode(kInvalid));
}

TEST(TemplateTest, StepsAreBounded) {
  EXPECT_THAT(Text("{{ range 1000000 }}{{ end }}"),
              HasError(kExhausted, HasSubstr("100000 steps")));
  EXPECT_THAT(Text("{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}"),
              HasError(kExhausted, HasSubstr("steps")));
}

TEST(TemplateTest, DepthIsBounded) {
  EXPECT_THAT(Text("{{ define \"r\" }}{{ template \"r\" }}{{ end }}"
                   "{{ template \"r\" }}"),
              HasError(kExhausted, HasSubstr("deeper than 64")));
  EXPECT_THAT(Text("{{ print " + std::string(70, '(') + "1" +
                   std::string(70, ')') + " }}"),
              HasError(kInvalid, HasSubstr("deeper than 64")));
  std::string branches;
  for (int i = 0; i < 5'000; ++i) branches += "{{ if true }}";
  EXPECT_THAT(Text(branches), HasError(kInvalid, HasSubstr("deeper")));
  EXPECT_THAT(Text("{{ define \"r\" }}{{ print (print (tmpl \"r\" .)) }}"
                   "{{ end }}{{ template \"r\" . }}",
                   {}, TemplateDialect::kRules),
              HasError(kExhausted, HasSubstr("deeper")));
}

TEST(TemplateTest, OutputIsBounded) {
  EXPECT_THAT(Text("{{ range 2000 }}" + std::string(1000, 'x') + "{{ end }}"),
              HasError(kExhausted, HasSubstr("1048576 bytes of output")));
  EXPECT_THAT(Text("{{ printf \"%1000000000d\" 1 }}"),
              HasError(kExhausted, HasSubstr("width")));
  EXPECT_THAT(Text("{{ printf \"%*d\" 1000000000 1 }}"),
              HasError(kExhausted, HasSubstr("width")));
}

TEST(TemplateTest, WhatIsBuiltAndThrownAwayIsBoundedToo) {
  EXPECT_THAT(Text("{{ $x := \"x\" }}{{ range 60 }}{{ $x = print $x $x }}"
                   "{{ end }}"),
              HasCode(kExhausted));
  EXPECT_THAT(Text("{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}"
                   "{{ end }}"),
              HasError(kExhausted, HasSubstr("nested deeper than 16")));
  // Shared, this list is small; printed it would be 2^60 numbers.
  std::string wide = "{{ $x := list 1 }}";
  for (int i = 0; i < 14; ++i) {
    wide += "{{ $x = list $x $x $x $x $x $x $x $x }}";
  }
  EXPECT_THAT(Text(wide + "{{ $x }}"), HasCode(kExhausted));
  EXPECT_THAT(Text(wide + "{{ toJson $x }}"), HasCode(kExhausted));
  EXPECT_THAT(Text("{{ $x := list 1 }}{{ range 3000 }}"
                   "{{ $x = append $x 1 2 3 4 5 6 7 8 }}{{ end }}"),
              HasError(kExhausted, HasSubstr("built")));
  EXPECT_THAT(Text("{{ $x := printf \"%9999s\" \"\" }}"
                   "{{ reReplaceAll \"\" $x $x }}"),
              HasCode(kExhausted));
}

TEST(TemplateTest, WithoutAQueryTheFunctionIsAnError) {
  EXPECT_THAT(Text("{{ query \"up\" }}", {}, TemplateDialect::kRules),
              HasError(kInvalid, StartsWith("1:4: query: ")));
}

TEST(TemplateTest, AQuerysOwnErrorKeepsItsCode) {
  TemplateContext context;
  context.query = [](const std::string&) {
    return absl::UnavailableError("the store is busy");
  };

  EXPECT_THAT(
      Text("{{ query \"up\" }}", context, TemplateDialect::kRules),
      HasError(absl::StatusCode::kUnavailable, HasSubstr("the store is busy")));
}

TEST(TemplateHtmlTest, TextAndQuotedValuesAreEscaped) {
  constexpr const char* kEscaped =
      "&lt;script&gt;alert(&#39;x&#34;&amp;&#39;)&lt;/script&gt;";

  EXPECT_EQ(*Page("<p>{{ .Bad }}</p>"), std::string("<p>") + kEscaped + "</p>");
  EXPECT_EQ(*Page("<p title=\"{{ .Bad }}\">"),
            std::string("<p title=\"") + kEscaped + "\">");
  EXPECT_EQ(*Page("<p title='{{ .Bad }}' a>{{ .Bad }}"),
            std::string("<p title='") + kEscaped + "' a>" + kEscaped);
  EXPECT_EQ(*Page("{{ .Bad | html }}"), kEscaped);
  EXPECT_EQ(*Page("<title>{{ .Bad }}</title>{{ .Bad }}"),
            std::string("<title>") + kEscaped + "</title>" + kEscaped);
  EXPECT_EQ(*Page("{{ \"<b>\" | safeHtml }}"), "<b>");
  EXPECT_EQ(*Page("<p title=\"{{ \"\\\">\" | safeHtml }}\">"),
            "<p title=\"&#34;&gt;\">");
  EXPECT_EQ(*Page("{{ .Labels.missing }}|{{ (dict \"a\" 1).b }}"), "|");
  EXPECT_EQ(*Page("1 < 2 {{ .Bad }}"), std::string("1 < 2 ") + kEscaped);
}

TEST(TemplateHtmlTest, ALinkLeadsNowhereElse) {
  EXPECT_EQ(*Page("<a href=\"{{ .Js }}\">"), "<a href=\"#ZgotmplZ\">");
  EXPECT_EQ(*Page("<a href=\"{{ .Url }}\">"),
            "<a href=\"https://a.example/x?y=1&amp;z=%222%22\">");
  EXPECT_EQ(*Page("<a href=\"/x?q={{ .Url }}\">"),
            "<a href=\"/x?q=https%3a%2f%2fa.example%2fx%3fy%3d1%26z%3d%222%22"
            "\">");
  EXPECT_EQ(*Page("<a href=\"/x/{{ .Js }}\">"),
            "<a href=\"/x/javascript:alert%281%29\">");
}

TEST(TemplateHtmlTest, PlacesThatEscapingCannotMakeSafeAreRefused) {
  for (const std::string page :
       {"<script>{{ .Bad }}</script>", "<style>{{ .Bad }}</style>",
        "<p onclick=\"{{ .Bad }}\">", "<p style=\"{{ .Bad }}\">",
        "<p title={{ .Bad }}>", "<p {{ .Bad }}>", "<!-- {{ .Bad }} -->",
        "<{{ .Bad }}>"}) {
    EXPECT_THAT(Page(page), HasError(kInvalid, HasSubstr("an action inside")))
        << page;
  }
  EXPECT_THAT(Page("<script>1</script><!-- 1 -->{{ .Url }}"), IsOk());
}

}  // namespace
}  // namespace vigie::alerting

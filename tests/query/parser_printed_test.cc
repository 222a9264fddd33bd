// What the parser takes, shown by what it prints: each line is a query and its
// printed form, which must parse to the same again.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "query/parser/parser.h"
#include "tests/support/status_matchers.h"

namespace vigie::query {
namespace {

using testing::IsOk;

struct Printed {
  std::string query;
  std::string text;  // empty: the query itself
};

void ExpectPrinted(const std::vector<Printed>& cases) {
  for (const Printed& c : cases) {
    SCOPED_TRACE(c.query);
    const std::string& want = c.text.empty() ? c.query : c.text;

    const auto expr = ParseExpr(c.query, {.experimental = true});
    ASSERT_THAT(expr, IsOk());
    EXPECT_EQ(PrintExpr(**expr), want);

    const auto again = ParseExpr(want, {.experimental = true});
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(PrintExpr(**again), want);
  }
}

TEST(ParserPrintedTest, NumbersAreReadAsGoReadsThem) {
  ExpectPrinted({
      {"1", ""},
      {"0x1F", "31"},
      {"0755", "493"},
      {"089", "89"},
      {"1_000", "1000"},
      {"1_0.2_5", "10.25"},
      {".5", "0.5"},
      {"5.", "5"},
      {"1e3", "1000"},
      {"2.5E-3", "0.0025"},
      {"1e23", "100000000000000000000000"},
      {"1e-400", "0"},
      {"9223372036854775808", "9223372036854776000"},
      {"iNf", "+Inf"},
      {"-Inf", ""},
      {"NAN", "NaN"},
      {"-0", ""},
      {"--1", "1"},
      {"+1", "1"},
  });
}

TEST(ParserPrintedTest, DurationsAreNumbersOfSeconds) {
  ExpectPrinted({
      {"5m", ""},
      {"90s", "1m30s"},
      {"-1h30m", ""},
      {"1y2w3d4h5m6s7ms", "382d4h5m6s7ms"},
      {"5m * 2", ""},
  });
}

TEST(ParserPrintedTest, StringsTakeGoEscapesAndThreeQuotes) {
  ExpectPrinted({
      {R"("a\x41\u00e9\101\U0001F600")", R"("aAéA😀")"},
      {R"('it"s')", R"("it\"s")"},
      {R"('\'')", R"("'")"},
      {R"(`\n "raw"`)", R"("\\n \"raw\"")"},
      {R"("\a\b\f\n\r\t\v\\\"")", ""},
      {R"("\xff")", ""},
  });
}

TEST(ParserPrintedTest, OperatorsBindAsInPrometheus) {
  // Parentheses are kept, so the printed form alone would hide the tree: each
  // case has its explicit twin below.
  ExpectPrinted({
      {"1+1*2^3^-2", "1 + 1 * 2 ^ 3 ^ -2"},
      {"-1 ^ 2", ""},
      {"2 ^ -1 * 3", ""},
      {"- -a", "--a"},
      {"a</b", "a </ b"},
      {"a >/ 2", ""},
      {"a atan2 b % c", ""},
      {"a or b and c unless d", ""},
      {"Inf ^ 2", ""},
      {"a ==bool b", "a == bool b"},
      {"1 <= bool 2", ""},
  });
}

// "(1 + 2)": the tree with every binary and unary node in parentheses.
std::string Shape(const Expr& expr) {
  if (expr.kind == Expr::Kind::kBinary) {
    const auto& binary = expr.As<BinaryExpr>();
    return "(" + Shape(*binary.lhs) + std::string(BinaryOpText(binary.op)) +
           Shape(*binary.rhs) + ")";
  }
  if (expr.kind == Expr::Kind::kUnary) {
    return "(-" + Shape(*expr.As<UnaryExpr>().expr) + ")";
  }
  return PrintExpr(expr);
}

TEST(ParserPrintedTest, PrecedenceAndAssociativityShapeTheTree) {
  const std::vector<Printed> cases = {
      {"1 + 2 * 3", "(1+(2*3))"},
      {"1 - 2 - 3", "((1-2)-3)"},
      {"2 ^ 3 ^ 4", "(2^(3^4))"},
      {"2 * 3 ^ 4 % 5", "((2*(3^4))%5)"},
      {"-a ^ b", "(-(a^b))"},
      {"-a * b", "((-a)*b)"},
      {"2 ^ -a * 3", "((2^(-a))*3)"},
      {"a or b and c", "(a or (b and c))"},
      {"a and b unless c", "((a and b) unless c)"},
      {"a == b + c", "(a==(b+c))"},
      {"a </ b > c", "((a</b)>c)"},
      {"a atan2 b * c", "((a atan2 b)*c)"},
      {"a offset 2 ^ 2", "(a offset 2s^2)"},
      {"a offset -2 ^ 2", "(a offset -2s^2)"},
      {"a offset step() * 0", "(a offset step()*0)"},
      {"a offset -(step() + 1) + 8", "(a offset -(step() + 1)+8)"},
      {"a + b @ 5", "(a+b @ 5.000)"},
  };
  for (const Printed& c : cases) {
    SCOPED_TRACE(c.query);
    const auto expr = ParseExpr(c.query, {.experimental = true});
    ASSERT_THAT(expr, IsOk());
    std::string shape = Shape(**expr);
    std::string want = c.text;
    std::erase(shape, ' ');
    std::erase(want, ' ');
    EXPECT_EQ(shape, want);
  }
}

TEST(ParserPrintedTest, SelectorsKeepTheirMatchersSorted) {
  ExpectPrinted({
      {"up", ""},
      {"a:b:c", ""},
      {":a", ""},
      {"up{}", "up"},
      {"up{job='x',}", "up{job=\"x\"}"},
      {R"(up{b!="1",a=~"x|y",a!~"z"})", R"(up{a!~"z",a=~"x|y",b!="1"})"},
      {R"({"a b","c d"="e"})", R"({"c d"="e",__name__="a b"})"},
      {R"({__name__=~"a.*"})", ""},
      {R"({sum="by",on="x"})", R"({on="x",sum="by"})"},
      {R"({"é"})", R"({__name__="é"})"},
  });
}

TEST(ParserPrintedTest, KeywordsNameMetricsAndLabels) {
  ExpectPrinted({
      {"sum", ""},
      {"by", ""},
      {"offset offset 5m", ""},
      {"start + end + step + range + min_of", ""},
      {"fill + fill_left + fill_right", ""},
      {"and and and", ""},
      {"SUM", ""},
      {"SUM(a)", "sum(a)"},
      {"anchored{step=\"1s\"}[5m]", ""},
      {"sum(a) by (sum, by, on, bool, fill, atan2, offset)",
       "sum by (sum, by, on, bool, fill, atan2, offset) (a)"},
  });
}

TEST(ParserPrintedTest, ModifiersOfTimeStandInOneOrder) {
  ExpectPrinted({
      {"a offset 1h @ start()", "a @ start() offset 1h"},
      {"a @ 1.5 offset -5m", "a @ 1.500 offset -5m"},
      {"a @ -1m", "a @ -60.000"},
      {"a @ end()", ""},
      {"a offset 0s offset 5m", "a offset 5m"},
      {"a[5m] offset 1d @ 100", "a[5m] @ 100.000 offset 1d"},
      {"a[300]", "a[5m]"},
      {"a[5m] anchored offset 1m", ""},
      {"a smoothed @ 5", "a @ 5.000 smoothed"},
      {"rate(a[5m] smoothed)", ""},
  });
}

TEST(ParserPrintedTest, SubqueriesNestAndDefaultTheirStep) {
  ExpectPrinted({
      {"a[5m:]", ""},
      {"(a + b)[1h:5m] @ end() offset 1m", ""},
      {"max_over_time(rate(a[5m])[1h:1m])[1d:]", ""},
  });
}

TEST(ParserPrintedTest, DurationsMayBeComputed) {
  ExpectPrinted({
      {"a[5m*2+step()]", "a[5m * 2 + step()]"},
      {"a[-5m+10m]", "a[-5m + 10m]"},
      {"a[2^3^2]", "a[2 ^ 3 ^ 2]"},
      {"a[(5m)]", ""},
      {"a[range():step()*2]", "a[range():step() * 2]"},
      {"a[5m:min_of(1m,step())]", "a[5m:min_of(1m, step())]"},
      {"a offset (1h/2)", "a offset (1h / 2)"},
      {"a offset -step()", ""},
      {"a offset +max_of(1,2m)", "a offset max_of(1, 2m)"},
      {"a offset (1)+2", "a offset (1) + 2"},
      {"a[-(-5m)]", ""},
      {"a[RANGE()]", "a[range()]"},
      {"a[ 5m : 1m ]", "a[5m:1m]"},
  });
}

TEST(ParserPrintedTest, AggregationsTakeTheirLabelsOnEitherSide) {
  ExpectPrinted({
      {"sum(a)", ""},
      {"sum by () (a)", "sum(a)"},
      {"sum without () (a)", ""},
      {"sum(a) by (b,c,)", "sum by (b, c) (a)"},
      {"topk by (\"x y\") (5, a)", "topk by (\"x y\") (5, a)"},
      {"count_values(\"v\", a)", ""},
      {"quantile(0.9, a) without (b)", "quantile without (b) (0.9, a)"},
      {"limit_ratio(-0.5, limitk(2, a))", ""},
  });
}

TEST(ParserPrintedTest, VectorMatchingIsPrintedWhereItSaysSomething) {
  ExpectPrinted({
      {"a + on(x) b", "a + on (x) b"},
      {"a + on() b", "a + on () b"},
      {"a + ignoring() b", "a + b"},
      {"a * on(x) group_left b", "a * on (x) group_left () b"},
      {"a * ignoring(x,y) group_right(z) b",
       "a * ignoring (x, y) group_right (z) b"},
      {"a == bool on(x) b", "a == bool on (x) b"},
      {"a and ignoring(x) b", "a and ignoring (x) b"},
      {"a + fill(0) b", "a + fill (0) b"},
      {"a + on(x) fill_right(-Inf) fill_left(1m) b",
       "a + on (x) fill_left (60) fill_right (-Inf) b"},
  });
}

TEST(ParserPrintedTest, FunctionsTakeOptionalAndRepeatedArguments) {
  ExpectPrinted({
      {"time()", ""},
      {"hour()", ""},
      {"round(a)", ""},
      {"round(a, 5)", ""},
      {R"(label_join(a, "b", ","))", ""},
      {R"(label_join(a, "b", ",", "c", "d", "e"))", ""},
      {R"(histogram_quantiles(a, "q", 0.1, 0.2, 0.3))", ""},
      {"info(a, {})", ""},
      {R"(info(a, {b="c"}))", ""},
      {"start() + end() + step() + range() + max_of(1, 2) + min_of(1, 2)", ""},
      {"start_timestamp(a)", ""},
      {R"(sort_by_label(a, "b", "c"))", ""},
      {"double_exponential_smoothing(a[5m], 0.1, 0.2)", ""},
  });
}

TEST(ParserPrintedTest, CommentsAndSpaceAreLeftOut) {
  ExpectPrinted({
      {"# first\n a # second\n + b # third", "a + b"},
      {"a{ # inside\n b=\"#\"}", "a{b=\"#\"}"},
      {"\ta\r\n[5m]\n", "a[5m]"},
  });
}

TEST(ParserPrintedTest, PositionsCoverTheSourceText) {
  const auto expr = ParseExpr("sum(rate(a[5m] offset 1h)) by (b) / -c", {});
  ASSERT_THAT(expr, IsOk());
  const auto& division = (*expr)->As<BinaryExpr>();
  EXPECT_EQ(division.position, (PositionRange{0, 38}));
  EXPECT_EQ(division.rhs->position, (PositionRange{36, 38}));
  const auto& sum = division.lhs->As<AggregateExpr>();
  EXPECT_EQ(sum.position, (PositionRange{0, 33}));
  const auto& rate = sum.expr->As<CallExpr>();
  EXPECT_EQ(rate.position, (PositionRange{4, 25}));
  const auto& matrix = rate.args[0]->As<MatrixSelector>();
  EXPECT_EQ(matrix.position, (PositionRange{9, 24}));
  EXPECT_EQ(matrix.vector->position, (PositionRange{9, 10}));
  EXPECT_EQ(matrix.range_ms, 300'000);
  EXPECT_EQ(matrix.vector->shift.offset_ms, 3'600'000);
}

TEST(ParserPrintedTest, TypesAreSetOnEveryNode) {
  const auto type = [](std::string_view query) {
    const auto expr = ParseExpr(query, {});
    return expr.ok() ? (*expr)->type : ValueType::kNone;
  };
  EXPECT_EQ(type("1 + 1"), ValueType::kScalar);
  EXPECT_EQ(type("-(1 + time())"), ValueType::kScalar);
  EXPECT_EQ(type("1 + a"), ValueType::kVector);
  EXPECT_EQ(type("a[5m]"), ValueType::kMatrix);
  EXPECT_EQ(type("a[5m:1m]"), ValueType::kMatrix);
  EXPECT_EQ(type("'x'"), ValueType::kString);
  EXPECT_EQ(type("scalar(a)"), ValueType::kScalar);
  EXPECT_EQ(type("(sum(a))"), ValueType::kVector);
}

TEST(ParserPrintedTest, MatchingIsSetBetweenVectorsOnly) {
  const auto scalar = ParseExpr("1 + a", {});
  ASSERT_THAT(scalar, IsOk());
  EXPECT_FALSE((*scalar)->As<BinaryExpr>().matching.has_value());
  const auto vectors = ParseExpr("a unless b", {});
  ASSERT_THAT(vectors, IsOk());
  EXPECT_EQ((*vectors)->As<BinaryExpr>().matching->cardinality,
            Cardinality::kManyToMany);
}

TEST(ParserPrintedTest, MatchersOfASelectorIncludeItsName) {
  const auto matchers = ParseMatchers(R"(up{job=~"a|b"})");
  ASSERT_THAT(matchers, IsOk());
  ASSERT_EQ(matchers->size(), 2U);
  EXPECT_EQ((*matchers)[0].ToString(), R"(job=~"a|b")");
  EXPECT_EQ((*matchers)[1].ToString(), R"(__name__="up")");
}

}  // namespace
}  // namespace vigie::query

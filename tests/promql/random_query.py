"""Random well-typed PromQL for tests/promql/differential_fuzz.py: whatever 2.42
and 3 both know, over the series of random_data.py. Well-typed queries may still
fail when evaluated (matching that is not one-to-one, say): then both must."""

from random_data import LABEL_VALUES, METRICS

LABELS = [*LABEL_VALUES, "nothing"]
MATH = ("abs ceil floor exp ln log2 log10 sqrt sgn sin cos tan asin acos atan "
        "sinh cosh tanh asinh acosh atanh deg rad").split()
DATES = ("minute hour day_of_week day_of_month day_of_year days_in_month month "
         "year").split()
OVER_RANGES = ("avg_over_time count_over_time last_over_time max_over_time "
               "min_over_time present_over_time stddev_over_time "
               "stdvar_over_time sum_over_time absent_over_time changes resets "
               "delta idelta irate deriv").split()
COUNTERS = ["high_total", "h_bucket"]
AGGREGATIONS = "sum avg min max count group stddev stdvar".split()
# Not %, which makes of the last digit of one side all digits of the result.
ARITHMETIC = ["+", "-", "*", "/", "^", "atan2"]
COMPARISONS = ["==", "!=", "<", ">", "<=", ">="]
NUMBERS = ["0", "1", "-1", "2", "0.5", "10", "-0.25", "1e3", "0x10", "NaN",
           "Inf", "-Inf", "100", "0.9"]
# Prometheus 2 calls it holt_winters.
SMOOTHING = "double_exponential_smoothing"


class Generator:
    """`rng` is all the randomness; `base_s` is when the data begins."""

    def __init__(self, rng, base_s):
        self.rng = rng
        self.base_s = base_s

    def query(self):
        depth = self.rng.choice([1, 1, 2, 2, 3, 4])
        kind = self.rng.random()
        if kind < 0.05:
            return self.scalar(depth)
        if kind < 0.10:
            return f"{self.one_of('sort', 'sort_desc')}({self.vector(depth)})"
        # Where 2.42 and 3 may differ, outermost: there it can be told exactly
        # whether they differ as they should (differences.py).
        if kind < 0.12:
            return (f"{self.one_of('topk', 'bottomk')} {self.grouping()}"
                    f"({self.rng.randint(1, 5)}, {self.vector(depth - 1)})")
        if kind < 0.13:
            return (f"{self.one_of('rate', 'increase')}"
                    f"({self.matrix(1, 'low_total')})")
        if kind < 0.14:
            return f"{self.rng.choice(DATES)}({self.vector(depth - 1)})"
        if kind < 0.15:
            return (f"{self.one_of('stddev', 'stdvar')} {self.grouping()}"
                    f"({self.vector(depth - 1)})")
        return self.vector(depth)

    # --- parts

    def one_of(self, *choices):
        return self.rng.choice(choices)

    def finite(self, inner):
        """Without infinities and NaN."""
        return f"{inner} > -1e11 < 1e11"

    def maybe(self, probability):
        return self.rng.random() < probability

    def duration(self, most_s, fraction=""):
        seconds = self.rng.choice(
            [self.rng.randint(17, 120), self.rng.randint(60, most_s)])
        minutes, rest = divmod(seconds, 60)
        if rest or fraction:
            return (f"{minutes}m" if minutes else "") + f"{rest}s{fraction}"
        return f"{minutes}m"

    def labels(self, most=2):
        return self.rng.sample(LABELS, self.rng.randint(0, most))

    def matcher(self, metric):
        label = self.one_of(*METRICS[metric], *METRICS[metric], "nothing")
        value = self.rng.choice(LABEL_VALUES.get(label, [""]))
        op = self.one_of("=", "!=", "=~", "!~")
        if op[1:] == "~":
            value = self.one_of(value[:1] + ".*", ".+", f"{value}|b:1", ".*",
                                f"(?i){value}", "[a-x1].*", "").replace(
                                    "(?i)+", "(?i)[+]").replace("+Inf|", "5|")
        return f'{label}{op}"{value}"'

    def shift(self):
        """offset and @, in either order, mostly neither."""
        parts = []
        if self.maybe(0.12):
            parts.append("offset " + ("-" if self.maybe(0.2) else "")
                         + self.duration(1200))
        if self.maybe(0.08):
            at = self.base_s + self.rng.randrange(5400)
            parts.append("@ " + self.one_of("start()", "end()", f"{at}.7"))
        self.rng.shuffle(parts)
        return "".join(" " + part for part in parts)

    def bare_selector(self, metric=None):
        may_be_another = metric is None
        metric = metric or self.rng.choice(list(METRICS))
        matchers = [self.matcher(metric)
                    for _ in range(self.one_of(0, 0, 0, 1, 1, 2))]
        if may_be_another and self.maybe(0.05):
            name = self.one_of("", f"|{self.rng.choice(list(METRICS))}")
            matchers.append(f'__name__=~"{metric}{name}"')
            return "{" + ", ".join(matchers) + "}"
        return metric + ("{" + ",".join(matchers) + "}" if matchers else "")

    def selector(self, metric=None):
        return self.bare_selector(metric) + self.shift()

    def matrix(self, depth, metric=None):
        if depth > 0 and self.maybe(0.3):
            inner = (self.selector(metric) if metric else
                     self.vector(depth - 2))
            step = self.one_of("", f"{self.rng.randint(7, 120)}s", "1m")
            # Never a multiple of the step behind another subquery's time.
            length = self.duration(1500, "300ms")
            return f"({inner})[{length}:{step}]" + self.shift()
        return (f"{self.bare_selector(metric)}[{self.duration(1800)}]"
                + self.shift())

    def scalar(self, depth):
        kind = self.rng.random()
        if depth <= 0 or kind < 0.6:
            return self.rng.choice(NUMBERS)
        if kind < 0.7:
            return self.one_of("time()", "pi()")
        if kind < 0.85:
            return f"scalar({self.vector(depth - 1)})"
        left, right = self.scalar(depth - 1), self.scalar(depth - 1)
        if self.maybe(0.3):
            return f"({left} {self.rng.choice(COMPARISONS)} bool {right})"
        return f"({left} {self.rng.choice(ARITHMETIC)} {right})"

    # --- instant vectors

    def vector(self, depth):
        if depth <= 0:
            return self.selector()
        make = self.rng.choices(
            [self.selector, self.of_range, self.counter, self.math,
             self.aggregate, self.pick, self.binary, self.compare, self.set,
             self.label, self.quantile, self.misc],
            [6, 16, 8, 8, 14, 4, 14, 7, 5, 4, 5, 6])[0]
        return make() if make == self.selector else make(depth)

    def of_range(self, depth):
        kind = self.rng.random()
        if kind < 0.8:
            return f"{self.rng.choice(OVER_RANGES)}({self.matrix(depth)})"
        if kind < 0.9:
            return (f"quantile_over_time({self.scalar(depth - 2)}, "
                    f"{self.matrix(depth)})")
        if kind < 0.96:
            return (f"predict_linear({self.matrix(depth)}, "
                    f"{self.scalar(depth - 2)})")
        return (f"{SMOOTHING}({self.matrix(depth)}, "
                f"0.{self.rng.randint(1, 9)}, 0.{self.rng.randint(1, 9)})")

    def counter(self, depth):
        metric = self.rng.choice(COUNTERS)
        return f"{self.one_of('rate', 'increase')}({self.matrix(depth, metric)})"

    def math(self, depth):
        kind = self.rng.random()
        inner = self.vector(depth - 1)
        if kind < 0.6:
            return f"{self.rng.choice(MATH)}({inner})"
        if kind < 0.7:
            return f"round({inner})" if self.maybe(0.5) else (
                f"round({inner}, {self.scalar(depth - 2)})")
        if kind < 0.8:
            return (f"clamp({inner}, {self.scalar(depth - 2)}, "
                    f"{self.scalar(depth - 2)})")
        if kind < 0.9:
            return (f"{self.one_of('clamp_min', 'clamp_max')}({inner}, "
                    f"{self.scalar(depth - 2)})")
        return f"{self.one_of('-', '+')}({inner})"

    def grouping(self):
        if self.maybe(0.2):
            return ""
        return (f"{self.one_of('by', 'by', 'without')} "
                f"({', '.join(self.labels())}) ")

    def aggregate(self, depth):
        kind = self.rng.random()
        inner = self.vector(depth - 1)
        if kind < 0.85:
            op = self.rng.choice(AGGREGATIONS)
            if op.startswith("std"):
                inner = self.finite(inner)
            grouping = self.grouping()
            if self.maybe(0.2):
                return f"{op}({inner}) {grouping}".rstrip()
            return f"{op} {grouping}({inner})"
        if kind < 0.95:
            return (f"quantile {self.grouping()}({self.scalar(depth - 2)}, "
                    f"{inner})")
        # Labels are compared to the last digit.
        return f'count_values {self.grouping()}("value", round({inner}, 0.0137))'

    def pick(self, _):
        count = self.one_of("1", "2", "3", "0", "-1", "100", "count(flag)")
        count = count if count[0] != "c" else f"scalar({count})"
        # Of series that never have the same value.
        inner = self.one_of(
            self.selector("high_total"),
            f"avg_over_time({self.matrix(0, 'high_total')})",
            f"{self.selector('high_total')} % 10000")
        return (f"{self.one_of('topk', 'bottomk')} {self.grouping()}({count}, "
                f"{inner})")

    def matching(self, most=2):
        return f"{self.one_of('on', 'ignoring')}({', '.join(self.labels(most))})"

    def sides(self, op, depth):
        """Two vectors and how they match; mostly so that they do."""
        kind = self.rng.random()
        if kind < 0.2:
            inner = self.vector(depth - 1)
            right = self.one_of(inner, f"({inner} > 0)", f"abs({inner})")
            return f"({inner}) {op} ({right})"
        if kind < 0.5:
            metric = self.rng.choice(list(METRICS))
            return (f"{self.selector(metric)} {op} "
                    f"{self.one_of('ignoring() ', '')}{self.selector(metric)}")
        label = self.one_of("instance", "zone", "code")
        one = f"sum by ({label}) ({self.vector(depth - 1)})"
        if kind < 0.65:
            return (f"max by ({label}) ({self.vector(depth - 1)}) {op} "
                    f"{self.one_of(f'on({label}) ', '')}{one}")
        many = self.vector(depth - 1)
        extra = self.one_of("", "", "()", "(version)", "(nothing)")
        if kind < 0.78:
            return f"({many}) {op} on({label}) group_left{extra} {one}"
        if kind < 0.86:
            return f"{one} {op} on({label}) group_right{extra} ({many})"
        if kind < 0.92:
            return (f"({many}) {op} on(instance) group_left(version) build")
        return f"({many}) {op} {self.matching()} ({self.vector(depth - 1)})"

    def binary(self, depth):
        op = self.rng.choice(ARITHMETIC)
        kind = self.rng.random()
        if kind < 0.25:
            return f"({self.vector(depth - 1)}) {op} {self.scalar(depth - 1)}"
        if kind < 0.45:
            return f"{self.scalar(depth - 1)} {op} ({self.vector(depth - 1)})"
        if kind < 0.5:
            return (f"({self.selector()}) % {self.scalar(0)}" if self.maybe(0.5)
                    else f"{self.scalar(0)} % ({self.selector()})")
        return self.sides(op, depth)

    def compare(self, depth):
        op = self.rng.choice(COMPARISONS) + self.one_of("", "", " bool")
        kind = self.rng.random()
        if kind < 0.4:
            return f"({self.vector(depth - 1)}) {op} {self.scalar(depth - 1)}"
        if kind < 0.5:
            return f"{self.scalar(depth - 1)} {op} ({self.vector(depth - 1)})"
        return self.sides(op, depth)

    def set(self, depth):
        op = self.one_of("and", "or", "unless")
        if self.maybe(0.5):
            op += " " + self.matching(1)
        return f"({self.vector(depth - 1)}) {op} ({self.vector(depth - 1)})"

    def label(self, depth):
        inner = self.vector(depth - 1)
        target, source = self.rng.choice(LABELS), self.rng.choice(LABELS)
        if self.maybe(0.7):
            pattern = self.one_of("(.*)", "(.):(.)", "", ".+", "(?P<p>[a-y])")
            text = self.one_of("$1", "x", "", "${1}-$2", "$p", "a$$")
            return (f'label_replace({inner}, "{target}", "{text}", '
                    f'"{source}", "{pattern}")')
        sources = "".join(f', "{one}"' for one in self.labels(3))
        return f'label_join({inner}, "{target}", "-"{sources})'

    def quantile(self, depth):
        metric = self.one_of("h_bucket", "h_bucket", "broken_bucket")
        buckets = self.one_of(
            self.selector(metric), f"max_over_time({self.matrix(0, metric)})",
            f"rate({self.matrix(0, 'h_bucket')})",
            f"sum by (le) (rate({self.matrix(0, 'h_bucket')}))",
            f"sum by (le, instance) ({self.selector(metric)})",
            self.vector(depth - 1))
        return f"histogram_quantile({self.scalar(depth - 1)}, {buckets})"

    def misc(self, depth):
        kind = self.rng.random()
        if kind < 0.25:
            return f"absent({self.vector(depth - 1)})"
        if kind < 0.5:
            return f"timestamp({self.vector(depth - 1)})"
        if kind < 0.7:
            return (f"{self.rng.choice(DATES)}"
                    f"({self.finite(self.vector(depth - 1))})")
        if kind < 0.85:
            return f"vector({self.scalar(depth)})"
        return self.one_of("vector(time())", f"{self.rng.choice(DATES)}()")

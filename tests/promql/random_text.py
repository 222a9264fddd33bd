"""Random texts for tests/promql/lezer.py, lists of tokens first: some made by
PromQL's whole grammar without regard to types, some of those mutated, some
soups of tokens."""

import re

FUNCTIONS = ("abs absent rate increase sum_over_time quantile_over_time "
             "label_replace label_join histogram_quantile histogram_quantiles "
             "time vector scalar clamp round hour info sort_by_label timestamp "
             "double_exponential_smoothing start_timestamp pi step range start "
             "end ts_of_max_over_time").split()
AGGREGATIONS = ("sum avg min max count group stddev stdvar topk bottomk "
                "quantile count_values limitk limit_ratio").split()
OPERATORS = ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">", "<=",
             ">=", "and", "or", "unless", "</", ">/"]
NUMBERS = ["1", "0", "0.5", ".5", "1e3", "1E-3", "1_000", "0x1F", "5m", "1h30m",
           "100ms", "Inf", "NaN", "inf", "nan", "1.5e+2", "2d", "0755"]
NAMES = ["up", "a:b", "_x", "http_requests_total", "sum", "rate", "by", "on",
         "offset", "bool", "fill", "start", "step", "inf", "smoothed", "and",
         "min_of", "group_left"]
LABELS = ["job", "le", "_a", "by", "on", "bool", "offset", "sum", "inf", "and",
          "start", "fill"]
STRINGS = ['"a"', "'b'", "`c`", '""', '"\\n\\x41\\u00e9"', '"\u00e9"', "'\"'",
           '"a b"', "`\\`", '"__name__"', '"(.*)"']
PUNCTUATION = ["(", ")", "{", "}", "[", "]", ",", ":", "=", "=~", "!~", "@",
               "#", ".", "!", "$", "&", '"', "'", "`", "\\", "5", "m", "\n",
               "\u00e9"]
WORDS = ["by", "without", "on", "ignoring", "group_left", "group_right", "bool",
         "offset", "anchored", "smoothed", "fill", "fill_left", "fill_right",
         "start()", "end()", "step()", "range()", "min_of(", "max_of("]


class TextGenerator:
    """`rng` is all the randomness."""

    def __init__(self, rng):
        self.rng = rng

    def text(self):
        kind = self.rng.random()
        if kind < 0.15:
            tokens = [self.token() for _ in range(self.rng.randint(1, 8))]
        else:
            tokens = self.expr(self.rng.randint(0, 4))
            if kind > 0.55:
                for _ in range(self.rng.choice([1, 1, 1, 2, 4])):
                    self.mutate(tokens)
        text = ""
        for token in tokens:
            if text and (self.rng.random() < 0.3 or re.search(r"[\w.:]$", text)
                         and re.match(r"[\w.:]", token)
                         and self.rng.random() < 0.97):
                text += self.rng.choice([" ", " ", " ", "  ", "\n", "\t"])
            text += token
        if kind > 0.95:
            text = self.mutate_characters(text)
        return text

    def one_of(self, *choices):
        return self.rng.choice(choices)

    def maybe(self, probability):
        return self.rng.random() < probability

    # --- not by the grammar

    def token(self):
        return self.rng.choice(self.one_of(
            FUNCTIONS, AGGREGATIONS, OPERATORS, NUMBERS, NAMES, STRINGS,
            PUNCTUATION, PUNCTUATION, WORDS))

    def mutate(self, tokens):
        at = self.rng.randrange(len(tokens) + 1)
        kind = self.rng.randrange(4)
        if kind == 0 or at == len(tokens):
            tokens.insert(at, self.token())
        elif kind == 1 and len(tokens) > 1:
            del tokens[at]
        elif kind == 2:
            tokens[at] = self.token()
        else:
            other = self.rng.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]

    def mutate_characters(self, text):
        at = self.rng.randrange(len(text) + 1)
        return text[:at] + self.one_of(
            "", self.one_of(*PUNCTUATION), text[:3]) + text[at + 1:]

    # --- the grammar

    def expr(self, depth):
        if depth <= 0:
            return self.one_of(self.selector, self.selector, self.number,
                               self.string)()
        return self.one_of(self.call, self.aggregate, self.binary, self.binary,
                           self.unary, self.paren, self.postfix,
                           self.postfix)(depth - 1)

    def number(self):
        return [self.rng.choice(NUMBERS)]

    def string(self):
        return [self.rng.choice(STRINGS)]

    def listed(self, parts, trailing=0.1):
        tokens = []
        for part in parts:
            tokens += [","] * bool(tokens) + part
        return tokens + [","] * (bool(tokens) and self.maybe(trailing))

    def matcher(self):
        kind = self.rng.random()
        if kind < 0.1:
            return self.string()
        label = self.rng.choice(STRINGS if kind < 0.2 else LABELS)
        return [label, self.one_of("=", "!=", "=~", "!~"), *self.string()]

    def braces(self):
        return ["{", *self.listed([self.matcher() for _ in range(
            self.rng.randint(0, 2))]), "}"]

    def selector(self):
        name = [self.rng.choice(NAMES[:4] if self.maybe(0.7) else NAMES)]
        return self.one_of(name, name, name + self.braces(), self.braces())

    def call(self, depth):
        arguments = [self.expr(depth) for _ in range(self.rng.randint(0, 3))]
        return [self.rng.choice(FUNCTIONS), "(",
                *self.listed(arguments, 0.02), ")"]

    def labels(self):
        return ["(", *self.listed([
            [self.rng.choice(STRINGS if self.maybe(0.1) else LABELS)]
            for _ in range(self.rng.randint(0, 3))]), ")"]

    def aggregate(self, depth):
        op = [self.rng.choice(AGGREGATIONS)]
        modifier = [self.one_of("by", "without"), *self.labels()]
        arguments = [self.expr(depth) for _ in range(self.rng.randint(1, 2))]
        body = ["(", *self.listed(arguments, 0.02), ")"]
        return self.one_of(op + body, op + modifier + body, op + body + modifier)

    def binary(self, depth):
        tokens = [*self.expr(depth), self.rng.choice(OPERATORS)]
        if self.maybe(0.15):
            tokens.append("bool")
        if self.maybe(0.3):
            tokens += [self.one_of("on", "ignoring"), *self.labels()]
            if self.maybe(0.4):
                tokens.append(self.one_of("group_left", "group_right"))
                tokens += self.labels() if self.maybe(0.5) else []
        if self.maybe(0.1):
            tokens += [self.one_of("fill", "fill_left", "fill_right"), "(",
                       *self.number(), ")"]
        return tokens + self.expr(depth)

    def unary(self, depth):
        return [self.one_of("-", "+"), *self.expr(depth)]

    def paren(self, depth):
        return ["(", *self.expr(depth), ")"]

    def duration(self, depth):
        kind = self.rng.random()
        if depth <= 0 or kind < 0.6:
            return self.number()
        if kind < 0.7:
            return [self.one_of("step", "range"), "(", ")"]
        if kind < 0.8:
            return [self.one_of("min_of", "max_of"), "(",
                    *self.duration(depth - 1), ",", *self.duration(depth - 1),
                    ")"]
        if kind < 0.9:
            return ["(", *self.duration(depth - 1), ")"]
        return [*self.duration(depth - 1),
                self.one_of("+", "-", "*", "/", "%", "^"),
                *self.duration(depth - 1)]

    def postfix(self, depth):
        tokens = self.selector() if self.maybe(0.7) else self.expr(depth)
        for _ in range(self.one_of(1, 1, 2)):
            kind = self.rng.random()
            if kind < 0.3:
                tokens += ["[", *self.duration(depth), "]"]
            elif kind < 0.5:
                tokens += ["[", *self.duration(depth), ":",
                           *(self.duration(depth) if self.maybe(0.5) else []),
                           "]"]
            elif kind < 0.75:
                sign = [self.one_of("-", "+")] if self.maybe(0.2) else []
                tokens += ["offset", *sign, *self.duration(min(depth, 1))]
            elif kind < 0.93:
                tokens += ["@", *self.one_of(self.number(), ["start", "(", ")"],
                                             ["end", "(", ")"])]
            else:
                tokens.append(self.one_of("anchored", "smoothed"))
        return tokens

"""Random series for tests/promql/differential_fuzz.py: gauges, counters with
resets, classic histograms, flags and odd values, with gaps, stale markers, NaN
and infinities.

All samples lie 100 to 500 ms after a whole second. Queries are evaluated 700 ms
after one, and subqueries at whole ones, over windows of whole seconds: so no
sample lies on the left edge of a window, which Prometheus 2 includes and
Prometheus 3 does not. Values of gauges are multiples of 1/8: sums of them are
exact, in any order and compensated or not.
"""

import math
import random
import struct

STALE_BITS = 0x7FF0000000000002
DATA_SECONDS = 5400
INTERVAL_S = 15
INSTANCES = ["a:1", "b:1", "c:2"]
ZONES = ["x", "y z", "\u00e9t\u00e9"]
BOUNDS = ["0.1", "0.5", "1", "2.5", "+Inf"]
ODD = [math.inf, -math.inf, math.nan, 0.0, -0.0, 1.5, -7.25, 1e9, 2.0 ** 53]

# Metric -> labels besides the name, for the generator of queries.
METRICS = {
    "gauge": ["instance", "zone"],
    "other_gauge": ["instance", "zone"],
    "high_total": ["instance", "code"],
    "low_total": ["instance"],
    "flag": ["instance"],
    "odd": ["instance"],
    "sparse": ["instance", "zone"],
    "build": ["instance", "version"],
    "h_bucket": ["instance", "le"],
    "broken_bucket": ["instance", "le"],
}
LABEL_VALUES = {
    "instance": INSTANCES,
    "zone": ZONES,
    "code": ["200", "404", "500"],
    "version": ["1.2", "1.10"],
    "le": BOUNDS,
}


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def _times(rng, start_s):
    """(time_ms, what): what is None, or `stale` before a gap."""
    at, end = start_s + rng.randrange(INTERVAL_S), start_s + DATA_SECONDS
    quiet = rng.choice([0, 0.02, 0.1])  # how often a scrape is missed
    away = rng.choice([0, 0.005, 0.02])  # how often a series goes away
    while at < end:
        time_ms = at * 1000 + rng.randint(100, 500)
        if rng.random() < away:
            if rng.random() < 0.7:
                yield time_ms, "stale"
            at += rng.choice([60, 200, 310, 900])
        elif rng.random() >= quiet:
            yield time_ms, None
        at += max(1, INTERVAL_S + rng.choice([0, 0, 0, -1, 1, 3]))


def _gauge(rng):
    spread = rng.choice([1, 5, 50])
    while True:
        yield rng.randint(-8 * spread, 8 * spread) / 8


def _low_counter(rng):
    """Grows from 0, and starts over there."""
    value = 0.0
    often = rng.choice([0, 0.01, 0.05])
    while True:
        yield value
        value = 0.0 if rng.random() < often else (
            value + rng.choice([0, 1, 2, 5]) * rng.randint(0, 8) / 8)


def _levels(rng):
    """What a high counter starts over at: a quarter each time. So the way to
    zero is always longer than an extrapolation, and 3, which bounds it there
    after its other rule, and 2.42, which does before, agree."""
    level = 1e7
    for _ in range(6):
        level /= 4
        yield level + math.floor(level * rng.random()) / 8


def _high_counter(rng):
    levels = _levels(rng)
    value = next(levels)
    often = rng.choice([0, 0.01, 0.05])
    while True:
        yield value
        if rng.random() < often:
            value = next(levels, value)
        else:
            value += rng.choice([0, 1, 2, 5]) * rng.randint(0, 8) / 8


def _flag(rng):
    value = float(rng.randrange(2))
    while True:
        yield value
        if rng.random() < 0.1:
            value = 1.0 - value


def _odd(rng):
    value = rng.choice(ODD)
    while True:
        yield value
        if rng.random() < 0.4:
            value = rng.choice(ODD)


def _buckets(rng, broken):
    """Counts of all bounds, at each step."""
    levels = _levels(rng)
    base, counts = next(levels), [0] * len(BOUNDS)
    while True:
        fresh = [rng.choice([0, 0, 1, 3]) for _ in BOUNDS]
        for i in range(len(BOUNDS)):
            counts[i] += sum(fresh[:i + 1])
            if broken and rng.random() < 0.1:
                counts[i] = max(0, counts[i] - rng.randrange(4))
        if rng.random() < 0.01:
            base = next(levels, base)
        yield [math.floor(base) * (i + 1.0) * (not broken) + count
               for i, count in enumerate(counts)]


def series(seed, start_s):
    """[(sorted label pairs, [(time_ms, bits)])] from `start_s` on."""
    rng = random.Random(f"data {seed}")
    out = []

    def add(name, labels, values, times=None):
        samples = [(t, STALE_BITS if what else bits(value)) for (t, what), value
                   in zip(times or _times(rng, start_s), values)]
        out.append((sorted({"__name__": name, **labels}.items()), samples))

    for instance in INSTANCES:
        for zone in ZONES:
            if rng.random() < 0.8:
                add("gauge", {"instance": instance, "zone": zone}, _gauge(rng))
            if rng.random() < 0.6:
                add("other_gauge", {"instance": instance, "zone": zone},
                    _gauge(rng))
        for code in LABEL_VALUES["code"]:
            add("high_total", {"instance": instance, "code": code},
                _high_counter(rng))
        add("low_total", {"instance": instance}, _low_counter(rng))
        add("flag", {"instance": instance}, _flag(rng))
        add("odd", {"instance": instance}, _odd(rng))
        every = rng.choice([5, 19, 30])
        add("sparse", {"instance": instance, "zone": rng.choice(ZONES)},
            _gauge(rng), list(_times(rng, start_s))[::every])
        add("build", {"instance": instance,
                      "version": rng.choice(LABEL_VALUES["version"])},
            iter(lambda: 1.0, None))
        for name, broken in (("h_bucket", False), ("broken_bucket", True)):
            times = list(_times(rng, start_s))
            counts = [one for one, _ in zip(_buckets(rng, broken), times)]
            for i, bound in enumerate(BOUNDS):
                if broken and bound == "+Inf" and rng.random() < 0.3:
                    continue
                add(name, {"instance": instance, "le": bound},
                    [step[i] for step in counts], times)
    return out

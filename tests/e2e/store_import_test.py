"""A day of Debian prometheus's blocks, imported, answers as that prometheus
does; what is exported and imported elsewhere answers the same.

Usage: store_import_test.py VIGIE [unittest arguments]
"""

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from debian_programs import prometheus
from server_process import Server

VIGIE = None

HOUR = 3600
STEP = 30
# Off the steps of the queries: Prometheus 2 counts a sample on the left edge
# of a range, Prometheus 3 and vigie do not.
OFFSET = 7.25
SEED = 4

QUERIES = [
    "up",
    "shop_orders_total",
    "rate(shop_orders_total[5m])",
    "increase(shop_orders_total[1h])",
    "sum by (site) (rate(shop_orders_total[10m]))",
    "resets(shop_orders_total[2h])",
    "avg_over_time(shop_baskets[15m])",
    "max by (site) (shop_baskets)",
    "min_over_time(shop_baskets[30m])",
    "stddev_over_time(shop_baskets[20m])",
    "count_over_time(shop_baskets[1h])",
    "changes(shop_stock[2h])",
    "shop_stock",
    "shop_precise * 2",
    "histogram_quantile(0.9, sum by (le) (rate(shop_seconds_bucket[10m])))",
    "topk(2, shop_baskets)",
    "absent(shop_orders_total{site='nowhere'})",
    "count({__name__=~'shop_.*'})",
    "shop_gaps",
    "absent_over_time(shop_gaps[10m])",
]


def exposition(begin, end):
    """OpenMetrics text of all kinds of series over [begin, end)."""
    rng = random.Random(SEED)
    series = []

    def add(name, labels, value_at, keep=lambda t: True):
        text = name + "{" + ",".join(f'{k}="{v}"' for k, v in labels) + "}"
        series.append((name, text, value_at, keep))

    def counter(rate):
        state = {"value": 0.0}

        def value(_):
            state["value"] += rng.randrange(rate)
            if rng.random() < 0.002:
                state["value"] = 0.0  # a restart
            return state["value"]
        return value

    for site in ("fr", "de", 'q"uote', "tab\\\\le"):
        labels = [("site", site.replace('"', '\\"'))]
        add("shop_orders", labels, counter(9))
        add("shop_baskets", labels, lambda _: round(rng.uniform(1, 90), 2))
        add("shop_precise", labels, lambda _: rng.gauss(0, 1e-3))
    add("shop_stock", [("product", "boot")],
        lambda t: 1000 - int((t - begin) // 600))
    add("shop_gaps", [("site", "fr")], lambda t: t % 1000,
        lambda t: int(t // HOUR) % 3 != 0)
    odd = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
    add("shop_odd", [("site", "fr")], lambda t: odd[int(t / STEP) % len(odd)])
    for name, weight in (("0.1", 3), ("0.5", 7), ("2.5", 9), ("+Inf", 10)):
        add("shop_seconds", [("le", name)],
            lambda t, weight=weight: int((t - begin) / STEP) * weight)
    for job in ("shop", "node"):
        add("up", [("job", job)], lambda _: float(rng.random() > 0.05))

    suffix = {"shop_orders": "_total", "shop_seconds": "_bucket"}
    kinds = {"shop_orders": "counter", "shop_seconds": "histogram"}
    last = None
    for name, text, value_at, keep in series:
        if name != last:
            yield f"# TYPE {name} {kinds.get(name, 'gauge')}\n"
            last = name
        text = name + suffix.get(name, "") + text[len(name):]
        for i in range(int((end - begin) / STEP)):
            at = begin + i * STEP + OFFSET + rng.randrange(40) / 1000
            if keep(at):
                value = value_at(at)
                yield f"{text} {value!r} {at:.3f}\n".replace(
                    "inf ", "Inf ").replace(" nan ", " NaN ")
    yield "# EOF\n"


def run(*arguments):
    done = subprocess.run(arguments, text=True, capture_output=True,
                          timeout=240)
    if done.returncode:
        raise AssertionError(f"{arguments}: {done.stderr}")
    return done.stdout


class Import(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        # A day that Prometheus has in blocks, not in its head.
        cls.end = (int(time.time()) // (2 * HOUR) - 3) * 2 * HOUR
        cls.begin = cls.end - 24 * HOUR
        cls.text = cls.path("day.txt")
        with open(cls.text, "w", encoding="utf-8") as file:
            file.writelines(exposition(cls.begin, cls.end))
        cls.blocks = cls.path("prometheus-data")
        os.mkdir(cls.blocks)
        run("promtool", "tsdb", "create-blocks-from", "openmetrics", cls.text,
            cls.blocks)
        config = cls.path("prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("global: {scrape_interval: 1h}\n")
        cls.quiet = cls.path("vigie.yml")
        with open(cls.quiet, "w", encoding="utf-8") as file:
            file.write("self_monitoring: {enabled: false}\n")
        with prometheus(cls.directory, config) as server:
            cls.expected = {q: cls.answer(f"http://{server.address}", q)
                            for q in QUERIES + ["shop_odd"]}

    @classmethod
    def path(cls, name):
        return os.path.join(cls.directory, name)

    @classmethod
    def answer(cls, address, query):
        # Prometheus 2 and 3 extrapolate otherwise where samples begin or end.
        margin = HOUR if "[" not in query else -3 * HOUR
        form = urllib.parse.urlencode({
            "query": query, "start": cls.begin - margin,
            "end": cls.end + margin, "step": 300})
        with urllib.request.urlopen(f"{address}/api/v1/query_range?{form}",
                                    timeout=120) as answer:
            result = json.load(answer)["data"]["result"]
        return {tuple(sorted(s["metric"].items())): s["values"]
                for s in result}

    def assert_answers(self, server):
        """Of every query: the series, the times and the values."""
        values = 0
        for query, expected in self.expected.items():
            found = self.answer(server.http, query)
            self.assertEqual(set(found), set(expected), query)
            # Prometheus 2 adds up in another order.
            tolerance = 1e-12 if "(" in query else 0
            for series, points in expected.items():
                self.assertEqual([t for t, _ in found[series]],
                                 [t for t, _ in points], (query, series))
                for (at, got), (_, want) in zip(found[series], points):
                    if got != want:
                        self.assertTrue(
                            math.isclose(float(got), float(want),
                                         rel_tol=tolerance, abs_tol=1e-300),
                            (query, series, at, got, want))
                    values += 1
        self.assertGreater(values, 10_000)

    def count(self, server):
        [result] = server.api(
            "query", query="sum(count_over_time({__name__=~'.+'}[30h]))",
            time=self.end)["result"]
        return int(result["value"][1])

    def test_a_day_of_blocks_answers_as_prometheus_does(self):
        data = self.path("data-blocks")
        with Server(VIGIE, data, config=self.quiet) as server:
            out = run(VIGIE, "store", "import", "--data", data, self.blocks)
            self.assertRegex(out, r"imported \d{5,} samples")
            self.assert_answers(server)
            samples = self.count(server)
            # The second time changes nothing.
            run(VIGIE, "store", "import", "--data", data, self.blocks)
            self.assertEqual(self.count(server), samples)
            with open(self.text, encoding="utf-8") as text:
                self.assertEqual(samples, sum(not line.startswith("#")
                                              for line in text))
        # Nor does a restart.
        with Server(VIGIE, data, config=self.quiet) as server:
            self.assert_answers(server)

    def test_the_text_answers_alike_and_so_does_what_is_exported(self):
        data = self.path("data-text")
        run_here = ("store", "import", "--data", data, self.text)
        with Server(VIGIE, data, config=self.quiet):
            pass  # made, and killed: the import opens it alone
        run(VIGIE, *run_here)
        exported = self.path("exported.txt")
        with Server(VIGIE, data, config=self.quiet) as server:
            self.assert_answers(server)
            run(VIGIE, "store", "export", "--data", data, "--output", exported)
        again = self.path("data-again")
        with Server(VIGIE, again, config=self.quiet) as server:
            run(VIGIE, "store", "import", "--data", again, exported)
            self.assert_answers(server)

    def test_json_lines_have_every_bit(self):
        data = self.path("data-json")
        with Server(VIGIE, data, config=self.quiet):
            run(VIGIE, "store", "import", "--data", data, self.text)
            out = run(VIGIE, "store", "export", "--data", data, "--format",
                      "jsonl", "shop_odd", "--start", str(self.begin), "--end",
                      str(self.begin + HOUR))
        values = [v for line in out.splitlines()
                  for v in json.loads(line).get("values", [])]
        self.assertEqual(len(values), HOUR // STEP)
        self.assertEqual(set(map(str, values)),
                         {"NaN", "+Inf", "-Inf", "-0.0", "5e-324",
                          "1.7976931348623157e+308"})

    def test_a_damaged_block_is_named_and_none_of_it_taken(self):
        damaged = self.path("damaged")
        run("cp", "-r", self.blocks, damaged)
        blocks = sorted(name for name in os.listdir(damaged)
                        if os.path.isdir(os.path.join(damaged, name, "chunks")))
        for name in blocks[1:]:
            run("rm", "-r", os.path.join(damaged, name))
        chunks = os.path.join(damaged, blocks[0], "chunks", "000001")
        with open(chunks, "r+b") as file:
            file.seek(os.path.getsize(chunks) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x10]))
        data = self.path("data-damaged")
        with Server(VIGIE, data, config=self.quiet) as server:
            done = subprocess.run(
                [VIGIE, "store", "import", "--data", data, damaged], text=True,
                capture_output=True, timeout=240)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.splitlines()[-1],
                             r"chunks/000001: bytes \d+-\d+: ")
            self.assertEqual(
                server.api("query", query="count({__name__=~'.+'})",
                           time=self.end)["result"], [])


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    unittest.main()

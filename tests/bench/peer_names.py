"""The phase `names` of peers.py: what lists of label names, label values and
series cost where pods come and go, and what queries over all series hold when
there are many."""

import json
import statistics
import time

from peer_client import Connection
from peer_servers import Failed

INTERVAL_S = 1800
STEPS = 7
CHURN_AN_HOUR = 0.1  # of the pods
REPEATS_MIN = 5

# Metrics of many series and of one a pod, one of few matching, one pod, one
# service: of the generator's fleet, and of that of fleet.h.
WORDS = {"many": "http_requests_total", "one": "process_max_fds",
         "few": 'up{service="cart"}', "pod": '{instance="10.0.0.9:9090"}',
         "service": '{service="cart"}', "values": "service",
         "regex": 'http_requests_total{instance=~"10.0.1.+",status="500"}'}
SMOKE_WORDS = {"many": "requests_total_3", "one": "cpu_percent_0",
               "few": 'cpu_percent_0{job="service-07"}',
               "pod": '{instance="10.0.0.7:8080"}',
               "service": '{job="service-07"}', "values": "job",
               "regex": 'requests_total_3{instance=~"10.0.0.1.+"}'}
NOTHING = "nothing: /-/ready"  # what HTTP takes
# What is asked for; path; selector; whether of the last hour alone.
LISTINGS = (
    (NOTHING, "/-/ready", None, False),
    ("label names", "labels", None, False),
    ("label names, an hour", "labels", None, True),
    ("label names of a metric", "labels", "{many}", True),
    ("values of __name__", "label/__name__/values", None, False),
    ("values of __name__ of a pod", "label/__name__/values", "{pod}", True),
    ("values of {values}, an hour", "label/{values}/values", None, True),
    ("values of instance", "label/instance/values", None, False),
    ("values of instance, an hour", "label/instance/values", None, True),
    ("values of pod, an hour", "label/pod/values", None, True),
    ("values of pod of a metric", "label/pod/values", "{many}", True),
    ("values of pod of a service", "label/pod/values", "{service}", True),
    ("values of pod of both", "label/pod/values", "{few}", True),
    ("series of a pod", "series", "{pod}", True),
    ("series of a metric and service", "series", "{few}", True),
    ("series of a metric", "series", "{one}", True),
    ("series of a regex", "series", "{regex}", True),
)


class Names:
    """One server's part: each listing again and again on one connection."""

    def __init__(self, bench, server):
        self.bench = bench
        self.server = server

    def measure(self):
        start = int(time.time()) - STEPS * INTERVAL_S
        extra = ("--interval", INTERVAL_S, "--churn", CHURN_AN_HOUR)
        self.bench.write(self.server, self.bench.sizes.names_series, STEPS,
                         start, extra)
        self.server.settle(self.bench.sizes.settle_s)
        self.ask_all(int(time.time()))

    def ask_all(self, end):
        words = WORDS if self.bench.loadgen else SMOKE_WORDS
        connection = Connection(self.server.url)
        for what, path, selector, of_hour in LISTINGS:
            what = what.format(**words)
            parameters = []
            if selector:
                parameters.append(("match[]", selector.format(**words)))
            if of_hour:
                parameters += [("start", end - 3600), ("end", end)]
            path = path.format(**words)
            request = connection.request(
                path if path.startswith("/") else "/api/v1/" + path,
                parameters)
            try:
                self.repeat(what, connection, request)
            except (Failed, OSError) as fault:
                self.bench.faults.append(f"{self.server.name}: {what}: {fault}")
                connection.close()
                connection = Connection(self.server.url)
        connection.close()

    def repeat(self, what, connection, request):
        _, answer = connection.ask(request)
        if b'"data":[]' in answer:
            self.bench.faults.append(f"{self.server.name}: {what}: nothing")
        walls = []
        before, begin = self.server.cpu_seconds(), time.monotonic()
        while (len(walls) < REPEATS_MIN or
               time.monotonic() < begin + self.bench.sizes.names_seconds):
            walls.append(connection.ask(request)[0])
        cpu = (self.server.cpu_seconds() - before) / len(walls)
        for unit, value in (("p50 ms", statistics.median(walls) * 1e3),
                            ("CPU ms", cpu * 1e3),
                            ("KiB", len(answer) / 1024)):
            self.bench.note(f"names {what}, {unit}", self.server.name, value)


class Totals:
    """One server's part: queries over all series of one metric, and the bytes
    that they take."""

    INTERVAL_S = 60
    STEPS = 11
    METRIC = "requests"
    SECONDS_EACH = 5
    # Name, query, steps of a range of five minutes or 0 for an instant.
    QUERIES = (
        ("count", "count({})", 0),
        ("count at 31 steps", "count({})", 31),
        ("rate by job", "sum by (job) (rate({}[5m]))", 0),
        ("rate by job at 31 steps", "sum by (job) (rate({}[5m]))", 31),
        ("rate by pod at 31 steps", "sum by (pod) (rate({}[5m]))", 31),
    )

    def __init__(self, bench, server):
        self.bench = bench
        self.server = server
        self.series = bench.sizes.names_series

    def measure(self):
        end = int(time.time()) - 5
        self.bench.run(
            [self.bench.options.write_load, "--url", self.server.write_url,
             "--series", self.series, "--steps", self.STEPS, "--metric",
             self.METRIC, "--interval", self.INTERVAL_S, "--start",
             end - self.STEPS * self.INTERVAL_S])
        self.server.settle(self.bench.sizes.settle_s)
        # What is resident beside the queries, which reuse what others freed.
        before = self.server.status("VmRSS")
        for name, query, steps in self.QUERIES:
            try:
                self.ask(name, query.format(self.METRIC), steps, end, before)
            except (Failed, OSError) as fault:
                self.bench.faults.append(
                    f"{self.server.name}: totals: {name}: {fault}")

    def ask(self, name, query, steps, end, before):
        form = [("query", query), ("nocache", 1)]
        if steps:
            form += [("start", end - 300), ("end", end), ("step",
                                                          300 // (steps - 1))]
        else:
            form.append(("time", end))
        connection = Connection(self.server.url)
        path = "/api/v1/query_range" if steps else "/api/v1/query"
        request = connection.request(path, form)
        self.server.reset_peak()
        walls = []
        while len(walls) < 3 and sum(walls) < self.SECONDS_EACH:
            walls.append(connection.ask(request)[0])
        seconds = statistics.median(walls)
        peak = self.server.status("VmHWM")
        figures = [("ms", seconds * 1e3),
                   ("resident B a series", (peak - before) / self.series)]
        _, answer = connection.ask(
            connection.request(path, [*form, ("stats", "all")]))
        connection.close()
        data = json.loads(answer)["data"]
        if not data["result"]:
            self.bench.faults.append(f"{self.server.name}: {name}: nothing")
        counted = data.get("stats", {}).get("bytesPeak")
        if counted is not None:
            figures.append(("counted B a series", counted / self.series))
        for unit, value in figures:
            self.bench.note(f"totals {name}, {unit}", self.server.name, value)

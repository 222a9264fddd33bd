#!/usr/bin/env python3
"""Hostile queries, one by one and many at once, against a vigie with small
budgets: each is refused with its status and the name of what it exceeds, while
another client's queries keep being answered; the process and its memory stay.

Usage: hostile_test.py VIGIE
"""

import concurrent.futures
import http.client
import json
import pathlib
import random
import re
import struct
import sys
import tempfile
import threading
import time
import urllib.parse

import remote_write
from server_process import Server

SEED = 3
SERIES = 200
SAMPLES = 600
ROUNDS = 4
CLIENTS = 24

VIGIE_YML = """\
query: {query_bytes_max: 64MiB, process_bytes_max: 256MiB, timeout: 3s}
http: {concurrent_queries_max: 4, queued_queries_max: 64}
"""
# The budgets, what an empty server takes, stacks and the allocator's share.
RESIDENT_BYTES_MAX = 700 << 20
PROBE_SECONDS_MAX = 30  # it queues behind three seconds of a few others

NOW = int(time.time())


def nested(opening, depth, closing=")"):
    return opening * depth + "x" + closing * depth


def amplified(times):
    """Doubles the value of a label again and again."""
    query = "x"
    for _ in range(times):
        query = f'label_replace({query}, "i", "$1$1", "i", "(.*)")'
    return query


RANGE = {"start": NOW - 3600, "end": NOW, "step": 15}
LONG = {"start": NOW - 10_999, "end": NOW, "step": 1}
SOME = "|".join(f"value{i}" for i in range(2_000))  # 18 KB
MANY = "|".join(f"value{i}" for i in range(100_000))  # 1 MB
MEMORY = "limit of .* bytes|too many samples"

# name: (path, form, {status: pattern its body must match})
HOSTILE = {
    "parentheses": ("query", {"query": nested("(", 10_000)},
                    {400: "nest"}),
    "unary chain": ("query", {"query": "-" * 100_000 + "x"}, {400: "nest"}),
    "calls": ("query", {"query": nested("abs(", 10_000)}, {400: "nest"}),
    "aggregations": ("query", {"query": nested("sum(", 10_000)},
                     {400: "nest"}),
    "a chain of operators": ("query", {"query": "x" + "+x" * 50_000},
                             {400: "nest"}),
    "subqueries in subqueries": (
        "query", {"query": nested("max_over_time(", 500, "[1h:1s])")},
        {400: "nest", 422: "nest"}),
    "unclosed": ("query", {"query": "(" * 200_000}, {400: "nest|parse error"}),
    "an alternation": ("query", {"query": f'x{{i=~"{SOME}"}}'},
                       {400: "regular expression of .* bytes"}),
    "a giant alternation": ("query", {"query": f'x{{i=~"{MANY}"}}'},
                            {400: "regular expression of .* bytes|text_bytes_max"}),
    "an alternation of a listing": (
        "series", {"match[]": f'x{{i=~"{MANY}"}}'},
        {400: "regular expression of .* bytes|text_bytes_max"}),
    "repetitions of repetitions": (
        "query", {"query": 'x{i=~"((((a{50}){50}){50}){50})"}'},
        {400: "regex|repetition|too large"}),
    "a matcher for each of many": (
        "series", {"match[]": ['{i=~".*a.*b.*c.*"}'] * 11_000},
        {400: "parameters"}),
    "thousands of costly expressions in a listing": (
        "series", {"match[]": [f'x{{i=~"\\\\pL{{250}}{i}"}}'
                               for i in range(5_000)]},
        {503: "selectors took longer"}),
    "11 001 points": ("query_range", LONG | {"query": "x", "start": NOW - 11_001},
                      {400: "11,000 points"}),
    "years at a millisecond": (
        "query", {"query": "sum_over_time(x[10y:1ms])"},
        {422: MEMORY, 503: "timed out|timeout"}),
    "years at a millisecond, of rates": (
        "query_range", LONG | {"query": "max_over_time(rate(x[1h])[5y:1ms])"},
        {422: MEMORY, 503: "timed out|timeout"}),
    "years of nothing": (
        "query", {"query": "count_over_time(vector(1)[20y:1ms])"},
        {422: MEMORY, 503: "timed out|timeout"}),
    "a subquery of subqueries": (
        "query_range", LONG | {
            "query": "sum(max_over_time(sum_over_time(x[30d:1s])[30d:1s]))"},
        {422: MEMORY, 503: "timed out|timeout"}),
    "labels that double": ("query", {"query": amplified(60)},
                           {422: MEMORY, 503: "timed out|timeout"}),
    "a long text": ("query", {"query": "x or " + '"' + "a" * 2_000_000 + '"'},
                    {400: "must contain only|text_bytes_max"}),
    "a long URL": ("GET query", {"query": "x" + " " * 100_000}, {431: ""}),
    "a body above the limit": ("query", {"query": "x" * (33 << 20)},
                               {413: "body_bytes_max"}),
    "a listing by a regular expression of dots": (
        "labels", {"match[]": '{i=~".' + ".*" * 8_000 + '"}'},
        {400: "too large|too big|regular expression", 200: "success"}),
    "a tree of everything": ("parse_query", {"query": nested("(", 10_000)},
                             {400: "nest"}),
    "a format of everything": ("format_query", {"query": "-" * 100_000 + "x"},
                               {400: "nest"}),
    "exemplars of everything": ("query_exemplars",
                                {"query": nested("sum(", 10_000)},
                                {400: "nest"}),
}
BUSY = re.compile(rb"queued_queries_max|process_bytes_max|process")


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def fill(server, numbers):
    first_ms = (NOW - SAMPLES) * 1000
    status, text = server.request(
        "/api/v1/write", headers=remote_write.HEADERS,
        body=remote_write.snappy(remote_write.encode(
            [([("__name__", "x"), ("i", f"{i:03}")],
              [(first_ms + j * 1000, bits(numbers.random()))
               for j in range(SAMPLES)]) for i in range(SERIES)])))
    if status // 100 != 2:
        sys.exit(f"FAILED: write: {status} {text}")


def ask(server, path, form, timeout=60):
    """(status, body); 0 and the reason if there is no answer."""
    method, _, endpoint = path.rpartition(" ")
    encoded = urllib.parse.urlencode(form, doseq=True)
    connection = http.client.HTTPConnection(
        server.http.removeprefix("http://"), timeout=timeout)
    try:
        if method:
            connection.request(method, f"/api/v1/{endpoint}?{encoded}")
        else:
            try:
                connection.request(
                    "POST", f"/api/v1/{endpoint}", encoded,
                    {"Content-Type": "application/x-www-form-urlencoded"})
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was sent: the answer is there
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode()
    finally:
        connection.close()


def fault_of(expected, status, body, crowded):
    """None, or why the answer is a wrong one."""
    if crowded and status == 503 and BUSY.search(body):
        return None
    if status in expected and re.search(expected[status].encode(), body,
                                        re.IGNORECASE):
        return None
    return f"{status} {body[:300]!r} instead of {expected}"


class Probe:
    """Another client: asks all the time, and must be answered."""

    def __init__(self, server):
        self.server = server
        self.done = threading.Event()
        self.longest = 0.0
        self.count = 0
        self.fault = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.done.is_set() and not self.fault:
            begun = time.monotonic()
            status, body = ask(self.server, "query", {
                "query": "count(x)", "time": NOW - 1}, PROBE_SECONDS_MAX)
            try:
                value = json.loads(body)["data"]["result"][0]["value"][1]
                if status != 200 or value != str(SERIES):
                    self.fault = f"{status} {body[:300]!r}"
            except (ValueError, KeyError, IndexError):
                self.fault = f"{status} {body[:300]!r}"
            self.longest = max(self.longest, time.monotonic() - begun)
            self.count += 1
            self.done.wait(0.01)

    def end(self):
        self.done.set()
        self.thread.join()
        if self.fault:
            sys.exit(f"FAILED: another client: {self.fault}")
        if self.count == 0:
            sys.exit("FAILED: the other client never asked")


def peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def one_by_one(server):
    failed = 0
    for name, (path, form, expected) in HOSTILE.items():
        begun = time.monotonic()
        status, body = ask(server, path, form)
        fault = fault_of(expected, status, body, crowded=False)
        failed += fault is not None
        print(f"{'FAILED' if fault else 'ok    '} {name}: {status} after "
              f"{time.monotonic() - begun:.2f} s"
              f"{': ' + fault if fault else ''}", flush=True)
    return failed


def all_at_once(server, numbers):
    jobs = list(HOSTILE.items()) * ROUNDS
    numbers.shuffle(jobs)
    failed, statuses = 0, {}
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = pool.map(lambda job: ask(server, job[1][0], job[1][1]), jobs)
        for (name, (_, _, expected)), (status, body) in zip(jobs, answers):
            statuses[status] = statuses.get(status, 0) + 1
            fault = fault_of(expected, status, body, crowded=True)
            if fault:
                failed += 1
                print(f"FAILED {name}, among others: {fault}")
    print(f"{len(jobs)} at {CLIENTS} a time: {sorted(statuses.items())}")
    return failed


def main():
    numbers = random.Random(SEED)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        (root / "vigie.yml").write_text(VIGIE_YML)
        with Server(sys.argv[1], root / "data", root / "vigie.yml",
                    root / "log") as server:
            fill(server, numbers)
            probe = Probe(server)
            failed = one_by_one(server)
            failed += all_at_once(server, numbers)
            probe.end()
            peak = peak_bytes(server.pid)
            status = server.stop()
    print(f"another client: {probe.count} answers, the slowest after "
          f"{probe.longest:.2f} s; peak memory {peak / 2**20:.0f} MiB")
    if status != 0:
        sys.exit(f"FAILED: vigie ended with {status}")
    if peak > RESIDENT_BYTES_MAX:
        sys.exit(f"FAILED: peak memory {peak} bytes")
    print(f"seed {SEED}: {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

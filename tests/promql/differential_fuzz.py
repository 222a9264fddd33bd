#!/usr/bin/env python3
"""Random queries, asked of Debian's Prometheus 2.42 and of vigie.

Usage: differential_fuzz.py --vigie BINARY [--seed N] [--queries N] [--first N]

Query number i of a seed is the same whatever else is asked; every 5 000 share a
data set. An answer that differs in type, series, times or values, or fails on
one side only, must be of a class that differences.py lists with its reason. The
seed is printed; `--seed S --first I --queries 1` asks one query again.
"""

import argparse
import collections
import http.client
import json
import math
import multiprocessing
import pathlib
import random
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import debian_programs  # noqa: E402
import remote_write  # noqa: E402
from differences import DIFFERENCES, classify  # noqa: E402
from random_data import DATA_SECONDS, series  # noqa: E402
from random_query import SMOOTHING, Generator  # noqa: E402
from server_process import Server  # noqa: E402

QUERIES_A_DATA_SET = 5000
# Data sets lie days apart: none is seen from another.
FIRST_DATA_S = 1_700_000_000
DATA_SET_APART_S = 2 * 86_400
SHOWN_MAX = 40

Found = collections.namedtuple("Found", "what reference test")
Question = collections.namedtuple("Question", "number query form")


def question(seed, number):
    rng = random.Random(f"query {seed} {number}")
    base_s = FIRST_DATA_S + number // QUERIES_A_DATA_SET * DATA_SET_APART_S
    query = Generator(rng, base_s).query()
    at = base_s + rng.randrange(300, DATA_SECONDS + 400)
    if rng.random() < 0.5:
        return Question(number, query, [("time", f"{at}.7")])
    step = rng.choice([rng.randint(1, 30), rng.randint(15, 300)])
    points = rng.randint(1, 25)
    return Question(number, query, [
        ("start", f"{at - step * (points - 1)}.7"), ("end", f"{at}.7"),
        ("step", str(step))])


class Side:
    """A server, asked over one connection that is kept."""

    def __init__(self, address, is_reference):
        self.connection = http.client.HTTPConnection(address, timeout=600)
        self.is_reference = is_reference

    def send(self, asked):
        query = asked.query
        if self.is_reference:
            query = query.replace(SMOOTHING, "holt_winters")
        path = "query" if asked.form[0][0] == "time" else "query_range"
        self.connection.request(
            "POST", f"/api/v1/{path}",
            urllib.parse.urlencode([("query", query), *asked.form]),
            {"Content-Type": "application/x-www-form-urlencoded"})

    def receive(self):
        return self.connection.getresponse().read()


def same_number(a, b):
    a, b = float(a), float(b)
    if a == b or math.isnan(a) and math.isnan(b):
        return True
    # The absolute part is for sums that cancel out.
    return abs(a - b) <= 1e-7 * max(abs(a), abs(b)) + 1e-9


def by_labels(data):
    return {tuple(sorted(one["metric"].items())):
            one["values"] if "values" in one else [one["value"]]
            for one in data["result"]}


def difference(asked, reference, test):
    """Found, or None where both answers say the same."""
    if reference == test:
        return None
    reference, test = json.loads(reference), json.loads(test)
    if reference["status"] != test["status"]:
        return Found("error", reference, test)
    if reference["status"] == "error":
        if reference["errorType"] != test["errorType"]:
            return Found("error type", reference, test)
        return None
    reference, test = reference["data"], test["data"]
    if reference["resultType"] != test["resultType"]:
        return Found("type", reference, test)
    if reference["resultType"] in ("scalar", "string"):
        if not same_number(reference["result"][1], test["result"][1]):
            return Found("value", reference, test)
        return None
    want, got = by_labels(reference), by_labels(test)
    if len(got) != len(test["result"]):
        return Found("a series twice", reference, test)
    if want.keys() != got.keys():
        return Found("series", reference, test)
    what = None
    for labels, points in want.items():
        if [p[0] for p in points] != [p[0] for p in got[labels]]:
            return Found("times", reference, test)
        if not all(same_number(a[1], b[1])
                   for a, b in zip(points, got[labels])):
            what = "value"
    if not what and asked.query.startswith("sort") and (
            reference["resultType"] == "vector") and not all(
                same_number(a["value"][1], b["value"][1])
                for a, b in zip(reference["result"], test["result"])):
        what = "order"
    return Found(what, reference, test) if what else None


def ask_all(work):
    """Runs in a process of its own; gives what differed and some counts."""
    addresses, seed, numbers = work
    sides = [Side(addresses[0], True), Side(addresses[1], False)]
    counts, unknown = collections.Counter(), []
    for number in numbers:
        asked = question(seed, number)
        for side in sides:
            side.send(asked)
        reference, test = [side.receive() for side in sides]
        counts["failed"] += reference.startswith(b'{"status":"error"')
        counts["empty"] += b'"result":[]' in reference
        found = difference(asked, reference, test)
        if found:
            name = classify(asked.query, found)
            counts[f"class {name}"] += 1
            if not name:
                unknown.append((asked, found))
    return counts, unknown


def load(servers, seed, data_set):
    start_s = FIRST_DATA_S + data_set * DATA_SET_APART_S
    body = remote_write.snappy(
        remote_write.encode(series(f"{seed} {data_set}", start_s)))
    for address in servers:
        connection = http.client.HTTPConnection(address, timeout=600)
        connection.request("POST", "/api/v1/write", body, remote_write.HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status // 100 != 2:
            sys.exit(f"{address} did not take the data: {text[:500]}")


def show(seed, asked, found):
    form = " ".join(f"{key}={value}" for key, value in asked.form)
    print(f"--- {found.what}: --seed {seed} --first {asked.number}  {form}\n"
          f"{asked.query}\n"
          f"  2.42:  {json.dumps(found.reference)[:700]}\n"
          f"  vigie: {json.dumps(found.test)[:700]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vigie", required=True, type=pathlib.Path)
    parser.add_argument("--required", action="store_true",
                        help="accepted for the sake of tests/run.sh")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else int(time.time())
    print(f"seed {seed}", flush=True)

    begin, counts, unknown = time.monotonic(), collections.Counter(), []
    last = args.first + args.queries
    with tempfile.TemporaryDirectory() as directory:
        (pathlib.Path(directory) / "empty.yml").touch()
        # One head for all data sets: nothing is too old for it.
        with debian_programs.Program(
                "prometheus", f"{directory}/prometheus.log",
                "Server is ready to receive web requests",
                f"--config.file={directory}/empty.yml",
                f"--storage.tsdb.path={directory}/prometheus",
                "--storage.tsdb.min-block-duration=1000d",
                "--storage.tsdb.max-block-duration=1000d",
                "--web.enable-remote-write-receiver") as prometheus, \
            Server(args.vigie, f"{directory}/vigie",
                   config=HERE / "conformance.yml") as vigie, \
            multiprocessing.Pool(args.jobs) as pool:
            addresses = (prometheus.address, vigie.http.removeprefix("http://"))
            for first in range(args.first, last, QUERIES_A_DATA_SET):
                data_set = first // QUERIES_A_DATA_SET
                numbers = range(first, min(
                    last, (data_set + 1) * QUERIES_A_DATA_SET))
                load(addresses, seed, data_set)
                for some, more in pool.map(ask_all, [
                        (addresses, seed, numbers[job::args.jobs])
                        for job in range(args.jobs)], chunksize=1):
                    counts += some
                    unknown += more
    for asked, found in unknown[:SHOWN_MAX]:
        show(seed, asked, found)
    if len(unknown) > SHOWN_MAX:
        print(f"... and {len(unknown) - SHOWN_MAX} more")
    print(f"{counts['failed']} of {args.queries} queries fail on the reference,"
          f" {counts['empty']} give nothing, "
          f"{time.monotonic() - begin:.0f} s")
    for one in DIFFERENCES:
        print(f"{counts[f'class {one.name}']:6}  {one.name}: {one.reason}")
    print(f"{args.queries - len(unknown)} passed, {len(unknown)} failed")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())

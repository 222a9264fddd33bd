#!/usr/bin/env python3
"""An answer of more than 100 MB of JSON is made as it is read: it costs the
server no more memory than the same query of which one series is asked for. And
a client that goes away stops its query.

Usage: large_answer_test.py VIGIE
"""

import http.client
import json
import pathlib
import random
import struct
import sys
import tempfile
import time
import urllib.parse

import remote_write
from server_process import Server

SEED = 11
SERIES = 300
STEPS = 10_000
JSON_BYTES_MIN = 100_000_000
# The pieces, the codec's state and what the allocator does not give back at
# once; the samples themselves are 48 MB.
GROWTH_BYTES_MAX = 16_000_000
DEADLINE_SECONDS = 60


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def body(numbers, first_ms):
    """One sample a series: the query makes the rest of it."""
    return remote_write.snappy(remote_write.encode(
        [([("__name__", "x"), ("i", f"{i:04}")],
          [(first_ms, bits(numbers.random()))]) for i in range(SERIES)]))


def peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def ask(server, form, headers=None):
    """Bytes of the answer, read as it comes; its first and last ones."""
    connection = http.client.HTTPConnection(
        server.http.removeprefix("http://"), timeout=120)
    connection.request("POST", "/api/v1/query_range",
                       urllib.parse.urlencode(form),
                       {"Content-Type": "application/x-www-form-urlencoded",
                        **(headers or {})})
    answer = connection.getresponse()
    total, first, last = 0, b"", b""
    while piece := answer.read(1 << 20):
        first = first or piece[:200]
        last = (last + piece)[-200:]
        total += len(piece)
    connection.close()
    if answer.status != 200:
        sys.exit(f"FAILED: {answer.status} {first}")
    return total, first, last


def check_memory(server, form):
    ask(server, form | {"limit": 1})  # caches and arenas fill up
    forget_peak(server.pid)
    small, _, _ = ask(server, form | {"limit": 1})
    evaluation = peak_bytes(server.pid)
    for name, headers in (("plain", {}), ("gzip", {"Accept-Encoding": "gzip"}),
                          ("zstd", {"Accept-Encoding": "zstd"})):
        forget_peak(server.pid)
        size, first, last = ask(server, form, headers)
        growth = peak_bytes(server.pid) - evaluation
        if name == "plain" and (
                size < JSON_BYTES_MIN or not last.endswith(b"]]}]}}")
                or not first.startswith(b'{"status":"success"')):
            sys.exit(f"FAILED: {size} bytes, {first} ... {last}")
        if growth > GROWTH_BYTES_MAX:
            sys.exit(f"FAILED: {name}: the peak grew by {growth} bytes over "
                     f"that of the evaluation ({evaluation})")
        print(f"ok     {name}: {size} bytes of answer, peak memory "
              f"{growth / 1e6:+.1f} MB against {small} bytes")


def check_leaving(server, now):
    """A query that would take minutes ends when its client does."""
    connection = http.client.HTTPConnection(
        server.http.removeprefix("http://"), timeout=60)
    query = "sum(sum_over_time((sum(x) + sum(x))[1h:1ms]))"
    form = {"query": query, "start": now, "end": now + 10_000, "step": 1}
    connection.request("POST", "/api/v1/query_range",
                       urllib.parse.urlencode(form),
                       {"Content-Type": "application/x-www-form-urlencoded"})
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not server.request("/api/v1/status/active_queries")[1].count(b'"id"'):
        if time.monotonic() > deadline:
            sys.exit("FAILED: the long query never ran")
    connection.close()
    left = time.monotonic()
    while True:
        status, text = server.request("/api/v1/status/active_queries")
        if not json.loads(text)["data"]["queries"]:
            break
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: it still runs: {text[:300]}")
    print(f"ok     a query ended {time.monotonic() - left:.2f} s after its "
          "client")


def main():
    numbers = random.Random(SEED)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        with Server(sys.argv[1], root / "data", log=root / "log") as server:
            now = int(time.time()) - 60
            status, text = server.request(
                "/api/v1/write", body=body(numbers, now * 1000),
                headers=remote_write.HEADERS)
            if status // 100 != 2:
                sys.exit(f"FAILED: write: {status} {text}")
            # Within the lookback of the one sample, at odd milliseconds.
            form = {"query": "x", "start": now + 0.001,
                    "end": now + 0.001 + (STEPS - 1) * 0.02, "step": 0.02}
            check_memory(server, form)
            check_leaving(server, now)
    print(f"passed with seed {SEED}")


if __name__ == "__main__":
    main()

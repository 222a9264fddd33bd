#!/usr/bin/env python3
"""A sender of remote write 2.0 against the real server: samples, exemplars and
metadata come back, answers say what is written, and a series that is known
goes on after the server was killed.

Usage: remote_write_v2_test.py VIGIE
"""

import json
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from remote_write import HEADERS, HEADERS_V2, encode_v2, snappy
from server_process import Server

COUNTER = 1  # of Metadata.MetricType
LABELS = [("__name__", "orders_total"), ("shop", "paris")]


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def send(vigie, series, headers=HEADERS_V2):
    """(status, body, {"Samples": n, ...} of the Written headers)."""
    body = series if isinstance(series, bytes) else encode_v2(series)
    request = urllib.request.Request(vigie.http + "/api/v1/write",
                                     snappy(body), headers)
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        prefix, suffix = "X-Prometheus-Remote-Write-", "-Written"
        written = {name[len(prefix):-len(suffix)]: int(value)
                   for name, value in answer.headers.items()
                   if name.startswith(prefix)}
        return answer.status, answer.read().decode(), written


def get(vigie, path, **form):
    with urllib.request.urlopen(
            f"{vigie.http}/api/v1/{path}?{urllib.parse.urlencode(form)}",
            timeout=30) as answer:
        return json.load(answer)["data"]


def expect(what, actual, wanted):
    if actual != wanted:
        sys.exit(f"FAILED: {what}: {actual!r}, not {wanted!r}")


def values(vigie, now_ms):
    """What the counter's last minute holds: [(time in ms, value as text)]."""
    result = get(vigie, "query", query="orders_total[1m]",
                 time=now_ms / 1000)["result"]
    return [(round(seconds * 1000), value)
            for series in result for seconds, value in series["values"]]


def order(now_ms, value):
    return {"labels": LABELS, "samples": [(now_ms, bits(value), now_ms - 500)]}


def first_server(vigie, now_ms):
    first = order(now_ms - 3000, 1.0)
    first["exemplars"] = [([("trace_id", "ab12")], bits(0.25), now_ms - 3000)]
    first["metadata"] = (COUNTER, "Orders placed.", "orders")
    expect("first request", send(vigie, [first]),
           (204, "", {"Samples": 1, "Histograms": 0, "Exemplars": 1}))
    expect("known series", send(vigie, [order(now_ms - 2000, 2.5)]),
           (204, "", {"Samples": 1, "Histograms": 0, "Exemplars": 0}))

    bad = {"labels": [("shop", "lyon")], "samples": [(now_ms, 0, 0)]}
    status, body, written = send(vigie, [bad, order(now_ms - 1000, 3.0)])
    expect("partial write", (status, written),
           (400, {"Samples": 1, "Histograms": 0, "Exemplars": 0}))
    expect("partial write names its reason", "no metric name" in body, True)

    status, _, written = send(vigie, b"\x2a\x7f")
    expect("malformed", (status, written),
           (400, {"Samples": 0, "Histograms": 0, "Exemplars": 0}))
    for changed in ({"Content-Type": "application/json"},
                    {"Content-Type": "application/x-protobuf;proto=x.Request"},
                    {"Content-Encoding": "zstd"}):
        expect(changed, send(vigie, [first], {**HEADERS_V2, **changed})[0], 415)
    expect("as 1.0", send(vigie, [order(now_ms, 9.0)], HEADERS)[0], 400)

    exemplars = get(vigie, "query_exemplars", query="orders_total",
                    start=now_ms / 1000 - 60, end=now_ms / 1000)
    expect("exemplars", [e["labels"] for e in exemplars[0]["exemplars"]],
           [{"trace_id": "ab12"}])
    expect("metadata", get(vigie, "metadata")["orders_total"],
           [{"type": "counter", "help": "Orders placed.", "unit": "orders"}])


def main():
    now_ms = int(time.time() * 1000)
    wanted = [(now_ms - 3000, "1"), (now_ms - 2000, "2.5"), (now_ms - 1000, "3")]
    with tempfile.TemporaryDirectory() as scratch:
        with Server(sys.argv[1], f"{scratch}/vigie") as vigie:
            first_server(vigie, now_ms)
            expect("values", values(vigie, now_ms), wanted)
        # Killed: what was answered with 204 is there.
        with Server(sys.argv[1], f"{scratch}/vigie") as vigie:
            expect("values after a kill", values(vigie, now_ms), wanted)
            expect("goes on", send(vigie, [order(now_ms, 4.0)])[0], 204)
            expect("values in the end", values(vigie, now_ms),
                   wanted + [(now_ms, "4")])
    print("remote write 2.0: written, refused and answered as it says")


if __name__ == "__main__":
    main()

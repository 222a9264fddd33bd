#!/usr/bin/env python3
"""Debian's Prometheus reads samples from vigie for its own queries, and scrapes
vigie's federation: what it answers from either is what vigie answers itself.

Usage: remote_read_test.py VIGIE
"""

import json
import pathlib
import random
import struct
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import remote_write
from debian_programs import prometheus
from server_process import Server

SEED = 5
SERIES = 40
SAMPLES = 120
STEP_MS = 1_000
DEADLINE_SECONDS = 60
STALE_NAN = 0x7FF0000000000002

VIGIE_YML = """\
http: {remote_read: true, remote_read_samples_max: 100000}
prometheus: prometheus-of-vigie.yml
"""
VIGIE_PROMETHEUS_YML = "global: {external_labels: {site: fr}}\n"

PEER_YML = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: federation
    metrics_path: /federate
    honor_labels: true
    params: {{"match[]": ['{{__name__="requests_total"}}']}}
    static_configs: [{{targets: ["{vigie}"]}}]
"""
READER_YML = """\
global: {{external_labels: {{site: fr}}}}
remote_read:
  - url: http://{vigie}/api/v1/read
    read_recent: true
"""

QUERIES = (
    "sum(requests_total)",
    "sum by (zone) (rate(requests_total[30s]))",
    'requests_total{zone=~"a|b",instance!="3"}',
    'topk(3, max_over_time(requests_total{zone!~"c"}[20s]))',
    "count_values('v', floor(requests_total / 100))",
    "absent(nothing_at_all)",
)


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def series_of(numbers, first_ms):
    """Counters with gaps, some of which end. All are far from zero, where
    Prometheus 2 and 3 extrapolate differently."""
    out = []
    for i in range(SERIES):
        labels = [("__name__", "requests_total"), ("instance", str(i)),
                  ("job", "shop"), ("zone", "abc"[i % 3])]
        value, samples = 10_000.0, []
        for j in range(SAMPLES):
            value += round(numbers.random() * 10, 2)
            if numbers.random() < 0.9:
                samples.append((first_ms + j * STEP_MS, bits(value)))
        if i % 10 == 9:
            samples.append((first_ms + SAMPLES * STEP_MS, STALE_NAN))
        out.append((labels, samples))
    return out


def ask(url, **form):
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query_range", data,
                                timeout=30) as response:
        return json.load(response)["data"]["result"]


def comparable(result):
    """As a mapping: series come in no order that both have."""
    found = {}
    for series in result:
        labels = dict(series["metric"])
        labels.pop("site", None)  # a reader takes its own external label off
        found[tuple(sorted(labels.items()))] = [
            (t, float(v)) for t, v in series["values"]]
    return found


def close(left, right):
    """The same series, times and, but for the order of sums, values."""
    return left.keys() == right.keys() and all(
        len(left[k]) == len(right[k]) and all(
            t == u and (v == w or abs(v - w) <= 1e-9 * max(abs(v), abs(w)))
            for (t, v), (u, w) in zip(left[k], right[k])) for k in left)


def compare_reads(vigie, peer, first_ms):
    start, end = first_ms // 1000 + 5, first_ms // 1000 + SAMPLES
    for query in QUERIES:
        form = {"query": query, "start": start, "end": end, "step": 7}
        own = comparable(ask(vigie.http, **form))
        read = comparable(ask(f"http://{peer.address}", **form))
        if not own or not close(own, read):
            sys.exit(f"FAILED: {query}: vigie has {len(own)} series, the "
                     f"reader {len(read)}\n{sorted(own.items())[:2]}\n"
                     f"{sorted(read.items())[:2]}")
        print(f"ok     {query}: {len(own)} series alike through remote read")


def compare_federation(vigie, peer):
    """Until a scrape has brought what vigie now says."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        now = time.time()
        form = urllib.parse.urlencode({"query": "requests_total", "time": now})
        answers = []
        for url in (vigie.http, f"http://{peer.address}"):
            with urllib.request.urlopen(f"{url}/api/v1/query?{form}",
                                        timeout=30) as response:
                answers.append({
                    tuple(sorted((k, v) for k, v in s["metric"].items()
                                 if k != "site")): s["value"][1]
                    for s in json.load(response)["data"]["result"]})
        own, scraped = answers
        if own and own == scraped:
            print(f"ok     {len(own)} series alike through federation")
            return
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: federation: {len(own)} series, "
                     f"{len(scraped)} scraped")
        time.sleep(0.2)


def check_limit(vigie):
    """A reader that asks for too much is told which setting says so."""
    # {__name__=~".+"}: one query over all time, matcher of type 2 (regex).
    matcher = b"\x08\x02\x12\x08__name__\x1a\x02.+"
    query = (b"\x08\x00\x10" + remote_write.varint(1 << 62) +
             b"\x1a" + remote_write.varint(len(matcher)) + matcher)
    request = b"\x0a" + remote_write.varint(len(query)) + query
    status, body = vigie.request("/api/v1/read",
                                 body=remote_write.snappy(request * 30))
    if status != 400 or b"remote_read_samples_max" not in body:
        sys.exit(f"FAILED: thirty times everything: {status} {body[:200]}")
    print("ok     the limit on samples is named")


def main():
    numbers = random.Random(SEED)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        (root / "vigie.yml").write_text(VIGIE_YML)
        (root / "prometheus-of-vigie.yml").write_text(VIGIE_PROMETHEUS_YML)
        with Server(sys.argv[1], root / "data", root / "vigie.yml",
                    root / "log") as vigie:
            # Not on a second: the two count the ends of windows differently.
            first_ms = (int(time.time()) - SAMPLES - 1) * 1000 + 250
            status, body = vigie.request(
                "/api/v1/write", headers=remote_write.HEADERS,
                body=remote_write.snappy(remote_write.encode(
                    series_of(numbers, first_ms))))
            if status // 100 != 2:
                sys.exit(f"FAILED: write: {status} {body}")
            address = vigie.http.removeprefix("http://")
            for name, text in (("peer", PEER_YML), ("reader", READER_YML)):
                (root / name).mkdir()
                (root / name / "prometheus.yml").write_text(
                    text.format(vigie=address))
            with prometheus(root / "peer",
                            root / "peer" / "prometheus.yml") as peer:
                compare_federation(vigie, peer)
            with prometheus(root / "reader",
                            root / "reader" / "prometheus.yml") as reader:
                compare_reads(vigie, reader, first_ms)
            check_limit(vigie)
    print(f"passed with seed {SEED}")


if __name__ == "__main__":
    main()

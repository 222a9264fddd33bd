#!/usr/bin/env python3
"""Debian's Prometheus scrapes a node exporter and sends a copy to vigie: every
sample it holds must come back from vigie with the same time and value.

Usage: remote_write_test.py VIGIE
"""

import json
import pathlib
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from debian_programs import node_exporter, prometheus
from server_process import Server

DEADLINE_SECONDS = 60
WINDOW_MS = 5_000

PROMETHEUS_YML = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{site: fr}}}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["{exporter}"]}}]
remote_write:
  - url: {vigie}/api/v1/write
    queue_config: {{batch_send_deadline: 200ms}}
"""


def samples(url, end_ms):
    """{(labels, time in ms): value as text} of the window before end_ms."""
    form = urllib.parse.urlencode({
        "query": f'{{job="node"}}[{WINDOW_MS}ms]', "time": end_ms / 1000})
    with urllib.request.urlopen(f"{url}/api/v1/query",
                                form.encode(), timeout=30) as response:
        answer = json.load(response)
    found = {}
    for series in answer["data"]["result"]:
        labels = dict(series["metric"])
        labels.pop("site", None)  # external labels are added on the way out
        for seconds, value in series["values"]:
            time_ms = round(seconds * 1000)
            # Prometheus 2 counts both ends of a window in, 3 the later one.
            if end_ms - WINDOW_MS < time_ms < end_ms:
                found[tuple(sorted(labels.items())), time_ms] = value
    return found


def main():
    with tempfile.TemporaryDirectory() as scratch, \
            node_exporter(scratch) as exporter, \
            Server(sys.argv[1], f"{scratch}/vigie", log=f"{scratch}/log") as vigie:
        config = pathlib.Path(scratch) / "prometheus.yml"
        config.write_text(PROMETHEUS_YML.format(exporter=exporter.address,
                                                vigie=vigie.http))
        with prometheus(scratch, config) as peer:
            deadline = time.monotonic() + DEADLINE_SECONDS
            # The window must lie after the first sample that was sent, and all
            # of it must have arrived: ask until both answers agree.
            while True:
                end_ms = int(time.time() * 1000) - 2_000
                expected = samples(f"http://{peer.address}", end_ms)
                actual = samples(vigie.http, end_ms)
                rounds = len({time_ms for _, time_ms in expected})
                if rounds >= 4 and actual == expected:
                    break
                if time.monotonic() > deadline:
                    missing = sorted(expected.items() - actual.items())
                    extra = sorted(actual.items() - expected.items())
                    sys.stderr.write(pathlib.Path(f"{scratch}/log").read_text()[-4000:])
                    sys.exit(f"FAILED: of {len(expected)} samples {len(missing)} "
                             f"are missing or differ, {len(extra)} are extra:\n"
                             f"missing {missing[:3]}\nextra {extra[:3]}")
                time.sleep(0.5)
    print(f"{len(expected)} samples of {rounds} scrapes are the same")


if __name__ == "__main__":
    main()

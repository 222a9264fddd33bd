#!/usr/bin/env python3
"""Grafana's requests, replayed against vigie and Debian's Prometheus: the same
status, the same keys, the same types, the same texts of errors.

Both scrape one node exporter and run the same rules. The requests, and in what
answers may differ, are in grafana_requests.json:

  lacks, adds   paths that vigie has not, or Prometheus 2.42 has not
  any_adds      a path below which vigie has more
  error_differs why the text of an error is another one (error_may_differ: or
                may be)
  text, body    the whole answer; that it is no JSON
  peer: false   2.42 has no such thing: `shape` is what is expected

Usage: grafana_test.py VIGIE
"""

import datetime
import json
import pathlib
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from debian_programs import node_exporter, prometheus
from server_process import Server

REQUESTS = pathlib.Path(__file__).with_name("grafana_requests.json")
DEADLINE_SECONDS = 60

PROMETHEUS_YML = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["{exporter}"], labels: {{zone: a}}}}]
"""
RULES_YML = """\
groups:
  - name: machine
    rules:
      - {record: "job:load:max", expr: "max by (job) (node_load1)"}
      - alert: Always
        expr: up == 1
        labels: {severity: page}
        annotations: {summary: "up on {{ $labels.instance }}"}
      - {alert: Never, expr: up == 2, for: 5m}
  - name: second
    limit: 10
    rules:
      - {record: "job:up:count", expr: count by (job) (up), labels: {a: b}}
"""

# Objects whose keys are data, not part of the format.
MAPS = {"metric", "labels", "discoveredLabels", "annotations", "seriesLabels",
        "target", "droppedTargetCounts"}
MAP_PATHS = {"metadata": "data", "metadata of some": "data",
             "metadata of one": "data", "flags": "data",
             "series of a variable": "data[]", "series by GET": "data[]"}


def type_name(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def merge(left, right):
    """What two elements of a list are together."""
    if left is None or left == right:
        return right
    if isinstance(left, dict) and isinstance(right, dict):
        return {k: merge(left.get(k), right.get(k, left.get(k)))
                for k in left.keys() | right.keys()}
    if isinstance(left, list) and isinstance(right, list):
        if not left or not right:
            return left or right
        return [merge(a, b) for a, b in zip(left, right)]
    return left


def shape(value, maps, path=""):
    """Keys and types; a list has the shape of its elements, and a sample
    (a list that begins with a number) that of each."""
    if isinstance(value, dict):
        if path.rpartition(".")[2] in MAPS or path in maps:
            merged = None
            for one in value.values():
                merged = merge(merged, shape(one, maps, f"{path}.*"))
            return {} if merged is None else {"*": merged}
        return {k: shape(v, maps, f"{path}.{k}".lstrip("."))
                for k, v in value.items()}
    if isinstance(value, list):
        if value and type_name(value[0]) == "number":
            return [shape(v, maps, path) for v in value]
        merged = None
        for one in value:
            merged = merge(merged, shape(one, maps, f"{path}[]"))
        return [] if merged is None else [merged]
    return type_name(value)


def differences(ours, theirs, entry, path=""):
    """Yields what makes `ours` another shape than `theirs`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            at = f"{path}.{key}".lstrip(".")
            if key not in ours:
                if at not in entry.get("lacks", ()):
                    yield f"{at} is missing"
            elif key not in theirs:
                if at not in entry.get("adds", ()) and not at.startswith(
                        entry.get("any_adds", "\0")):
                    yield f"{at} is not Prometheus's"
            else:
                yield from differences(ours[key], theirs[key], entry, at)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if bool(ours) != bool(theirs) and path not in entry.get("lacks", ()):
            yield f"{path} is empty on one side only"
        for a, b in zip(ours, theirs):
            yield from differences(a, b, entry, f"{path}[]")
    elif ours != theirs:
        yield f"{path} is {ours} instead of {theirs}"


def fill(value, places):
    if isinstance(value, list):
        return [fill(v, places) for v in value]
    for name, text in places.items():
        value = value.replace(name, text)
    return value


def ask(url, entry, places):
    """(status, content type, body)"""
    path = entry["path"]
    target = url + (path if path.startswith("/") else f"/api/v1/{path}")
    form = urllib.parse.urlencode(
        {k: fill(v, places) for k, v in entry.get("params", {}).items()},
        doseq=True)
    data = None
    if entry["method"] == "POST":
        data = form.encode()
    elif form:
        target += f"?{form}"
    request = urllib.request.Request(target, data, method=entry["method"])
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return (answer.status, answer.headers["Content-Type"],
                    answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def check(entry, vigie, peer, places):
    """Yields what is wrong with vigie's answer."""
    status, kind, body = ask(vigie, entry, places)
    has_peer = entry.get("peer", True)
    if has_peer:
        peer_status, peer_kind, peer_body = ask(peer, entry, places)
        if status != peer_status:
            yield f"{status} instead of {peer_status}: {body[:300]}"
            return
        if entry.get("body") == "text":
            return
        if kind != peer_kind:
            yield f"{kind} instead of {peer_kind}"
    elif status != entry.get("status", 200):
        yield f"{status}: {body[:300]}"
        return
    if "text" in entry:
        if body.decode() != entry["text"]:
            yield f"{body!r}"
        return
    maps = set(entry.get("maps", ())) | {MAP_PATHS.get(entry["name"])}
    ours = json.loads(body)
    theirs = json.loads(peer_body) if has_peer else None
    yield from differences(shape(ours, maps),
                           shape(theirs, maps) if has_peer else entry["shape"],
                           entry)
    if has_peer and "errorType" in theirs:
        if ours["errorType"] != theirs["errorType"]:
            yield f"{ours['errorType']} instead of {theirs['errorType']}"
        same = ours["error"] == theirs["error"]
        if same and "error_differs" in entry:
            yield "error_differs is no longer so"
        if not same and not entry.keys() & {"error_differs",
                                            "error_may_differ"}:
            yield f"{ours['error']!r} instead of {theirs['error']!r}"


def await_data(urls):
    """Until each has scraped and its rules have run."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    for url in urls:
        for query in ("count_over_time(node_load1[10s]) >= 4",
                      "job:up:count", 'ALERTS{alertstate="firing"}'):
            form = urllib.parse.urlencode({"query": query})
            while True:
                with urllib.request.urlopen(f"{url}/api/v1/query?{form}",
                                            timeout=30) as answer:
                    if json.load(answer)["data"]["result"]:
                        break
                if time.monotonic() > deadline:
                    sys.exit(f"FAILED: {url} never answered {query}")
                time.sleep(0.1)


def check_the_check():
    """A shape that is another one must be found."""
    left = shape({"a": [[1, "x"]], "b": None}, set())
    for right in ({"a": [[1, 2]], "b": None}, {"a": [[1, "x"]]},
                  {"a": [], "b": None}, {"a": [[1, "x"]], "b": []}):
        if not list(differences(left, shape(right, set()), {})):
            sys.exit(f"FAILED: {right} was taken for the same")


def main():
    check_the_check()
    requests = json.loads(REQUESTS.read_text())
    failed = 0
    with tempfile.TemporaryDirectory() as scratch, \
            node_exporter(scratch) as exporter:
        root = pathlib.Path(scratch)
        (root / "rules.yml").write_text(RULES_YML)
        (root / "prometheus.yml").write_text(
            PROMETHEUS_YML.format(exporter=exporter.address))
        (root / "vigie.yml").write_text("prometheus: prometheus.yml\n")
        with Server(sys.argv[1], root / "data", root / "vigie.yml",
                    root / "log") as vigie, \
                prometheus(scratch, root / "prometheus.yml") as peer:
            urls = (vigie.http, f"http://{peer.address}")
            await_data(urls)
            now = int(time.time())
            end = now - 1
            places = {"{start}": str(end - 3), "{end}": str(end),
                      "{rfc3339}": datetime.datetime.fromtimestamp(
                          end, datetime.timezone.utc).strftime(
                              "%Y-%m-%dT%H:%M:%SZ")}
            for entry in requests:
                faults = list(check(entry, *urls, places))
                failed += bool(faults)
                print(f"{'FAILED' if faults else 'ok    '} {entry['name']}"
                      f"{': ' + '; '.join(faults) if faults else ''}")
    print(f"{len(requests)} requests, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Asks a live server every query of every panel of every dashboard.

Usage: panel_test.py --vigie BINARY --shop BINARY | --url URL,
       and [--dashboards DIR]

The queries are sent as Grafana sends them: variables from
/api/v1/label/NAME/values, panels by POST, $__rate_interval and its like
replaced before. Behind the server are a real node exporter and the demo shop
with restarts and a canary. An error, or a panel without a single number,
fails; panels that need a few scrapes first get until the deadline. With --url
the server is somebody else's and has data.
"""

import argparse
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from debian_programs import node_exporter
from server_process import Server
from shop_process import Shop

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRAPE_SECONDS = 1
RANGE_SECONDS = 300
DEADLINE_SECONDS = 60
# Some of everything within seconds.
SHOP = ("--speed", 10, "--visits", 5, "--restart-every", 20,
        "--canary-share", 0.3, "--export-interval", SCRAPE_SECONDS)

VIGIE_YML = """\
prometheus: prometheus.yml
self_monitoring: {{enabled: true, interval: {seconds}s}}
"""
PROMETHEUS_YML = """\
global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["{exporter}"]}}]
"""

# Something of each kind comes in by OTLP too, so that its panels have work.
PUSHED = """\
# TYPE panel_test_total counter
panel_test_total 1
"""


class QueryError(Exception):
    pass


class Api:
    def __init__(self, url):
        self.url = url

    def _open(self, path, data=None):
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        answer = json.loads(body)
        if answer.get("status") != "success":
            raise QueryError(f"{answer.get('errorType')}: {answer.get('error')}")
        return answer["data"]

    def get(self, path, **fields):
        return self._open(f"{path}?{urllib.parse.urlencode(fields, doseq=True)}")

    def post(self, path, **fields):
        return self._open(path, urllib.parse.urlencode(fields).encode())


def escape_for_regex(value):
    """As Grafana's Prometheus data source, for use in a quoted matcher."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>",
                  value.replace("\\", "\\\\\\\\"))


class Scope:
    """The time range and the variables of one dashboard."""

    def __init__(self, now, range_seconds=RANGE_SECONDS):
        self.end = now
        self.range_seconds = range_seconds
        self.start = now - range_seconds
        self.step = SCRAPE_SECONDS
        self.values = {}

    def replace(self, text):
        rate = max(self.step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
        own = {"__rate_interval": f"{rate}s", "__interval": f"{self.step}s",
               "__interval_ms": str(self.step * 1000),
               "__range": f"{self.range_seconds}s",
               "__range_s": str(self.range_seconds),
               "__range_ms": str(self.range_seconds * 1000)}

        def value(match):
            name = match.group(1) or match.group(2)
            if name in own:
                return own[name]
            if name not in self.values:
                raise QueryError(f"${name} is no variable of the dashboard")
            return self.values[name]
        return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", value, text)


def resolve(api, variable, scope):
    """Gives a variable the value it has when a dashboard is opened."""
    name = variable["name"]
    if variable["type"] == "datasource":
        scope.values[name] = "vigie"
        return
    query = scope.replace(variable["query"]["query"])
    match = re.fullmatch(r"label_values\((?:(.+),\s*)?(\w+)\)", query)
    if not match:
        raise QueryError(f"{query}: only label_values is understood here")
    selector, label = match.groups()
    fields = {"start": scope.start, "end": scope.end}
    if selector:
        fields["match[]"] = selector
    values = api.get(f"label/{label}/values", **fields)
    if variable.get("regex"):
        pattern = re.compile(variable["regex"].strip("/"))
        values = [v for v in values if pattern.search(v)]
    if not values:
        raise LookupError(f"no value for ${name} from {query}")
    if variable["multi"] or variable["includeAll"]:
        if not variable["includeAll"]:
            values = values[:1]
        escaped = [escape_for_regex(v) for v in values]
        scope.values[name] = (escaped[0] if len(escaped) == 1
                              else f"({'|'.join(escaped)})")
    else:
        scope.values[name] = values[0]


def numbers(data):
    """(series, values that are numbers) of an answer."""
    result = data["result"]
    if data["resultType"] == "scalar":
        points = [[result]]
    else:
        points = [s.get("values") or [s["value"]] for s in result]
    found = sum(not math.isnan(float(v)) for run in points for _, v in run)
    return len(points), found


def ask_panel(api, panel, scope):
    """None, or why the panel would be empty. Raises QueryError."""
    found = 0
    for target in panel["targets"]:
        query = scope.replace(target["expr"])
        try:
            if target.get("instant"):
                data = api.post("query", query=query, time=scope.end)
            else:
                start = scope.start - scope.start % scope.step
                data = api.post("query_range", query=query, start=start,
                                end=scope.end, step=float(scope.step))
        except QueryError as error:
            raise QueryError(f"{query}: {error}") from None
        series, values = numbers(data)
        if series == 0:
            return f"no series from {query}"
        found += values
    return None if found else "not a single number"


def panels_of(dashboard):
    for panel in dashboard["panels"]:
        yield from panels_of(panel) if panel["type"] == "row" else [panel]


def ask_dashboard(api, dashboard, deadline):
    """Failures by panel title; panels without data get until the deadline."""
    waiting = list(panels_of(dashboard))
    failures = {}
    while waiting:
        scope = Scope(time.time())
        reasons = {}
        try:
            for variable in dashboard["templating"]["list"]:
                resolve(api, variable, scope)
        except LookupError as error:
            reasons = {panel["title"]: str(error) for panel in waiting}
        else:
            for panel in waiting:
                try:
                    reason = ask_panel(api, panel, scope)
                    if reason:
                        reasons[panel["title"]] = reason
                except QueryError as error:
                    failures[panel["title"]] = str(error)
        waiting = [p for p in waiting if p["title"] in reasons]
        if waiting and time.monotonic() > deadline:
            failures |= reasons
            break
        if waiting:
            time.sleep(0.5)
    return failures


def faults_of_form(dashboard):
    """What Grafana would draw wrongly, and what our reader would miss."""
    seen_ids, cells = set(), set()
    for panel in dashboard["panels"]:
        title, place = panel["title"], panel["gridPos"]
        if panel["id"] in seen_ids:
            yield f"{title}: id {panel['id']} is taken"
        seen_ids.add(panel["id"])
        own = {(x, y) for x in range(place["x"], place["x"] + place["w"])
               for y in range(place["y"], place["y"] + place["h"])}
        if place["x"] + place["w"] > 24 or own & cells:
            yield f"{title}: outside the grid or over another panel"
        cells |= own
        if panel["type"] == "row":
            continue
        if not panel.get("description"):
            yield f"{title}: no description"
        if '"unit"' not in json.dumps(panel["fieldConfig"]):
            yield f"{title}: no unit"


def check_the_check(api):
    """A planted empty panel and a planted faulty one must be found."""
    scope = Scope(time.time())
    empty = {"targets": [{"expr": "no_such_metric_anywhere"}]}
    if ask_panel(api, empty, scope) is None:
        sys.exit("FAILED: an empty panel was not noticed")
    nan = {"targets": [{"expr": "vector(0) / vector(0)"}]}
    if ask_panel(api, nan, scope) is None:
        sys.exit("FAILED: a panel of nothing but NaN was not noticed")
    try:
        ask_panel(api, {"targets": [{"expr": "rate("}]}, scope)
        sys.exit("FAILED: an error was not noticed")
    except QueryError:
        pass


def run(api, directory):
    check_the_check(api)
    paths = sorted(directory.glob("*.json"))
    if not paths:
        sys.exit(f"FAILED: no dashboard in {directory}")
    failed = asked = 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    for path in paths:
        dashboard = json.loads(path.read_text())
        for fault in faults_of_form(dashboard):
            print(f"FAILED {dashboard['title']}: {fault}")
            failed += 1
        failures = ask_dashboard(api, dashboard, deadline)
        for panel in panels_of(dashboard):
            asked += 1
            reason = failures.get(panel["title"])
            failed += reason is not None
            print(f"{'FAILED' if reason else 'ok    '} {dashboard['title']}: "
                  f"{panel['title']}{f': {reason}' if reason else ''}")
    print(f"{asked} panels asked, {failed} failures")
    return 1 if failed or not asked else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--vigie", help="binary to start")
    server.add_argument("--url", help="server that runs already")
    parser.add_argument("--shop", help="binary to start beside it")
    parser.add_argument("--dashboards", type=pathlib.Path,
                        default=ROOT / "dashboards" / "grafana")
    options = parser.parse_args()
    if options.vigie and not options.shop:
        parser.error("--vigie needs --shop")
    if options.url:
        return run(Api(options.url), options.dashboards)
    with tempfile.TemporaryDirectory() as scratch, \
            node_exporter(scratch) as exporter:
        directory = pathlib.Path(scratch)
        config = directory / "vigie.yml"
        config.write_text(VIGIE_YML.format(seconds=SCRAPE_SECONDS))
        (directory / "prometheus.yml").write_text(PROMETHEUS_YML.format(
            seconds=SCRAPE_SECONDS, exporter=exporter.address))
        with Server(options.vigie, directory / "data", config,
                    directory / "log") as server:
            subprocess.run([options.vigie, "push", "--grpc", server.grpc],
                           input=PUSHED, text=True, check=True)
            with Shop(options.shop, server.grpc, *SHOP):
                status = run(Api(server.http), options.dashboards)
        if status != 0:
            sys.stderr.write((directory / "log").read_text()[-4000:])
        return status


if __name__ == "__main__":
    sys.exit(main())

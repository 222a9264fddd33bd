#!/usr/bin/env python3
"""The figures of the dashboard "Shop: business" equal the shop's event log.

Usage: shop_figures_test.py --vigie BINARY --shop BINARY [--seed N]

The shop runs against a live vigie, with restarts, and closes. The range asked
for begins before its first sample and ends with its last export; every panel
that shows a total must then show what the log says, to the unit and to the
cent, for all sites and for one. A panel without a truth here is an error, so
that a new one is not forgotten.
"""

import argparse
import json
import math
import pathlib
import sys
import tempfile
from collections import Counter

from panel_test import ROOT, Api, Scope, panels_of, resolve
from server_process import Server
from shop_process import Shop, read_event_log

DASHBOARD = ROOT / "dashboards" / "grafana" / "shop-business.json"
SHOP_SECONDS = 180
SPEED = 15
RESTART_EVERY = 9
MARGIN_SECONDS = 60
ALL_SITES = ("fr", "de", "es")


class Truth:
    """What the event log says of some sites."""

    def __init__(self, events, sites, range_seconds):
        here = [e for e in events if e.get("site", sites[0]) in sites]
        self.events = here
        self.count = Counter(e["event"] for e in here)
        self.paid_cents = sum(e["cents"] for e in here if e["event"] == "paid")
        self.order_cents = sum(e["cents"] for e in here
                               if e["event"] == "order")
        self.range_seconds = range_seconds

    def by(self, event, key):
        return Counter(e[key] for e in self.events if e["event"] == event)

    def orders(self):
        return self.count["order"]

    def revenue(self):
        return self.paid_cents / 100

    def conversion(self):
        return 100 * self.orders() / self.count["visit"]

    def abandonment(self):
        abandoned = self.count["basket_abandoned"]
        return 100 * abandoned / (abandoned + self.orders())

    def stats(self):
        return {
            "Orders": self.orders(),
            "Orders an hour": self.orders() * 3600 / self.range_seconds,
            "Revenue": self.revenue(),
            "Average basket": self.order_cents / 100 / self.orders(),
            "Conversion": self.conversion(),
            "Abandonment": self.abandonment(),
        }


def products_sold(events):
    sold = Counter()
    for event in events:
        if event["event"] == "paid":
            for product, quantity in event["lines"]:
                sold[product] += quantity
    return sold


def all_expected(events, sites, seconds):
    """{panel: [for each of its queries, {value of the label: figure}]}."""
    truth = Truth(events, sites, seconds)
    everywhere = Truth(events, ALL_SITES, seconds)
    each = {site: Truth(events, (site,), seconds) for site in sites}
    expected = {title: [{None: figure}]
                for title, figure in truth.stats().items()}
    expected["By site"] = [
        {site: figure(t) for site, t in each.items()}
        for figure in (lambda t: t.count["visit"], Truth.orders, Truth.revenue,
                       Truth.conversion, Truth.abandonment)]
    expected["From visit to payment"] = [
        {None: truth.count[event]}
        for event in ("visit", "basket_created", "order", "paid")]

    expected["Top products"] = [dict(products_sold(events).most_common(10))]
    visits = truth.by("visit", "version")
    orders = truth.by("order", "version")
    expected["By release"] = [
        visits, orders, {v: 100 * orders[v] / visits[v] for v in visits}]
    expected["Around an order"] = [everywhere.by("login", "outcome"),
                                   everywhere.by("email", "kind")]
    return expected


# Instant panels whose figure is no event: what they are now, not a total.
WITHOUT_TRUTH = {"Active users"}


def is_equal(shown, true):
    # Counts are whole and cents are whole, and so exact; a quotient is rounded
    # once more here than there.
    return math.isclose(shown, true, rel_tol=1e-12, abs_tol=0)


def figures_of(api, target, scope):
    """{value of the only label, or None: figure}"""
    data = api.post("query", query=scope.replace(target["expr"]),
                    time=f"{scope.end:.3f}")
    figures = {}
    for series in data["result"]:
        labels = list(series["metric"].values())
        figures[labels[0] if labels else None] = float(series["value"][1])
    return figures


def same_top(shown, true, sold_by_all):
    """Ties for the last places may be broken either way."""
    return (sorted(shown.values()) == sorted(true.values())
            and all(sold_by_all.get(k) == v for k, v in shown.items()))


def compare(api, events, scope, sites, say=print):
    """Failures; says what each panel shows."""
    dashboard = json.loads(DASHBOARD.read_text())
    for variable in dashboard["templating"]["list"]:
        resolve(api, variable, scope)
    scope.values["site"] = "|".join(sites)
    expected = all_expected(events, sites, scope.range_seconds)
    failures = []
    for panel in panels_of(dashboard):
        title, targets = panel["title"], panel["targets"]
        if not targets[0]["instant"] or title in WITHOUT_TRUTH:
            continue
        if title not in expected:
            failures.append(f"{title}: this test has no truth for it")
            continue
        shown = [figures_of(api, target, scope) for target in targets]
        true = expected.pop(title)
        good = len(shown) == len(true)
        for have, want in zip(shown, true):
            if title == "Top products":
                good &= same_top(have, want, products_sold(events))
            else:
                good &= have.keys() == dict(want).keys() and all(
                    is_equal(have[key], want[key]) for key in want)
        say(f"{'ok    ' if good else 'FAILED'} {','.join(sites)} {title}: "
            f"{shown}")
        if not good:
            failures.append(f"{title}: shown {shown}, the log says {true}")
    failures += [f"{title}: no such panel any more" for title in expected]
    return failures


def only_value(api, query, **fields):
    result = api.post("query", query=query, **fields)["result"]
    if len(result) != 1:
        raise AssertionError(f"{query}: {result}")
    return float(result[0]["value"][1])


def check_the_check(api, events, scope):
    """A log with one order more must be noticed."""
    extra = next(e for e in events if e["event"] == "order")
    if not compare(api, events + [extra], scope, ALL_SITES, lambda _: None):
        sys.exit("FAILED: an order too many in the log was not noticed")


def run(options, directory):
    log = directory / "events.jsonl"
    with Server(options.vigie, directory / "data", None,
                directory / "log") as server:
        api = Api(server.http)
        with Shop(options.shop, server.grpc, "--duration", SHOP_SECONDS,
                  "--speed", SPEED, "--restart-every", RESTART_EVERY,
                  "--canary-share", 0.3, "--export-interval", 0.5,
                  "--payment-error-burst", "60,40,0.5", "--seed", options.seed,
                  "--event-log", log, "--totals") as shop:
            totals = shop.wait(120)
        events = read_event_log(log)

        every = '{__name__=~"shop_.*_total"}'
        last = only_value(api, f"max(timestamp({every}))")
        if only_value(api, f"min(timestamp({every}))") != last:
            sys.exit("FAILED: the last export has more than one time")
        seconds = math.ceil(SHOP_SECONDS / SPEED) + MARGIN_SECONDS
        resets = only_value(
            api, f"sum(resets(shop_visits_total[{seconds}s]))", time=last)
        if resets == 0:
            sys.exit("FAILED: no restart can be seen, the test shows nothing")

        check_the_check(api, events, Scope(last, seconds))
        failures = []
        for sites in (ALL_SITES, ("de",)):
            failures += compare(api, events, Scope(last, seconds), sites)

        orders = Counter(e["site"] for e in events if e["event"] == "order")
        for site, count in orders.items():
            if f'shop_orders_total{{site="{site}"}} {count}\n' not in totals:
                failures.append(f"--totals does not say {count} for {site}")
    restarts = sum(e["event"] == "restart" for e in events)
    print(f"{len(events)} events, {restarts} restarts, {resets:g} resets of "
          f"visits, seed {options.seed}")
    print("\n".join(f"FAILED {failure}" for failure in failures))
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vigie", required=True)
    parser.add_argument("--shop", required=True)
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return run(options, pathlib.Path(scratch))


if __name__ == "__main__":
    sys.exit(main())

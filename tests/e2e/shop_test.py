#!/usr/bin/env python3
"""The demo shop as people run it: flags, signals, and a vigie that is away.

Usage: shop_test.py --vigie BINARY --shop BINARY
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from server_process import Server
from shop_process import Shop, read_event_log

DEADLINE_SECONDS = 60


def wait_for(what, condition):
    """The first true value of condition()."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {DEADLINE_SECONDS} s")
        time.sleep(0.05)
    return value


def test_wrong_flags_are_refused(options, directory):
    log = str(directory / "refused.jsonl")
    for flags, word in (
            (["--v2-error-rate", "0.1"], "--canary-share"),
            (["--canary-share", "2"], "--canary-share"),
            (["--payment-error-burst", "10,20"], "START,DURATION,SHARE"),
            (["--payment-error-burst", "10,20,1.5"], "START,DURATION,SHARE"),
            (["--speed", "0"], "--speed"),
            (["--event-log", "/nowhere/at/all"], "/nowhere/at/all"),
    ):
        if "--event-log" not in flags:
            flags = [*flags, "--event-log", log]
        ended = subprocess.run(
            [options.shop, "--duration", "1", *flags],
            capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode != 0, flags
        assert word in ended.stderr, (flags, ended.stderr)
        assert not os.path.exists(log), flags


def test_signals_start_and_stop_a_burst(options, directory, server):
    log = directory / "burst.jsonl"

    def outcomes():
        """Of payments, before, within and after the burst."""
        parts = [[]]
        for event in read_event_log(log):
            if event["event"] == "payment_errors":
                parts.append([])
            elif event["event"] == "payment":
                parts[-1].append(event["outcome"])
        return parts

    with Shop(options.shop, server.grpc, "--speed", 20, "--burst-share", 0.9,
              "--event-log", log) as shop:
        wait_for("payments", lambda: len(outcomes()[0]) > 100)
        shop.fail_payments(True)
        wait_for("payments in the burst",
                 lambda: len(outcomes()) == 2 and len(outcomes()[1]) > 200)
        shop.fail_payments(False)
        wait_for("payments after it",
                 lambda: len(outcomes()) == 3 and len(outcomes()[2]) > 200)
        shop.stop()

    before, within, after = (
        part.count("error") / len(part) for part in outcomes())
    assert before < 0.05, before
    assert within > 0.7, within
    # Some that were under way fail after its end.
    assert after < 0.25, after


def test_what_is_counted_is_in_vigie_after_the_end(options, directory, server):
    log = directory / "stopped.jsonl"
    with Shop(options.shop, server.grpc, "--speed", 20, "--seed", 5,
              "--export-interval", 600, "--event-log", log) as shop:
        wait_for("orders", lambda: sum(
            e["event"] == "order" for e in read_event_log(log)) > 50)
        shop.stop()
    counted = sum(e["event"] == "order" for e in read_event_log(log))
    # Nobody exported but the end.
    result = server.api("query", query='sum(shop_orders_total)')["result"]
    assert float(result[0]["value"][1]) == counted, (result, counted)


def test_a_vigie_that_is_away_does_not_stop_the_shop(options, directory):
    log = directory / "alone.jsonl"
    with Shop(options.shop, "127.0.0.1:1", "--speed", 20, "--event-log",
              log) as shop:
        wait_for("orders", lambda: sum(
            e["event"] == "order" for e in read_event_log(log)) > 20)
        shop.process.terminate()
        assert shop.process.wait(30) == 1, "nothing was delivered"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vigie", required=True)
    parser.add_argument("--shop", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        test_wrong_flags_are_refused(options, directory)
        test_a_vigie_that_is_away_does_not_stop_the_shop(options, directory)
        for test in (test_what_is_counted_is_in_vigie_after_the_end,
                     test_signals_start_and_stop_a_burst):
            with Server(options.vigie, directory / test.__name__, None,
                        directory / "log") as server:
                test(options, directory, server)
            print(f"ok     {test.__name__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

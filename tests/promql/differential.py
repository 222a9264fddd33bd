#!/usr/bin/env python3
"""Our own queries, asked of Debian's Prometheus and of vigie.

Usage: differential.py --vigie BINARY [--required] [--seeds 1,2,3,4,5]

The shared tool loads the same data into both, one data set a seed, and asks
each query of differential.queries over two ranges and at one time: a type, a
series, a time or a value (relative 1e-5) that differs is a failure; so is a
query marked there as differing that no longer does. The tool lies outside the
repository, in ../shared or $VIGIE_SHARED; where it is absent the exit status is
77 (skipped), with --required 1.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

from conformance import SKIPPED, shared_folder

HERE = pathlib.Path(__file__).resolve().parent
QUERIES = HERE / "differential.queries"
# A moment that the data ends at: a seed means the same data on every day.
END_S = 1_700_000_400 // 3600 * 3600
WINDOWS = ["1200/43", "4500/300", "instant"]


def read_queries(path):
    """(lines for the tool, {query: reason} of those that must differ)."""
    lines, differing = [], {}
    for line in path.read_text().splitlines():
        if line.startswith("~"):
            reason, _, query = line[1:].partition("|")
            if not reason.strip() or not query.strip():
                sys.exit(f"{path}: {line!r} is not `~ REASON | QUERY`")
            line = query.strip()
            differing[line] = reason.strip()
        if line and not line.startswith("#"):
            lines.append(line)
    if len(lines) != len(set(lines)):
        sys.exit(f"{path}: a query is there twice: "
                 f"{ {line for line in lines if lines.count(line) > 1} }")
    return lines, differing


def run_tool(tool, vigie, lines, seed, scratch):
    """The tool's results: a list of {query, window, status, reason, ...}."""
    queries, out = scratch / "queries", scratch / f"out.{seed}.json"
    queries.write_text("\n".join(lines) + "\n")
    server = [vigie, "serve", "--data", "{data}", "--http", "127.0.0.1:{port}",
              "--grpc", "127.0.0.1:0", "--config", HERE / "conformance.yml"]
    command = [sys.executable, tool, "--test-cmd",
               shlex.join(map(str, server)), "--only-extra", "--extra", queries,
               "--seed", str(seed), "--end", str(END_S), "--hours", "3",
               "--interval", "15", "--native", "--max-shown", "0",
               "--json", out]
    for window in WINDOWS:
        command += ["--window", window]
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if not out.exists():
        sys.exit(f"the tool gave no results:\n{done.stdout}")
    return json.loads(out.read_text())["results"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vigie", required=True, type=pathlib.Path)
    parser.add_argument("--required", action="store_true")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    args = parser.parse_args()

    tool = shared_folder() / "tools/promqltest/differential.py"
    if not tool.is_file():
        print(f"SKIPPED: no {tool}; name its folder in VIGIE_SHARED")
        return 1 if args.required else SKIPPED
    lines, differing = read_queries(QUERIES)
    passed, failures = 0, []
    for seed in args.seeds.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            results = run_tool(tool, args.vigie.resolve(), lines, seed,
                               pathlib.Path(scratch))
        empty = sum(r["empty"] for r in results)
        apart = {r["query"] for r in results if r["status"] == "failed"}
        here = [f"[seed {seed}, {r['window']}] {r['query']}\n    {r['reason']}"
                for r in results
                if r["status"] == "failed" and r["query"] not in differing]
        # Whether 2.42 refuses what the list says it refuses.
        here += [f"[seed {seed}] {query}\n    refused by the reference, or "
                 "not, unlike the list says" for query in sorted(
                     {r["query"] for r in results if r.get("surprising")
                      and r["window"] == "instant"}
                     - differing.keys())]
        here += [f"[seed {seed}] {query}\n    no longer differs: {reason}"
                 for query, reason in differing.items() if query not in apart]
        print(f"seed {seed}: {len(lines)} queries, {len(results)} comparisons, "
              f"{empty} of them of empty results, {len(here)} failures",
              flush=True)
        failures += here
        passed += len(results) - len(here)
    for failure in failures:
        print(failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

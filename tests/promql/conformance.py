#!/usr/bin/env python3
"""The ratchet over the outside conformance suite of PromQL.

Usage: conformance.py --vigie BINARY [--required] [--update] [--jobs N]

Runs the suite's cases against servers that the suite's runner starts, one a
section, and compares the cases that pass with conformance.passed beside this
file: a case named there that no longer passes is a failure. --update writes
the new ones down. The suite lies outside the repository, in ../shared or
$VIGIE_SHARED; where it is absent the exit status is 77 (skipped), with
--required 1.
"""

import argparse
import collections
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PASSED = HERE / "conformance.passed"
SKIPPED = 77


def shared_folder():
    named = os.environ.get("VIGIE_SHARED")
    return pathlib.Path(named) if named else HERE.parents[2] / "shared"


def read_passed():
    if not PASSED.exists():
        return set()
    return set(PASSED.read_text().split())


def order(case_id):
    name, _, line = case_id.partition(":")
    return name, int(line)


def run_suite(shared, vigie, jobs, scratch):
    """All cases of the suite, as the runner's JSON has them."""
    out = scratch / "out.json"
    server = [vigie, "serve", "--data", "{data}", "--http", "127.0.0.1:{port}",
              "--grpc", "127.0.0.1:0", "--config", HERE / "conformance.yml"]
    done = subprocess.run(
        [shared / "tools/promqltest/runner.py",
         "--testdata", shared / "conformance",
         "--server-cmd", shlex.join(map(str, server)),
         "--jobs", str(jobs), "--json", out, "--max-shown", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    if not out.exists():
        sys.exit(f"the runner gave no results:\n{done.stdout}")
    return json.loads(out.read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vigie", required=True, type=pathlib.Path)
    parser.add_argument("--required", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path,
                        help="keep the runner's results there")
    args = parser.parse_args()

    shared = shared_folder()
    if not (shared / "conformance").is_dir():
        print(f"SKIPPED: no conformance suite at {shared}/conformance; "
              "name its folder in VIGIE_SHARED")
        return 1 if args.required else SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        results = run_suite(shared, args.vigie.resolve(), args.jobs,
                            pathlib.Path(scratch))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    cases = {case["id"]: case for case in results["cases"]}
    passing = {i for i, case in cases.items() if case["status"] == "passed"}

    known = read_passed()
    lost = sorted(known - passing, key=order)
    for case_id in lost:
        case = cases.get(case_id, {"expr": "", "category": "not run",
                                   "reason": "the suite does not have it"})
        print(f"LOST {case_id} [{case['category']}] {case['expr']}\n"
              f"     {case['reason']}")
    gained = sorted(passing - known, key=order)
    if args.update:
        PASSED.write_text("".join(
            f"{i}\n" for i in sorted(known | passing, key=order)))
    elif gained:
        print(f"{len(gained)} cases pass that conformance.passed does not "
              "name: --update writes them down")
    categories = collections.Counter(
        case["category"] for case in cases.values()
        if case["status"] == "failed")
    print(f"suite: {len(passing)} of {len(cases)} cases pass in "
          f"{results['seconds']} s; the others: "
          + (", ".join(f"{n} {c}" for c, n in categories.most_common())
             or "none"))
    print(f"{len(known) - len(lost)} passed, {len(lost)} failed")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

"""Holds vigie's statistics to the R that is installed.

Usage: oracles_test.py TEST_BINARY [--oracles] [--seed SEED] [--count COUNT]
Has R make the tables of tests/canary/tables anew, with COUNT random cases
more in each, and runs the test over them. The tables in the tree must be what
R says today. Without --oracles (or VIGIE_ORACLES=1) it is skipped: status 77.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TABLES = pathlib.Path(__file__).parent / "tables"


def make(directory, *arguments):
    subprocess.run(["Rscript", TABLES / "make_tables.R", directory, *arguments],
                   check=True, stdout=subprocess.DEVNULL)


def numbers(path):
    """Lines of fields; numbers as such, so that digits may be written anew."""
    rows = []
    for line in path.read_text().splitlines():
        row = []
        for field in line.replace(",", " ").split():
            try:
                row.append(float(field))
            except ValueError:
                row.append(field)
        rows.append(row)
    return rows


def close(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-9 * max(1, abs(a), abs(b))
    return a == b


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--oracles", action="store_true")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", default="300")
    arguments = parser.parse_args()
    if not arguments.oracles and os.environ.get("VIGIE_ORACLES") != "1":
        print("skipped: needs --oracles")
        return 77
    if shutil.which("Rscript") is None:
        print("Rscript is not installed (r-base-core)")
        return 1
    with tempfile.TemporaryDirectory() as directory:
        make(directory)
        for fresh in sorted(pathlib.Path(directory).iterdir()):
            ours, theirs = numbers(TABLES / fresh.name), numbers(fresh)
            same = len(ours) == len(theirs) and all(
                len(a) == len(b) and all(map(close, a, b))
                for a, b in zip(ours, theirs))
            if not same:
                print(f"{fresh.name}: not what R says")
                return 1
        make(directory, arguments.seed, arguments.count)
        cases = sum(len(numbers(path)) - 1
                    for path in pathlib.Path(directory).iterdir())
        print(f"{cases} cases, seed {arguments.seed}")
        return subprocess.run(
            [arguments.binary, "--gtest_filter=*Rs"],
            env={**os.environ, "VIGIE_CANARY_TABLES": directory},
            check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

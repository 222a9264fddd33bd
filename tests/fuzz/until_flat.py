#!/usr/bin/env python3
"""Runs a fuzzer until its coverage has been flat for some CPU time.

Usage: until_flat.py [--seconds 600] BINARY CORPUS [ARGUMENT...]

Coverage is libFuzzer's `cov:` (edges). CPU time is the fuzzer's own, so a busy
machine makes it slower, not laxer. CORPUS is a folder it adds to; arguments go
to the fuzzer. The last line says when coverage last grew, of how much in all.
"""

import argparse
import os
import re
import signal
import subprocess
import sys


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("binary")
    parser.add_argument("corpus")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    fuzzer = subprocess.Popen(
        [args.binary, args.corpus, "-rss_limit_mb=2048", *args.arguments],
        stderr=subprocess.PIPE, text=True, errors="replace")
    best = grown = now = 0
    is_flat = False
    for line in fuzzer.stderr:
        found = re.search(r"\bcov: (\d+)", line)
        if is_flat or not found:
            if not is_flat and not line.startswith("\t"):
                print(line, end="", flush=True)
            continue
        now = cpu_seconds(fuzzer.pid)
        if int(found[1]) > best:
            best, grown = int(found[1]), now
        is_flat = now - grown >= args.seconds
        if is_flat:
            fuzzer.send_signal(signal.SIGINT)
    status = fuzzer.wait()
    print(f"cov {best}, last grown after {grown:.0f} of {now:.0f} s of CPU time"
          f"{'' if is_flat else f', ended early with {status}'}")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Random texts, parsed by vigie and by the parser of Prometheus's own editor.

Usage: lezer.py --parses BINARY [--required] [--seed N] [--texts N]

The other parser is npm's @prometheus-io/lezer-promql, of the version in
lezer/package-lock.json; it needs node, and is installed once, to
build/lezer. Both say of each text whether it parses, types left aside. Where
they differ the text must be of a class that is listed below with its reason.
Without node or a registry the exit status is 77 (skipped), with --required 1.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

from conformance import SKIPPED
from random_text import TextGenerator

HERE = pathlib.Path(__file__).resolve().parent
SHOWN_MAX = 40

def says(pattern):
    """Accepts what vigie refuses with such a message, from its first word."""
    return lambda _, error: re.match(pattern, error) is not None


# (name, reason, what accepts (text, our error or "")). The first that accepts
# counts. At most 20. Where no other reason is given, vigie is as Prometheus's
# own parser, and the editor's grammar is looser.
DIFFERENCES = [
    ("arguments of an aggregation", "the editor takes any number of them",
     says("wrong number of arguments for aggregate|no arguments for aggregate")),
    ("of no selector", "the editor takes a range, offset and @ behind any "
     "expression",
     says("ranges only allowed for vector selectors|no (offset|@) modifiers "
          "allowed before range|.* must be preceded by an instant vector")),
    ("twice", "the editor takes offset and @ several times",
     says(".* may not be set multiple times")),
    ("anchored and smoothed", "the editor takes them behind any expression, and "
     "both",
     says("(anchored|smoothed) modifier|anchored and smoothed")),
    ("values", "the editor does not know what a duration, time or number is",
     says("duration out of range|duration must be greater than 0|division by "
          "zero|modulo by zero|timestamp out of bounds|error parsing number")),
    ("Inf and NaN as durations", "the editor takes them in brackets",
     says("unexpected character(: '[iInN]', expected ':'| in duration "
          "expression: '[iInN]')")),
    ("a label inf or nan", "they are numbers; the editor takes them in lists",
     says('unexpected number "(?i:inf|nan)" in grouping')),
    ("regular expressions", "the editor does not read them",
     says("error parsing regexp")),
    ("strings", "the editor reads them as JavaScript's, and takes open ones",
     says("unterminated quoted string|unknown escape sequence|illegal "
          "character .* in escape sequence")),
    ("names that are no names", "the editor takes an empty name",
     says('invalid label name for grouping: ""')),
    ("letters behind a number", "the editor begins a new token there",
     says("bad number or duration syntax")),
    ("a metric atan2", "the editor takes it", says("unexpected <op:atan2>")),
    ("a metric offset", "the editor does not take it",
     lambda text, error: error == "" and re.search(
         r"\boffset\b", text) is not None),
    ("two signs", "an offset has one; the editor takes several",
     says("unexpected <op:[-+]> in offset")),
    ("fill # (", "with a comment between fill is a metric, as Prometheus looks "
     "past white space only",
     lambda text, _: re.search(r"\bfill(_left|_right)?\s*#", text) is not None),
    ("labels with a colon", "valid since any UTF-8 is; the editor knows the old "
     "rule",
     lambda text, error: error == "" and re.search(
         r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\w:",
         text, re.IGNORECASE) is not None),
    ("min_of and max_of", "the editor knows them in durations only",
     lambda text, error: error == "" and re.search(
         r"\b(min|max)_of\b", text) is not None),
    ("numbers as 5.", "the editor wants a digit behind the point",
     lambda text, error: error == "" and re.search(
         r"\d\.(?!\d)", text) is not None),
    ("offset (..) + ..", "the sum belongs to the offset; the editor ends it "
     "behind the parenthesis",
     lambda text, error: " in offset, expected number" in error and re.search(
         r"offset\s*[-+]?\s*(\(|(step|range|min_of|max_of)\b)", text)
     is not None),
]


def install():
    """The folder with the other parser, or why there is none."""
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "no node or npm"
    folder = HERE.parents[1] / "build" / "lezer"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "lezer/package-lock.json").read_bytes()
    installed = folder / "installed"  # the lock file of what is there
    for name in ("package.json", "package-lock.json", "parses.mjs"):
        shutil.copyfile(HERE / "lezer" / name, folder / name)
    if not installed.exists() or installed.read_bytes() != lock:
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False)
        if done.returncode != 0:
            return None, f"npm ci failed: {done.stdout[-500:]}"
        installed.write_bytes(lock)
    return folder, ""


def ask(command, texts):
    done = subprocess.run(
        command, input="".join(json.dumps(text) + "\n" for text in texts),
        stdout=subprocess.PIPE, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(texts):
        sys.exit(f"{command[0]} answered {len(answers)} of {len(texts)} lines")
    return answers


def classify(text, error):
    for name, _, accepts in DIFFERENCES:
        if accepts(text, error):
            return name
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--parses", required=True, type=pathlib.Path)
    parser.add_argument("--required", action="store_true")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--texts", type=int, default=10_000)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else int(time.time())

    folder, why = install()
    if not folder:
        print(f"SKIPPED: {why}")
        return 1 if args.required else SKIPPED
    print(f"seed {seed}", flush=True)
    texts = [TextGenerator(random.Random(f"text {seed} {i}")).text()
             for i in range(args.texts)]
    ours = ask([args.parses.resolve()], texts)
    theirs = ask(["node", folder / "parses.mjs"], texts)

    counts, unknown = collections.Counter(), []
    for text, error, good in zip(texts, ours, theirs):
        counts["good"] += good
        if good != (error == ""):
            name = classify(text, error)
            counts[name] += 1
            if not name:
                unknown.append((text, error))
    for text, error in unknown[:SHOWN_MAX]:
        print(f"--- vigie: {error or 'parses'}\n{json.dumps(text)}")
    if len(unknown) > SHOWN_MAX:
        print(f"... and {len(unknown) - SHOWN_MAX} more")
    print(f"{counts['good']} of {len(texts)} texts parse there")
    for name, reason, _ in DIFFERENCES:
        print(f"{counts[name]:6}  {name}: {reason}")
    print(f"{len(texts) - len(unknown)} passed, {len(unknown)} failed")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())

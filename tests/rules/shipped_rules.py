"""Every shipped alert can be acted on and is tested.

Usage: shipped_rules.py ROOT [--self-test]. Each alert of deploy/rules has a
severity, a team, a summary, a description and a section of its own in
docs/runbooks; each section belongs to an alert; each alert has a test in
deploy/rules/tests in which it fires and one in which it is silent. Prints each
fault; fails if there is one.
"""

import pathlib
import re
import sys

SEVERITIES = {"critical", "warning", "info"}
NEVER_SILENT = {"Watchdog"}


def alerts_of(text):
    """{name: text of the rule} of one rule file, in our layout of it."""
    found = {}
    for part in re.split(r"\n      - (?=alert: |record: )|\n  - name: ", text):
        name = re.match(r"alert: (\w+)\n", part)
        if name:
            found[name.group(1)] = part
    return found


def sections_of(pages):
    """{"page.md#anchor"} of every section of second rank, but of README."""
    return {f"{name}#{title.lower()}" for name, text in pages.items()
            for title in re.findall(r"^## (\w+)$", text, re.MULTILINE)}


def tested(texts):
    """({alerts that fire in a test}, {alerts that are silent in one})."""
    fires, silent = set(), set()
    for text in texts:
        for name, rest in re.findall(
                r"alertname: (\w+)\n +exp_alerts:([^\n]*)", text):
            (silent if rest.strip() == "[]" else fires).add(name)
    return fires, silent


def faults(rules, pages, tests):
    """Sentences. `rules`, `pages` and `tests` are {file name: text}."""
    found = []
    sections, used = sections_of(pages), set()
    fires, silent = tested(tests.values())
    seen = {}
    for file, text in rules.items():
        for name, rule in alerts_of(text).items():
            where = f"{file}: {name}"
            if name in seen:
                found.append(f"{where}: also in {seen[name]}")
            seen[name] = file
            severity = re.search(r"severity: (\w+)", rule)
            if not severity or severity.group(1) not in SEVERITIES:
                found.append(f"{where}: no severity of {sorted(SEVERITIES)}")
            if not re.search(r"team: \w+", rule):
                found.append(f"{where}: no team")
            for key in ("summary", "description"):
                if not re.search(rf"^ +{key}: \S", rule, re.MULTILINE):
                    found.append(f"{where}: no {key}")
            runbook = re.search(r"runbook: docs/runbooks/(\S+)", rule)
            section = runbook.group(1) if runbook else "none"
            used.add(section)
            if section not in sections or not section.endswith(
                    "#" + name.lower()):
                found.append(f"{where}: no runbook of its name: {section}")
            if name not in fires:
                found.append(f"{where}: no test in which it fires")
            if name not in silent | NEVER_SILENT:
                found.append(f"{where}: no test in which it is silent")
    for section in sorted(sections - used):
        found.append(f"docs/runbooks/{section}: no such alert")
    for name in sorted((fires | silent) - set(seen)):
        found.append(f"deploy/rules/tests: {name}: no such alert")
    if not seen:
        found.append("no alert found")
    return found


def self_test(rules, pages, tests):
    """A fault planted in each place must be found."""
    file = next(iter(rules))
    name = next(iter(alerts_of(rules[file])))
    planted = [
        ("severity", {file: rules[file].replace("severity: ", "s: ", 1)}, {}, {}),
        ("team", {file: rules[file].replace("team: ", "t: ", 1)}, {}, {}),
        ("summary", {file: rules[file].replace("summary: ", "s: ", 1)}, {}, {}),
        ("runbook", {file: rules[file].replace(".md#", ".md#no", 1)}, {}, {}),
        ("no such alert", {}, {"new.md": "## Unused\n"}, {}),
        ("in which it fires", {},  {},
         {key: text.replace(f"alertname: {name}\n", "alertname: X\n")
          for key, text in tests.items()}),
    ]
    missed = [what for what, r, p, t in planted
              if not any(what in fault for fault in faults(
                  {**rules, **r}, {**pages, **p}, {**tests, **t}))]
    return [f"a planted fault was not found: {what}" for what in missed]


def main():
    root = pathlib.Path(sys.argv[1])
    rules, tests, pages = (
        {path.name: path.read_text(encoding="utf-8")
         for path in sorted(root.glob(pattern)) if path.name != "README.md"}
        for pattern in ("deploy/rules/*.yml", "deploy/rules/tests/*.yml",
                        "docs/runbooks/*.md"))
    check = self_test if "--self-test" in sys.argv else faults
    found = check(rules, pages, tests)
    print("\n".join(found) or "no fault")
    print(f"{sum(len(alerts_of(text)) for text in rules.values())} alerts")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

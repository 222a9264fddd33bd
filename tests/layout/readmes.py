"""Every room says what it is, and every link between our pages leads somewhere.

Usage: readmes.py ROOT. Prints each room without a README, each README of a room
of more than a page, and each relative link to nothing as file:line; fails if
there is one.
"""

import pathlib
import re
import sys

ROOMS = ("proto", "base", "model", "store", "collector", "query", "alerting",
         "canary", "server", "sdk", "cli", "tests", "dashboards", "deploy",
         "docs")
LINES_MAX = 60  # a page

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
RECORD = re.compile(r"docs/(?:decisions|formats)/[\w.-]+\.md")
SUFFIXES = {".md", ".h", ".cc", ".sh", ".py", ".yml", ".txt"}


def sources(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if (path.suffix in SUFFIXES and parts[0] != "build"
                and not any(part.startswith(".") for part in parts)):
            yield path


def faults_in(root):
    for room in ROOMS:
        readme = root / room / "README.md"
        if not readme.is_file():
            yield f"{room}: no README.md"
        elif len(readme.read_text().splitlines()) > LINES_MAX:
            yield f"{room}/README.md: longer than {LINES_MAX} lines"
    for path in sources(root):
        name = path.relative_to(root)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if path.suffix == ".md":
                for target in LINK.findall(line):
                    if "://" not in target and not (path.parent / target).exists():
                        yield f"{name}:{number}: {target} does not exist"
            for target in RECORD.findall(line):
                if not (root / target).exists():
                    yield f"{name}:{number}: {target} does not exist"


def main():
    faults = list(faults_in(pathlib.Path(sys.argv[1])))
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

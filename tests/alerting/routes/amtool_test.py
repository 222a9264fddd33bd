"""Asks amtool where each label set of routes.txt goes, and compares.

Usage: amtool_test.py [--write] AMTOOL. --write puts amtool's answers into
routes.txt; without it a difference is printed and fails.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
TABLE = HERE / "routes.txt"
# name=value or name="value", between commas.
LABEL = re.compile(r'(?:[^,"]|"(?:\\.|[^"])*")+')


def receivers(amtool, config, labels):
    answer = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={HERE / config}",
         *labels], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def main():
    amtool = sys.argv[-1]
    lines, config, wrong = [], "", 0
    for line in TABLE.read_text().splitlines():
        if line.endswith(".yml"):
            config = line
        elif line and not line.startswith("#"):
            labels, _, expected = line.partition(" -> ")
            found = receivers(amtool, config, LABEL.findall(labels))
            if found != expected:
                wrong += 1
                print(f"{config}: {labels}: table {expected}, amtool {found}")
            line = f"{labels} -> {found}"
        lines.append(line)
    if "--write" in sys.argv:
        TABLE.write_text("\n".join(lines) + "\n")
        return 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

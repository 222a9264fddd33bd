"""Holds the includes of every room to the table of rooms.

Usage: includes.py [--self-test] ROOT. Prints each edge that the table does not
allow as file:line, and fails if there is one. --self-test checks that a planted
one is found.
"""

import pathlib
import re
import sys

DOORS = ("store/appender.h", "store/queryable.h", "store/records.h")

# Room -> what it may include: a room, or a single header of one. Every room
# may include itself. "proto" stands for generated headers.
TABLE = {
    "base": (),
    "model": ("base",),
    "store": ("model", "base"),
    "collector": DOORS + ("model", "base", "proto"),
    "query": ("store/queryable.h", "model", "base"),
    "alerting": ("query",) + DOORS + ("model", "base"),
    "canary": ("query", "store/queryable.h", "store/records.h", "model",
               "base"),
    "server": ("alerting", "canary", "query", "collector", "store", "model",
               "base", "proto"),
    "sdk": ("proto",),
    "cli": ("server", "sdk", "alerting", "canary", "query", "collector",
            "store", "model", "base", "proto"),
    # The shop is a program like those of our users.
    "deploy": ("sdk",),
}
# The parser is a target of its own and knows no store.
PARSER = ("model", "base")

# Third-party header -> files that may include it.
THIRD_PARTY = (
    (r"rocksdb/", r"store/[^/]+\.cc"),
    (r"grpc(pp)?/|.*\.grpc\.pb\.h", r"(collector|server|sdk)/.*\.cc"),
    (r"boost/(beast|asio)", r"server/(.*\.cc|http_connection\.h)"),
    (r"boost/math", r"canary/[^/]+\.cc"),
    (r"curl/", r"base/net/.*\.cc"),
    (r"re2/", r"model/.*\.(cc|h)"),
    (r"yaml-cpp/", r"base/yaml/.*\.cc"),
    (r"(snappy|zlib|zstd|lz4)\.h", r"base/compress/.*\.cc"),
)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def allowed(path, room, header):
    """Whether `path` of `room` may include our `header`."""
    target = header.split("/")[0]
    if path.startswith("query/parser/"):
        return header.startswith("query/parser/") or target in PARSER
    if target == room:
        return True
    return target in TABLE[room] or header in TABLE[room]


def faults_of(path, text):
    room = path.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(2)
        for pattern, where in THIRD_PARTY:
            if re.match(pattern, header) and not re.fullmatch(where, path):
                yield f"{path}:{number}: {header} is not for this file"
        target = header.split("/")[0]
        if header.startswith(("opentelemetry/", "prometheus/remote/")):
            target = "proto"
        if header.endswith(".pb.h"):
            if "proto" not in TABLE[room]:
                yield f"{path}:{number}: {room} may not include the wire"
        elif match.group(1) == '"' and target in TABLE | {"tests": ()}:
            if target == "tests" or not allowed(path, room, header):
                yield f"{path}:{number}: {room} may not include {header}"


def faults_in(root):
    for room in TABLE:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".h", ".cc"):
                name = path.relative_to(root).as_posix()
                yield from faults_of(name, path.read_text())


def self_test():
    planted = {
        ("model/a.h", '#include "store/appender.h"'),
        ("query/a.cc", '#include "store/store.h"'),
        ("query/parser/a.cc", '#include "store/queryable.h"'),
        ("query/a.cc", "#include <rocksdb/db.h>"),
        ("store/a.h", "#include <rocksdb/db.h>"),
        ("sdk/otlp/a.cc", '#include "base/clock.h"'),
        ("server/a.h", "#include <boost/beast/http.hpp>"),
        ("store/a.cc", '#include "tests/support/a.h"'),
        ("query/a.cc", '#include "vigie.pb.h"'),
    }
    missed = [p for p in planted if not list(faults_of(*p))]
    fine = {
        ("query/a.cc", '#include "store/queryable.h"'),
        ("store/a.cc", "#include <rocksdb/db.h>"),
        ("cli/a.cc", '#include "server/daemon.h"'),
    }
    wrong = [p for p in fine if list(faults_of(*p))]
    return [f"not found: {p}" for p in missed] + [f"found: {p}" for p in wrong]


def main():
    root = pathlib.Path(sys.argv[-1])
    faults = self_test() if "--self-test" in sys.argv else list(faults_in(root))
    print("\n".join(faults) or "ok")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""What kill_test does to a store beside its writers: deletions, compactions,
snapshots and imports, one after the other, until the server is gone; and the
ledger that says what must then be there.

- A deletion that was answered holds: what was acknowledged before it began is
  gone, what was sent after its answer stays. One without an answer holds whole
  or not at all. Batches under way meanwhile may have come before or after it.
- An import that was answered is there whole; of one without an answer each
  block is there whole or not at all, as a block is a step (decision 0072).
- A snapshot that was answered is sound and holds what was acknowledged before
  it began; one without an answer does too, or is refused by name.
- A compaction changes nothing.
"""

import collections
import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time

METRIC = "kill_test"
IMPORTED = METRIC + "_imported"
HOUR = 3600
# So far apart that the buckets of an import's samples hold several.
IMPORT_STEP = 45
UNFINISHED = "never finished"
TIME_OF_LINE = re.compile(rb"\t(-?\d+)\t")


def ask(data, request):
    """One operation through the admin socket: its last event, or None if the
    server ends before it answers."""
    directory = os.open(data, os.O_PATH)  # addresses are short
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{directory}/admin.sock")
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        return None
                    event = json.loads(line)
                    if event["event"] in ("result", "error"):
                        return event
        return None
    except OSError:
        return None
    finally:
        os.close(directory)


class Imports:
    """Sets of Prometheus's blocks, made once by promtool."""

    SETS = 2

    def __init__(self, directory, seed, line_of):
        """`line_of(labels, time_ms, value)` is what dump_store prints."""
        self.paths = []
        self.blocks = []  # of each set: the lines of each block
        rng = random.Random(seed)
        now = int(time.time())
        for number in range(self.SETS):
            path = os.path.join(directory, f"set-{number}")
            os.mkdir(path)
            text = os.path.join(directory, f"set-{number}.txt")
            blocks = collections.defaultdict(list)
            with open(text, "w", encoding="utf-8") as file:
                # Yesterday and the day before, so that days are merged.
                starts = [(now // (2 * HOUR) - back - number) * 2 * HOUR
                          for back in (26, 16, 15)]
                for metric in (IMPORTED, METRIC):  # the latter is written, too
                    file.write(f"# TYPE {metric} gauge\n")
                    for labels in self.series(metric, number):
                        pairs = ",".join(f'{k}="{v}"' for k, v in labels[1:])
                        for start in starts:
                            for at in range(start, start + 2 * HOUR,
                                            IMPORT_STEP):
                                value = rng.choice(
                                    (rng.gauss(0, 1), float(rng.randrange(99)),
                                     5e-324, 1.7976931348623157e308))
                                file.write(f"{metric}{{{pairs}}} {value!r} "
                                           f"{at}\n")
                                blocks[start].append(
                                    line_of(labels, 1000 * at, value))
                file.write("# EOF\n")
            subprocess.run(["promtool", "tsdb", "create-blocks-from",
                            "openmetrics", text, path], check=True,
                           stdout=subprocess.DEVNULL)
            self.paths.append(path)
            self.blocks.append([frozenset(lines) for lines in blocks.values()])

    @staticmethod
    def series(metric, number):
        if metric == IMPORTED:
            return [(("__name__", metric), ("n", str(n)),
                     ("set", str(number))) for n in range(12)]
        return [(("__name__", metric), ("series", str(n)),
                 ("writer", str(number))) for n in range(3)]


class Operation:
    """When it began and was answered, on time.monotonic(); None: never."""

    def __init__(self, verb, **what):
        self.verb = verb
        self.begun = None
        self.answered = None
        self.selector = self.pattern = self.start = self.end = None
        self.number = self.directory = None
        self.__dict__.update(what)

    def __str__(self):
        return f"{self.verb} {self.selector or ''} {self.start}..{self.end}"

    def covers(self, line):
        """Whether a deletion is of that sample."""
        if not self.pattern.match(line):
            return False
        at = int(TIME_OF_LINE.search(line).group(1))
        return ((self.start is None or self.start <= at) and
                (self.end is None or at <= self.end))


def deletion(rng, senders):
    """A deletion of something that there is, or of nothing."""
    sender = rng.choice(senders)
    writer = sender.number
    kind = rng.random()
    if kind < 0.4:
        series = rng.randrange(5)
        selector = f'{METRIC}{{series="{series}",writer="{writer}"}}'
        pattern = (rb'%s\{series="%d", writer="%d"\}\t' %
                   (METRIC.encode(), series, writer))
    elif kind < 0.8:
        selector = f'{{__name__=~"{METRIC}.*",writer="{writer}"}}'
        pattern = rb'%s\w*\{.*writer="%d"\}\t' % (METRIC.encode(), writer)
    else:
        series = rng.randrange(12)
        selector = f'{IMPORTED}{{n="{series}"}}'
        pattern = rb'%s\{n="%d", ' % (IMPORTED.encode(), series)
    start = end = None
    if kind >= 0.8:
        start = int((time.time() - rng.uniform(30, 54) * HOUR) * 1000)
        end = start + int(rng.uniform(0.2, 20) * HOUR * 1000)
    elif rng.random() < 0.9:
        # Of the writer's times so far, and sometimes of those to come.
        start = rng.randint(sender.first_ms, sender.now_ms)
        end = start + int(rng.expovariate(1 / 10_000))
    return Operation("delete", selector=selector, pattern=re.compile(pattern),
                     start=start, end=end)


class Operator(threading.Thread):
    """Does one operation after the other until the server is gone. `reached`
    is set when the `target`th begins, or none will any more."""

    COUNT = 5
    VERBS = ("delete", "delete", "clean", "compact", "snapshot", "import",
             "import")

    def __init__(self, server, data, directory, seed, senders, imports):
        super().__init__(daemon=True)
        self.server = server
        self.data = data
        self.directory = directory
        self.random = random.Random(seed)
        self.senders = senders
        self.imports = imports
        self.target = self.random.randrange(self.COUNT)
        self.reached = threading.Event()
        self.done = []
        self.fault = None

    def run(self):
        try:
            for number in range(self.COUNT):
                operation = self.next(number)
                self.done.append(operation)
                operation.begun = time.monotonic()
                if number == self.target:
                    self.reached.set()
                if not self.do(operation):
                    break
                operation.answered = time.monotonic()
        except Exception as error:  # told by the main thread
            self.fault = error
        self.reached.set()

    def next(self, number):
        verb = self.random.choice(self.VERBS)
        if verb == "delete":
            return deletion(self.random, self.senders)
        if verb == "import":
            return Operation(verb, number=self.random.randrange(Imports.SETS))
        if verb == "snapshot":
            return Operation(verb, directory=os.path.join(
                self.directory, f"snapshot-{number}"))
        return Operation(verb)

    def do(self, operation):
        """Whether it was answered; raises AssertionError if refused."""
        if operation.verb in ("delete", "clean"):
            path, form = "clean_tombstones", {}
            if operation.verb == "delete":
                path, form = "delete_series", {"match[]": operation.selector}
                for name in ("start", "end"):
                    at = getattr(operation, name)
                    if at is not None:
                        form[name] = f"{at // 1000}.{at % 1000:03}"
            try:
                status, body = self.server.request(
                    "/api/v1/admin/tsdb/" + path, form=form)
            except (OSError, http.client.HTTPException):
                return False
            if status != 204:
                raise AssertionError(f"{operation}: {status} {body[:300]}")
            return True
        request = {"verb": operation.verb}
        if operation.verb == "snapshot":
            request["directory"] = operation.directory
        if operation.verb == "import":
            request["paths"] = [self.imports.paths[operation.number]]
        event = ask(self.data, request)
        if event and event["event"] == "error":
            raise AssertionError(f"{operation}: {event}")
        return event is not None


class Ledger:
    """What one round leaves. Sets of lines: `must` be there, `either` may be;
    `groups` are there whole or not at all."""

    def __init__(self, expected, imports):
        self.must = expected
        self.either = set()
        self.groups = []
        self.gone = set()
        self.imports = imports

    def account(self, batches, operations):
        """Batches have `sent` and `answered` (None: never), and `before`, their
        lines that were there before the round. Gives of each snapshot what it
        must hold and what it must not."""
        snapshots = []
        pending = sorted((b for b in batches if b.answered),
                         key=lambda b: b.answered, reverse=True)
        unknown = [b for b in batches if not b.answered]
        for operation in operations:
            while pending and pending[-1].answered < operation.begun:
                self.add(pending.pop().lines)
            if operation.verb == "delete":
                self.delete(operation, pending + unknown)
            elif operation.verb == "import":
                self.take(operation)
            elif operation.verb == "snapshot":
                snapshots.append((operation, frozenset(self.must),
                                  frozenset(self.gone)))
        for batch in pending:
            self.add(batch.lines)
        return snapshots

    def add(self, lines):
        self.must.update(line for line in lines if line not in self.either)
        self.gone.difference_update(lines)

    def delete(self, operation, later):
        covered = {line for line in self.must if operation.covers(line)}
        self.must -= covered
        if operation.answered:
            self.gone |= covered
        else:
            self.groups.append(covered)
        for batch in later:
            if not operation.answered or batch.sent < operation.answered:
                self.either.update(l for l in batch.lines
                                   if operation.covers(l))
            else:
                # Sent again: taken for what was deleted, or for new.
                self.either.update(covered & batch.before)
        self.gone -= self.either

    def take(self, operation):
        for block in self.imports.blocks[operation.number]:
            if operation.answered:
                self.must |= block
                self.either -= block
                self.gone -= block
            else:
                self.groups.append(block - self.must - self.either)
                self.gone -= block

    def maybe(self):
        return self.either.union(*self.groups)

    def settle(self, found):
        """Adds to `must` what is there of the rest."""
        for group in self.groups:
            present = len(group & found)
            if present not in (0, len(group)):
                raise AssertionError(
                    f"half an operation: {present} of {len(group)} samples, "
                    f"such as {sorted(group & found)[:2]}, "
                    f"not {sorted(group - found)[:2]}")
            if present:
                self.must |= group
        self.must |= self.either & found


def check_snapshot(vigie, dump, snapshot, sent):
    """Holds what the directory of a snapshot has against the ledger; gives
    whether it was whole."""
    operation, must, gone = snapshot
    directory = operation.directory
    if not operation.answered and not (os.path.isdir(directory) and
                                       os.listdir(directory)):
        return False
    try:
        found = dump(directory)
    except AssertionError as error:
        if operation.answered or UNFINISHED not in str(error):
            raise
        shutil.rmtree(directory)
        return False
    verified = subprocess.run([vigie, "store", "verify", "--data", directory],
                              capture_output=True, text=True, check=False)
    if verified.returncode:
        raise AssertionError(f"verify of a snapshot: {verified.stderr}")
    for what, lines in (("missing", must - found),
                        ("deleted before", gone & found),
                        ("made up", found - sent)):
        if lines:
            raise AssertionError(f"a snapshot: {len(lines)} samples {what}, "
                                 f"such as {sorted(lines)[:3]}")
    shutil.rmtree(directory)
    return True

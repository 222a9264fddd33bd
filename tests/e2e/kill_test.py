"""Kills a real vigie under load, again and again, and holds it to its word.

In each round writers push batches by remote write, with values whose bits are
awkward, native histograms and exemplars, and note the answers; at a random moment (while it starts and replays,
too) the server gets SIGKILL. It is started again, asked over HTTP, killed
again, and its data directory is read by dump_store, by bits:

- every sample that was acknowledged is there, and nothing else; of exemplars,
  of which a series keeps a few, the last that was acknowledged;
- a batch without an answer is there whole or not at all. Half of those are sent
  again later, as a real sender would.

In every other round samples are deleted, imported and compacted and snapshots
taken beside the writers, and the signal comes during one of these; half of the
directories have rollups. See kill_operations.py for what must hold then.

usage: kill_test.py --vigie FILE --dump FILE [--rounds N] [--seed N]
"""

import argparse
import collections
import http.client
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

import kill_operations
import remote_write
import remote_write_kinds
from kill_operations import METRIC
from server_process import Server

HISTOGRAM = METRIC + "_histogram"
WRITERS = 4
OPERATIONS = [start + verb for start in ("", "killed ")
              for verb in ("delete", "clean", "compact", "snapshot", "import")
              ] + ["killed tool", "whole snapshot"]
# Python compares all samples of a directory in every round.
DIRECTORY_SAMPLES_MAX = 250_000
ROUND_SAMPLES_MAX = 40_000  # a writer
ROLLUPS = """\
  rollups:
    - {resolution: 5m, retention: 90d}
    - {resolution: 1h, retention: 365d}
"""

AWKWARD = (
    0x7FF0000000000002,  # staleness marker
    0x7FF8000000000001,  # Prometheus's ordinary NaN
    0x7FF8000000000000, 0xFFF8000000000000,  # other NaNs, both signs
    0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF,  # signalling; all ones
    0x7FF0000000000000, 0xFFF0000000000000,  # infinities
    0x0000000000000000, 0x8000000000000000,  # zeros, both signs
    0x0000000000000001, 0x800FFFFFFFFFFFFF,  # denormals
    0x0010000000000000, 0x7FEFFFFFFFFFFFFF,  # smallest and largest normal
)


def bits_of(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def value_of(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def text_of(labels):
    """Sorted pairs, __name__ first, as dump_store writes them."""
    return ("%s{%s}" % (labels[0][1], ", ".join(
        '%s="%s"' % pair for pair in labels[1:]))).encode()


def line_of(labels, time_ms, bits):
    return b"%s\t%d\t%016x" % (labels, time_ms, bits)


def histogram_line(labels, histogram):
    def number(value):
        return "%016x" % bits_of(value) if histogram.floats else str(value)

    return b"%s\t%d\t%s %d %s %016x %d:%s" % (
        labels, histogram.time_ms, b"h" if histogram.floats else b"i",
        histogram.schema, number(sum(histogram.counts)).encode(),
        bits_of(histogram.sum), histogram.offset,
        ",".join(number(c) for c in histogram.counts).encode())


def exemplar_line(series, labels, value, time_ms):
    return b"exemplar\t%s\t%d\t%016x\t%s" % (
        text_of(series), time_ms, bits_of(value), labels[0][1].encode())


def number_of(exemplar):
    return int(exemplar.rpartition(b"-")[2])


class Batch:
    """What one request carries; `lines` as dump_store prints them, exemplars
    by series. When it was sent and answered, on time.monotonic(); `before`: its
    lines that were there before that, if it is sent again."""

    def __init__(self, series):
        self.sent = self.answered = None
        self.before = frozenset()
        self.body = remote_write.snappy(
            remote_write_kinds.encode(series))
        self.lines = []
        self.exemplars = {}
        for labels, samples, histograms, exemplars in series:
            text = text_of(labels)
            self.lines += [line_of(text, *s) for s in samples]
            self.lines += [histogram_line(text, h) for h in histograms]
            for exemplar in exemplars:
                self.exemplars[text] = exemplar_line(labels, *exemplar)


class Writer(threading.Thread):
    """Pushes batches until the server is gone; each sample's time is new."""

    def __init__(self, number, sender, address, batches_again):
        super().__init__(daemon=True)
        self.number = number
        self.sender = sender
        self.address = address
        self.again = batches_again
        self.acknowledged = []
        self.unknown = []
        self.refused = []
        self.fault = None

    def run(self):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        samples = 0
        while samples < ROUND_SAMPLES_MAX:
            batch = self.again.pop() if self.again else self.sender.batch()
            samples += len(batch.lines)
            batch.sent = time.monotonic()
            try:
                connection.request("POST", "/api/v1/write", batch.body,
                                   remote_write.HEADERS)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self.unknown.append(batch)
                break
            if 200 <= answer.status < 300:
                batch.answered = time.monotonic()
                self.acknowledged.append(batch)
            elif answer.status in (429, 503):
                self.refused.append(batch)
            else:
                self.fault = f"{answer.status}: {text[:300]}"
                break
        self.unknown += self.again  # still without an answer
        connection.close()


class Sender:
    """One writer's series and times, over the rounds of a directory."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(seed)
        self.now_ms = int(time.time() * 1000) - 25 * 60_000
        self.first_ms = self.now_ms
        self.gaps = []  # times left out, to be sent late
        self.counter = 0
        self.churned = 0
        self.traces = 0

    def labels(self, series, name=METRIC):
        return (("__name__", name), ("series", str(series)),
                ("writer", str(self.number)))

    def bits(self):
        kind = self.random.random()
        if kind < 0.3:
            return self.random.choice(AWKWARD)
        if kind < 0.5:
            return self.random.getrandbits(64)
        if kind < 0.6:
            return 0x7FF << 52 | self.random.getrandbits(52)
        if kind < 0.8:
            self.counter += self.random.randrange(1000)
            return bits_of(float(self.counter))
        return bits_of(round(self.random.gauss(20, 5), 2))

    def batch(self):
        late = self.gaps and self.random.random() < 0.1
        if late:
            times = [self.gaps.pop(self.random.randrange(len(self.gaps)))]
        else:
            count = self.random.choice((1, 1, 2, 5))
            times = [self.now_ms + 2 * i for i in range(count)]
            self.now_ms = times[-1] + self.random.choice((2, 2, 2, 400))
            if self.random.random() < 0.1:
                self.gaps.append(times[0] + 1)
        names = list(range(self.random.choice((1, 5, 20))))
        if self.random.random() < 0.05:
            self.churned += 1
            names.append(f"new-{self.churned}")
        series = [(self.labels(name), [(t, self.bits()) for t in times], [],
                   self.exemplars(times[0]) if name == 0 else [])
                  for name in names]
        series += [(self.labels(name, HISTOGRAM), [],
                    [self.histogram(t, name) for t in times], [])
                   for name in names[:2]]
        return Batch(series)

    def histogram(self, time_ms, name):
        counts = [self.random.randrange(1000) for _ in range(
            self.random.choice((1, 4, 4, 4, 30)))]
        floats = name != 0
        if floats:
            counts = [float(c) for c in counts]
        return remote_write_kinds.Histogram(
            time_ms, self.random.choice((3, 3, 3, 0)), 2, counts,
            self.random.gauss(100, 20), floats)

    def exemplars(self, time_ms):
        if self.random.random() < 0.7:
            return []
        self.traces += 1
        return [([("trace_id", f"{self.number}-{self.traces}")],
                 float(self.traces), time_ms)]


class Trial:
    """One data directory and what it must hold."""

    def __init__(self, arguments, directory, random_, imports):
        self.imports = imports
        self.arguments = arguments
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log = os.path.join(directory, "vigie.log")
        self.random = random_
        self.senders = [Sender(i, random_.getrandbits(64))
                        for i in range(WRITERS)]
        self.rollups = random_.random() < 0.5
        self.expected = set()
        self.ledger = None
        self.snapshots = []
        self.exemplars = {}  # the last acknowledged of each series
        self.unknown = []

    def server(self):
        interval = self.random.choice(("10ms", "50ms", "200ms", "30m"))
        config = os.path.join(self.directory, "vigie.yml")
        with open(config, "w") as file:
            file.write(f"storage:\n  seal_interval: {interval}\n"
                       f"{ROLLUPS if self.rollups else ''}"
                       "self_monitoring:\n  enabled: false\n"
                       "http:\n  admin_api: true\n")
        return Server(self.arguments.vigie, self.data, config, self.log)

    def kill_while_starting(self):
        server = self.server()
        time.sleep(self.random.uniform(0, 0.12))
        server.kill()

    def push_and_kill(self, seconds, operates):
        """What happened, counted."""
        counts = collections.Counter()
        with self.server() as server:
            host, port = server.http.removeprefix("http://").rsplit(":", 1)
            again = [[] for _ in range(WRITERS)]
            for batch in self.unknown:
                batch.before = self.expected.intersection(batch.lines)
                again[self.random.randrange(WRITERS)].append(batch)
            writers = [Writer(i, self.senders[i], (host, int(port)), again[i])
                       for i in range(WRITERS)]
            for writer in writers:
                writer.start()
            operations = []
            if operates:
                operator = kill_operations.Operator(
                    server, self.data, self.directory,
                    self.random.getrandbits(64), self.senders, self.imports)
                operations = operator.done
                time.sleep(self.random.uniform(0, 0.2))
                operator.start()
                operator.reached.wait()
            time.sleep(seconds)
            server.kill()
            for writer in writers:
                writer.join()
            if operates:
                operator.join()
                if operator.fault:
                    raise operator.fault
        for writer in writers:
            if writer.fault:
                raise AssertionError(f"writer {writer.number}: {writer.fault}")
        acknowledged = [b for w in writers for b in w.acknowledged]
        self.unknown = [b for w in writers for b in w.unknown]
        for batch in acknowledged:
            self.note_exemplars(batch)
        known = set(self.expected)
        self.ledger = kill_operations.Ledger(self.expected, self.imports)
        self.snapshots = self.ledger.account(
            acknowledged + [b for b in self.unknown if b.sent], operations)
        self.sent = known.union(
            *(b.lines for b in acknowledged + self.unknown),
            *(block for blocks in self.imports.blocks for block in blocks))
        for operation in operations:
            counts[operation.verb] += bool(operation.answered)
            counts["killed " + operation.verb] += not operation.answered
        counts.update(batches=len(acknowledged),
                      refused=sum(len(w.refused) for w in writers))
        return counts

    def note_exemplars(self, batch):
        """The newest of each series: batches that are sent again, by whichever
        writer, are older."""
        for series, line in batch.exemplars.items():
            known = self.exemplars.get(series)
            if not known or number_of(known) < number_of(line):
                self.exemplars[series] = line

    def check_over_http(self):
        """One writer's newest samples, as far as JSON can show them."""
        number = self.random.randrange(WRITERS)
        end = self.senders[number].now_ms
        range_ms = 60_000
        allowed = collections.defaultdict(set)
        unsure = self.ledger.maybe().union(*(b.lines for b in self.unknown))
        for line in unsure:
            labels, time_ms, bits = line.split(b"\t")
            if b" " in bits:
                continue  # a histogram
            allowed[labels, int(time_ms)].add(int(bits, 16))
        wanted = {}
        mine = f'writer="{number}"'.encode()
        for line in self.ledger.must:
            labels, time_ms, bits = line.split(b"\t")
            if (mine in labels and line not in unsure and b" " not in bits and
                    end - range_ms < int(time_ms) <= end):
                wanted[labels, int(time_ms)] = int(bits, 16)
        stale = AWKWARD[0]
        with self.server() as server:
            self.check_buckets(server)
            result = server.api(
                "query", time=f"{end / 1000:.3f}",
                query=f'{METRIC}{{writer="{number}"}}[{range_ms}ms]')["result"]
        seen = 0
        for series in result:
            labels = text_of(sorted(series["metric"].items()))
            for seconds, text in series["values"]:
                key = labels, round(seconds * 1000)
                value = float(text)
                candidates = allowed[key] | (
                    {wanted[key]} if key in wanted else set())
                if not any(bits_of(value) == bits or
                           math.isnan(value) and math.isnan(value_of(bits))
                           for bits in candidates):
                    raise AssertionError(f"over HTTP {key}: {text}, not "
                                         f"{[hex(b) for b in candidates]}")
                seen += key in wanted
        due = sum(bits != stale for bits in wanted.values())
        if seen != due:
            raise AssertionError(f"over HTTP: {seen} of {due} samples of "
                                 f"writer {number}")

    def check_buckets(self, server):
        """The maxima of imported samples: with rollups these answer."""
        bucket = 300
        unsure = self.ledger.maybe()
        name = kill_operations.IMPORTED.encode()
        wanted = collections.defaultdict(list)
        left_out = set()
        for lines in (self.ledger.must, unsure):
            for line in lines:
                if not line.startswith(name):
                    continue
                labels, time_ms, bits = line.split(b"\t")
                key = labels, -(-int(time_ms) // (1000 * bucket)) * bucket
                wanted[key].append(value_of(int(bits, 16)))
                if line in unsure:
                    left_out.add(key)
        if not wanted:
            return
        times = [at for _, at in wanted]
        found = {}
        for series in server.api(
                "query_range", start=min(times), end=max(times), step=bucket,
                query=f"max_over_time({name.decode()}[{bucket}s])")["result"]:
            labels = text_of([("__name__", kill_operations.IMPORTED),
                              *sorted(series["metric"].items())])
            for at, text in series["values"]:
                found[labels, at] = float(text)
        for key in found.keys() | wanted.keys():
            if key not in left_out and \
                    found.get(key) != max(wanted.get(key, [math.nan])):
                raise AssertionError(f"maximum of {key}: {found.get(key)}, "
                                     f"not of {wanted.get(key)}")

    def sealed_files(self):
        """How many files of sealed chunks there are."""
        return sum(name.endswith(".sst") for name in os.listdir(
            os.path.join(self.data, "blocks")))

    def dump(self, directory):
        command = [self.arguments.dump, directory, METRIC + ".*"]
        if self.random.random() < 0.5:
            command.append("--abandon")
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"dump: {done.stderr.decode()}")
        lines = done.stdout.splitlines()
        found = set(lines)
        if len(found) != len(lines):
            raise AssertionError("dump: a sample is there twice")
        return found

    def samples_in(self, directory):
        return {line for line in self.dump(directory)
                if not line.startswith(b"exemplar")}

    def check_snapshots(self):
        """One that was answered, and one that was not; gives how many were
        whole."""
        answered = [s for s in self.snapshots if s[0].answered]
        chosen = [s for s in self.snapshots if not s[0].answered]
        if answered:
            chosen.append(self.random.choice(answered))
        whole = sum(kill_operations.check_snapshot(
            self.arguments.vigie, self.samples_in, snapshot, self.sent)
            for snapshot in chosen)
        for operation, _, _ in self.snapshots:
            shutil.rmtree(operation.directory, ignore_errors=True)
        return whole

    def kill_a_tool(self):
        """`vigie store` without a server."""
        operation = kill_operations.Operation(
            self.random.choice(("compact", "import")),
            number=self.random.randrange(self.imports.SETS))
        command = [self.arguments.vigie, "store", operation.verb, "--data",
                   self.data]
        if operation.verb == "import":
            command.append(self.imports.paths[operation.number])
        with subprocess.Popen(command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as tool:
            time.sleep(self.random.uniform(0, 0.15))
            tool.kill()
        if tool.returncode > 0:
            raise AssertionError(f"{command}: {tool.returncode}")
        if tool.returncode == 0:
            operation.answered = True
        operation.begun = 0
        self.ledger = kill_operations.Ledger(self.expected, self.imports)
        self.ledger.account([], [operation])
        self.unknown, unknown = [], self.unknown
        self.check_by_bits()
        self.unknown = unknown
        return tool.returncode < 0

    def check_by_bits(self):
        """Returns how many batches without an answer are there."""
        ledger = self.ledger
        dumped = self.dump(self.data)
        found = {line for line in dumped if not line.startswith(b"exemplar")}
        faded = set(self.exemplars.values()) - dumped
        if faded:
            raise AssertionError(f"exemplars are lost: {sorted(faded)[:3]}")
        lost = ledger.must - found
        if lost:
            raise AssertionError(
                f"{len(lost)} of {len(ledger.must)} acknowledged samples "
                f"are lost or changed, such as {sorted(lost)[:3]}")
        applied = 0
        absent = []
        for batch in self.unknown:
            sure = [line for line in batch.lines if line not in ledger.either]
            present = sum(line in found for line in sure)
            if present not in (0, len(sure)):
                raise AssertionError(f"{present} of {len(sure)} samples "
                                     f"of a batch: {batch.lines[:3]}")
            if present:
                applied += 1
                ledger.must.update(sure)
            if self.random.random() < 0.5:
                absent.append(batch)
        self.unknown = absent
        ledger.settle(found)
        made_up = found - ledger.must
        if made_up:
            raise AssertionError(f"{len(made_up)} samples that were deleted or "
                                 "not acknowledged, such as "
                                 f"{sorted(made_up)[:3]}")
        self.expected = ledger.must
        return applied


def run(arguments, directory):
    random_ = random.Random(arguments.seed)
    trial = None
    blocks = tempfile.mkdtemp(prefix="blocks-", dir=directory)
    imports = kill_operations.Imports(
        blocks, arguments.seed,
        lambda labels, time_ms, value: line_of(text_of(labels), time_ms,
                                               bits_of(value)))
    totals = collections.Counter()
    for number in range(arguments.rounds):
        if not trial or len(trial.expected) > DIRECTORY_SAMPLES_MAX or \
                random_.random() < 0.08:
            if trial:
                shutil.rmtree(trial.directory)
            trial = Trial(arguments, tempfile.mkdtemp(dir=directory), random_,
                          imports)
            totals["directories"] += 1
        operates = number % 2 == 1
        # Few ms to 1.5 s; each decade as often, or each moment as often. After
        # the beginning of an operation, about as long as one lasts.
        shortest, longest = (0.0005, 0.04) if operates else (0.004, 1.5)
        seconds = random_.choice((
            math.exp(random_.uniform(math.log(shortest), math.log(longest))),
            random_.uniform(shortest, longest)))
        starts_killed = random_.choice((0, 0, 1, 2))
        started = time.monotonic()
        try:
            counts = trial.push_and_kill(seconds, operates)
            for _ in range(starts_killed):
                trial.kill_while_starting()
            trial.check_over_http()
            unanswered = len(trial.unknown)
            applied = trial.check_by_bits()
            sealed = trial.sealed_files()
            counts["whole snapshot"] = trial.check_snapshots()
            if random_.random() < 0.2:
                counts["killed tool"] = int(trial.kill_a_tool())
        except Exception:
            with open(trial.log, errors="replace") as log:
                sys.stderr.write(log.read()[-4000:])
            print(f"round {number}, seed {arguments.seed}: {trial.directory}",
                  file=sys.stderr)
            raise
        totals.update(counts)
        totals.update(unanswered=unanswered, applied=applied,
                      kills=2 + starts_killed + counts["killed tool"],
                      sealed=sealed)
        print(f"round {number}: killed after {seconds * 1000:.0f} ms"
              f"{of_operations(counts)}"
              f"{' and %d starts' % starts_killed if starts_killed else ''}: "
              f"{counts['batches']} batches acknowledged, {applied} of "
              f"{unanswered} without an answer applied, "
              f"{len(trial.expected)} samples as they were, {sealed} sealed "
              f"files; {time.monotonic() - started:.1f} s", flush=True)
    shutil.rmtree(trial.directory)
    shutil.rmtree(blocks)
    print(f"{totals['kills']} kills in {arguments.rounds} rounds, "
          f"{totals['directories']} directories: {totals['batches']} batches "
          f"acknowledged, none lost; {totals['applied']} of "
          f"{totals['unanswered']} without an answer applied, all whole; "
          f"{totals['refused']} refused{of_operations(totals)}")
    killed = sum(totals[name] for name in OPERATIONS if "killed" in name)
    if totals["batches"] < arguments.rounds or not totals["sealed"] or \
            not totals["unanswered"] or arguments.rounds >= 10 and not (
                killed and totals["delete"] and totals["import"]):
        raise AssertionError("too little happened to show anything")


def of_operations(counts):
    text = ", ".join(f"{counts[name]} {name}" for name in OPERATIONS
                     if counts[name])
    return f" ({text})" if text else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vigie", required=True)
    parser.add_argument("--dump", required=True)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int,
                        default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--directory", help="kept if a round fails")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    directory = arguments.directory or tempfile.mkdtemp(prefix="vigie-kill-")
    run(arguments, directory)
    if not arguments.directory:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()

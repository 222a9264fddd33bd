"""Kills a real vigie under load, again and again, and holds it to its word.

In each round writers push batches by remote write, with values whose bits are
awkward, native histograms and exemplars, and note the answers; at a random moment (while it starts and replays,
too) the server gets SIGKILL. It is started again, asked over HTTP, killed
again, and its data directory is read by dump_store, by bits:

- every sample that was acknowledged is there, and nothing else; of exemplars,
  of which a series keeps a few, the last that was acknowledged;
- a batch without an answer is there whole or not at all. Half of those are sent
  again later, as a real sender would.

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

import remote_write
import remote_write_kinds
from server_process import Server

METRIC = "kill_test"
HISTOGRAM = METRIC + "_histogram"
WRITERS = 4
# Python compares all samples of a directory in every round.
DIRECTORY_SAMPLES_MAX = 250_000
ROUND_SAMPLES_MAX = 40_000  # a writer

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
    by series."""

    def __init__(self, series):
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
            try:
                connection.request("POST", "/api/v1/write", batch.body,
                                   remote_write.HEADERS)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self.unknown.append(batch)
                break
            if 200 <= answer.status < 300:
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

    def __init__(self, arguments, directory, random_):
        self.arguments = arguments
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log = os.path.join(directory, "vigie.log")
        self.random = random_
        self.senders = [Sender(i, random_.getrandbits(64))
                        for i in range(WRITERS)]
        self.expected = set()
        self.exemplars = {}  # the last acknowledged of each series
        self.unknown = []

    def server(self):
        interval = self.random.choice(("10ms", "50ms", "200ms", "30m"))
        config = os.path.join(self.directory, "vigie.yml")
        with open(config, "w") as file:
            file.write(f"storage:\n  seal_interval: {interval}\n"
                       "self_monitoring:\n  enabled: false\n")
        return Server(self.arguments.vigie, self.data, config, self.log)

    def kill_while_starting(self):
        server = self.server()
        time.sleep(self.random.uniform(0, 0.12))
        server.kill()

    def push_and_kill(self, seconds):
        """Returns how many batches were acknowledged."""
        with self.server() as server:
            host, port = server.http.removeprefix("http://").rsplit(":", 1)
            again = [[] for _ in range(WRITERS)]
            for batch in self.unknown:
                again[self.random.randrange(WRITERS)].append(batch)
            writers = [Writer(i, self.senders[i], (host, int(port)), again[i])
                       for i in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(seconds)
            server.kill()
            for writer in writers:
                writer.join()
        for writer in writers:
            if writer.fault:
                raise AssertionError(f"writer {writer.number}: {writer.fault}")
        self.unknown = [b for w in writers for b in w.unknown]
        for writer in writers:
            for batch in writer.acknowledged:
                self.expected.update(batch.lines)
                self.note_exemplars(batch)
        return (sum(len(w.acknowledged) for w in writers),
                sum(len(w.refused) for w in writers))

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
        for batch in self.unknown:
            for line in batch.lines:
                labels, time_ms, bits = line.split(b"\t")
                if b" " in bits:
                    continue  # a histogram
                allowed[labels, int(time_ms)].add(int(bits, 16))
        wanted = {}
        mine = f'writer="{number}"'.encode()
        for line in self.expected:
            labels, time_ms, bits = line.split(b"\t")
            if (mine in labels and b" " not in bits and
                    end - range_ms < int(time_ms) <= end):
                wanted[labels, int(time_ms)] = int(bits, 16)
        stale = AWKWARD[0]
        with self.server() as server:
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

    def sealed_files(self):
        """How many files of sealed chunks there are."""
        return sum(name.endswith(".sst") for name in os.listdir(
            os.path.join(self.data, "blocks")))

    def dump(self):
        command = [self.arguments.dump, self.data, METRIC + ".*"]
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

    def check_by_bits(self):
        """Returns how many batches without an answer are there."""
        dumped = self.dump()
        found = {line for line in dumped if not line.startswith(b"exemplar")}
        faded = set(self.exemplars.values()) - dumped
        if faded:
            raise AssertionError(f"exemplars are lost: {sorted(faded)[:3]}")
        lost = self.expected - found
        if lost:
            raise AssertionError(
                f"{len(lost)} of {len(self.expected)} acknowledged samples "
                f"are lost or changed, such as {sorted(lost)[:3]}")
        applied = 0
        absent = []
        for batch in self.unknown:
            present = sum(line in found for line in batch.lines)
            if present not in (0, len(batch.lines)):
                raise AssertionError(f"{present} of {len(batch.lines)} samples "
                                     f"of a batch: {batch.lines[:3]}")
            if present:
                applied += 1
                self.expected.update(batch.lines)
            if self.random.random() < 0.5:
                absent.append(batch)
        self.unknown = absent
        made_up = found - self.expected
        if made_up:
            raise AssertionError(f"{len(made_up)} samples that were not "
                                 f"acknowledged: {sorted(made_up)[:3]}")
        return applied


def run(arguments, directory):
    random_ = random.Random(arguments.seed)
    trial = None
    totals = collections.Counter()
    for number in range(arguments.rounds):
        if not trial or len(trial.expected) > DIRECTORY_SAMPLES_MAX or \
                random_.random() < 0.08:
            if trial:
                shutil.rmtree(trial.directory)
            trial = Trial(arguments, tempfile.mkdtemp(dir=directory), random_)
            totals["directories"] += 1
        # Few ms to 1.5 s; each decade as often, or each moment as often.
        seconds = random_.choice((
            math.exp(random_.uniform(math.log(0.004), math.log(1.5))),
            random_.uniform(0.004, 1.5)))
        starts_killed = random_.choice((0, 0, 1, 2))
        started = time.monotonic()
        try:
            acknowledged, refused = trial.push_and_kill(seconds)
            for _ in range(starts_killed):
                trial.kill_while_starting()
            trial.check_over_http()
            unanswered = len(trial.unknown)
            applied = trial.check_by_bits()
            sealed = trial.sealed_files()
        except Exception:
            with open(trial.log, errors="replace") as log:
                sys.stderr.write(log.read()[-4000:])
            print(f"round {number}, seed {arguments.seed}: {trial.directory}",
                  file=sys.stderr)
            raise
        totals.update(batches=acknowledged, refused=refused,
                      unanswered=unanswered, applied=applied,
                      kills=2 + starts_killed, sealed=sealed)
        print(f"round {number}: killed after {seconds * 1000:.0f} ms"
              f"{' and %d starts' % starts_killed if starts_killed else ''}: "
              f"{acknowledged} batches acknowledged, {applied} of {unanswered} "
              f"without an answer applied, {len(trial.expected)} samples as "
              f"they were, {sealed} sealed files; {time.monotonic() - started:.1f} s", flush=True)
    shutil.rmtree(trial.directory)
    print(f"{totals['kills']} kills in {arguments.rounds} rounds, "
          f"{totals['directories']} directories: {totals['batches']} batches "
          f"acknowledged, none lost; {totals['applied']} of "
          f"{totals['unanswered']} without an answer applied, all whole; "
          f"{totals['refused']} refused")
    if totals["batches"] < arguments.rounds or not totals["sealed"] or \
            not totals["unanswered"]:
        raise AssertionError("too little happened to show anything")


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

"""The phase `query` of peers.py: each class of the load generator's queries on
a day of a fleet: cold, one and four at once, alone and while newer samples
come; servers that keep results, with and without."""

import collections
import contextlib
import os
import pathlib
import statistics
import subprocess
import threading
import time

from peer_client import Connection
from peer_servers import Failed, die_with_parent

INTERVAL_S = 15
# How much older than now the newest sample is, so that those that come
# meanwhile, faster than time goes, are not of the future.
ROOM_S = 8 * 3600
COLD = "cold"
KEPT = "kept results"
# Name of the run -> queries at once, whether samples come meanwhile.
RUNS = {"1 at once": (1, False), "4 at once": (4, False),
        "4 at once, ingest": (4, True)}

# Instead of the generator's, in a smoke: of the fleet of fleet.h.
SMOKE_CLASSES = {"smoke-rate": "sum by (job) (rate(requests_total_3[5m]))",
                 "smoke-count": "count(cpu_percent_0)"}

Answers = collections.namedtuple("Answers", "p50 p99 cpu series")


class Queries:
    """One server's part of it."""

    def __init__(self, bench, server):
        self.bench = bench
        self.server = server
        self.sizes = bench.sizes
        hours = self.sizes.query_hours
        self.steps = max(40, int(hours * 3600 / INTERVAL_S))
        self.hours = self.steps * INTERVAL_S / 3600
        self.end = int(time.time()) - ROOM_S  # of the samples asked for
        self.next_start = self.end  # of those that come meanwhile

    def measure(self):
        self.bench.write(self.server, self.sizes.query_series, self.steps,
                         self.end - self.steps * INTERVAL_S)
        self.server.compact(self.bench.seconds_left(300))
        self.cold()
        for run, (at_once, ingest) in RUNS.items():
            for kept in (False, True)[:1 + self.server.keeps_results]:
                with (self.ingest() if ingest else contextlib.nullcontext()):
                    answers = self.ask(at_once, kept)
                self.note(f"{run}, {KEPT}" if kept else run, answers)

    def cold(self):
        """Each class once after a start, none of its files in memory; the
        median of some starts."""
        found = collections.defaultdict(list)
        for _ in range(self.sizes.query_cold_starts):
            for name in self.classes():
                self.server.stop(self.bench.seconds_left(120))
                drop_from_memory(self.server.data)
                self.server.start(self.bench.seconds_left(120))
                found[name].append(self.ask(1, False, name)[name])
        for name, all_of in found.items():
            self.bench.note(f"query {name}, {COLD}, ms", self.server.name,
                            statistics.median(a.p50 for a in all_of))

    def note(self, run, answers):
        for name, answer in answers.items():
            for unit, value in (("p50 ms", answer.p50), ("p99 ms", answer.p99),
                                ("CPU ms", answer.cpu),
                                ("series", answer.series)):
                self.bench.note(f"query {name}, {run}, {unit}",
                                self.server.name, value)

    # -- asking -------------------------------------------------------------

    def classes(self):
        """The names of all classes: those that a first round tells."""
        if not self.bench.loadgen:
            return list(SMOKE_CLASSES)
        if not self.sizes.query_classes:
            self.sizes.query_classes = list(self.ask(1, False, once=True))
        return self.sizes.query_classes

    def ask(self, at_once, kept, only=None, once=False):
        """Class -> Answers; `only` one, once, and cold."""
        if not self.bench.loadgen:
            return self.ask_smoke(at_once, only)
        once = once or only is not None
        command = [self.bench.loadgen, "query", "--url", self.server.url,
                   "--server-pid", self.server.pid,
                   "--series", self.sizes.query_series, "--end", self.end,
                   "--span", self.hours, "--concurrency", at_once,
                   "--warmup", 0 if once else 1, "--repeat",
                   1 if once else self.sizes.query_repeats,
                   "--seconds-each", self.sizes.query_seconds]
        if only:
            command += ["--only", only]
        if not kept:
            command += ["--extra", "nocache=1"]
        answers = {}
        for line in self.bench.run(command, ok=(0, 1)).splitlines()[1:]:
            words = line.split()
            if line.startswith(" "):  # tells how many of the one before failed
                self.bench.faults.append(f"{self.server.name}: {line.strip()}")
            elif only in (None, words[0]):  # --only takes parts of names
                p50, _, p99, _, cpu, series = map(float, words[2:8])
                answers[words[0]] = Answers(p50, p99, cpu, series)
        return answers

    def ask_smoke(self, at_once, only):
        answers = {}
        for name, query in SMOKE_CLASSES.items():
            if only in (None, name):
                request = {"query": query, "start": self.end - 60,
                           "end": self.end, "step": 15}
                threads = [threading.Thread(target=self.ask_once, args=(
                    name, request, answers)) for _ in range(at_once)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        return answers

    def ask_once(self, name, request, answers):
        connection = Connection(self.server.url)
        seconds, answer = connection.ask(
            connection.request("/api/v1/query_range", request))
        connection.close()
        series = answer.count(b'"metric"')
        if series == 0:
            self.bench.faults.append(f"{name}: no series")
        answers[name] = Answers(seconds * 1e3, seconds * 1e3, 0, series)

    # -- samples meanwhile --------------------------------------------------

    @contextlib.contextmanager
    def ingest(self):
        """Newer samples of the same series come until the block ends."""
        steps = max(1, int(self.sizes.query_ingest_rate *
                           self.sizes.query_ingest_seconds /
                           self.sizes.query_series))
        command = self.bench.fleet_command(
            self.server, self.sizes.query_series, steps, self.next_start,
            ("--rate", self.sizes.query_ingest_rate))
        self.next_start += steps * INTERVAL_S
        with subprocess.Popen([str(a) for a in command],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL,
                              preexec_fn=die_with_parent) as writer:
            try:
                # The generator makes all requests before it connects.
                end = time.monotonic() + self.bench.seconds_left(60)
                while not connected(writer.pid, self.server.port):
                    if writer.poll() is not None or time.monotonic() > end:
                        raise Failed("ingest beside queries: did not begin")
                    time.sleep(0.05)
                yield
                if writer.poll() is not None and self.bench.loadgen:
                    self.bench.faults.append(
                        f"{self.server.name}: ingest ended before the queries")
            finally:
                writer.kill()


def connected(pid, port):
    """Whether the process has a connection to that port of this machine."""
    sockets = set()
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                sockets.add(os.readlink(entry.path))
    remote = f":{port:04X}"
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if (words[2].endswith(remote) and words[3] == "01" and
                f"socket:[{words[9]}]" in sockets):
            return True
    return False


def drop_from_memory(directory):
    """Asks the kernel to forget the pages of all its files."""
    for root, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                with open(os.path.join(root, name), "rb") as file:
                    os.fsync(file.fileno())  # what is not on disk would stay
                    os.posix_fadvise(file.fileno(), 0, 0,
                                     os.POSIX_FADV_DONTNEED)

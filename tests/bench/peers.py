"""vigie beside Debian's prometheus and victoria-metrics: the same work for each,
one after the other, and one table with ratios.

    peers.py --loadgen DIR [--vgd FILE]
             [--only ingest,memory,disk,recovery,query,names]
             [--series 100000,1000000,5000000] [--peers vigie,prometheus,...]
             [--hours 24] [--budget MINUTES] [--json FILE] [--vigie FILE]

DIR holds the load generator's sources (or VIGIE_LOADGEN does): it is built in a
temporary directory. FILE (or VIGIE_SCRAPES) holds real scrapes as columns.
Measures CPU of the servers, so run it on an idle machine; a figure that cannot
be had is named at the end and the others go on. --smoke does a little of
everything with vigie alone and fails if a figure is missing: a test of this
script, whose figures mean nothing.

`--only query` asks each class of queries cold and warm, one and four at once,
with newer samples coming meanwhile; vigie and victoria-metrics with the results
they keep and, by nocache=1, without (peer_queries.py). `--only names` asks for
label names, values and series where pods come and go, and for what queries over
all of many series hold (peer_names.py).
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from peer_names import Names, Totals
from peer_queries import Queries
from peer_servers import SERVERS, Failed, die_with_parent
from peer_table import render

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHASES = ("ingest", "memory", "disk", "recovery", "query", "names")
# More would need over 21 GB.
SERIES_MAX = {"prometheus": 1_000_000}
INTERVAL_S = 15


class Sizes:
    """How much work; see --smoke."""

    def __init__(self, smoke, series, hours):
        self.series = series or ([1_000] if smoke else
                                 [100_000, 1_000_000, 5_000_000])
        self.long_steps = 8 if smoke else 240  # of the smallest fleet
        self.known_steps = 2 if smoke else 8
        self.disk_series = 200 if smoke else 5_000
        self.disk_hours = 0.1 if smoke else hours
        self.loss_series = 1_000 if smoke else 100_000
        self.loss_steps = 100
        self.loss_cpu_s = 0.05 if smoke else 1.0
        self.settle_s = 0 if smoke else 60
        self.query_series = 200 if smoke else 5_000
        self.query_hours = 0.2 if smoke else hours
        self.query_classes = []  # the generator tells
        self.query_repeats = 200  # of fast classes
        self.query_seconds = 2  # of the others
        self.query_cold_starts = 1 if smoke else 3
        self.query_ingest_rate = 20_000  # samples a second
        self.query_ingest_seconds = 2 if smoke else 150
        self.names_series = 2_000 if smoke else 1_000_000
        self.names_seconds = 0.01 if smoke else 2.0


class Bench:
    def __init__(self, options, work):
        self.options = options
        self.work = pathlib.Path(work)
        self.sizes = Sizes(options.smoke, options.series, options.hours)
        self.deadline = time.monotonic() + options.budget * 60
        self.loadgen = None
        self.figures = {}  # name -> peer -> value
        self.faults = []

    # -- running programs ---------------------------------------------------

    def seconds_left(self, seconds_max=1200):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Failed("no time left (--budget)")
        return min(left, seconds_max)

    def build_loadgen(self):
        source = self.options.loadgen
        if source is None:
            return
        copy = self.work / "loadgen"
        shutil.copytree(source, copy)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        subprocess.run(["make", "-s", "-C", copy, "loadgen"], check=True,
                       timeout=self.seconds_left(300))
        self.loadgen = str(copy / "loadgen")

    def run(self, arguments, ok=(0,)):
        done = subprocess.run([str(a) for a in arguments], text=True,
                              capture_output=True, check=False,
                              timeout=self.seconds_left(),
                              preexec_fn=die_with_parent)
        if done.returncode not in ok:
            raise Failed(f"{pathlib.Path(arguments[0]).name} {arguments[1]}: "
                         f"{done.stdout[-300:]} {done.stderr[-300:]}".strip())
        return done.stdout

    def fleet_command(self, server, series, steps, start, extra):
        if self.loadgen:
            return [self.loadgen, "write", "--url", server.write_url,
                    "--series", series, "--steps", steps, "--start", start,
                    "--server-pid", server.pid, "--settle",
                    self.sizes.settle_s, *extra]
        known = list(zip(extra[::2], extra[1::2]))
        return [self.options.write_load, "--url", server.write_url, "--series",
                series, "--steps", steps, "--start", start,
                *(word for pair in known if pair[0] == "--interval"
                  for word in pair)]

    def write(self, server, series, steps, start, extra=()):
        """One fleet's samples; what the generator prints, with `cpu`: CPU
        seconds of the server a million samples until it rests."""
        before = server.cpu_seconds()
        report = json.loads(self.run(
            self.fleet_command(server, series, steps, start, extra)))
        if not self.loadgen:
            server.settle(self.sizes.settle_s)
        samples = report["samples_acknowledged"]
        report["cpu"] = report.get(
            "server_cpu_s_per_million_settled",
            (server.cpu_seconds() - before) / samples * 1e6)
        return report

    def with_server(self, peer, task):
        """A fresh server in a fresh directory for `task`, gone afterwards."""
        binary = (self.options.vigie if peer == "vigie"
                  else shutil.which(peer))
        if not binary:
            raise Failed(f"{peer} is not installed")
        data = self.work / f"data-{peer}"
        server = SERVERS[peer](str(binary), data)
        try:
            server.start(self.seconds_left(120))
            task(server)
        finally:
            server.kill()
            shutil.rmtree(data, ignore_errors=True)

    def note(self, figure, peer, value):
        self.figures.setdefault(figure, {})[peer] = value
        print(f"{peer:>17}  {figure}: {value:.4g}", file=sys.stderr, flush=True)

    def wants(self, *phases):
        return any(phase in self.options.only for phase in phases)

    # -- the work -----------------------------------------------------------

    def long_run(self, server):
        """A: the smallest fleet for an hour; then kill -9."""
        series = self.sizes.series[0]
        steps = self.sizes.long_steps
        if server.name == "prometheus":
            steps = max(1, steps // 2)  # its cost is the same, and long
        start = int(time.time()) - steps * INTERVAL_S
        report = self.write(server, series, steps, start)
        self.note(f"ingest, {series:,} series, CPU-s/M", server.name,
                  report["cpu"])
        self.note(f"ingest, {series:,} series, samples/s", server.name,
                  report["samples_acknowledged"] / report["wall_s"])
        if self.wants("recovery"):
            server.kill()
            self.note(f"kill -9 to ready, {steps * series / 1e6:.3g} M samples "
                      "written, s", server.name, server.start())

    def series_run(self, server, series):
        """B: new series, then the same again; memory; kill -9."""
        name = server.name
        server.settle(self.sizes.settle_s)
        empty = server.status("RssAnon")
        steps = self.sizes.known_steps if series <= 1_000_000 else 3
        start = int(time.time()) - (steps + 1) * INTERVAL_S
        new = self.write(server, series, 1, start)
        known = self.write(server, series, steps, start + INTERVAL_S)
        if self.wants("ingest"):
            self.note(f"new series, {series:,}, CPU-s/M", name, new["cpu"])
            self.note(f"ingest, {series:,} series, CPU-s/M", name, known["cpu"])
            self.note(f"ingest, {series:,} series, samples/s", name,
                      known["samples_acknowledged"] / known["wall_s"])
        if self.wants("memory"):
            self.note(f"memory, {series:,} series, anonymous B a series", name,
                      (server.status("RssAnon") - empty) / series)
        if self.wants("recovery"):
            server.kill()
            self.note(f"kill -9 to ready, {series:,} series, s", name,
                      server.start())

    def disk_run(self, server, jitter_ms):
        """C: few series for a day; compact."""
        hours, series = self.sizes.disk_hours, self.sizes.disk_series
        steps = max(1, int(hours * 3600 / INTERVAL_S))
        start = int(time.time()) - steps * INTERVAL_S - 60
        report = self.write(server, series, steps, start,
                            ("--jitter", jitter_ms) if jitter_ms else ())
        kind = f"+-{jitter_ms} ms jitter" if jitter_ms else "plain"
        try:
            self.compact(server, kind, report)
        except Failed as fault:
            self.faults.append(f"{server.name}: {fault}")

    def compact(self, server, kind, report):
        """The figures of the data on disk in its final form."""
        before = server.cpu_seconds()
        server.compact(self.seconds_left(300))
        if not self.wants("disk"):
            return
        samples = report["samples_acknowledged"]
        self.note(f"ingest, {kind}, CPU-s/M", server.name, report["cpu"])
        self.note(f"compact, {kind}, CPU-s/M", server.name,
                  (server.cpu_seconds() - before) / samples * 1e6)
        self.note(f"disk, {kind}, B a sample", server.name,
                  server.disk_bytes_a_sample(samples))

    def scrapes_run(self, server, every):
        """Real scrapes, each second or each `every` of them."""
        end = int(time.time()) - 60
        before = server.cpu_seconds()
        report = json.loads(self.run(
            [self.options.write_load, "--url", server.write_url, "--vgd",
             self.options.vgd, "--every", every, "--end", end]))
        server.settle(self.sizes.settle_s)
        samples = report["samples_acknowledged"]
        report["cpu"] = (server.cpu_seconds() - before) / samples * 1e6
        self.compact(server, f"real scrapes each {every} s", report)

    def loss_run(self, server):
        """E: kill -9 while samples come; what was acknowledged is counted."""
        series, steps = self.sizes.loss_series, self.sizes.loss_steps
        start = int(time.time()) - steps * INTERVAL_S
        command = self.fleet_command(server, series, steps, start,
                                     ("--rate", 200_000))
        idle = server.cpu_seconds()
        with subprocess.Popen([str(a) for a in command], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              preexec_fn=die_with_parent) as writer:
            end = time.monotonic() + self.seconds_left(180)
            while (server.cpu_seconds() - idle < self.sizes.loss_cpu_s and
                   writer.poll() is None and time.monotonic() < end):
                time.sleep(0.01)
            server.kill()
            report = json.loads(writer.communicate(timeout=60)[0])
        server.start()
        server.settle(self.sizes.settle_s)
        found = server.count_samples(start + steps * INTERVAL_S, "1h")
        # More may be found than was acknowledged: sent, stored, not answered.
        self.note("acknowledged samples, kill -9 while writing", server.name,
                  report["samples_acknowledged"])
        self.note("acknowledged samples lost, kill -9", server.name,
                  max(0, report["samples_acknowledged"] - found))

    def tasks(self):
        """(what, task of a server, peers that are left out)."""
        sizes = self.sizes
        if self.wants("ingest", "recovery"):
            yield "long run", self.long_run, ()
        if self.wants("ingest", "memory", "recovery"):
            for series in sizes.series[(0 if len(sizes.series) == 1 else 1):]:
                out = [p for p, most in SERIES_MAX.items() if series > most]
                yield (f"{series:,} series",
                       lambda s, n=series: self.series_run(s, n), out)
        if self.wants("recovery"):
            yield "loss", self.loss_run, ()
        if self.wants("disk"):
            yield "disk", lambda s: self.disk_run(s, 0), ()
            yield "disk, jitter", lambda s: self.disk_run(s, 5), ()
            if self.options.vgd:
                for every in (15, 1):
                    # 75 minutes are less than it keeps in its head.
                    yield (f"real scrapes each {every} s",
                           lambda s, n=every: self.scrapes_run(s, n),
                           ("prometheus",))
        if self.wants("query"):
            yield "query", lambda s: Queries(self, s).measure(), ()
        if self.wants("names"):
            yield ("names", lambda s: Names(self, s).measure(),
                   ("victoria-metrics",))
            yield ("totals", lambda s: Totals(self, s).measure(),
                   ("victoria-metrics",))

    def run_all(self):
        self.build_loadgen()
        for what, task, left_out in self.tasks():
            for peer in self.options.peers:
                if peer in left_out:
                    continue
                try:
                    self.seconds_left()
                    self.note(f"load average before {what}", peer,
                              os.getloadavg()[0])
                    self.with_server(peer, task)
                except (Failed, OSError, subprocess.SubprocessError, KeyError,
                        ValueError) as fault:
                    if self.options.smoke:
                        traceback.print_exc()
                    self.faults.append(f"{peer}: {what}: {fault}")
                    print(self.faults[-1], file=sys.stderr, flush=True)


def options_of(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    build = ROOT / "build/release"
    parser.add_argument("--loadgen", default=os.environ.get("VIGIE_LOADGEN"))
    parser.add_argument("--vgd", default=os.environ.get("VIGIE_SCRAPES"))
    parser.add_argument("--only", default=",".join(PHASES))
    parser.add_argument("--series", default="")
    parser.add_argument("--peers", default="vigie,prometheus,victoria-metrics")
    parser.add_argument("--hours", type=float, default=24,
                        help="of the runs for the disk and the queries")
    parser.add_argument("--budget", type=float, default=90, help="minutes")
    parser.add_argument("--json", help="where the figures go as JSON")
    parser.add_argument("--vigie", default=build / "cli/vigie")
    parser.add_argument("--write-load",
                        default=build / "tests/bench/write_load")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    options.series = [int(n) for n in options.series.split(",") if n]
    options.peers = ["vigie"] if options.smoke else options.peers.split(",")
    for value, known in ((options.only, PHASES), (options.peers, SERVERS)):
        for word in value:
            if word not in known:
                parser.error(f"{word}: not one of {', '.join(known)}")
    if not options.smoke and options.loadgen is None:
        parser.error("--loadgen or VIGIE_LOADGEN is missing")
    return options


def stop(*_):
    sys.exit(130)  # so that directories and servers go


def main():
    options = options_of(sys.argv[1:])
    signal.signal(signal.SIGTERM, stop)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vigie-peers-") as work:
        bench = Bench(options, work)
        bench.run_all()
    print(render(bench.figures, options.peers))
    for fault in bench.faults:
        print(f"missing: {fault}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
                       f"Linux {platform.release()}",
            "minutes": (time.monotonic() - begin) / 60,
            "figures": bench.figures,
            "faults": bench.faults}, indent=1) + "\n")
    return 1 if options.smoke and bench.faults else 0


if __name__ == "__main__":
    sys.exit(main())

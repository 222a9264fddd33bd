"""The servers that peers.py compares: each started on a free port with a fresh
directory, watched through /proc, stopped or killed."""

import ctypes
import glob
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

PR_SET_PDEATHSIG = 1
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """One figure cannot be had; the others go on."""


def die_with_parent():
    """In the child: a script that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def directory_bytes(path):
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                pass  # a merge has removed it meanwhile
    return total


class Server:
    """One program with its data in `data`; its log goes beside it."""

    name = ""
    ready_path = "/-/ready"
    keeps_results = False  # unless a query says nocache=1

    def __init__(self, binary, data):
        self.binary = binary
        self.data = str(data)
        self.port = None
        self.url = None
        self.process = None

    def command(self, port):
        raise NotImplementedError

    def start(self, seconds_max=120):
        """Returns the seconds from exec to the first answer that says ready."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        begin = time.monotonic()
        with open(self.data + ".log", "ab") as log:
            self.process = subprocess.Popen(self.command(self.port), stdout=log,
                                            stderr=log,
                                            preexec_fn=die_with_parent)
        while time.monotonic() < begin + seconds_max:
            if self.process.poll() is not None:
                raise Failed(f"ended with {self.process.returncode}: "
                             f"{self.log_tail()}")
            try:
                self.get(self.ready_path, 5)
                return time.monotonic() - begin
            except (OSError, urllib.error.URLError):
                time.sleep(0.005)
        raise Failed(f"not ready after {seconds_max} s: {self.log_tail()}")

    def log_tail(self):
        lines = pathlib.Path(self.data + ".log").read_text(errors="replace")
        return " / ".join(lines.splitlines()[-3:])[-400:]

    def kill(self):
        """SIGKILL; returns when it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds_max=120):
        """SIGTERM; SIGKILL if that takes too long."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    @property
    def pid(self):
        return self.process.pid

    @property
    def write_url(self):
        return self.url + "/api/v1/write"

    def get(self, path, seconds_max=300, **form):
        data = urllib.parse.urlencode(form).encode() if form else None
        with urllib.request.urlopen(self.url + path, data,
                                    seconds_max) as answer:
            return answer.read()

    def api(self, path, **form):
        return json.loads(self.get("/api/v1/" + path, **form))["data"]

    def status(self, key):
        """A line of /proc/PID/status, in bytes."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        for line in text.splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise Failed(f"/proc has no {key}")

    def reset_peak(self):
        """VmHWM is then what has been resident at once since now."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def settle(self, seconds_max):
        """Waits until it has taken less than 5 % of a core for 3 s."""
        end = time.monotonic() + seconds_max
        quiet, before = 0, self.cpu_seconds()
        while quiet < 3 and time.monotonic() < end:
            time.sleep(1)
            now = self.cpu_seconds()
            quiet = quiet + 1 if now - before < 0.05 else 0
            before = now

    def count_samples(self, time_s, window):
        """Samples of all series in `window` before `time_s`."""
        total = 0
        for name in self.api("label/__name__/values"):
            total += self.scalar(
                f'sum(count_over_time({{__name__="{name}"}}[{window}]))', time_s)
        return total

    def scalar(self, query, time_s):
        result = self.api("query", query=query, time=time_s)["result"]
        return int(float(result[0]["value"][1])) if result else 0

    def compact(self, seconds_max):
        """Brings the data on disk to its final form."""

    def disk_bytes_a_sample(self, samples):
        return directory_bytes(self.data) / samples


class Vigie(Server):
    name = "vigie"
    keeps_results = True

    def command(self, port):
        return [self.binary, "serve", "--data", self.data, "--http",
                f"127.0.0.1:{port}", "--grpc", "127.0.0.1:0"]

    def compact(self, seconds_max):
        done = subprocess.run([self.binary, "store", "compact", "--data",
                               self.data],
                              capture_output=True, text=True,
                              timeout=seconds_max, check=False)
        if done.returncode != 0:
            raise Failed(f"vigie store compact: {done.stderr.strip()[-300:]}")


class Prometheus(Server):
    name = "prometheus"

    def command(self, port):
        config = self.data + ".yml"
        pathlib.Path(config).write_text("global: {}\n")
        return [self.binary, f"--config.file={config}",
                f"--storage.tsdb.path={self.data}",
                "--web.enable-remote-write-receiver",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.retention.time=30d"]

    def compact(self, seconds_max):
        """It writes what is three hours old as a block on its own."""
        self.settle(seconds_max)

    def blocks(self):
        return [json.loads(pathlib.Path(path).read_text()) | {
            "bytes": directory_bytes(os.path.dirname(path))}
            for path in glob.glob(self.data + "/*/meta.json")]

    def disk_bytes_a_sample(self, samples):
        """Of its blocks alone: what is still in the head is not on its final
        way."""
        blocks = self.blocks()
        if not blocks:
            raise Failed("no block was written")
        return (sum(block["bytes"] for block in blocks) /
                sum(block["stats"]["numSamples"] for block in blocks))


class VictoriaMetrics(Server):
    name = "victoria-metrics"
    ready_path = "/health"
    keeps_results = True

    def command(self, port):
        return [self.binary, f"-storageDataPath={self.data}",
                f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=1"]

    def count_samples(self, time_s, window):
        self.get("/internal/force_flush")
        return super().count_samples(time_s, window)

    def compact(self, seconds_max):
        self.get("/internal/force_flush", seconds_max)
        self.get("/internal/force_merge", seconds_max)
        self.settle(seconds_max)


SERVERS = {server.name: server
           for server in (Vigie, Prometheus, VictoriaMetrics)}

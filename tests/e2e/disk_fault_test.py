"""A real vigie on a real disk that is full, read-only or out of descriptors.

A tmpfs of a few MiB is filled by a file beside the data directory: pushes are
refused with the cause, queries go on, and once the file is gone everything is
taken again by the same process. The same with RLIMIT_NOFILE. On a file system
mounted read-only it does not start, and says why. Afterwards a new process finds
what was acknowledged, and nothing that was refused. With `retention_bytes` a
disk smaller than what is pushed never fills: the oldest days go.

usage: disk_fault_test.py VIGIE
Exit status 77: it may not mount here.
"""

import contextlib
import http.client
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

import remote_write
from remote_write_kinds import field, label_pair
from server_process import Server

DISK_MIB = 160
# For retention by size.
SMALL_MIB = 112
RETENTION_MIB = 64
DAYS = 4
DAY_MIB = 32
SECONDS_MAX = 60


@contextlib.contextmanager
def small_disk(directory, mebibytes=DISK_MIB):
    path = os.path.join(directory, "disk")
    os.mkdir(path)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", path],
        capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        print(f"cannot mount: {mounted.stderr.strip()}")
        sys.exit(77)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


class Client:
    """One connection that stays open: while descriptors are out there is no
    other."""

    def __init__(self, server):
        host, port = server.http.removeprefix("http://").rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port),
                                                     timeout=SECONDS_MAX)

    def push(self, name, series, samples):
        """A batch of that size; (status, text)."""
        now_ms = int(time.time() * 1000)
        # All eight bytes of it are logged.
        value = struct.unpack("<Q", struct.pack("<d", 1 / 3))[0]
        body = remote_write.encode(
            [((("__name__", name), ("filler", "x" * 100), ("n", str(i))),
              [(now_ms - 1000 * k, value) for k in range(samples)])
             for i in range(series)])
        return self.post(body)

    def post(self, body):
        self.connection.request("POST", "/api/v1/write",
                                remote_write.snappy(body),
                                remote_write.HEADERS)
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def count(self, name):
        """How many samples of the metric there are."""
        return self.ask(f"sum(count_over_time({name}[1h]))", time.time())

    def ask(self, query, seconds):
        """A count at that time."""
        form = urllib.parse.urlencode({"query": query, "time": seconds})
        self.connection.request("GET", "/api/v1/query?" + form)
        answer = json.loads(self.connection.getresponse().read())
        assert answer["status"] == "success", answer
        assert not answer.get("warnings"), answer
        result = answer["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    def metric(self, name):
        self.connection.request("GET", "/metrics")
        for line in self.connection.getresponse().read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def until(self, what, condition):
        """Asks until it holds; the store tries again by itself."""
        end = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < end, f"waited in vain: {what}"
            time.sleep(0.05)


def configuration(directory, more=""):
    path = os.path.join(directory, "vigie.yml")
    with open(path, "w") as file:
        file.write(f"storage:\n  seal_interval: 200ms\n{more}"
                   "self_monitoring:\n  enabled: false\n")
    return path


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def full_disk(vigie, directory):
    config = configuration(directory)
    log = os.path.join(directory, "full.log")
    with small_disk(directory) as disk:
        data = os.path.join(disk, "data")
        with Server(vigie, data, config, log) as server:
            client = Client(server)
            status, text = client.push("before", 10, 20)
            expect(status in (200, 204), f"{status} {text}")
            with open(os.path.join(disk, "ballast"), "wb") as ballast:
                with contextlib.suppress(OSError):
                    while True:
                        os.write(ballast.fileno(), bytes(1 << 16))
            status, text = client.push("refused", 2000, 5)
            expect(status == 503, f"on a full disk: {status} {text}")
            expect("No space left on device" in text, text)
            expect(client.count("before") == 200, "queries do not go on")
            expect(client.count("refused") == 0, "what was refused is there")
            os.remove(os.path.join(disk, "ballast"))
            status, text = client.push("after", 2000, 5)
            expect(status in (200, 204), f"with space again: {status} {text}")
            seals = client.metric("vigie_store_seals_total")
            client.until("a seal after the disk was full", lambda:
                         client.metric("vigie_store_seals_total") > seals)
            expect(client.count("after") == 10_000, "not all is there")
        with Server(vigie, data, config, log) as server:
            client = Client(server)
            found = [client.count(name)
                     for name in ("before", "refused", "after")]
            expect(found == [200, 0, 10_000], f"after a kill: {found}")
    print("full disk: refused with its cause, queries went on, recovered")


def read_only(vigie, directory):
    config = configuration(directory)
    log = os.path.join(directory, "read-only.log")
    with small_disk(directory) as disk:
        data = os.path.join(disk, "data")
        with Server(vigie, data, config, log) as server:
            status, text = Client(server).push("before", 10, 20)
            expect(status in (200, 204), f"{status} {text}")
            expect(server.stop() == 0, "no orderly end")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        server = Server(vigie, data, config, log)
        try:
            server.wait_ready()
            raise AssertionError("started on a read-only disk")
        except RuntimeError:
            pass
        finally:
            server.kill()
        with open(log) as file:
            expect("Read-only file system" in file.read(), "no cause is named")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        with Server(vigie, data, config, log) as server:
            expect(Client(server).count("before") == 200, "not all is there")
    print("read-only disk: refused at start with its cause; then as before")


def out_of_descriptors(vigie, directory):
    config = configuration(directory)
    log = os.path.join(directory, "descriptors.log")
    data = os.path.join(directory, "descriptors")
    with Server(vigie, data, config, log) as server:
        client = Client(server)
        status, text = client.push("before", 10, 20)
        expect(status in (200, 204), f"{status} {text}")
        client.until("a first seal", lambda: client.metric(
            "vigie_store_seals_total") > 0)
        usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{server.pid}/fd"))
        failures = client.metric("vigie_store_seal_failures_total")
        # Some descriptors below are free, and RocksDB closes what it can.
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE,
                         (min(used, 12), usual[1]))
        pushed = 0

        def seal_fails():
            nonlocal pushed
            answer, reason = client.push(f"during{pushed}", 10, 20)
            # The open log may go on; where it cannot, the cause is named.
            if answer == 503:
                expect("Too many open files" in reason, reason)
            else:
                expect(answer in (200, 204), f"{answer} {reason}")
                pushed += 1
            return client.metric("vigie_store_seal_failures_total") > failures

        client.until("a seal that fails", seal_fails)
        expect(client.count("before") == 200, "queries do not go on")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, usual)
        seals = client.metric("vigie_store_seals_total")
        status, text = client.push("after", 10, 20)
        expect(status in (200, 204), f"with descriptors again: {status} {text}")
        client.until("a seal with descriptors again", lambda: client.metric(
            "vigie_store_seals_total") > seals)
        client = Client(server)  # another connection
        expect(client.count("after") == 200, "not all is there")
    with Server(vigie, data, config, log) as server:
        client = Client(server)
        expect(client.count("before") + client.count("after") == 400,
               "not all is there after a kill")
        for i in range(pushed):
            expect(client.count(f"during{i}") == 200, f"during{i} is lost")
    print("out of descriptors: recovered without a restart")


def body_of_noise(times_ms, series):
    """Values that no codec makes smaller, eight bytes each."""
    parts = [b"\x10" + remote_write.varint(t) for t in times_ms]
    sizes = [bytes((9 + len(part),)) for part in parts]
    whole = []
    for number in range(series):
        values = os.urandom(8 * len(times_ms))
        # No staleness marker among them, whatever the dice say.
        samples = b"".join(
            b"\x12" + sizes[i] + b"\x09" + values[8 * i:8 * i + 7] + b"\x40" +
            parts[i] for i in range(len(times_ms)))
        labels = b"".join(field(1, label_pair(*pair)) for pair in (
            ("__name__", "noise"), ("n", str(number))))
        whole.append(field(1, labels + samples))
    return b"".join(whole)


def retention_by_size(vigie, directory):
    config = configuration(
        directory, f"  retention_bytes: {RETENTION_MIB}MiB\n"
        "  out_of_order_window: 7d\n")
    log = os.path.join(directory, "size.log")
    day_ms = 86_400_000
    today = int(time.time() * 1000) // day_ms
    series, pieces = 20, 96
    step = DAY_MIB * (1 << 20) // 8 // series // pieces
    with small_disk(directory, SMALL_MIB) as disk:
        data = os.path.join(disk, "data")
        pushed = {}
        fullest = 0.0

        def found(client, day):
            """The day's samples; (00:00, 24:00], as ranges are."""
            return client.ask("sum(count_over_time(noise[1d]))",
                              (day + 1) * day_ms / 1000)

        with Server(vigie, data, config, log) as server:
            client = Client(server)
            for day in range(today - DAYS, today):
                for piece in range(pieces):
                    begin = day * day_ms + piece * (day_ms // pieces) + 1
                    times = [begin + i * (day_ms // pieces // step)
                             for i in range(step)]
                    status, text = client.post(body_of_noise(times, series))
                    expect(status in (200, 204), f"{status} {text}")
                    usage = os.statvfs(disk)
                    fullest = max(fullest, 1 - usage.f_bavail / usage.f_blocks)
                pushed[day] = pieces * series * step
                expect(found(client, day) == pushed[day],
                       f"the newest day: {found(client, day)} of {pushed}")
            client.until("the oldest day to go",
                         lambda: found(client, today - DAYS) == 0)
            for metric in ("seal", "merge"):
                expect(client.metric(f"vigie_store_{metric}_failures_total")
                       == 0, f"a {metric} has failed")
        with Server(vigie, data, config, log) as server:
            left = [found(Client(server), day) for day in sorted(pushed)]
            expect(left[-1] == pushed[today - 1], f"after a kill: {left}")
            expect(2 * sum(left) <= sum(pushed.values()), f"too much: {left}")
            # Whole days go, the oldest first.
            expect(left == sorted(left) and
                   set(left) == {0, pushed[today - 1]}, f"in part: {left}")
    print(f"retention by size: {DAYS * DAY_MIB} MiB pushed to a disk of "
          f"{SMALL_MIB} MiB, at most {fullest:.0%} full, nothing refused; "
          f"{sum(map(bool, left))} days are left")


def main():
    vigie = sys.argv[1]
    if os.geteuid() != 0:
        print("needs root, to mount")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="vigie-disk-") as directory:
        for number, check in enumerate(
                (full_disk, read_only, out_of_descriptors,
                 retention_by_size)):
            place = os.path.join(directory, str(number))
            os.mkdir(place)
            try:
                check(vigie, place)
            except Exception:
                for name in os.listdir(place):
                    if name.endswith(".log"):
                        with open(os.path.join(place, name),
                                  errors="replace") as log:
                            sys.stderr.write(log.read()[-3000:])
                raise


if __name__ == "__main__":
    main()

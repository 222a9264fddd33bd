"""The demo shop for end-to-end tests: started beside a vigie, stopped or
killed."""

import json
import signal
import subprocess

STOP_SECONDS_MAX = 30


class Shop:
    """`binary` sending to `grpc`, open once this returns.

    As a context manager it is killed at exit. Raises RuntimeError if it ends
    instead of opening."""

    def __init__(self, binary, grpc, *arguments):
        self.process = subprocess.Popen(
            [binary, "--otlp", grpc, *map(str, arguments)],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("shop: open"):
            raise RuntimeError(f"the shop ended with {self.process.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def fail_payments(self, fail):
        self.process.send_signal(signal.SIGUSR1 if fail else signal.SIGUSR2)

    def wait(self, seconds_max):
        """What it prints at its end; fails unless its status is 0."""
        out, _ = self.process.communicate(timeout=seconds_max)
        if self.process.returncode != 0:
            raise AssertionError(f"the shop ended with "
                                 f"{self.process.returncode}")
        return out

    def stop(self):
        self.process.terminate()
        return self.wait(STOP_SECONDS_MAX)


def read_event_log(path):
    """Its events, as dictionaries; a line that is not whole yet is left out."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]

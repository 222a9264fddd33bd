"""A real `vigie serve` for end-to-end tests: started on free ports, asked over
HTTP, stopped or killed."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

READY_SECONDS_MAX = 60


class Server:
    """`binary serve` on port 0 with `data` and, if given, `config`.

    Attributes: http ("http://127.0.0.1:PORT"), grpc ("127.0.0.1:PORT"), pid.
    Its log goes to `log` (a path). As a context manager it is killed at exit.
    """

    def __init__(self, binary, data, config=None, log=None, arguments=()):
        command = [binary, "serve", "--data", data, "--http", "127.0.0.1:0",
                   "--grpc", "127.0.0.1:0", *arguments]
        if config:
            command += ["--config", config]
        errors = open(log, "ab") if log else subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE,
                                        stderr=errors, text=True)
        if log:
            errors.close()  # the process has it
        self.pid = self.process.pid
        self.http = self.grpc = None

    def wait_ready(self):
        """Reads the addresses; raises RuntimeError if it ends instead."""
        for line in self.process.stdout:
            key, _, value = line.strip().partition(": ")
            if key == "http":
                self.http = value
            elif key == "grpc":
                self.grpc = value
            elif key == "ready":
                return self
        raise RuntimeError(f"vigie ended with {self.process.wait()}")

    def __enter__(self):
        return self.wait_ready()

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        """SIGKILL; returns when it is gone."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds_max=30):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        status = self.process.wait(seconds_max)
        self.process.stdout.close()
        return status

    def request(self, path, form=None, body=None, headers=None):
        """(status, body) of a GET, or of a POST with `form` or `body`."""
        data = body
        if form is not None:
            data = urllib.parse.urlencode(form, doseq=True).encode()
        request = urllib.request.Request(self.http + path, data=data,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def api(self, path, **form):
        """`data` of a successful answer of API v1; fails otherwise."""
        status, body = self.request("/api/v1/" + path, form=form)
        answer = json.loads(body)
        if status != 200 or answer["status"] != "success":
            raise AssertionError(f"{path} {form}: {status} {body[:500]}")
        return answer["data"]

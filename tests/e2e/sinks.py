"""The quickstart's mail server and webhooks as a process of a test."""

import json
import mailbox
import pathlib
import subprocess
import urllib.request

PROGRAM = (pathlib.Path(__file__).resolve().parents[2] / "deploy" /
           "quickstart" / "sinks.py")


class Sinks:
    """Attributes: directory, smtp ("HOST:PORT"), slack and webhook (URLs).
    As a context manager it is killed at exit."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        # Not this interpreter: Debian's has aiosmtpd.
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-W", "ignore", str(PROGRAM), "--directory",
             str(directory)],
            stdout=subprocess.PIPE, text=True)
        addresses = {}
        for line in self.process.stdout:
            if line == "ready\n":
                break
            key, _, value = line.strip().partition(": ")
            addresses[key] = value
        else:
            raise RuntimeError(f"sinks.py ended with {self.process.wait()}: is "
                               "python3-aiosmtpd installed?")
        self.smtp, self.slack, self.webhook = (
            addresses[key] for key in ("smtp", "slack", "webhook"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def behave(self, sink, mode):
        """As sinks.py says: ok, down, fail:503, hold, lose."""
        url = self.webhook.removesuffix("/webhook") + f"/behaviour/{sink}"
        request = urllib.request.Request(url, data=mode.encode(), method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def posted(self, sink):
        """Messages to "slack" or "webhook", oldest first."""
        text = (self.directory / f"{sink}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line)["message"] for line in text.splitlines()]

    def mails(self):
        """email.message.Message, oldest first."""
        box = mailbox.Maildir(self.directory / "mailbox", create=False)
        paths = sorted((self.directory / "mailbox" / "new").iterdir(),
                       key=lambda path: path.stat().st_mtime_ns)
        return [box.get_message(path.name) for path in paths]

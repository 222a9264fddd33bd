"""Debian's node exporter and Prometheus for end-to-end tests: real ones, each
on a free port."""

import re
import shutil
import subprocess

# / may be an overlay, which the exporter leaves out by default.
FS_TYPES_LEFT_OUT = (
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl"
    "|hugetlbfs|mqueue|nsfs|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs"
    "|squashfs|sysfs|tracefs)$")


class Program:
    """Attribute: address ("127.0.0.1:PORT"). As a context manager it is killed
    at exit. Raises RuntimeError if it does not start."""

    def __init__(self, name, log, ready, *arguments):
        """`ready` is what it logs, after its address, once it answers."""
        path = shutil.which(name)
        if not path:
            raise RuntimeError(f"{name} is not installed: "
                               "deploy/install-packages.sh --tests")
        # It writes to a file and we read along: a pipe could fill up.
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [path, "--web.listen-address=127.0.0.1:0", *arguments],
                stdout=file, stderr=file)
        while True:
            with open(log, encoding="utf-8", errors="replace") as file:
                text = file.read()
            found = re.search(r'msg="Listening on" address=(\S+)\s', text)
            if found and ready in text:
                self.address = found.group(1)
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"{name} ended with "
                                   f"{self.process.returncode}: {text[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def node_exporter(directory):
    return Program(
        "prometheus-node-exporter", f"{directory}/node_exporter.log",
        "Listening on",
        f"--collector.filesystem.fs-types-exclude={FS_TYPES_LEFT_OUT}")


def prometheus(directory, config):
    return Program(
        "prometheus", f"{directory}/prometheus.log",
        "Server is ready to receive web requests",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory}/prometheus-data")

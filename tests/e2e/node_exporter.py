"""Debian's node exporter for end-to-end tests: a real target on a free port."""

import re
import shutil
import subprocess

# / may be an overlay, which the exporter leaves out by default.
FS_TYPES_LEFT_OUT = (
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl"
    "|hugetlbfs|mqueue|nsfs|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs"
    "|squashfs|sysfs|tracefs)$")


class NodeExporter:
    """Attribute: address ("127.0.0.1:PORT"). As a context manager it is killed
    at exit. Raises RuntimeError if it does not start."""

    def __init__(self):
        program = shutil.which("prometheus-node-exporter")
        if not program:
            raise RuntimeError("prometheus-node-exporter is not installed: "
                               "deploy/install-packages.sh --quickstart")
        self.process = subprocess.Popen(
            [program, "--web.listen-address=127.0.0.1:0",
             f"--collector.filesystem.fs-types-exclude={FS_TYPES_LEFT_OUT}",
             "--log.level=info"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # What it says later fits into the pipe: it logs no scrapes.
        for line in self.process.stderr:
            found = re.search(r'msg="Listening on" address=(\S+)', line)
            if found:
                self.address = found.group(1)
                return
        raise RuntimeError(
            f"the node exporter ended with {self.process.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

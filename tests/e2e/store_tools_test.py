"""What `vigie store` does to a data directory, beside a running server and
without one.

Usage: store_tools_test.py VIGIE [unittest arguments]
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

from server_process import Server

VIGIE = None

EXPOSITION = """\
# TYPE shop_orders_total counter
shop_orders_total{site="fr"} 42
shop_orders_total{site="de"} 7
"""


def run(*arguments, stdin=""):
    """(exit status, standard output, standard error)."""
    done = subprocess.run([VIGIE, *arguments], input=stdin, text=True,
                          capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


class StoreTools(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.data = self.path("data")

    def path(self, name):
        return os.path.join(self.directory, name)

    def store(self, verb, *arguments, data=None, fails=None):
        """Standard output of `vigie store`; `fails`: the pattern of the one
        line that it fails with."""
        status, out, err = run("store", verb, "--data", data or self.data,
                               *arguments)
        if fails:
            self.assertEqual(status, 1, err)
            self.assertRegex(err, fails)
            self.assertEqual(err.count("\n"), 1, err)
        else:
            self.assertEqual(status, 0, err)
        return out

    def push(self, server, text=EXPOSITION):
        status, _, err = run("push", "--grpc", server.grpc, "--job", "shop",
                             stdin=text)
        self.assertEqual(status, 0, err)

    def orders(self, server):
        result = server.api("query", query="shop_orders_total")["result"]
        return {s["metric"]["site"]: s["value"][1] for s in result}

    def test_every_verb_explains_itself(self):
        status, out, _ = run("store", "--help")
        self.assertEqual(status, 0)
        for verb in ("inspect", "snapshot", "compact", "delete"):
            self.assertIn(verb, out)
            status, help_of_verb, _ = run("store", verb, "--help")
            self.assertEqual(status, 0)
            self.assertIn("--data", help_of_verb)

    def test_the_admin_socket_is_the_owners_alone(self):
        with Server(VIGIE, self.data):
            mode = os.stat(self.path("data/admin.sock")).st_mode
            self.assertTrue(stat.S_ISSOCK(mode))
            self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_a_snapshot_beside_a_running_server_serves_the_same(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            answers = self.orders(server)
            self.assertEqual(answers, {"fr": "42", "de": "7"})
            self.store("snapshot", self.path("copy"))
            self.store("snapshot", self.path("copy"),
                       fails="copy: must be empty")
            with Server(VIGIE, self.path("copy")) as copy:
                self.assertEqual(self.orders(copy), answers)

    def test_a_snapshot_without_a_server(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
        # It was killed, so its socket is still there.
        self.assertTrue(os.path.exists(self.path("data/admin.sock")))
        self.store("snapshot", self.path("copy"))
        with Server(VIGIE, self.path("copy")) as copy:
            self.assertEqual(self.orders(copy), {"fr": "42", "de": "7"})

    def test_a_server_takes_over_the_socket_of_one_that_was_killed(self):
        for _ in range(2):
            with Server(VIGIE, self.data):
                self.store("inspect")

    def test_inspect_says_the_same_in_words_and_in_json(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            report = json.loads(self.store("inspect", "--json"))
            self.assertGreaterEqual(report["head_series"], 2)
            self.assertGreater(report["log_bytes"], 0)
            text = self.store("inspect")
        self.assertRegex(text, r"head series +\d+")
        for table in report["tables"]:
            self.assertIn(table["name"], text)

    def test_what_is_no_data_directory_is_named_and_not_made(self):
        for verb, arguments in (("inspect", []),
                                ("snapshot", [self.path("copy")])):
            self.store(verb, *arguments, data=self.path("nowhere"),
                       fails="nowhere: no data directory")
        self.assertEqual(os.listdir(self.directory), [])

    def test_times_that_cannot_be_read_are_named(self):
        for time in ("soon", "now-x"):
            self.store("delete", "up", "--start", time, fails="vigie: ")
        self.store("delete", "up", "--start", "2", "--end", "1",
                   fails="--end is before --start")


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    unittest.main()

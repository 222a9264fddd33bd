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
import time
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
        for verb in ("inspect", "snapshot", "compact", "delete", "import",
                     "export", "verify", "restore", "repair"):
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

    def test_inspect_and_status_tell_what_has_grown_since_a_day_before(self):
        now = int(time.time())
        text = "# TYPE grown gauge\n"
        # So many that the server's own are fewer.
        for site in range(2000):
            for at in (now - 86400, now) if site == 0 else (now,):
                text += f'grown{{site="{site}"}} 1 {at}\n'
        with open(self.path("import.txt"), "w", encoding="utf-8") as file:
            file.write(text + "# EOF\n")
        with Server(VIGIE, self.data) as server:
            self.store("import", self.path("import.txt"))
            report = json.loads(self.store("inspect", "--json"))
            text = self.store("inspect")
            _, body = server.request("/api/v1/status/tsdb")
        status = json.loads(body)["data"]
        [tenant] = [t for t in report["tenants"] if t["name"] == "default"]
        self.assertIn({"name": "grown", "count": 2000},
                      tenant["series_by_metric"])
        self.assertIn({"name": "site", "count": 2000},
                      tenant["values_by_label"])
        self.assertIn({"name": "grown", "before": 1, "now": 2000},
                      tenant["growth"]["metrics"])
        self.assertRegex(text, r"2000 from 1  grown\n")
        self.assertRegex(text, r"2000  grown\n")
        self.assertIn({"name": "grown", "value": 2000, "before": 1},
                      status["growth"]["seriesCountByMetricName"])
        self.assertIn({"name": "site", "value": 2000, "before": 1},
                      status["growth"]["labelValueCountByLabelName"])

    def test_what_is_no_data_directory_is_named_and_not_made(self):
        for verb, arguments in (("inspect", []),
                                ("snapshot", [self.path("copy")])):
            self.store(verb, *arguments, data=self.path("nowhere"),
                       fails="nowhere: no data directory")
        self.assertEqual(os.listdir(self.directory), [])

    def test_verify_beside_a_server_and_without_one(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            self.assertRegex(self.store("verify"), r"^ok: .* samples")
        self.assertRegex(self.store("verify"), r"^ok: .* samples")

    def test_damage_is_named_and_not_restored(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            self.store("snapshot", self.path("copy"))
        blocks = self.path("copy/blocks")
        table = max((os.path.join(blocks, name) for name in os.listdir(blocks)
                     if name.endswith(".sst")), key=os.path.getsize)
        # Links: the damage is one of both, so only the copy is looked at.
        with open(table, "r+b") as file:
            file.seek(50)
            byte = file.read(1)
            file.seek(50)
            file.write(bytes([byte[0] ^ 4]))
        status, _, err = run("store", "verify", "--data", self.path("copy"))
        self.assertEqual(status, 1)
        self.assertIn(os.path.basename(table), err)
        self.assertRegex(err.splitlines()[-1], r"\d+ damages")
        self.store("restore", self.path("copy"), data=self.path("new"),
                   fails=os.path.basename(table))
        self.assertFalse(os.path.exists(self.path("new")))

    def test_a_restored_snapshot_serves_the_same(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            self.store("snapshot", self.path("copy"))
        self.store("restore", self.path("copy"), data=self.path("new"))
        self.store("restore", self.path("copy"), data=self.path("new"),
                   fails="new: must be empty")
        with Server(VIGIE, self.path("new")) as server:
            self.assertEqual(self.orders(server), {"fr": "42", "de": "7"})

    def test_repair_without_yes_changes_nothing(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            self.store("repair", fails="in use by process")
        self.assertEqual(self.store("repair"), "nothing to repair\n")
        log = self.path("data/log")
        segment = os.path.join(log, max(n for n in os.listdir(log)
                                        if n.endswith(".log")))
        with open(segment, "r+b") as file:
            file.seek(10)
            file.write(b"\xff\xff\xff\xff")
        self.store("repair", fails="--yes")
        self.assertTrue(os.path.exists(segment))
        out = self.store("repair", "--yes")
        self.assertIn(segment, out)
        self.assertFalse(os.path.exists(segment))
        with Server(VIGIE, self.data) as server:
            self.push(server)

    def test_the_admin_api_is_off_unless_asked_for(self):
        with Server(VIGIE, self.data) as server:
            status, body = server.request("/api/v1/admin/tsdb/snapshot",
                                          form={})
            self.assertEqual(status, 503)
            self.assertIn(b"admin APIs disabled", body)
        config = self.path("vigie.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("http: {admin_api: true}\n")
        with Server(VIGIE, self.data, config=config) as server:
            self.push(server)
            name = server.api("admin/tsdb/snapshot")["name"]
            self.assertRegex(name, r"^\d{8}T\d{6}Z-[0-9a-f]{16}$")
            status, body = server.request("/api/v1/admin/tsdb/delete_series",
                                          form={})
            self.assertEqual(status, 400)
            self.assertIn(b"no match[] parameter provided", body)
        copy = self.path(f"data/snapshots/{name}")
        with Server(VIGIE, copy) as server:
            self.assertEqual(self.orders(server), {"fr": "42", "de": "7"})

    def test_deleted_samples_are_gone_before_and_after_a_compaction(self):
        with Server(VIGIE, self.data) as server:
            self.push(server)
            self.assertEqual(self.store("delete", 'shop_orders_total{site="fr"}'),
                             "deleted from 1 series\n")
            self.assertEqual(self.orders(server), {"de": "7"})
            self.store("compact")
            self.assertEqual(self.orders(server), {"de": "7"})
            # What comes after a deletion is no part of it.
            self.push(server)
            self.assertEqual(self.orders(server), {"fr": "42", "de": "7"})
        self.store("delete", 'shop_orders_total{site="de"}')
        self.store("compact")
        with Server(VIGIE, self.data) as server:
            self.assertEqual(self.orders(server), {"fr": "42"})

    def test_the_admin_api_deletes_what_is_in_the_range(self):
        config = self.path("vigie.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("http: {admin_api: true}\n")
        with Server(VIGIE, self.data, config=config) as server:
            self.push(server)
            path = "/api/v1/admin/tsdb/delete_series"
            selector = 'shop_orders_total{site="fr"}'
            for form, left in (
                    ({"match[]": selector, "end": "1000"},
                     {"fr": "42", "de": "7"}),
                    ({"match[]": selector}, {"de": "7"})):
                status, body = server.request(path, form=form)
                self.assertEqual((status, body), (204, b""))
                self.assertEqual(self.orders(server), left)
            status, body = server.request(
                "/api/v1/admin/tsdb/clean_tombstones", form={})
            self.assertEqual((status, body), (204, b""))
            self.assertEqual(self.orders(server), {"de": "7"})

    def test_times_that_cannot_be_read_are_named(self):
        for time in ("soon", "now-x"):
            self.store("delete", "up", "--start", time, fails="vigie: ")
        self.store("delete", "up", "--start", "2", "--end", "1",
                   fails="--end is before --start")


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    unittest.main()

"""What a person meets at the command line of the real binary.

Usage: cli_test.py VIGIE [unittest arguments]
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

from server_process import Server

VIGIE = None

EXPOSITION = """\
# HELP shop_orders_total Orders placed.
# TYPE shop_orders_total counter
shop_orders_total{site="fr"} 42
# TYPE shop_baskets gauge
shop_baskets{site="fr"} 7.5
# TYPE shop_payment_seconds histogram
shop_payment_seconds_bucket{le="0.1"} 3
shop_payment_seconds_bucket{le="+Inf"} 5
shop_payment_seconds_sum 1.25
shop_payment_seconds_count 5
"""


def run(*arguments, stdin="", check=None):
    """(exit status, standard output, standard error)."""
    done = subprocess.run([VIGIE, *arguments], input=stdin, text=True,
                          capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name, text=None):
        path = os.path.join(self.directory.name, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return path

    def assert_one_line(self, stderr, pattern):
        self.assertRegex(stderr, pattern)
        self.assertEqual(stderr.count("\n"), 1, stderr)

    def test_every_subcommand_explains_itself(self):
        for command in ([], ["serve"], ["query"], ["push"], ["check"],
                        ["check", "config"], ["check", "rules"], ["test"],
                        ["test", "rules"]):
            status, out, err = run(*command, "--help")
            self.assertEqual((status, err), (0, ""))
            self.assertIn("--help", out)

    def test_a_wrong_command_line_is_one_line_and_status_2(self):
        for command in (["serve", "--nonsense"], ["query"], ["fly"], []):
            status, _, err = run(*command)
            self.assertEqual(status, 2, command)
            self.assert_one_line(err, "^vigie: ")

    def test_a_taken_port_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for flag, other in (("--http", "--grpc"), ("--grpc", "--http")):
                status, _, err = run("serve", "--data", self.path("data"),
                                     flag, address, other, "127.0.0.1:0")
                self.assertEqual(status, 1)
                self.assertIn(address, err.splitlines()[-1])

    def test_a_wrong_address_is_named(self):
        for flag in ("--http", "--grpc"):
            status, _, err = run("serve", "--data", self.path("data"), flag,
                                 "nowhere")
            self.assertEqual(status, 1)
            self.assertIn("nowhere", err.splitlines()[-1])

    def test_a_second_server_on_a_data_directory_is_refused_by_name(self):
        data = self.path("data")
        with Server(VIGIE, data):
            status, _, err = run("serve", "--data", data, "--http",
                                 "127.0.0.1:0", "--grpc", "127.0.0.1:0")
        self.assertEqual(status, 1)
        self.assertIn(data, err.splitlines()[-1])

    def test_sigterm_drains_and_exits_with_0(self):
        server = Server(VIGIE, self.path("data")).wait_ready()
        self.assertEqual(server.stop(), 0)

    def test_check_names_file_line_and_column(self):
        config = self.path("vigie.yml", "query:\n  lookbak: 5m\n")
        status, _, err = run("check", "config", config)
        self.assertEqual(status, 1)
        self.assert_one_line(err, re.escape(config) + r":2:3: .*lookbak")

    def test_check_accepts_a_good_file_aloud(self):
        config = self.path("vigie.yml", "query: {lookback: 5m}\n")
        status, out, err = run("check", "config", config)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("ok", out)

    def test_check_rules_tells_every_fault_on_a_line_of_its_own(self):
        rules = self.path("rules.yml", """\
groups:
  - name: a
    rules:
      - {record: fine, expr: up}
      - {alert: A, expr: 'up ==', labels: {severity: page}}
      - {alert: B, expr: up, annotations: {s: '{{ nope $value }}'}}
""")
        good = self.path("good.yml", "groups: []\n")
        status, out, err = run("check", "rules", rules, good,
                               self.path("absent.yml"))
        self.assertEqual((status, out), (1, f"{good}: ok, 0 rules\n"))
        lines = err.splitlines()
        self.assertEqual(len(lines), 3, err)
        self.assertRegex(lines[0], re.escape(rules) + r":5:\d+: .*\"A\"")
        self.assertRegex(lines[1], re.escape(rules) + r":6:\d+: .*\"nope\"")
        self.assertIn("absent.yml", lines[2])

    def test_rule_tests_say_what_was_expected_and_what_came(self):
        self.path("rules.yml", "groups: [{name: a, rules: [{alert: Down, "
                  "expr: up == 0, labels: {severity: page}}]}]\n")
        test = """\
rule_files: [rules.yml]
tests:
  - input_series: [{series: 'up{job="db"}', values: '0'}]
    alert_rule_test:
      - alertname: Down
        exp_alerts: [{exp_labels: {job: db, severity: page}}]
"""
        good = self.path("good.yml", test)
        bad = self.path("bad.yml", test.replace("page", "ticket"))
        status, out, err = run("test", "rules", good)
        self.assertEqual((status, err), (0, ""))
        self.assertIn(f"{good}: ok, 1 tests, 1 checks", out)

        status, out, err = run("test", "rules", good, bad)
        self.assertEqual(status, 1)
        self.assert_one_line(err, "^vigie: 1 failures")
        self.assertIn(f"{bad}:5:9: alert Down at 0", out)
        self.assertRegex(out, r'expected[^{]*\{.*severity="ticket"')
        self.assertRegex(out, r'came[^{]*\{.*severity="page"')

    def test_serve_refuses_what_check_refuses(self):
        config = self.path("vigie.yml", "query: {lookback: soon}\n")
        status, _, err = run("serve", "--data", self.path("data"), "--http",
                             "127.0.0.1:0", "--grpc", "127.0.0.1:0",
                             "--config", config)
        self.assertEqual(status, 1)
        self.assert_one_line(err, re.escape(config) + r":1:19: ")
        self.assertFalse(os.path.exists(self.path("data")))

    def test_what_is_pushed_is_acknowledged_and_answered(self):
        with Server(VIGIE, self.path("data")) as server:
            status, out, err = run("push", "--grpc", server.grpc, "--job",
                                   "shop", "--instance", "i1",
                                   stdin=EXPOSITION)
            self.assertEqual((status, out, err), (0, "", ""))

            answers = {
                'shop_orders_total{site="fr",job="shop",instance="i1"}': "42",
                'shop_baskets{site="fr",job="shop"}': "7.5",
                'shop_payment_seconds_bucket{le="0.1"}': "3",
                'shop_payment_seconds_bucket{le="+Inf"}': "5",
                "shop_payment_seconds_sum": "1.25",
            }
            for query, value in answers.items():
                result = server.api("query", query=query)["result"]
                self.assertEqual(len(result), 1, query)
                self.assertEqual(result[0]["value"][1], value, query)

            status, out, err = run("query", "--http", server.http,
                                   "shop_orders_total")
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r'shop_orders_total\{.*\} .* 42\n')
            status, out, _ = run("query", "--http", server.http, "--format",
                                 "json", "--start", "now-5m", "--step", "15s",
                                 "sum(shop_baskets)")
            self.assertEqual(status, 0)
            self.assertIn('"resultType":"matrix"', out)

    def test_a_malformed_exposition_is_placed_and_nothing_is_sent(self):
        with Server(VIGIE, self.path("data")) as server:
            text = "good 1\nbad{x=1} 2\n"
            status, _, err = run("push", "--grpc", server.grpc, stdin=text)
            self.assertEqual(status, 1)
            self.assert_one_line(err, r"standard input: 2:7: ")
            self.assertEqual(server.api("query", query="good")["result"], [])

    def test_push_fails_without_a_server(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        status, _, err = run("push", "--grpc", address, "--timeout", "2s",
                             stdin="x 1\n")
        self.assertEqual(status, 1)
        self.assert_one_line(err, re.escape(address))

    def test_a_wrong_query_shows_its_position(self):
        with Server(VIGIE, self.path("data")) as server:
            status, _, err = run("query", "--http", server.http, "sum(")
            self.assertEqual(status, 1)
            self.assert_one_line(err, r"1:5: parse error: ")

    def test_query_fails_without_a_server(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        status, _, err = run("query", "--http", address, "up")
        self.assertEqual(status, 1)
        self.assert_one_line(err, re.escape(address))

    def test_a_reload_applies_whole_or_not_at_all(self):
        prometheus = self.path("prometheus.yml", "scrape_configs: []\n")
        config = self.path("vigie.yml", "prometheus: prometheus.yml\n")
        log = self.path("log")
        with Server(VIGIE, self.path("data"), config, log) as server:
            good = ("scrape_configs:\n"
                    "  - job_name: gone\n"
                    "    static_configs: [{targets: ['127.0.0.1:1']}]\n")
            self.path("prometheus.yml", good)
            server.process.send_signal(1)
            self.await_targets(server, 1)

            self.path("prometheus.yml", good + "  - job_name: gone\n")
            server.process.send_signal(1)
            self.await_metric(server,
                              "vigie_config_last_reload_successful 0")
            self.assertEqual(self.targets(server), 1)
        with open(log, encoding="utf-8") as file:
            self.assertRegex(file.read(), re.escape(prometheus) + r":4:")

    def targets(self, server):
        status, body = server.request("/api/v1/targets")
        self.assertEqual(status, 200)
        return body.count(b'"scrapePool"')

    def await_targets(self, server, count):
        for _ in range(10_000):
            if self.targets(server) == count:
                return
        self.fail(f"never {count} targets")

    def await_metric(self, server, line):
        for _ in range(10_000):
            if line in server.request("/metrics")[1].decode():
                return
        self.fail(f"never {line}")


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    unittest.main()

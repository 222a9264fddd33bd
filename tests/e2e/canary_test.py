"""`vigie canary check` and the judge's API, asked of the real binary.

Usage: canary_test.py VIGIE [unittest arguments]
"""

import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import remote_write
from server_process import Server

VIGIE = None
SEED = 20261121
INTERVAL_MS = 15_000
SAMPLES = 60  # a quarter of an hour
REQUESTS = 200
PASS, FAIL, UNDECIDED, ERROR = 0, 1, 2, 3


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def side(version, ratio, now_ms, generator):
    """Counters of a release of whose requests `ratio` fail."""
    good, bad, series = 0, 0, {"200": [], "500": []}
    for i in range(SAMPLES):
        failed = sum(generator.random() < ratio for _ in range(REQUESTS))
        bad += failed
        good += REQUESTS - failed
        at_ms = now_ms - (SAMPLES - 1 - i) * INTERVAL_MS
        series["200"].append((at_ms, bits(good)))
        series["500"].append((at_ms, bits(bad)))
    return [((("__name__", "requests_total"), ("code", code), ("job", "shop"),
              ("version", version)), samples)
            for code, samples in series.items()]


def selector(version):
    return f'requests_total{{version="{version}"}}'


class Canary(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print("seed", SEED)
        cls.directory = tempfile.TemporaryDirectory()
        cls.server = Server(VIGIE, cls.directory.name).wait_ready()
        generator = random.Random(SEED)
        now_ms = int(time.time() * 1000)
        series = []
        for version, ratio in (("v1", 0.02), ("same", 0.02), ("worse", 0.06)):
            series += side(version, ratio, now_ms, generator)
        status, body = cls.server.request(
            "/api/v1/write", body=remote_write.snappy(
                remote_write.encode(series)), headers=remote_write.HEADERS)
        assert status in (200, 204), body

    @classmethod
    def tearDownClass(cls):
        cls.server.kill()
        cls.directory.cleanup()

    def check(self, *arguments, stdin="", http=None):
        done = subprocess.run(
            [VIGIE, "canary", "check", "--http", http or self.server.http,
             *arguments], input=stdin, text=True, capture_output=True,
            timeout=60)
        return done.returncode, done.stdout, done.stderr

    def errors(self, canary, *more):
        return self.check(
            "--kind", "ratio", "--direction", "increase", "--window", "10m",
            "--baseline", selector("v1"), "--canary", selector(canary),
            "--events", '{code=~"5.."}', *more)

    def test_an_equal_release_passes(self):
        status, out, err = self.errors("same")
        self.assertEqual((status, err), (PASS, ""), out)
        self.assertRegex(out, r"^pass: 1 of 1 metrics pass; ")
        self.assertRegex(out, r"canary .*same")

    def test_a_worse_release_fails_with_numbers(self):
        status, out, _ = self.errors("worse")
        self.assertEqual(status, FAIL, out)
        self.assertRegex(out, r"worse than the baseline: ratio 0\.0\d+ against")
        self.assertRegex(out, r"fisher .*: p .* for higher")

    def test_a_release_without_data_is_undecided_and_says_why(self):
        status, out, _ = self.errors("none")
        self.assertEqual(status, UNDECIDED, out)
        self.assertIn('no series with version="none"', out)

    def test_json_is_the_whole_verdict(self):
        status, out, _ = self.errors("worse", "--json")
        self.assertEqual(status, FAIL)
        verdict = json.loads(out)
        self.assertEqual(verdict["verdict"], "fail")
        self.assertGreater(verdict["metrics"][0]["canary"]["events"], 0)

    def test_a_request_may_come_from_a_file_or_standard_input(self):
        request = json.dumps({"window": "10m", "metrics": [
            {"kind": "ratio", "direction": "increase", "critical": True,
             "baseline": selector("v1"), "canary": selector("worse"),
             "events": '{code="500"}'}]})
        status, out, _ = self.check("--request", "-", stdin=request)
        self.assertEqual(status, FAIL, out)
        status, _, err = self.check("--request", "/nowhere")
        self.assertEqual(status, ERROR)
        self.assertIn("/nowhere", err)

    def test_what_is_wrong_is_never_a_verdict(self):
        cases = (
            (("--window", "1y"), r"window: is 1y long"),
            (("--window", "0"), r"window: duration must be positive"),
            (("--alpha", "7"), r"alpha: must be"),
            (("--canary", "x{"), r"metrics\[0\]\.canary: 1:3: parse error"),
            (("--kind", "mean"), r"metrics\[0\]\.kind: must be ratio"),
        )
        for changed, pattern in cases:
            arguments = {"--kind": "ratio", "--direction": "increase",
                         "--baseline": selector("v1"),
                         "--canary": selector("same"), "--events": '{a="b"}'}
            arguments[changed[0]] = changed[1]
            flat = [text for pair in arguments.items() for text in pair]
            status, _, err = self.check(*flat)
            self.assertEqual(status, ERROR, changed)
            self.assertRegex(err, pattern)
            self.assertEqual(err.count("\n"), 1, err)
        for wrong in (["--nonsense"], [], ["--kind", "ratio"]):
            self.assertEqual(self.check(*wrong)[0], ERROR, wrong)

    def test_no_server_is_an_error(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        status, _, err = self.check("--kind", "rate", "--direction", "either",
                                    "--baseline", "a", "--canary", "b",
                                    http=address)
        self.assertEqual(status, ERROR)
        self.assertIn(address, err)

    # --- the API itself ---

    def judge(self, body, headers=None):
        status, answer = self.server.request("/api/v1/canary/judge", body=body,
                                             headers=headers)
        return status, json.loads(answer)

    def test_curl_needs_no_content_type(self):
        # As `curl -d` does: a form by its header, JSON by its bytes.
        status, answer = self.judge(
            json.dumps({"window": "10m", "metrics": [
                {"kind": "rate", "direction": "increase",
                 "baseline": 'requests_total{code="200",version="v1"}',
                 "canary": 'requests_total{code="200",version="same"}'}]})
            .encode())
        self.assertEqual((status, answer["status"]), (200, "success"))
        self.assertEqual(answer["data"]["verdict"], "pass", answer)
        _, metrics = self.server.request("/metrics")
        self.assertRegex(metrics.decode(), r'vigie_canary_verdicts_total'
                                           r'\{verdict="pass"\} [1-9]')

    def test_hostile_bodies_are_refused_by_name(self):
        for body, text in ((b"", "parse error"), (b"[" * 200_000, "parse error"),
                           (b" " * 300_000, "the most is 262144"),
                           (b"{}", "window: is missing"),
                           (b'{"window":"1m","metrics":[]}', "metrics: is empty"),
                           (b'{"window":{"start":5,"end":4},"metrics":[{"kind":'
                            b'"gauge","direction":"either","baseline":"a",'
                            b'"canary":"b"}]}', "window: is swapped")):
            status, answer = self.judge(body)
            self.assertEqual((status, answer["errorType"]), (400, "bad_data"))
            self.assertIn(text, answer["error"])
        status, _ = self.judge(b"x", {"Content-Encoding": "gzip"})
        self.assertEqual(status, 400)
        status, _ = self.server.request("/api/v1/canary/judge")
        self.assertEqual(status, 405)


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    unittest.main()

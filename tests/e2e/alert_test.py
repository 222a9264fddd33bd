"""An alert's whole way through the real binary: rule, pending, firing, Slack,
e-mail (STARTTLS and password) and webhook, resolved; with kill -9 on the way,
with receivers that are down, and with wrong files on reload.

Usage: alert_test.py VIGIE [unittest arguments]
"""

import calendar
import email.header
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from server_process import Server
from sinks import Sinks

VIGIE = None
FOR_SECONDS = 4
DEADLINE_SECONDS = 60

RULES = f"""\
groups:
  - name: trouble
    rules:
      - record: trouble:sum
        expr: sum(trouble)
      - alert: Trouble
        expr: trouble > 0
        for: {FOR_SECONDS}s
        labels: {{severity: critical}}
        annotations:
          summary: 'trouble {{{{ $value }}}} at {{{{ $labels.site }}}}'
      - alert: Other
        expr: other > 0
        annotations: {{summary: something else}}
"""

ALERTMANAGER = """\
global:
  smtp_smarthost: {smtp}
  smtp_from: vigie@localhost
  smtp_auth_username: vigie
  smtp_auth_password_file: sinks/smtp_password
  slack_api_url_file: sinks/slack_url
templates: ["*.tmpl"]
route:
  receiver: all
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: all
    slack_configs:
      - channel: "#test"
        send_resolved: true
        title: '{{{{ template "test.text" . }}}}'
        text: '{{{{ template "test.text" . }}}}'
    email_configs:
      - to: on-call@localhost
        send_resolved: true
        tls_config: {{ca_file: sinks/ca.pem}}
        headers: {{Subject: '{{{{ template "test.text" . }}}}'}}
    webhook_configs:
      - url: {webhook}
        send_resolved: true
"""

TEMPLATE = """\
{{ define "test.text" -}}
{{ .GroupLabels.alertname }}:
{{- range .Alerts.Firing }} firing={{ .Labels.site }}{{ end }}
{{- range .Alerts.Resolved }} resolved={{ .Labels.site }}{{ end }}
{{- end }}
"""


def until(what, condition):
    """The first true value of condition(); fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}")
        time.sleep(0.05)
    return value


def seconds_of(text):
    """Seconds since the epoch of an RFC 3339 time in UTC, to the nanosecond."""
    found = re.fullmatch(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?(Z|\+00:00)", text)
    whole = time.strptime(found.group(1) + " UTC", "%Y-%m-%dT%H:%M:%S %Z")
    return calendar.timegm(whole) + float(found.group(2) or 0)


class Alerting(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.sinks = Sinks(os.path.join(self.directory, "sinks"))
        self.addCleanup(self.sinks.__exit__)
        self.alertmanager = ALERTMANAGER.format(smtp=self.sinks.smtp,
                                                webhook=self.sinks.webhook)
        self.write("vigie.yml", """\
            prometheus: prometheus.yml
            alertmanager: alertmanager.yml
            """)
        self.write("prometheus.yml", """\
            global: {evaluation_interval: 1s}
            rule_files: [rules.yml]
            """)
        self.write("rules.yml", RULES)
        self.write("alertmanager.yml", self.alertmanager)
        self.write("test.tmpl", TEMPLATE)
        self.server = None
        self.start()
        self.addCleanup(lambda: self.server.kill())

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))

    def start(self):
        self.server = Server(VIGIE, self.path("data"),
                             config=self.path("vigie.yml"),
                             log=self.path("log")).wait_ready()

    def kill_and_start(self):
        self.server.kill()
        self.start()

    def push(self, metric, value, site="fr"):
        subprocess.run(
            [VIGIE, "push", "--grpc", self.server.grpc, "--job", "test",
             "--instance", "one"],
            input=f'# TYPE {metric} gauge\n{metric}{{site="{site}"}} {value}\n',
            text=True, check=True, timeout=60)

    def alert(self, name, state):
        """The alert of that name and state, as /api/v1/alerts says, or None."""
        _, body = self.server.request("/api/v1/alerts")
        return next((one for one in json.loads(body)["data"]["alerts"]
                     if one["labels"]["alertname"] == name
                     and one["state"] == state), None)

    def metric(self, name):
        """The sum of a metric of vigie itself."""
        _, body = self.server.request("/metrics")
        return sum(float(value) for value in re.findall(
            rf"^{name}(?:{{[^}}]*}})? (\S+)$", body.decode(), re.MULTILINE))

    def slack(self):
        """What Slack was told, oldest first: a line of TEMPLATE each."""
        return [message["attachments"][0]["title"]
                for message in self.sinks.posted("slack")]

    def mail(self):
        """The subjects that arrived, oldest first."""
        return [str(email.header.make_header(
            email.header.decode_header(mail["Subject"])))
            for mail in self.sinks.mails()]

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    # ---- The way of an alert ------------------------------------------------

    def test_an_alert_arrives_everywhere_though_vigie_is_killed_on_the_way(self):
        self.push("trouble", 7)
        pending = until("it is pending", lambda: self.alert("Trouble", "pending"))
        active_at = seconds_of(pending["activeAt"])
        until("half of `for` has gone",
              lambda: time.time() > active_at + FOR_SECONDS / 2)
        self.assertEqual(self.sinks.posted("webhook"), [])

        self.kill_and_start()
        ready = time.time()
        firing = until("it fires", lambda: self.alert("Trouble", "firing"))
        webhook = until("the webhook has it",
                        lambda: self.sinks.posted("webhook"))[0]

        self.assertEqual(seconds_of(firing["activeAt"]), active_at)
        alert = webhook["alerts"][0]
        took = seconds_of(alert["startsAt"]) - active_at
        # Evaluations are a second apart, before the kill and after it; the
        # first at or after `for` fires.
        self.assertAlmostEqual(took, round(took), places=3)
        self.assertGreaterEqual(round(took), FOR_SECONDS)
        self.assertLessEqual(took, max(FOR_SECONDS, ready - active_at + 2))
        self.assertEqual(webhook["status"], "firing")
        self.assertEqual(alert["labels"], {
            "alertname": "Trouble", "severity": "critical", "site": "fr",
            "job": "test", "instance": "one"})
        self.assertEqual(alert["annotations"],
                         {"summary": "trouble 7 at fr"})
        until("Slack has it", lambda: self.slack() == ["Trouble: firing=fr"])
        until("the mailbox has it", lambda: self.mail() == ["Trouble: firing=fr"])
        mail = self.sinks.mails()[0]
        self.assertEqual(mail["X-Over-TLS"], "yes")
        self.assertEqual(mail["X-Envelope-To"], "on-call@localhost")

        self.push("trouble", 0)
        both = ["Trouble: firing=fr", "Trouble: resolved=fr"]
        until("Slack knows it is over", lambda: self.slack() == both)
        until("the mailbox knows it is over", lambda: self.mail() == both)
        until("the webhook knows it is over", lambda: [
            message["status"] for message in self.sinks.posted("webhook")
        ] == ["firing", "resolved"])

    def test_a_message_owed_at_the_kill_is_sent_and_the_others_are_not_again(self):
        self.sinks.behave("slack", "down")
        self.push("trouble", 1)
        until("the others have it",
              lambda: self.mail() and self.sinks.posted("webhook"))
        until("it is owed to Slack alone",
              lambda: self.metric("vigie_notifications_owed") == 1)

        self.server.kill()
        self.sinks.behave("slack", "ok")
        self.start()

        until("Slack has it", lambda: self.slack() == ["Trouble: firing=fr"])
        until("nothing is owed",
              lambda: self.metric("vigie_notifications_owed") == 0)
        self.push("other", 1)
        until("the next alert is everywhere",
              lambda: [len(self.slack()), len(self.mail()),
                       len(self.sinks.posted("webhook"))] == [2, 2, 2])

    def test_a_kill_during_a_delivery_repeats_it_once_at_most(self):
        self.sinks.behave("slack", "hold")
        self.push("trouble", 1)
        until("Slack has it and has not answered", self.slack)

        self.server.kill()
        self.sinks.behave("slack", "ok")
        self.start()
        until("nothing is owed",
              lambda: self.metric("vigie_notifications_owed") == 0)
        self.push("other", 1)
        until("the next alert is there",
              lambda: "Other: firing=fr" in self.slack())

        told = self.slack().count("Trouble: firing=fr")
        self.assertIn(told, (1, 2))
        self.assertEqual(len(self.slack()), told + 1)

    def test_who_was_down_is_told_what_is_still_true(self):
        self.sinks.behave("slack", "fail:503")
        self.push("trouble", 1, site="fr")
        self.push("trouble", 1, site="es")
        until("the mailbox has both", lambda: any(
            "firing=es firing=fr" in text for text in self.mail()))
        self.push("trouble", 0, site="es")
        until("the mailbox knows that one is over",
              lambda: "resolved=es" in self.mail()[-1])

        self.sinks.behave("slack", "ok")

        first = until("Slack is told", self.slack)[0]
        self.assertIn("firing=fr", first)
        self.assertNotIn("firing=es", first)

    def test_who_was_down_the_whole_time_is_not_told_of_what_is_over(self):
        self.sinks.behave("smtp", "fail:451")
        self.push("trouble", 1)
        until("Slack has it", lambda: self.slack() == ["Trouble: firing=fr"])
        self.push("trouble", 0)
        until("Slack knows it is over", lambda: len(self.slack()) == 2)

        self.sinks.behave("smtp", "ok")
        until("nothing is owed",
              lambda: self.metric("vigie_notifications_owed") == 0)
        self.push("other", 1)

        until("the next alert is there", self.mail)
        self.assertEqual(self.mail(), ["Other: firing=fr"])

    def test_a_label_cannot_call_everybody_or_add_a_header(self):
        self.push("trouble", 1, site=r"<!channel>\nBcc: all@localhost")

        until("Slack has it", self.slack)
        until("the mailbox has it", self.mail)

        self.assertNotIn("<!channel>", json.dumps(self.sinks.posted("slack")))
        self.assertIn("&lt;!channel&gt;", self.slack()[0])
        mail = self.sinks.mails()[0]
        self.assertIsNone(mail["Bcc"])
        self.assertEqual(mail["X-Envelope-To"], "on-call@localhost")

    # ---- Reload --------------------------------------------------------------

    def test_a_wrong_file_is_named_and_the_old_configuration_stays(self):
        self.push("trouble", 1)
        pending = until("it is pending", lambda: self.alert("Trouble", "pending"))
        wrong = {
            "rules.yml": (RULES.replace("trouble > 0", "trouble >"),
                          r"rules\.yml:\d+:\d+: "),
            "alertmanager.yml": (
                self.alertmanager.replace("receiver: all", "receiver: al"),
                r"alertmanager\.yml:\d+:\d+: "),
            "test.tmpl": (TEMPLATE.replace("{{ end }}", "{{ ned }}"),
                          r"test\.tmpl:\d+:\d+: "),
            "prometheus.yml": ("rule_files: {}\n", r"prometheus\.yml:\d+:\d+: "),
        }
        for name, (text, fault) in wrong.items():
            with self.subTest(name):
                with open(self.path(name), encoding="utf-8") as file:
                    good = file.read()
                self.write(name, text)

                status, body = self.server.request("/-/reload", form={})
                seen = len(self.log())
                os.kill(self.server.pid, signal.SIGHUP)

                self.assertEqual(status, 500)
                self.assertRegex(body.decode(), fault)
                until("the log names the place",
                      lambda: re.search(fault, self.log()[seen:]))
                self.assertEqual(
                    self.metric("vigie_config_last_reload_successful"), 0)
                _, body = self.server.request("/api/v1/rules")
                groups = json.loads(body)["data"]["groups"]
                self.assertEqual([rule["name"] for rule in groups[0]["rules"]],
                                 ["trouble:sum", "Trouble", "Other"])
                self.write(name, good)

        until("it fires all the same", lambda: self.alert("Trouble", "firing"))
        until("and arrives", lambda: self.slack() == ["Trouble: firing=fr"])
        self.assertEqual(self.alert("Trouble", "firing")["activeAt"],
                         pending["activeAt"])

    def test_a_reload_keeps_the_state_of_what_stays(self):
        self.push("trouble", 1)
        until("Slack has it", lambda: self.slack() == ["Trouble: firing=fr"])
        before = self.alert("Trouble", "firing")["activeAt"]
        self.write("rules.yml", RULES.replace("alert: Other", "alert: Else"))

        status, body = self.server.request("/-/reload", form={})

        self.assertEqual(status, 200, body)
        self.push("other", 1)
        until("the new rule fires", lambda: "Else: firing=fr" in self.slack())
        self.assertEqual(self.alert("Trouble", "firing")["activeAt"], before)
        self.assertEqual(self.slack(),
                         ["Trouble: firing=fr", "Else: firing=fr"])

    # ---- What is written down ------------------------------------------------

    def test_recorded_series_and_alerts_can_be_asked_for(self):
        self.push("trouble", 2)
        until("it fires", lambda: self.alert("Trouble", "firing"))

        until("ALERTS says so", lambda: self.server.api(
            "query", query='ALERTS{alertname="Trouble",alertstate="firing"}'
        )["result"])
        recorded = self.server.api("query", query="trouble:sum")["result"]
        self.assertEqual(recorded[0]["value"][1], "2")
        state = self.server.api(
            "query", query='ALERTS_FOR_STATE{alertname="Trouble"}')["result"]
        self.assertEqual(
            int(float(state[0]["value"][1])),
            int(seconds_of(self.alert("Trouble", "firing")["activeAt"])))


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    unittest.main(verbosity=2)

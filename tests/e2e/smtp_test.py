"""E-mail against a mail server that we did not write: aiosmtpd, with STARTTLS
or TLS from the first byte, with and without authentication.

Usage: smtp_test.py DELIVER, the binary of deliver.cc. What arrives is read by
Python's own mail parser.
"""

import asyncio
import email
import email.policy
import json
import logging
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

try:
    from aiosmtpd.smtp import SMTP, AuthResult
except ImportError:
    # Debian's package is for Debian's interpreter.
    if sys.executable == "/usr/bin/python3" or not os.path.exists(
            "/usr/bin/python3"):
        sys.exit("smtp_test.py: needs the package python3-aiosmtpd")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

logging.getLogger("mail.log").setLevel(logging.CRITICAL)
DELIVER = sys.argv.pop(1)
PASSWORD = "hunter2-hunter2"
SECONDS_MAX = 60


def make_certificates(folder):
    """A CA, a certificate of it for 127.0.0.1, and another CA."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True,
                       capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
           "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out",
                f"{name}.pem", "-days", "2", "-subj", f"/CN=test {name}")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr",
            "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-out", "server.pem", "-days", "2",
            "-extfile", "names")


class Mailbox:
    """aiosmtpd's handler: keeps what arrives."""

    def __init__(self):
        self.envelopes = []

    async def handle_DATA(self, server, session, envelope):
        self.envelopes.append(envelope)
        return "250 2.0.0 taken"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("full@"):
            return "452 4.2.2 mailbox full"
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"


def authenticate(server, session, envelope, mechanism, data):
    ok = data.login == b"vigie" and data.password == PASSWORD.encode()
    return AuthResult(success=ok, handled=False)


class MailServer:
    """aiosmtpd on a port of its own, on a thread of its own."""

    def __init__(self, host="127.0.0.1", first_byte_tls=None, **options):
        self.mailbox = Mailbox()
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.loop.create_server(
            lambda: SMTP(self.mailbox, loop=self.loop, hostname="stub",
                         **options), host, 0, ssl=first_byte_tls))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()


class SmtpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        make_certificates(cls.folder)
        cls.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        cls.tls.load_cert_chain(cls.folder / "server.pem",
                                cls.folder / "server.key")
        (cls.folder / "password").write_text(PASSWORD + "\n")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def serve(self, **options):
        """Starts a server until the test ends; returns mailbox and port."""
        server = MailServer(**options)
        self.addCleanup(server.stop)
        return server.mailbox, server.port

    def serve_starttls(self, **options):
        return self.serve(tls_context=self.tls, require_starttls=True,
                          auth_required=True, authenticator=authenticate,
                          **options)

    def deliver(self, port, extra="", labels=None, identity="n-1",
                to="Ops <ops@example.org>"):
        config = self.folder / "am.yml"
        config.write_text(f"""
global:
  smtp_smarthost: 127.0.0.1:{port}
  smtp_from: vigie <vigie@example.org>
  smtp_auth_username: vigie
  smtp_auth_password_file: password
  smtp_tls_config: {{ca_file: ca.pem}}
receivers:
- name: team
  email_configs:
  - to: {to}
    {extra}
""")
        alert = {"id": identity, "annotations": {"summary": "payments fail"},
                 "labels": labels or {"alertname": "PaymentsFail"}}
        done = subprocess.run([DELIVER, str(config), "team"], text=True,
                              input=json.dumps(alert), capture_output=True,
                              timeout=SECONDS_MAX)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def received(self, mailbox):
        self.assertEqual(len(mailbox.envelopes), 1)
        return email.message_from_bytes(mailbox.envelopes[0].content,
                                        policy=email.policy.default)

    def test_starttls_and_authentication(self):
        mailbox, port = self.serve_starttls()
        outcome = self.deliver(port)
        self.assertTrue(outcome["ok"], outcome)
        self.assertEqual(outcome["answer"], "250 2.0.0 taken")
        envelope = mailbox.envelopes[0]
        self.assertEqual(envelope.mail_from, "vigie@example.org")
        self.assertEqual(envelope.rcpt_tos, ["ops@example.org"])
        message = self.received(mailbox)
        self.assertEqual(message["subject"], "[FIRING:1] (PaymentsFail)")
        self.assertEqual(message["auto-submitted"], "auto-generated")
        self.assertIsNotNone(message["date"].datetime)
        self.assertEqual([p.get_content_type() for p in message.iter_parts()],
                         ["text/plain", "text/html"])
        for part in message.iter_parts():
            self.assertIn("payments fail", part.get_content())
        self.assertEqual(message.defects, [])

    def test_tls_from_the_first_byte(self):
        mailbox, port = self.serve(first_byte_tls=self.tls)
        outcome = self.deliver(port, "force_implicit_tls: true\n"
                                     "    auth_username: ''")
        self.assertTrue(outcome["ok"], outcome)
        self.assertEqual(len(mailbox.envelopes), 1)

    def test_wrong_password_is_temporary_and_not_repeated_in_clear(self):
        mailbox, port = self.serve_starttls()
        outcome = self.deliver(port, "auth_password: wrong")
        self.assertFalse(outcome["ok"])
        self.assertTrue(outcome["temporary"])
        self.assertTrue(outcome["answer"].startswith("535"), outcome)
        self.assertEqual(mailbox.envelopes, [])

    def test_a_certificate_of_another_ca_is_refused(self):
        mailbox, port = self.serve_starttls()
        outcome = self.deliver(port, "tls_config: {ca_file: other.pem}")
        self.assertFalse(outcome["ok"])
        self.assertIn("TLS", outcome["status"])
        self.assertEqual(mailbox.envelopes, [])

    def test_a_certificate_for_another_name_is_refused(self):
        mailbox, port = self.serve_starttls(host="127.0.0.2")
        outcome = self.deliver(port, f"smarthost: 127.0.0.2:{port}")
        self.assertFalse(outcome["ok"])
        self.assertIn("TLS", outcome["status"])
        self.assertEqual(mailbox.envelopes, [])

    def test_skipping_verification_is_obeyed(self):
        mailbox, port = self.serve_starttls()
        outcome = self.deliver(port, "tls_config: {insecure_skip_verify: true}")
        self.assertTrue(outcome["ok"], outcome)

    def test_a_server_without_starttls_gets_nothing(self):
        mailbox, port = self.serve()
        outcome = self.deliver(port)
        self.assertFalse(outcome["ok"])
        self.assertIn("STARTTLS", outcome["status"])
        self.assertEqual(mailbox.envelopes, [])

    def test_replies_decide(self):
        for to, temporary, code in (("full@example.org", True, "452"),
                                    ("nobody@example.org", False, "550")):
            with self.subTest(to):
                mailbox, port = self.serve_starttls()
                outcome = self.deliver(port, to=to)
                self.assertFalse(outcome["ok"])
                self.assertEqual(outcome["temporary"], temporary)
                self.assertTrue(outcome["answer"].startswith(code), outcome)
                self.assertEqual(mailbox.envelopes, [])

    def test_labels_arrive_as_they_are_and_add_no_header(self):
        hostile = ("x\r\nBcc: evil@example.org\r\n.\r\nQUIT <b>&amp; é 🔥 "
                   "=?utf-8?B?ZXZpbA==?= " + "long " * 200)
        mailbox, port = self.serve_starttls()
        outcome = self.deliver(
            port, "headers: {Subject: '{{ .CommonLabels.alertname }}'}",
            {"alertname": hostile})
        self.assertTrue(outcome["ok"], outcome)
        message = self.received(mailbox)
        self.assertIsNone(message["bcc"])
        self.assertIsNone(message["quit"])
        self.assertTrue(message["subject"].startswith(
            "x  Bcc: evil@example.org  .  QUIT <b>&amp; é 🔥 "
            "=?utf-8?B?ZXZpbA==?= long"), message["subject"])
        plain, html = message.iter_parts()
        self.assertIn(hostile.replace("\r\n", "\n").strip()[:200],
                      plain.get_content().replace("\r\n", "\n"))
        self.assertIn("QUIT &lt;b&gt;&amp;amp; é 🔥", html.get_content())
        self.assertNotIn("<b>", html.get_content())
        self.assertEqual(mailbox.envelopes[0].rcpt_tos, ["ops@example.org"])

    def test_a_repeat_has_the_same_message_id(self):
        identities = []
        for identity in ("n-1", "n-1", "n-2"):
            mailbox, port = self.serve_starttls()
            self.assertTrue(self.deliver(port, identity=identity)["ok"])
            identities.append(self.received(mailbox)["message-id"])
        self.assertEqual(identities[0], identities[1])
        self.assertNotEqual(identities[0], identities[2])


if __name__ == "__main__":
    unittest.main()

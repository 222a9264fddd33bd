#!/usr/bin/python3
"""Somebody to be told: a mail server, a Slack-shaped webhook and a plain one,
on this machine, so that alerts really arrive without an account anywhere.

The mail server wants STARTTLS and a password and files into a Maildir. The
webhooks take what Slack and Alertmanager's payload (version 4) allow, refuse
the rest in Slack's words, and append to a file, a JSON line a message.

Usage: sinks.py --directory DIR [--smtp HOST:PORT] [--http HOST:PORT]
Port 0 means any free one. In DIR:
  ca.pem, key.pem     a certificate made at the start, unless one is there
  smtp_password       the password of the user `vigie`, kept if it is there
  slack_url           the address of the Slack-shaped webhook
  mailbox/            Maildir
  slack.jsonl, webhook.jsonl
On standard output: `smtp: HOST:PORT`, `slack: URL`, `webhook: URL`, `ready`.

How a sink behaves is told by `PUT /behaviour/{smtp,slack,webhook}` with one of
  ok         as it should
  down       hangs up on whoever connects
  fail:CODE  refuses with this code; fail:429:SECONDS asks to wait
  hold       takes the message and does not answer until told otherwise
  lose       takes the message and hangs up without an answer
Needs Debian's python3-aiosmtpd and openssl.
"""

import argparse
import asyncio
import http.server
import json
import logging
import mailbox
import os
import pathlib
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

BODY_BYTES_MAX = 1 << 20
USER = b"vigie"


class Behaviour:
    """What each sink does, changed while it runs. Thread-safe."""

    def __init__(self):
        self._changed = threading.Condition()
        self._modes = {"smtp": "ok", "slack": "ok", "webhook": "ok"}

    def get(self, sink):
        with self._changed:
            return self._modes[sink]

    def set(self, sink, mode):
        """False if there is no such sink or mode."""
        head = mode.partition(":")[0]
        if sink not in self._modes or head not in (
                "ok", "down", "fail", "hold", "lose"):
            return False
        with self._changed:
            self._modes[sink] = mode
            self._changed.notify_all()
        return True

    def wait_while_held(self, sink):
        with self._changed:
            self._changed.wait_for(lambda: self._modes[sink] != "hold")


class Lines:
    """Appends JSON lines to a file; each is whole once it can be seen."""

    def __init__(self, path):
        self._path, self._lock = path, threading.Lock()
        path.touch()

    def append(self, value):
        line = json.dumps({"time": time.time(), **value}) + "\n"
        with self._lock, open(self._path, "a", encoding="utf-8") as file:
            file.write(line)


# ---- HTTP ------------------------------------------------------------------


def slack_fault(message):
    """What Slack would answer, or "" if it would take the message."""
    if not isinstance(message, dict):
        return "invalid_payload"
    attachments = message.get("attachments", [])
    if not isinstance(attachments, list) or not all(
            isinstance(one, dict) for one in attachments):
        return "invalid_attachments"
    if len(attachments) > 100:
        return "too_many_attachments"
    texts = [message.get("text")] + [
        one.get(key) for one in attachments
        for key in ("text", "title", "pretext", "fallback")]
    if any(text is not None and not isinstance(text, str) for text in texts):
        return "invalid_payload"
    return "" if any(texts) or message.get("blocks") else "no_text"


def webhook_fault(message):
    if not isinstance(message, dict) or message.get("version") != "4":
        return "not of version 4"
    for key, kind in (("groupKey", str), ("status", str), ("receiver", str),
                      ("alerts", list), ("groupLabels", dict),
                      ("commonLabels", dict), ("commonAnnotations", dict),
                      ("externalURL", str), ("truncatedAlerts", int)):
        if not isinstance(message.get(key), kind):
            return f"{key} is missing or wrong"
    for alert in message["alerts"]:
        for key in ("status", "labels", "annotations", "startsAt", "endsAt",
                    "generatorURL", "fingerprint"):
            if key not in alert:
                return f"an alert has no {key}"
    return ""


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # Of the server, set by serve(): behaviour, paths, lines.

    def log_message(self, format, *arguments):
        pass

    def answer(self, code, text, **headers):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_PUT(self):
        body = self.body()
        sink = self.path.removeprefix("/behaviour/")
        if body and self.server.behaviour.set(sink, body.decode().strip()):
            self.answer(200, "ok")
        else:
            self.answer(400, "no such sink or behaviour")

    def do_POST(self):
        sink = self.server.paths.get(self.path)
        body = self.body()
        if sink is None or body is None:
            self.answer(404, "no_service")
            return
        mode = self.server.behaviour.get(sink)
        if mode == "down":
            self.hang_up()
            return
        if mode.startswith("fail:"):
            _, code, *wait = mode.split(":")
            self.answer(int(code), "rate_limited" if code == "429" else "error",
                        **({"Retry_After": wait[0]} if wait else {}))
            return
        try:
            message = json.loads(body)
        except ValueError:
            self.answer(400, "invalid_payload")
            return
        fault = {"slack": slack_fault, "webhook": webhook_fault}[sink](message)
        if self.headers.get_content_type() != "application/json":
            fault = "invalid_payload"
        if fault:
            self.answer(400, fault)
            return
        self.server.lines[sink].append({"message": message})
        if mode == "hold":
            self.server.behaviour.wait_while_held(sink)
        if mode == "lose":
            self.hang_up()
            return
        self.answer(200, "ok")


class WebServer(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # somebody has hung up


# ---- Mail ------------------------------------------------------------------


class HangUp(asyncio.Protocol):
    def connection_made(self, transport):
        transport.abort()


class Mailroom:
    """aiosmtpd's hooks."""

    def __init__(self, behaviour, maildir, password):
        self._behaviour, self._maildir = behaviour, maildir
        self._password = password

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        good = (isinstance(data, LoginPassword) and data.login == USER and
                secrets.compare_digest(data.password, self._password))
        return AuthResult(success=good, handled=False)

    async def handle_DATA(self, server, session, envelope):
        mode = self._behaviour.get("smtp")
        if mode.startswith("fail:"):
            return f"{mode.split(':')[1]} 4.3.0 told to refuse"
        message = mailbox.MaildirMessage(envelope.content)
        message["X-Envelope-From"] = envelope.mail_from
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        message["X-Over-TLS"] = "yes" if session.ssl else "no"
        self._maildir.add(message)
        if mode == "hold":
            await asyncio.to_thread(self._behaviour.wait_while_held, "smtp")
        if mode == "lose":
            server.transport.abort()
        return "250 2.0.0 taken"


# ---- Together --------------------------------------------------------------


def make_certificate(directory):
    """A certificate for this machine that is its own authority."""
    key, certificate = directory / "key.pem", directory / "ca.pem"
    # Not one that ends within a day, should the directory be an old one.
    if subprocess.run(["openssl", "x509", "-checkend", "86400", "-noout", "-in",
                       str(certificate)], check=False, stdin=subprocess.DEVNULL,
                      stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb"):
            pass
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365", "-subj",
             "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key),
             "-out", str(certificate)],
            check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def kept_password(directory):
    path = directory / "smtp_password"
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w",
                  encoding="ascii") as file:
            file.write(secrets.token_urlsafe(18))
    return path.read_bytes().strip()


def host_and_port(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


async def serve(arguments):
    directory = pathlib.Path(arguments.directory)
    directory.mkdir(parents=True, exist_ok=True)
    context = make_certificate(directory)
    behaviour = Behaviour()
    mailroom = Mailroom(behaviour, mailbox.Maildir(directory / "mailbox"),
                        kept_password(directory))

    def connection():
        if behaviour.get("smtp") == "down":
            return HangUp()
        return SMTP(mailroom, hostname="localhost", tls_context=context,
                    require_starttls=True, auth_required=True,
                    authenticator=mailroom.authenticate)

    loop = asyncio.get_running_loop()
    mail = await loop.create_server(connection, *host_and_port(arguments.smtp))
    print("smtp: {}:{}".format(*mail.sockets[0].getsockname()[:2]))

    web = WebServer(host_and_port(arguments.http), Web)
    address = "http://{}:{}".format(*web.server_address[:2])
    # Where Slack has a secret there is one here, as long, and no secret.
    paths = {"slack": "/services/T00000000/B00000000/quickstart",
             "webhook": "/webhook"}
    web.behaviour = behaviour
    web.paths = {path: sink for sink, path in paths.items()}
    web.lines = {sink: Lines(directory / f"{sink}.jsonl") for sink in paths}
    threading.Thread(target=web.serve_forever, daemon=True).start()
    for sink, path in paths.items():
        print(f"{sink}: {address}{path}")
    (directory / "slack_url").write_text(address + paths["slack"],
                                         encoding="ascii")
    print("ready", flush=True)

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    os._exit(0)  # whoever is held is let go by that


if __name__ == "__main__":
    # It warns of a field of its own that it fills itself.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        description="A mail server and two webhooks on this machine.")
    parser.add_argument("--directory", required=True)
    parser.add_argument("--smtp", default="127.0.0.1:0")
    parser.add_argument("--http", default="127.0.0.1:0")
    asyncio.run(serve(parser.parse_args()))

"""One HTTP connection that costs the client little, so that what it times is
the server: requests are bytes made beforehand, answers are read and not parsed.
"""

import socket
import time
import urllib.parse

from peer_servers import Failed

PIECE_BYTES = 1 << 20


class Connection:
    """To `url`, kept alive; one thread."""

    def __init__(self, url, seconds_max=300):
        address = urllib.parse.urlsplit(url)
        self.host = f"{address.hostname}:{address.port}"
        self.socket = socket.create_connection(
            (address.hostname, address.port), seconds_max)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def request(self, path, parameters=()):
        """The bytes of a GET of `path`."""
        query = urllib.parse.urlencode(parameters)
        target = f"{path}?{query}" if query else path
        return f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()

    def ask(self, request):
        """(seconds until all of the answer is here, the answer's body)."""
        begin = time.perf_counter()
        self.socket.sendall(request)
        head, at = b"", -1
        while at < 0:
            head += self.receive()
            at = head.find(b"\r\n\r\n")
        fields, body = head[:at].lower(), [head[at + 4:]]
        length = self.content_length(fields)
        if length is None:  # chunked: JSON has no line ends of its own
            tail = body[0][-7:]
            while tail[-5:] != b"0\r\n\r\n" or tail[:-5][-2:] not in (b"",
                                                                    b"\r\n"):
                body.append(self.receive())
                tail = (tail + body[-1])[-7:]
        else:
            left = length - len(body[0])
            while left > 0:
                body.append(self.receive())
                left -= len(body[-1])
        seconds = time.perf_counter() - begin
        answer = b"".join(body)
        if length is None:
            answer = self.joined(answer)
        if not fields.startswith(b"http/1.1 200"):
            raise Failed(f"{head[:12].decode()}: {answer[:200].decode()}")
        return seconds, answer

    def receive(self):
        piece = self.socket.recv(PIECE_BYTES)
        if not piece:
            raise Failed("the connection was closed")
        return piece

    @staticmethod
    def content_length(fields):
        for line in fields.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                return int(value)
        return None

    @staticmethod
    def joined(body):
        """What the chunks of `body` hold."""
        parts, at = [], 0
        while True:
            end = body.index(b"\r\n", at)
            size = int(body[at:end].split(b";")[0], 16)
            if size == 0:
                return b"".join(parts)
            parts.append(body[end + 2:end + 2 + size])
            at = end + 4 + size

"""Remote write 1.0 and 2.0 without any library: bodies of float samples with
chosen bits, in 2.0 with all that comes beside them. Source: Prometheus
Remote-Write 1.0 and 2.0 specifications; snappy's block format, of which only
literals are used."""

import struct


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number, payload):
    return bytes((number << 3 | 2,)) + varint(len(payload)) + payload


def _sample(time_ms, bits):
    return b"\x09" + struct.pack("<Q", bits) + b"\x10" + varint(time_ms)


def encode(series):
    """`series`: [(labels as sorted (name, value) pairs, [(time_ms, bits)])]."""
    message = bytearray()
    for labels, samples in series:
        body = bytearray()
        for name, value in labels:
            body += _field(1, _field(1, name.encode()) +
                           _field(2, value.encode()))
        for time_ms, bits in samples:
            body += _field(2, _sample(time_ms, bits))
        message += _field(1, bytes(body))
    return bytes(message)


class Symbols:
    """The texts of one request of 2.0, each once; number 0 is the empty one."""

    def __init__(self):
        self.numbers = {"": 0}

    def refs(self, labels):
        """Labels as sorted (name, value) pairs to a field of references."""
        return _field(1, b"".join(
            varint(self.numbers.setdefault(text, len(self.numbers)))
            for pair in labels for text in pair))

    def ref(self, number, text):
        """Field `number` that refers to `text`."""
        at = self.numbers.setdefault(text, len(self.numbers))
        return bytes((number << 3,)) + varint(at)

    def fields(self):
        return b"".join(_field(4, text.encode()) for text in self.numbers)


def encode_v2(series):
    """`series`: dicts with `labels` and `samples` as in encode(), samples with
    a start time as third; and, if wanted, `exemplars` as (labels, bits,
    time_ms), `metadata` as (type, help, unit)."""
    symbols = Symbols()
    message = bytearray()
    for one in series:
        body = symbols.refs(one["labels"])
        for time_ms, bits, start_ms in one["samples"]:
            body += _field(2, _sample(time_ms, bits) + b"\x18" +
                           varint(start_ms))
        for labels, bits, time_ms in one.get("exemplars", ()):
            body += _field(4, symbols.refs(labels) + b"\x11" +
                           struct.pack("<Q", bits) + b"\x18" + varint(time_ms))
        if "metadata" in one:
            kind, text, unit = one["metadata"]
            body += _field(5, b"\x08" + varint(kind) + symbols.ref(3, text) +
                           symbols.ref(4, unit))
        message += _field(5, body)
    return symbols.fields() + bytes(message)


def snappy(data):
    out = bytearray(varint(len(data)))
    for start in range(0, len(data), 60):
        part = data[start:start + 60]
        out.append((len(part) - 1) << 2)
        out += part
    return bytes(out)


HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

HEADERS_V2 = {
    "Content-Type":
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
}

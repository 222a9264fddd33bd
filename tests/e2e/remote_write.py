"""Remote write 1.0 without any library: a body of float samples with chosen
bits. Source: Prometheus Remote-Write 1.0 specification; snappy's block format,
of which only literals are used."""

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

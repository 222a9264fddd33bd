"""Bodies of remote write 1.0 with every kind of sample: floats with chosen bits,
native histograms, exemplars. Source: Prometheus Remote-Write 1.0 specification,
prompb/types.proto."""

import struct

from remote_write import varint


def field(number, payload):
    return bytes((number << 3 | 2,)) + varint(len(payload)) + payload


def zigzag(value):
    return varint(value << 1 ^ value >> 63)


def double(number, value):
    return bytes((number << 3 | 1,)) + struct.pack("<d", value)


def packed(number, encode_one, values):
    return field(number, b"".join(encode_one(v) for v in values))


def sample_of(time_ms, bits):
    return b"\x09" + struct.pack("<Q", bits) + b"\x10" + varint(time_ms)


def label_pair(name, value):
    return field(1, name.encode()) + field(2, value.encode())


class Histogram:
    """A native histogram of positive buckets from `offset` on, with integer
    counts, or with float ones."""

    def __init__(self, time_ms, schema, offset, counts, total, floats=False):
        self.time_ms = time_ms
        self.schema = schema
        self.offset = offset
        self.counts = counts
        self.sum = total
        self.floats = floats

    def encode(self):
        count = sum(self.counts)
        body = bytearray()
        if self.floats:
            body += double(2, float(count))
        else:
            body += b"\x08" + varint(count)
        body += double(3, self.sum)
        body += b"\x20" + zigzag(self.schema)
        body += field(11, b"\x08" + zigzag(self.offset) +
                       b"\x10" + varint(len(self.counts)))
        if self.floats:
            body += packed(13, lambda c: struct.pack("<d", c), self.counts)
        else:
            deltas = [b - a for a, b in zip([0] + self.counts, self.counts)]
            body += packed(12, zigzag, deltas)
        body += b"\x78" + varint(self.time_ms)
        return bytes(body)


def exemplar_of(labels, value, time_ms):
    return (b"".join(field(1, label_pair(*label)) for label in labels) +
            double(2, value) + b"\x18" + varint(time_ms))


def encode(series):
    """`series`: [(labels as sorted (name, value) pairs, [(time_ms, bits)],
    [Histogram], [(labels, value, time_ms)] as exemplars)]."""
    message = bytearray()
    for labels, samples, histograms, exemplars in series:
        body = bytearray()
        for label in labels:
            body += field(1, label_pair(*label))
        for time_ms, bits in samples:
            body += field(2, sample_of(time_ms, bits))
        for exemplar in exemplars:
            body += field(3, exemplar_of(*exemplar))
        for histogram in histograms:
            body += field(4, histogram.encode())
        message += field(1, bytes(body))
    return bytes(message)

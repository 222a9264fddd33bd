#!/usr/bin/env python3
"""A dashboard asks the daemon the same again: the answer is the same, bytes and
all, most of it is not evaluated again, and what was written late meanwhile, or
deleted, is in it.

Usage: range_cache_test.py VIGIE
"""

import pathlib
import re
import struct
import sys
import tempfile
import time

import remote_write
from server_process import Server

STEP_SECONDS = 15
QUERY = 'sum by (job) (rate(cache_test_total[1m]))'


def write(server, job, samples):
    """`samples`: [(seconds, value)]; all of them are acknowledged."""
    labels = [("__name__", "cache_test_total"), ("job", job)]
    body = remote_write.encode([(labels, [
        (int(seconds * 1000), struct.unpack("<Q", struct.pack("<d", value))[0])
        for seconds, value in samples])])
    status, answer = server.request("/api/v1/write",
                                    body=remote_write.snappy(body),
                                    headers=remote_write.HEADERS)
    assert status in (200, 204), (status, answer)


def ask(server, start, end, **more):
    """The bytes of an answer, which those without the cache must equal."""
    form = dict(query=QUERY, start=start, end=end, step=STEP_SECONDS, **more)
    status, kept = server.request("/api/v1/query_range", form=form)
    assert status == 200, kept
    status, whole = server.request("/api/v1/query_range",
                                   form=dict(form, nocache=1))
    assert status == 200 and kept == whole, f"\n{kept}\n{whole}"
    return kept


def counts(server):
    _, text = server.request("/metrics")
    return {name: float(value) for name, value in re.findall(
        r'vigie_query_cache_requests_total\{result="(\w+)"\} (\S+)',
        text.decode())}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        config = pathlib.Path(scratch) / "vigie.yml"
        config.write_text("http: {admin_api: true}\n"
                          "self_monitoring: {enabled: false}\n")
        with Server(sys.argv[1], f"{scratch}/data", config) as server:
            now = int(time.time()) // STEP_SECONDS * STEP_SECONDS - 60
            begin = now - 1200
            for job in ("a", "b"):
                write(server, job, [(at, (at - begin) * 1.25)
                                    for at in range(begin, now, STEP_SECONDS)])

            first = ask(server, begin, now - 60)
            assert first.count(b'"job"') == 2, first
            assert ask(server, begin, now - 60) == first
            assert counts(server)["hit"] == 1, counts(server)
            ask(server, begin + 60, now)
            assert counts(server)["partial"] == 1, counts(server)
            assert counts(server)["bypass"] == 3, counts(server)

            write(server, "b", [(now - 300.5, 1.0)])  # a reset, out of order
            late = ask(server, begin, now - 60)
            assert late != first
            assert counts(server)["partial"] == 2, counts(server)
            write(server, "c", [(begin + 300, 1), (begin + 315, 50)])
            assert ask(server, begin, now - 60).count(b'"job"') == 3

            server.request("/api/v1/admin/tsdb/delete_series", form={
                "match[]": 'cache_test_total{job="c"}'})
            assert ask(server, begin, now - 60) == late
            print(counts(server))


if __name__ == "__main__":
    main()

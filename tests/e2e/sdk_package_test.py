"""The installed SDK, as a program outside of this tree meets it.

Usage: sdk_package_test.py VIGIE BUILD_DIRECTORY [unittest arguments]
"""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from server_process import Server

VIGIE = BUILD = None
SDK = pathlib.Path(__file__).parents[2] / "sdk"
EXAMPLE = SDK / "example"

INSTRUMENTS_CMAKE = """\
cmake_minimum_required(VERSION 3.25)
project(counts LANGUAGES CXX)
find_package(vigie-sdk REQUIRED COMPONENTS instruments)
add_executable(counts main.cc)
target_link_libraries(counts PRIVATE vigie::sdk)
"""
INSTRUMENTS_MAIN = """\
#include <vigie/sdk/meter.h>
int main() {
  vigie::sdk::Meter meter(vigie::sdk::Resource("counts", ""));
  meter.AddCounter<"site">({.name = "c"}).Bind("fr").Add(3);
  const auto all = meter.Collect(vigie::sdk::Clock::System().UnixNs());
  const auto& point = all.metrics.at(0).points.back();
  return std::get<int64_t>(point.value) == 3 ? 0 : 1;
}
"""


def run(*command, **keywords):
    """(exit status, both outputs)."""
    done = subprocess.run([str(c) for c in command], text=True, timeout=280,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **keywords)
    return done.returncode, done.stdout


class SdkPackage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.root = pathlib.Path(cls.directory.name)
        built = cls.root / "built"
        status, out = run("cmake", "--install", BUILD, "--component",
                          "vigie-sdk", "--prefix", built)
        assert status == 0, out
        # Where it was installed must not matter.
        cls.prefix = built.rename(cls.root / "moved")

    def build(self, source, *arguments):
        """Configures and builds a copy of `source`; the build directory."""
        copy = self.root / ("source_" + self._testMethodName)
        shutil.copytree(source, copy)
        build = self.root / ("build_" + self._testMethodName)
        launcher = shutil.which("ccache") or ""
        status, out = run("cmake", "-G", "Ninja", "-S", copy, "-B", build,
                          f"-DCMAKE_PREFIX_PATH={self.prefix}",
                          f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}",
                          *arguments)
        self.assertEqual(status, 0, out)
        status, out = run("cmake", "--build", build)
        self.assertEqual(status, 0, out)
        return build

    def environment(self, endpoint):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("OTEL_")}
        return clean | {"OTEL_SERVICE_NAME": "orders",
                        "OTEL_RESOURCE_ATTRIBUTES":
                            "service.instance.id=orders-0",
                        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}

    def test_the_example_counts_and_vigie_answers(self):
        program = self.build(EXAMPLE) / "orders"
        with Server(VIGIE, str(self.root / "data")) as server:
            status, out = run(program,
                              env=self.environment(f"http://{server.grpc}"))
            self.assertEqual((status, out), (0, ""))

            of = 'job="orders",instance="orders-0"'
            answers = {
                f'shop_orders_total{{site="fr",version="v1",{of}}}': "42",
                f'shop_orders_total{{site="es",{of}}}': "0",
                f'shop_revenue_cents_total{{currency="EUR",{of}}}': "83958",
                f'shop_active_users{{site="fr",{of}}}': "17",
                "http_server_request_duration_seconds_count"
                f'{{http_route="/checkout",{of}}}': "42",
                "http_server_request_duration_seconds_bucket"
                f'{{le="0.1",{of}}}': "25",
                f'vigie_sdk_export_dropped_total{{reason="expired",{of}}}': "0",
            }
            for query, value in answers.items():
                result = server.api("query", query=query)["result"]
                self.assertEqual(len(result), 1, query)
                self.assertEqual(result[0]["value"][1], value, query)

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}"
        status, out = run(program, env=self.environment(address) |
                          {"OTEL_METRIC_EXPORT_TIMEOUT": "300"})
        self.assertEqual(status, 1, out)
        self.assertRegex(out, "not acknowledged yet")

        status, out = run(program, env=self.environment(address) |
                          {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
        self.assertEqual(status, 2, out)
        self.assertIn("OTEL_EXPORTER_OTLP_PROTOCOL", out)

    def test_the_readme_works_as_printed(self):
        readme = (SDK / "README.md").read_text()
        source = self.root / "readme"
        shutil.copytree(EXAMPLE, source)
        (source / "main.cc").write_text(
            re.search(r"```cpp\n(.*?)```", readme, re.DOTALL).group(1))
        program = self.build(source) / "orders"
        with Server(VIGIE, str(self.root / "readme_data")) as server:
            status, out = run(program,
                              env=self.environment(f"http://{server.grpc}"))
            self.assertEqual((status, out), (0, ""))
            result = server.api("query", query="shop_orders_total")["result"]
            self.assertEqual([r["value"][1] for r in result], ["1"])

    def test_instruments_need_neither_grpc_nor_prometheus_cpp(self):
        source = self.root / "instruments"
        source.mkdir()
        (source / "CMakeLists.txt").write_text(INSTRUMENTS_CMAKE)
        (source / "main.cc").write_text(INSTRUMENTS_MAIN)
        hidden = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON"
                  for package in ("gRPC", "absl", "Protobuf", "prometheus-cpp")]

        program = self.build(source, *hidden) / "counts"

        self.assertEqual(run(program), (0, ""))
        libraries = run("ldd", program)[1]
        self.assertNotRegex(libraries, "grpc|absl|protobuf|prometheus")

    def test_headers_include_only_what_is_installed(self):
        include = self.prefix / "include"
        headers = sorted(include.rglob("*.h"))
        self.assertTrue(headers)
        for header in headers:
            self.assertEqual(header.relative_to(include).parts[:2],
                             ("vigie", "sdk"))
            for name in re.findall(r'#include "([^"]+)"', header.read_text()):
                if name.startswith("absl/"):
                    continue
                self.assertTrue((include / "vigie" / name).is_file(),
                                f"{header}: {name}")
                self.assertNotIn(".pb.h", name)


if __name__ == "__main__":
    VIGIE = sys.argv.pop(1)
    BUILD = sys.argv.pop(1)
    unittest.main()

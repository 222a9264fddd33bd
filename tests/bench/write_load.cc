// Sends samples by remote write and prints one JSON object of what came of it.
// With --vgd the samples of a file of columns (zstd or plain) as they were
// scraped, time by time; otherwise those of the made-up fleet.
//
// Usage: write_load --url http://HOST:PORT/PATH [--batch N]
//                   [--vgd FILE [--every N] [--end EPOCH_S]]
//                   [--series N] [--steps N] [--start EPOCH_S]
//                   [--interval S] [--metric NAME]
// --every N keeps each N-th scrape of a series; --end moves all times so that
// the newest is there; --metric makes all series one metric's, with their own
// names as a label. Exit status 1 if a request fails: then the counts say
// how far it came.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/compress/compress.h"
#include "model/labels.h"
#include "model/sample.h"
#include "tests/bench/fleet.h"
#include "tests/support/raw_http_client.h"

namespace {

using vigie::Sample;

std::string Varint(uint64_t value) {
  std::string out;
  for (; value > 127; value >>= 7) {
    out.push_back(static_cast<char>(value | 128));
  }
  out.push_back(static_cast<char>(value));
  return out;
}

std::string Field(int number, std::string_view bytes) {
  std::string out = Varint(number << 3 | 2) + Varint(bytes.size());
  return out.append(bytes);
}

// The labels of one TimeSeries of a WriteRequest.
std::string EncodeLabels(const std::vector<vigie::LabelView>& labels) {
  std::string out;
  for (const vigie::LabelView& label : labels) {
    out += Field(1, Field(1, label.name) + Field(2, label.value));
  }
  return out;
}

std::string EncodeSeries(std::string_view labels, Sample sample) {
  std::string value(8, '\0');
  std::memcpy(value.data(), &sample.value, 8);
  return Field(1,
               std::string(labels) +
                   Field(2, "\x09" + value + "\x10" +
                                Varint(static_cast<uint64_t>(sample.time_ms))));
}

struct Result {
  uint64_t series = 0;
  uint64_t acknowledged = 0;
  uint64_t failures = 0;
  std::string first_failure;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
  double seconds = 0;
};

class Writer {
 public:
  Writer(const std::string& url, size_t batch)
      : batch_(batch),
        address_(url.substr(7, url.find('/', 7) - 7)),
        path_(url.substr(7 + address_.size())),
        client_(address_) {}

  // False once a request has failed.
  bool Add(std::string_view labels, Sample sample) {
    if (result_.first_ms == 0) result_.first_ms = sample.time_ms;
    result_.last_ms = std::max(result_.last_ms, sample.time_ms);
    message_ += EncodeSeries(labels, sample);
    return ++held_ < batch_ || Send();
  }

  bool Send() {
    if (held_ == 0) return result_.failures == 0;
    const std::string body = vigie::compress::CompressSnappyBlock(message_);
    const auto begin = std::chrono::steady_clock::now();
    const bool sent = client_.Send(
        fmt::format("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: "
                    "application/x-protobuf\r\nContent-Encoding: snappy\r\n"
                    "X-Prometheus-Remote-Write-Version: 0.1.0\r\n"
                    "Content-Length: {}\r\n\r\n",
                    path_, address_, body.size()) +
        body);
    const vigie::testing::RawReply reply =
        sent ? client_.Receive() : vigie::testing::RawReply{};
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - begin;
    result_.seconds += took.count();
    if (reply.status / 100 == 2) {
      result_.acknowledged += held_;
    } else {
      ++result_.failures;
      result_.first_failure = fmt::format(
          "{} {}", reply.status, reply.body.substr(0, reply.body.find('\n')));
    }
    held_ = 0;
    message_.clear();
    return result_.failures == 0;
  }

  Result& result() { return result_; }

 private:
  const size_t batch_;
  const std::string address_;
  const std::string path_;
  vigie::testing::RawHttpClient client_;
  std::string message_;
  size_t held_ = 0;
  Result result_;
};

// {a="x",b="y"} without the braces; values are not escaped, so a quote ends
// one only where a comma or the end follows.
std::vector<vigie::LabelView> ParseLabels(std::string_view text) {
  std::vector<vigie::LabelView> labels;
  while (!text.empty()) {
    const size_t equals = text.find("=\"");
    if (equals == text.npos) throw std::runtime_error("labels: no =");
    size_t end = text.find("\",", equals + 2);
    if (end == text.npos) end = text.size() - 1;
    labels.push_back(
        {text.substr(0, equals), text.substr(equals + 2, end - equals - 2)});
    text.remove_prefix(std::min(text.size(), end + 2));
  }
  std::sort(labels.begin(), labels.end());
  return labels;
}

// "VGD1", u32 series; of each u32 label bytes, labels, u32 n, i64 time_ms[n],
// f64 value[n]; little endian.
class Columns {
 public:
  explicit Columns(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream all;
    all << file.rdbuf();
    bytes_ = std::move(all).str();
    if (!bytes_.starts_with("VGD1")) {
      auto plain = vigie::compress::DecompressZstd(bytes_, int64_t{4} << 30);
      if (!plain.ok()) throw std::runtime_error(path + ": not columns");
      bytes_ = *std::move(plain);
    }
    at_ = 4;
    const auto series = Take<uint32_t>();
    for (uint32_t i = 0; i < series; ++i) {
      const auto label_bytes = Take<uint32_t>();
      labels_.push_back(EncodeLabels(
          ParseLabels(std::string_view(Skip(label_bytes), label_bytes))));
      const auto n = Take<uint32_t>();
      const char* times = Skip(8 * size_t{n});
      const char* values = Skip(8 * size_t{n});
      for (uint32_t j = 0; j < n; ++j) {
        points_.push_back({At<int64_t>(times, j), At<double>(values, j), i});
      }
    }
  }

  void Write(int64_t every, int64_t end_ms, Writer* writer) {
    std::stable_sort(
        points_.begin(), points_.end(),
        [](const Point& a, const Point& b) { return a.time_ms < b.time_ms; });
    const int64_t moved = end_ms == 0 ? 0 : end_ms - points_.back().time_ms;
    std::vector<int64_t> seen(labels_.size(), 0);
    writer->result().series = labels_.size();
    for (const Point& point : points_) {
      if (seen[point.series]++ % every != 0) continue;
      if (!writer->Add(labels_[point.series],
                       {point.time_ms + moved, point.value})) {
        return;
      }
    }
    writer->Send();
  }

 private:
  struct Point {
    int64_t time_ms;
    double value;
    uint32_t series;
  };

  const char* Skip(size_t bytes) {
    if (bytes > bytes_.size() - at_) throw std::runtime_error("columns: cut");
    return bytes_.data() + std::exchange(at_, at_ + bytes);
  }
  template <class T>
  static T At(const char* column, size_t i) {
    T value;
    std::memcpy(&value, column + i * sizeof(T), sizeof(T));
    return value;
  }
  template <class T>
  T Take() {
    return At<T>(Skip(sizeof(T)), 0);
  }

  std::string bytes_;
  size_t at_ = 0;
  std::vector<std::string> labels_;
  std::vector<Point> points_;
};

// The labels of a series of the fleet, those of `metric` if that is not empty.
std::string EncodeFleetLabels(const vigie::Labels& labels,
                              std::string_view metric) {
  std::vector<vigie::LabelView> views(labels.begin(), labels.end());
  if (!metric.empty()) {
    for (vigie::LabelView& label : views) {
      if (label.name == vigie::kMetricName) label.name = "kind";
    }
    views.push_back({vigie::kMetricName, metric});
    std::sort(views.begin(), views.end());
  }
  return EncodeLabels(views);
}

void WriteFleet(uint32_t series, int64_t steps, int64_t start_ms,
                int64_t interval_ms, std::string_view metric, Writer* writer) {
  using vigie::bench::Fleet;
  series -= series % Fleet::kSeriesPerPod;
  const int64_t end_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::system_clock::now().time_since_epoch())
          .count();
  if (start_ms == 0) start_ms = end_ms - steps * interval_ms;
  Fleet fleet(series, start_ms, interval_ms);
  std::vector<std::string> labels;
  for (uint32_t i = 0; i < series; ++i) {
    labels.push_back(EncodeFleetLabels(fleet.LabelsOf(i), metric));
  }
  writer->result().series = series;
  for (int64_t step = 0; step < steps; ++step) {
    for (uint32_t i = 0; i < series; ++i) {
      if (!writer->Add(labels[i], fleet.Next(i, step))) return;
    }
    if (!writer->Send()) return;
  }
}

int Main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {
      {"--url", ""},     {"--batch", "2000"}, {"--vgd", ""},
      {"--every", "1"},  {"--end", "0"},      {"--series", "1000"},
      {"--steps", "10"}, {"--start", "0"},    {"--interval", "15"},
      {"--metric", ""}};
  for (int i = 1; i < argc; i += 2) {
    const auto it = flags.find(argv[i]);
    if (it == flags.end() || i + 1 == argc) {
      throw std::runtime_error(fmt::format("unknown flag {}", argv[i]));
    }
    it->second = argv[i + 1];
  }
  if (!flags["--url"].starts_with("http://")) {
    throw std::runtime_error("--url http://HOST:PORT/PATH is missing");
  }
  Writer writer(flags["--url"], std::stoul(flags["--batch"]));
  if (!flags["--vgd"].empty()) {
    Columns(flags["--vgd"])
        .Write(std::stol(flags["--every"]), std::stol(flags["--end"]) * 1000,
               &writer);
  } else {
    WriteFleet(static_cast<uint32_t>(std::stoul(flags["--series"])),
               std::stol(flags["--steps"]), std::stol(flags["--start"]) * 1000,
               std::stol(flags["--interval"]) * 1000, flags["--metric"],
               &writer);
  }
  const Result& result = writer.result();
  fmt::print(
      "{{\"series\": {}, \"samples_acknowledged\": {}, \"failures\": {}, "
      "\"first_timestamp_ms\": {}, \"last_timestamp_ms\": {}, "
      "\"wall_s\": {:.6f}}}\n",
      result.series, result.acknowledged, result.failures, result.first_ms,
      result.last_ms, result.seconds);
  if (result.failures > 0) {
    fmt::print(stderr, "write_load: {}\n", result.first_failure);
  }
  return result.failures > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "write_load: {}\n", failure.what());
    return 2;
  }
}

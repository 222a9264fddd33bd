// Arbitrary bytes as what Prometheus's blocks are made of: a chunk of each
// encoding, and a block whose sections are the input with right checksums.
#include <unistd.h>

#include <boost/crc.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "store/prometheus_block.h"
#include "store/prometheus_chunk.h"

namespace {

using vigie::store::SampleBatch;

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckBatch(const SampleBatch& batch) {
  const size_t size = batch.times_ms.size();
  Check(batch.values.size() + batch.integer_histograms.size() +
            batch.float_histograms.size() ==
        size);
  for (size_t i = 1; i < size; ++i) {
    Check(batch.times_ms[i - 1] < batch.times_ms[i]);
  }
}

std::string BigEndian(uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
  return out;
}

std::string Sum(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return BigEndian(crc.checksum(), 4);
}

std::string Section(const std::string& content) {
  return BigEndian(content.size(), 4) + content + Sum(content);
}

std::string Uvarint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class Directory {
 public:
  Directory() {
    std::string name =
        (std::filesystem::temp_directory_path() / "tsdb-fuzz-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    std::filesystem::create_directory(path_ + "/chunks");
    Write(path_ + "/meta.json",
          R"({"version":1,"ulid":"A","minTime":0,"maxTime":1})");
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The first bytes say how the rest is cut into symbols, series, chunk and
// tombstones.
void ReadAsBlock(std::string_view input) {
  static const Directory directory;
  if (input.size() < 4) return;
  const uint8_t version = 1 + (input[0] & 1);
  const auto cut = [&](size_t i) {
    return static_cast<uint8_t>(input[i]) * input.size() / 256;
  };
  const size_t a = cut(1), b = cut(2), c = cut(3);
  const std::string_view rest = input.substr(4);
  const auto part = [&](size_t begin, size_t end) {
    begin = std::min(begin, rest.size());
    end = std::clamp(end, begin, rest.size());
    return std::string(rest.substr(begin, end - begin));
  };
  std::string index = BigEndian(0xBAAAD700, 4) + static_cast<char>(version);
  const uint64_t symbols = index.size();
  index += Section(part(0, a));
  while (index.size() % 16 != 0) index += '\0';
  const uint64_t series = index.size();
  const std::string row = part(a, b);
  index += Uvarint(row.size()) + row + Sum(row);
  const uint64_t list = index.size();
  index += Section(BigEndian(1, 4) +
                   BigEndian(version == 2 ? series / 16 : series, 4));
  const uint64_t table = index.size();
  const std::string entry =
      BigEndian(2, 1) + Uvarint(0) + Uvarint(0) + Uvarint(list);
  index += Section(BigEndian(1, 4) + entry);
  std::string toc = BigEndian(symbols, 8) + BigEndian(series, 8) +
                    BigEndian(0, 8) + BigEndian(0, 8) + BigEndian(list, 8) +
                    BigEndian(table, 8);
  index += toc + Sum(toc);
  Write(directory.path() + "/index", index);

  const std::string chunk = part(b, c);
  std::string chunks = BigEndian(0x85BD40DD, 4) + BigEndian(0x01000000, 4);
  if (!chunk.empty()) {
    chunks += Uvarint(chunk.size() - 1) + chunk + Sum(chunk);
  }
  Write(directory.path() + "/chunks/000001", chunks);
  const std::string stones = part(c, rest.size());
  if (stones.empty()) {
    std::filesystem::remove(directory.path() + "/tombstones");
  } else {
    Write(directory.path() + "/tombstones",
          BigEndian(0x0130BA30, 4) + stones + Sum(stones.substr(1)));
  }

  const auto block = vigie::store::PrometheusBlock::Open(directory.path(), {});
  if (!block.ok()) return;
  vigie::store::ImportedSeries one;
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more) {
    more = (*block)->Next(&one);
    for (const SampleBatch& batch : one.batches) CheckBatch(batch);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  // Blocks cost files; most of the time goes to chunks.
  if (static_cast<uint8_t>(input[0]) < 64) {
    ReadAsBlock(input.substr(1));
    return 0;
  }
  for (const uint8_t encoding : {1, 2, 3}) {
    const auto batch =
        vigie::store::DecodePrometheusChunk(encoding, input.substr(1));
    if (batch.ok()) CheckBatch(*batch);
  }
  return 0;
}

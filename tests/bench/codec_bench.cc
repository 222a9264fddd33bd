// What codecs make of series: bytes and nanoseconds of one thread a value, for
// the store's columns of values, whole chunks and open chunks, beside Gorilla's
// XOR and zstd on the same values.
//   codec_bench [--every N] [FILE...]   files as `loadgen dump` writes them,
//                                       each N-th sample; none: made-up series
#include <fmt/format.h>
#include <time.h>
#include <zstd.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "store/byte_coding.h"
#include "store/chunk.h"
#include "store/open_chunk.h"
#include "store/value_codec.h"

namespace vigie::store {
namespace {

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

std::vector<SampleColumns> ReadDump(const std::string& path, size_t every) {
  std::ifstream file(path, std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(file)), {});
  ByteReader in(all);
  const auto size = [&in] { return __builtin_bswap32(in.BigEndian32()); };
  std::vector<SampleColumns> series;
  if (in.Bytes(4) != "VGD1") return series;
  for (uint32_t left = size(); left > 0; --left) {
    in.Bytes(size());
    const size_t samples = size();
    const std::string_view times = in.Bytes(8 * samples);
    const std::string_view values = in.Bytes(8 * samples);
    if (!in.ok()) return {};
    SampleColumns& columns = series.emplace_back();
    for (size_t i = 0; i < samples; i += every) {
      int64_t time_ms;
      double value;
      std::memcpy(&time_ms, times.data() + 8 * i, 8);
      std::memcpy(&value, values.data() + 8 * i, 8);
      columns.PushBack(time_ms, value, 0);
    }
  }
  return series;
}

// Counters fast and slow, percentages, pages, sums of seconds, latencies, ones.
std::vector<SampleColumns> MadeUp() {
  std::mt19937_64 random(1);
  std::vector<SampleColumns> series(140);
  for (size_t s = 0; s < series.size(); ++s) {
    double value = s % 7 == 2 ? 50 : 0, sum = 0;
    for (int i = 0; i < 2880; ++i) {
      const auto step = static_cast<double>(random() % 100);
      switch (s % 7) {
        case 0:
          value += step * static_cast<double>(1 + s);
          break;
        case 1:
          value += step < 3 ? 1 : 0;
          break;
        case 2:
          value = std::round(100 * (value + (step - 49.5) / 50)) / 100;
          break;
        case 3:
          value = std::max(0.0, value + 4096 * (step - 40));
          break;
        case 4:
          value = sum += std::round(step * 7.3) / 1000;
          break;
        case 5:
          value = std::exp((step - 50) / 30) * 40;
          break;
        default:
          value = 1;
      }
      series[s].PushBack(1'763'700'000'000 + i * 15'000, value, 0);
    }
  }
  return series;
}

// The value stream of Pelkonen et al., 2015, 4.1.2, with 64-bit writes.
class GorillaWriter {
 public:
  void Put(double value) {
    const auto bits = std::bit_cast<uint64_t>(value);
    const uint64_t changed = bits ^ last_;
    last_ = bits;
    if (changed == 0 && !first_) return PutBits(0, 1);
    if (first_) {
      first_ = false;
      PutBits(bits & 0xFFFFFFFF, 32);
      return PutBits(bits >> 32, 32);
    }
    const int lead = std::min(std::countl_zero(changed), 31);
    const int trail = std::countr_zero(changed);
    if (lead >= lead_ && trail >= trail_) {
      PutBits(0b01, 2);
      return PutBits(changed >> trail_, 64 - lead_ - trail_);
    }
    lead_ = lead;
    trail_ = trail;
    const int width = 64 - lead - trail;
    PutBits(0b11, 2);
    PutBits(static_cast<uint64_t>(lead), 5);
    PutBits(static_cast<uint64_t>(width - 1), 6);
    PutBits(changed >> trail, width);
  }
  std::string Take() {
    bytes_.append(reinterpret_cast<const char*>(&word_),
                  static_cast<size_t>(filled_ + 7) / 8);
    return std::move(bytes_);
  }

 private:
  void PutBits(uint64_t bits, int count) {
    word_ |= bits << filled_;
    if (filled_ + count < 64) {
      filled_ += count;
      return;
    }
    bytes_.append(reinterpret_cast<const char*>(&word_), 8);
    const int written = 64 - filled_;
    word_ = written == 64 ? 0 : bits >> written;
    filled_ = count - written;
  }

  std::string bytes_;
  uint64_t word_ = 0, last_ = 0;
  int filled_ = 0, lead_ = 65, trail_ = 65;
  bool first_ = true;
};

void ReadGorilla(std::string_view packed, std::vector<double>* out) {
  std::string bytes(packed);
  bytes.append(9, '\0');  // as it reads whole words
  size_t at = 0;
  const auto take = [&](int count) {
    uint64_t word, more = 0;
    std::memcpy(&word, bytes.data() + at / 8, 8);
    more = static_cast<unsigned char>(bytes[at / 8 + 8]);
    const int shift = static_cast<int>(at % 8);
    at += static_cast<size_t>(count);
    word >>= shift;
    if (shift != 0) word |= more << (64 - shift);
    return count == 64 ? word : word & ((uint64_t{1} << count) - 1);
  };
  uint64_t last = take(64);
  int width = 64, trail = 0;
  for (double& value : *out) {
    if (&value != out->data() && take(1) == 1) {
      if (take(1) == 1) {
        const auto lead = static_cast<int>(take(5));
        width = static_cast<int>(take(6)) + 1;
        trail = 64 - lead - width;
      }
      last ^= take(width) << trail;
    }
    value = std::bit_cast<double>(last);
  }
}

std::string Zstd(std::string_view bytes, int level) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(
      ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level));
  return out;
}

struct Codec {
  std::string name;
  std::function<std::string(const SampleColumns&, size_t begin, size_t end)>
      encode;
  // Replaces the values, as many as there are.
  std::function<void(std::string_view bytes, SampleColumns* out)> decode;
};

std::vector<Codec> Codecs() {
  const auto raw = [](const SampleColumns& s, size_t begin, size_t end) {
    return std::string(reinterpret_cast<const char*>(s.values.data() + begin),
                       8 * (end - begin));
  };
  const auto columns = [](const SampleColumns& s, size_t begin, size_t end) {
    std::string out;
    EncodeDoubles({s.values.data() + begin, end - begin}, &out);
    return out;
  };
  return {
      {"Gorilla XOR",
       [](const SampleColumns& s, size_t begin, size_t end) {
         GorillaWriter writer;
         for (size_t i = begin; i < end; ++i) writer.Put(s.values[i]);
         return writer.Take();
       },
       [](std::string_view bytes, SampleColumns* out) {
         ReadGorilla(bytes, &out->values);
       }},
      {"zstd-1 of doubles",
       [raw](const SampleColumns& s, size_t begin, size_t end) {
         return Zstd(raw(s, begin, end), 1);
       },
       [](std::string_view bytes, SampleColumns* out) {
         ZSTD_decompress(out->values.data(), 8 * out->values.size(),
                         bytes.data(), bytes.size());
       }},
      {"values (EncodeDoubles)", columns,
       [](std::string_view bytes, SampleColumns* out) {
         ByteReader in(bytes);
         DecodeDoubles(&in, out->values);
       }},
      {"chunk, times and all",
       [](const SampleColumns& s, size_t begin, size_t end) {
         return EncodeChunk(s, begin, end);
       },
       [](std::string_view bytes, SampleColumns* out) {
         (void)DecodeChunk(bytes, out);
       }},
  };
}

struct Figures {
  double bytes = 0, encode_ns = 0, decode_ns = 0;
};

// Exits if a value does not come back.
Figures Measure(const Codec& codec, const std::vector<SampleColumns>& series,
                size_t chunk, std::string* all) {
  struct Piece {
    const SampleColumns* from;
    size_t begin;
    std::string bytes;
  };
  std::vector<Piece> pieces;
  size_t values = 0, bytes = 0;
  double start = CpuSeconds();
  for (const SampleColumns& s : series) {
    for (size_t begin = 0; begin < s.size(); begin += chunk) {
      const size_t end = std::min(begin + chunk, s.size());
      pieces.push_back({&s, begin, codec.encode(s, begin, end)});
      values += end - begin;
    }
  }
  const double encode = CpuSeconds() - start;
  double decode = 0;
  SampleColumns out;
  for (const Piece& piece : pieces) {
    out.values.resize(std::min(chunk, piece.from->size() - piece.begin));
    start = CpuSeconds();
    // Eight times, as asking for the time costs as much as a chunk.
    for (int i = 0; i < 8; ++i) codec.decode(piece.bytes, &out);
    decode += CpuSeconds() - start;
    if (std::memcmp(out.values.data(), piece.from->values.data() + piece.begin,
                    8 * out.values.size()) != 0) {
      fmt::print("{}: a value did not come back\n", codec.name);
      std::exit(1);
    }
    bytes += piece.bytes.size();
    all->append(piece.bytes);
  }
  const auto n = static_cast<double>(values);
  return {static_cast<double>(bytes) / n, encode / n * 1e9,
          decode / 8 / n * 1e9};
}

Figures MeasureOpen(const std::vector<SampleColumns>& series, size_t chunk) {
  size_t values = 0, bytes = 0;
  double append = 0, decode = 0;
  for (const SampleColumns& s : series) {
    std::vector<OpenChunk> chunks((s.size() + chunk - 1) / chunk);
    double start = CpuSeconds();
    for (size_t i = 0; i < s.size(); ++i) {
      chunks[i / chunk].Append(s.times_ms[i], 0, s.values[i]);
    }
    append += CpuSeconds() - start;
    start = CpuSeconds();
    for (const OpenChunk& open : chunks) {
      SampleRuns runs;
      open.Decode(&runs);
      bytes += open.bytes();
    }
    decode += CpuSeconds() - start;
    values += s.size();
  }
  const auto n = static_cast<double>(values);
  return {static_cast<double>(bytes) / n, append / n * 1e9, decode / n * 1e9};
}

void Print(std::string_view name, size_t chunk, const Figures& f) {
  fmt::print("{:<26}{:>6}{:>10.3f}{:>12.1f}{:>12.2f}\n", name, chunk, f.bytes,
             f.encode_ns, f.decode_ns);
}

void Run(std::string_view title, const std::vector<SampleColumns>& series) {
  fmt::print("\n{}: {} series\n{:<26}{:>6}{:>10}{:>12}{:>12}\n", title,
             series.size(), "codec", "chunk", "B/value", "encode ns",
             "decode ns");
  for (const size_t chunk : {120, 512, 2048}) {
    for (const Codec& codec : Codecs()) {
      std::string all;
      Figures figures = Measure(codec, series, chunk, &all);
      Print(codec.name, chunk, figures);
      // As RocksDB keeps them: many chunks in one compressed block.
      size_t packed = 0;
      for (size_t at = 0; at < all.size(); at += 32768) {
        packed += Zstd(std::string_view(all).substr(at, 32768), 1).size();
      }
      figures.bytes *= static_cast<double>(packed) /
                       static_cast<double>(std::max<size_t>(all.size(), 1));
      fmt::print("{:<32}{:>10.3f}\n", "  in zstd-1 blocks of 32 KiB",
                 figures.bytes);
    }
  }
  for (const size_t chunk : {9, 120, 480}) {
    Print("open chunk, times and all", chunk, MeasureOpen(series, chunk));
  }
}

}  // namespace
}  // namespace vigie::store

int main(int argc, char** argv) {
  size_t every = 1;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--every" && i + 1 < argc) {
      every = std::max(1ul, std::strtoul(argv[++i], nullptr, 10));
    } else {
      files.emplace_back(argv[i]);
    }
  }
  if (files.empty()) vigie::store::Run("made up", vigie::store::MadeUp());
  for (const std::string& file : files) {
    const auto series = vigie::store::ReadDump(file, every);
    if (series.empty()) {
      fmt::print("{}: no dump, or no series in it\n", file);
      return 1;
    }
    vigie::store::Run(file, series);
  }
}

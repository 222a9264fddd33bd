#include "store/chunk.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/status_macros.h"
#include "store/byte_coding.h"
#include "store/histogram_codec.h"
#include "store/integer_codec.h"
#include "store/value_codec.h"

namespace vigie::store {
namespace {

constexpr uint8_t kVersion = 2;

// Second byte: the kind, then what is there.
constexpr uint8_t kKindMask = 0x0F;
constexpr uint8_t kHasStatistics = 1 << 4;
constexpr uint8_t kHasStarts = 1 << 5;
constexpr uint8_t kFlagsEnd = 1 << 6;

enum Times : uint8_t {
  kRegular = 0,  // nothing more
  kInline = 1,   // a string: a packed time column
  kShared = 2,   // a varint: its number
};

enum Starts : uint8_t {
  kAsTheyAre = 0,
  // How far before the time of the sample before, or of the same one if it is
  // the first: increments follow one another.
  kBeforeTheTimeBefore = 1,
};

// A packed column of this size is worth a number of five bytes elsewhere.
constexpr size_t kSharedBytesMin = 24;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("chunk: {}", what));
}

uint64_t Distance(int64_t from_ms, int64_t to_ms) {
  return static_cast<uint64_t>(to_ms) - static_cast<uint64_t>(from_ms);
}

bool IsRegular(std::span<const int64_t> times_ms) {
  if (times_ms.size() < 3) return true;
  const uint64_t step = Distance(times_ms[0], times_ms[1]);
  for (size_t i = 2; i < times_ms.size(); ++i) {
    if (Distance(times_ms[i - 1], times_ms[i]) != step) return false;
  }
  return true;
}

void PutTimes(std::span<const int64_t> times_ms, TimeColumnSink* sink,
              std::string* out) {
  if (IsRegular(times_ms)) {
    out->push_back(kRegular);
    return;
  }
  TimeOffsets offsets;
  offsets.reserve(times_ms.size());
  for (const int64_t time_ms : times_ms) {
    offsets.push_back(Distance(times_ms[0], time_ms));
  }
  const std::string packed = PackTimeColumn(offsets);
  if (sink != nullptr && packed.size() >= kSharedBytesMin) {
    out->push_back(kShared);
    PutVarint(sink->Intern(packed), out);
  } else {
    out->push_back(kInline);
    PutString(packed, out);
  }
}

void PutStarts(std::span<const int64_t> starts_ms,
               std::span<const int64_t> times_ms, std::string* out) {
  std::vector<uint64_t> as_they_are, before;
  for (size_t i = 0; i < starts_ms.size(); ++i) {
    as_they_are.push_back(static_cast<uint64_t>(starts_ms[i]));
    before.push_back(Distance(starts_ms[i], times_ms[i == 0 ? 0 : i - 1]));
  }
  std::string first(1, kAsTheyAre), second(1, kBeforeTheTimeBefore);
  EncodeIntegers(as_they_are, &first);
  EncodeIntegers(before, &second);
  out->append(first.size() <= second.size() ? first : second);
}

bool TakeStarts(ByteReader* in, std::span<const int64_t> times_ms,
                std::vector<int64_t>* starts_ms) {
  const uint8_t form = in->Byte();
  std::vector<uint64_t> column(times_ms.size());
  if (form > kBeforeTheTimeBefore || !DecodeIntegers(in, column)) return false;
  starts_ms->resize(column.size());
  for (size_t i = 0; i < column.size(); ++i) {
    (*starts_ms)[i] = static_cast<int64_t>(
        form == kAsTheyAre ? column[i]
                           : Distance(static_cast<int64_t>(column[i]),
                                      times_ms[i == 0 ? 0 : i - 1]));
  }
  return true;
}

struct Header {
  ChunkHeader chunk;
  bool has_statistics = false;
  bool has_starts = false;
};

absl::StatusOr<Header> TakeHeader(ByteReader* in) {
  const uint8_t version = in->Byte();
  if (!in->ok()) return Damaged("empty");
  if (version != kVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "chunk: version {}, this program knows {}", version, kVersion));
  }
  const uint8_t kind = in->Byte();
  if (in->ok() &&
      (kind >= kFlagsEnd ||
       (kind & kKindMask) > static_cast<int>(SampleKind::kFloatHistogram))) {
    return absl::FailedPreconditionError(
        fmt::format("chunk: unknown kind {}", kind));
  }
  Header header;
  header.has_statistics = (kind & kHasStatistics) != 0;
  header.has_starts = (kind & kHasStarts) != 0;
  ChunkHeader& chunk = header.chunk;
  chunk.kind = static_cast<SampleKind>(kind & kKindMask);
  chunk.samples = in->Varint();
  chunk.first_ms = in->ZigzagVarint();
  chunk.last_ms = static_cast<int64_t>(static_cast<uint64_t>(chunk.first_ms) +
                                       in->Varint());
  if (!in->ok()) return Damaged("header is cut short");
  if (chunk.samples == 0 || chunk.samples > kChunkSamplesLimit ||
      chunk.last_ms < chunk.first_ms ||
      Distance(chunk.first_ms, chunk.last_ms) < chunk.samples - 1) {
    return Damaged("header makes no sense");
  }
  return header;
}

// Past what stands before the times.
absl::StatusOr<Header> TakeHeaderAndStatistics(ByteReader* in,
                                               ChunkStatistics* statistics) {
  VIGIE_ASSIGN_OR_RETURN(const Header header, TakeHeader(in));
  if (header.has_statistics && (header.chunk.kind != SampleKind::kFloat ||
                                !TakeStatistics(in, statistics) ||
                                statistics->count > header.chunk.samples)) {
    return Damaged("statistics are damaged");
  }
  return header;
}

// The times of a chunk: even ones, or how far each is from the first.
struct TimesOf {
  uint64_t first = 0;
  size_t samples = 0;
  uint64_t step = 0;
  std::shared_ptr<const TimeOffsets> offsets;  // null: even

  int64_t At(size_t i) const {
    return static_cast<int64_t>(
        first + (offsets == nullptr ? step * i : (*offsets)[i]));
  }
  // How many are before `time_ms`.
  size_t LowerBound(int64_t time_ms) const {
    const auto first_ms = static_cast<int64_t>(first);
    if (time_ms <= first_ms) return 0;
    return UpperBound(Distance(first_ms, time_ms) - 1);
  }
  // How many are at most so far from the first.
  size_t UpperBound(uint64_t offset) const {
    if (offsets == nullptr) {
      return step == 0 ? samples : std::min(samples, offset / step + 1);
    }
    return static_cast<size_t>(
        std::upper_bound(offsets->begin(), offsets->end(), offset) -
        offsets->begin());
  }
};

absl::StatusOr<TimesOf> TakeTimes(ByteReader* in, const ChunkHeader& header,
                                  TimeColumnSource* source) {
  TimesOf times;
  times.first = static_cast<uint64_t>(header.first_ms);
  times.samples = header.samples;
  const uint8_t form = in->Byte();
  const uint64_t last_offset = Distance(header.first_ms, header.last_ms);
  if (!in->ok()) return Damaged("cut short");
  if (form == kRegular) {
    times.step = header.samples == 1 ? 0 : last_offset / (header.samples - 1);
    if (times.step * (header.samples - 1) != last_offset) {
      return Damaged("times are not regular");
    }
    return times;
  }
  if (form == kInline) {
    const std::string_view packed = in->String();
    if (!in->ok()) return Damaged("cut short");
    VIGIE_ASSIGN_OR_RETURN(TimeOffsets own, UnpackTimeColumn(packed));
    times.offsets = std::make_shared<const TimeOffsets>(std::move(own));
  } else if (form == kShared) {
    const uint64_t number = in->Varint();
    if (!in->ok() || number > UINT32_MAX) return Damaged("cut short");
    if (source == nullptr) return Damaged("its times are elsewhere");
    VIGIE_ASSIGN_OR_RETURN(times.offsets,
                           source->Column(static_cast<uint32_t>(number)));
  } else {
    return Damaged("unknown form of times");
  }
  if (times.offsets->size() != header.samples ||
      times.offsets->back() != last_offset) {
    return Damaged("times disagree with the header");
  }
  return times;
}

// Those from `begin` to before `end`.
void AppendTimes(const TimesOf& times, size_t begin, size_t end,
                 std::vector<int64_t>* times_ms) {
  const size_t before = times_ms->size();
  const size_t size = end - begin;
  times_ms->resize(before + size);
  int64_t* const out = times_ms->data() + before;
  if (times.offsets != nullptr) {
    const uint64_t* const offsets = times.offsets->data() + begin;
    for (size_t i = 0; i < size; ++i) {
      out[i] = static_cast<int64_t>(times.first + offsets[i]);
    }
    return;
  }
  // Four at a time: a multiplication of 64 bits is none of SSE's.
  uint64_t time = times.first + begin * times.step;
  size_t i = 0;
  for (; i + 4 <= size; i += 4, time += 4 * times.step) {
    out[i] = static_cast<int64_t>(time);
    out[i + 1] = static_cast<int64_t>(time + times.step);
    out[i + 2] = static_cast<int64_t>(time + 2 * times.step);
    out[i + 3] = static_cast<int64_t>(time + 3 * times.step);
  }
  for (; i < size; ++i, time += times.step) {
    out[i] = static_cast<int64_t>(time);
  }
}

// The values stand behind the times and, unlike them, in the chunk itself.
absl::Status SkipTimes(ByteReader* in) {
  const uint8_t form = in->Byte();
  if (form == kInline) in->String();
  if (form == kShared) in->Varint();
  if (form > kShared) return Damaged("unknown form of times");
  return absl::OkStatus();
}

bool TakeValues(ByteReader* in, SampleColumns* samples) {
  const size_t size = samples->size();
  switch (samples->kind) {
    case SampleKind::kFloat:
      samples->values.resize(size);
      return DecodeDoubles(in, samples->values);
    case SampleKind::kIntegerHistogram:
      return DecodeHistograms(in, size, &samples->integer_histograms);
    case SampleKind::kFloatHistogram:
      return DecodeHistograms(in, size, &samples->float_histograms);
  }
  return false;
}

template <class Histogram>
size_t LayoutEnd(const std::vector<Histogram>& histograms, size_t begin,
                 size_t end) {
  const size_t words = Words(histograms[begin]);
  if (words > 0) {
    end = std::min(end, begin + std::max<size_t>(kChunkWordsLimit / words, 1));
  }
  for (size_t i = begin + 1; i < end; ++i) {
    if (!SameLayout(histograms[i], histograms[begin])) return i;
  }
  return end;
}

}  // namespace

size_t ChunkEnd(const SampleColumns& samples, size_t begin,
                size_t samples_max) {
  VIGIE_CHECK(begin < samples.size() && samples_max > 0);
  const size_t end = begin + std::min({samples_max, kChunkSamplesLimit,
                                       samples.size() - begin});
  switch (samples.kind) {
    case SampleKind::kFloat:
      return end;
    case SampleKind::kIntegerHistogram:
      return LayoutEnd(samples.integer_histograms, begin, end);
    case SampleKind::kFloatHistogram:
      return LayoutEnd(samples.float_histograms, begin, end);
  }
  return end;
}

std::string EncodeChunk(const SampleColumns& samples, size_t begin, size_t end,
                        TimeColumnSink* sink) {
  VIGIE_CHECK(begin < end && end <= samples.size() &&
              end - begin <= kChunkSamplesLimit);
  const size_t count = end - begin;
  const std::span times_ms(samples.times_ms.data() + begin, count);
  const bool statistics =
      samples.kind == SampleKind::kFloat && count >= kChunkStatisticsSamplesMin;
  std::span<const int64_t> starts_ms;
  for (size_t i = begin; i < end && starts_ms.empty(); ++i) {
    if (samples.start_ms(i) != 0) {
      starts_ms = {samples.starts_ms.data() + begin, count};
    }
  }
  std::string out;
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(static_cast<uint8_t>(samples.kind) |
                                  (statistics ? kHasStatistics : 0) |
                                  (starts_ms.empty() ? 0 : kHasStarts)));
  PutVarint(count, &out);
  PutZigzag(times_ms.front(), &out);
  PutVarint(Distance(times_ms.front(), times_ms.back()), &out);
  if (statistics) {
    PutStatistics(StatisticsOf({samples.values.data() + begin, count}), &out);
  }
  PutTimes(times_ms, sink, &out);
  if (!starts_ms.empty()) PutStarts(starts_ms, times_ms, &out);
  switch (samples.kind) {
    case SampleKind::kFloat:
      EncodeDoubles({samples.values.data() + begin, count}, &out);
      break;
    case SampleKind::kIntegerHistogram:
      EncodeHistograms(
          std::span(samples.integer_histograms.data() + begin, count), &out);
      break;
    case SampleKind::kFloatHistogram:
      EncodeHistograms(
          std::span(samples.float_histograms.data() + begin, count), &out);
      break;
  }
  return out;
}

absl::StatusOr<ChunkHeader> ReadChunkHeader(std::string_view bytes) {
  ByteReader in(bytes);
  VIGIE_ASSIGN_OR_RETURN(const Header header, TakeHeader(&in));
  return header.chunk;
}

absl::StatusOr<ChunkStatistics> ReadChunkStatistics(std::string_view bytes) {
  ByteReader in(bytes);
  ChunkStatistics statistics;
  VIGIE_ASSIGN_OR_RETURN(const Header header,
                         TakeHeaderAndStatistics(&in, &statistics));
  if (header.has_statistics) return statistics;
  if (header.chunk.kind != SampleKind::kFloat) {
    return absl::FailedPreconditionError(
        "chunk: histograms have no statistics");
  }
  VIGIE_RETURN_IF_ERROR(SkipTimes(&in));
  if (header.has_starts) {
    std::vector<uint64_t> starts(header.chunk.samples);
    in.Byte();
    if (!DecodeIntegers(&in, starts)) return Damaged("damaged");
  }
  std::vector<double> values(header.chunk.samples);
  if (!DecodeDoubles(&in, values)) return Damaged("values are damaged");
  return StatisticsOf(values);
}

absl::StatusOr<std::optional<Sample>> ReadNewestFloat(
    std::string_view bytes, int64_t max_ms, TimeColumnSource* source) {
  ByteReader in(bytes);
  ChunkStatistics statistics;
  VIGIE_ASSIGN_OR_RETURN(const Header header,
                         TakeHeaderAndStatistics(&in, &statistics));
  const ChunkHeader& chunk = header.chunk;
  if (chunk.kind != SampleKind::kFloat || header.has_starts ||
      max_ms < chunk.first_ms) {
    return std::optional<Sample>();
  }
  Sample newest{chunk.last_ms, statistics.last};
  size_t at = chunk.samples - 1;
  if (max_ms >= chunk.last_ms) {
    // Staleness markers do not count, and the newest may be one.
    if (header.has_statistics && statistics.count == chunk.samples) {
      return newest;
    }
    VIGIE_RETURN_IF_ERROR(SkipTimes(&in));
  } else {
    VIGIE_ASSIGN_OR_RETURN(const TimesOf times, TakeTimes(&in, chunk, source));
    at = times.UpperBound(Distance(chunk.first_ms, max_ms));
    if (at-- == 0) return Damaged("times disagree with the header");
    newest.time_ms = times.At(at);
  }
  if (!DecodeDoubles(&in, chunk.samples, at, {&newest.value, 1})) {
    return Damaged("values are damaged");
  }
  return newest;
}

absl::StatusOr<std::optional<uint32_t>> ReadSharedTimeColumn(
    std::string_view bytes) {
  ByteReader in(bytes);
  ChunkStatistics statistics;
  VIGIE_RETURN_IF_ERROR(TakeHeaderAndStatistics(&in, &statistics).status());
  if (in.Byte() != kShared) return std::optional<uint32_t>();
  const uint64_t number = in.Varint();
  if (!in.ok() || number > UINT32_MAX) return Damaged("cut short");
  return static_cast<uint32_t>(number);
}

absl::Status DecodeChunk(std::string_view bytes, TimeColumnSource* source,
                         SampleColumns* samples) {
  samples->clear();
  ByteReader in(bytes);
  ChunkStatistics statistics;
  VIGIE_ASSIGN_OR_RETURN(const Header header,
                         TakeHeaderAndStatistics(&in, &statistics));
  samples->kind = header.chunk.kind;
  VIGIE_ASSIGN_OR_RETURN(const TimesOf times,
                         TakeTimes(&in, header.chunk, source));
  AppendTimes(times, 0, times.samples, &samples->times_ms);
  if (header.has_starts &&
      !TakeStarts(&in, samples->times_ms, &samples->starts_ms)) {
    return Damaged("start times are damaged");
  }
  if (!TakeValues(&in, samples)) return Damaged("values are damaged");
  if (!in.empty()) return Damaged("bytes after the last column");
  return absl::OkStatus();
}

absl::Status DecodeChunk(std::string_view bytes, SampleColumns* samples) {
  return DecodeChunk(bytes, nullptr, samples);
}

absl::StatusOr<bool> AppendChunk(std::string_view bytes,
                                 TimeColumnSource* source,
                                 const TimeRange& range,
                                 SampleColumns* samples) {
  ByteReader in(bytes);
  ChunkStatistics statistics;
  VIGIE_ASSIGN_OR_RETURN(const Header header,
                         TakeHeaderAndStatistics(&in, &statistics));
  const ChunkHeader& chunk = header.chunk;
  if (samples->kind != SampleKind::kFloat || !samples->starts_ms.empty() ||
      chunk.kind != SampleKind::kFloat || header.has_starts) {
    return false;
  }
  VIGIE_ASSIGN_OR_RETURN(const TimesOf times, TakeTimes(&in, chunk, source));
  const size_t begin = times.LowerBound(range.min_ms);
  const size_t end =
      range.max_ms < chunk.first_ms ? 0
      : range.max_ms >= chunk.last_ms
          ? times.samples
          : times.UpperBound(Distance(chunk.first_ms, range.max_ms));
  if (begin >= end) return true;
  const size_t before = samples->size();
  samples->values.resize(before + end - begin);
  if (!DecodeDoubles(&in, times.samples, begin,
                     std::span(samples->values).subspan(before)) ||
      !in.empty()) {
    samples->values.resize(before);
    return Damaged("values are damaged");
  }
  AppendTimes(times, begin, end, &samples->times_ms);
  return true;
}

}  // namespace vigie::store

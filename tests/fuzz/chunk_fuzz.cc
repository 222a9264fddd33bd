// Any bytes decode or are refused; what decodes is in order, and encodes and
// decodes again to the same bits. What is read without decoding agrees.
#include <cstdlib>
#include <string_view>

#include "store/chunk.h"
#include "store/rollup.h"
#include "store/rollup_answer.h"
#include "tests/store/random_samples.h"

namespace vigie::store {
namespace {

// A few columns that any number finds.
class AnyColumn : public TimeColumnSource {
 public:
  absl::StatusOr<std::shared_ptr<const TimeOffsets>> Column(
      uint32_t number) override {
    if (number % 4 == 3) return absl::DataLossError("no such column");
    auto offsets = std::make_shared<TimeOffsets>();
    for (uint64_t i = 0; i < number % 64 + 1; ++i) offsets->push_back(i * i);
    return offsets;
  }
};

// Behind other samples, as a part of the chunk.
void TryPart(std::string_view bytes, bool decodes, const SampleColumns& whole) {
  const size_t begin = whole.size() / 3;
  const size_t end = whole.size() - whole.size() / 4;
  const TimeRange range =
      decodes ? TimeRange{whole.times_ms[begin], whole.times_ms[end - 1]}
              : TimeRange{0, 1'000};
  AnyColumn source;
  SampleColumns expected, part;
  const auto appended = AppendChunk(bytes, &source, range, &part);
  if (!decodes) return;
  if (!appended.ok()) std::abort();
  if (!*appended) return;
  expected.AppendSlice(whole, begin, end);
  if (!SameBits(expected, part)) std::abort();
}

void Try(std::string_view bytes) {
  AnyColumn source;
  SampleColumns samples;
  const bool ok = DecodeChunk(bytes, &source, &samples).ok();
  TryPart(bytes, ok, samples);
  const auto header = ReadChunkHeader(bytes);
  const auto statistics = ReadChunkStatistics(bytes);
  (void)ReadSharedTimeColumn(bytes);
  if (!ok) return;
  if (!header.ok() || header->samples != samples.size() ||
      header->first_ms != samples.times_ms.front() ||
      header->last_ms != samples.times_ms.back() ||
      (samples.kind == SampleKind::kFloat) != statistics.ok()) {
    std::abort();
  }
  for (size_t i = 1; i < samples.size(); ++i) {
    if (samples.times_ms[i - 1] >= samples.times_ms[i]) std::abort();
  }
  const size_t end = ChunkEnd(samples, 0, samples.size());
  SampleColumns again;
  if (end != samples.size() ||
      !DecodeChunk(EncodeChunk(samples, 0, end), &again).ok() ||
      !SameBits(samples, again)) {
    std::abort();
  }
}

void TryRollup(std::string_view bytes) {
  RollupColumns buckets, again;
  if (!DecodeRollupChunk(bytes, &buckets).ok()) return;
  for (const RollupUse use : {RollupUse::kLast, RollupUse::kCounter}) {
    const SampleColumns samples = RollupSamples(buckets, use);
    for (size_t i = 1; i < samples.size(); ++i) {
      if (samples.times_ms[i - 1] >= samples.times_ms[i]) std::abort();
    }
  }
  const std::string packed = EncodeRollupChunk(buckets, 0, buckets.size());
  if (!DecodeRollupChunk(packed, &again).ok() || !(again == buckets)) {
    std::abort();
  }
}

}  // namespace
}  // namespace vigie::store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  vigie::store::Try(bytes);
  vigie::store::TryRollup(bytes);
  return 0;
}

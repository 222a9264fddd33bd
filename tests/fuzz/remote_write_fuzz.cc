// Whatever bytes come in, both remote write decoders end, within their bound,
// what they give is something the store can take, and series that go by their
// alias are those that a decoder without aliases finds.
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "collector/remote_write_decode.h"

namespace {

using vigie::Labels;
using vigie::collector::WriteRequestDecoded;

Labels LabelsOf(const WriteRequestDecoded& decoded, uint32_t series) {
  const auto& one = decoded.batch.series.at(series);
  return one.ref.id == 0 ? one.labels
                         : decoded.batch.label_source->LabelsOf(series);
}

void Check(const WriteRequestDecoded& decoded) {
  const auto& batch = decoded.batch;
  uint64_t samples = batch.floats.size() + batch.integer_histograms.size() +
                     batch.float_histograms.size();
  for (const auto& refusal : decoded.refusals) {
    if (refusal.of_samples) samples += refusal.count;
  }
  VIGIE_CHECK(samples == decoded.samples);
  VIGIE_CHECK(decoded.aliases.size() == batch.series.size());
  for (const auto& p : batch.floats)
    VIGIE_CHECK(p.series < batch.series.size());
  for (const auto& p : batch.exemplars) {
    VIGIE_CHECK(p.series < batch.series.size());
  }
  for (uint32_t i = 0; i < batch.series.size(); ++i) {
    const Labels labels = LabelsOf(decoded, i);
    VIGIE_CHECK(Labels::FromBytes(labels.bytes()).ok());
    VIGIE_CHECK(!labels.metric_name().empty());
  }
}

template <class Decode>
void Run(const vigie::collector::WriteMessage& plain, Decode decode) {
  const auto first = decode(plain);
  if (!first.ok()) return;
  Check(*first);
  const vigie::SystemClock clock;
  vigie::collector::SeriesAliases aliases({}, clock);
  auto message = plain;
  message.aliases = &aliases;
  message.salt = aliases.SaltOf("door", "tenant");
  const auto learnt = decode(message);
  VIGIE_CHECK(learnt.ok());
  std::vector<vigie::store::SeriesRef> given, refs;
  for (const auto& series : learnt->batch.series) {
    given.push_back(series.ref);
    refs.push_back({refs.size() + 1});
  }
  aliases.Learn(learnt->aliases, given, refs);
  const auto again = decode(message);
  VIGIE_CHECK(again.ok());
  Check(*again);
  VIGIE_CHECK(again->batch.series.size() == first->batch.series.size());
  for (uint32_t i = 0; i < again->batch.series.size(); ++i) {
    VIGIE_CHECK(LabelsOf(*again, i) == first->batch.series[i].labels);
  }
  VIGIE_CHECK(again->batch.floats.size() == first->batch.floats.size());
  for (size_t i = 0; i < again->batch.floats.size(); ++i) {
    const auto &a = again->batch.floats[i], &b = first->batch.floats[i];
    VIGIE_CHECK(a.sample == b.sample && a.series == b.series &&
                a.start_ms == b.start_ms);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vigie::collector::WriteMessage message;
  message.bytes = {reinterpret_cast<const char*>(data), size};
  message.batch_bytes_max = 1 << 20;
  Run(message, vigie::collector::DecodeWriteRequest);
  Run(message, vigie::collector::DecodeWriteRequestV2);
  return 0;
}

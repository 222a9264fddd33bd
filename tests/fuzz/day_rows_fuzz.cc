// Any bytes parse as rows of the index by day or are refused; what parses
// keeps its promises and is written back to what it was.
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/day_rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vigie::store;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                               size - 1);
  if (data[0] % 3 == 0) {
    const auto set = ParsePairRow(bytes);
    if (!set.ok()) return 0;
    for (const IdRuns::Run& run : set->runs()) {
      if (run.first > run.last || run.last > kSeriesIdMax) std::abort();
    }
    if (set->size() > 1'000'000) return 0;
    IdRunsWriter writer;
    for (const uint64_t id : set->Ids()) writer.Add(id);
    if (ParsePairRow(PairRow(writer.Take())).value() != *set) std::abort();
  } else if (data[0] % 3 == 1) {
    const auto row = SeriesRowReader::Create(bytes);
    if (!row.ok()) return 0;
    for (size_t i = 0; i < row->ids().size(); ++i) {
      if (i > 0 && row->ids()[i - 1] >= row->ids()[i]) std::abort();
      const vigie::Labels labels = row->LabelsOf(i);
      if (!vigie::Labels::FromBytes(labels.bytes()).ok()) std::abort();
    }
  } else {
    const std::string prefix = PairPrefix(3, "t");
    const std::string key = prefix + std::string(bytes);
    const auto parsed = ParsePairKey(key, prefix);
    if (!parsed.ok()) return 0;
    const std::string again = PairRowKey(
        PairPrefix(3, "t", parsed->name, parsed->value), parsed->seal);
    if (again != key) std::abort();
  }
  return 0;
}

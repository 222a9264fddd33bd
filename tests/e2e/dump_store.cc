// dump_store DIR METRIC [--abandon]: prints every sample of a metric in a
// stopped data directory, by bits: `labels<TAB>time in ms<TAB>16 hex digits`.
// --abandon ends without closing the store, as a killed reader would.
#include <fmt/format.h>
#include <prometheus/registry.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/status_macros.h"
#include "base/strings.h"
#include "store/store.h"

namespace vigie {
namespace {

absl::Status Print(const store::SeriesSnapshot& snapshot) {
  std::string lines;
  store::SampleBatch batch;
  for (size_t i = 0; i < snapshot.size(); ++i) {
    const std::string labels = snapshot.labels(i).ToString();
    const auto samples = snapshot.Samples(i);
    for (;;) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, samples->Next(&batch));
      if (!more) break;
      if (batch.kind != store::SampleKind::kFloat) {
        return absl::InternalError(labels + ": not floats");
      }
      for (size_t k = 0; k < batch.times_ms.size(); ++k) {
        fmt::format_to(std::back_inserter(lines), "{}\t{}\t{:016x}\n", labels,
                       batch.times_ms[k],
                       std::bit_cast<uint64_t>(batch.values[k]));
      }
    }
    std::fwrite(lines.data(), 1, lines.size(), stdout);
    lines.clear();
  }
  for (const std::string& warning : snapshot.warnings()) {
    return absl::DataLossError(warning);
  }
  return absl::OkStatus();
}

absl::Status Dump(const std::string& directory, std::string_view metric,
                  bool abandon) {
  const SystemClock clock;
  prometheus::Registry registry;
  VIGIE_ASSIGN_OR_RETURN(
      const auto store,
      store::Store::Open(directory, store::StoreOptions(), clock, registry));
  ByteAccount account("dump", int64_t{4} << 30);
  {
    VIGIE_ASSIGN_OR_RETURN(
        const auto snapshot,
        store->queryable().Select(
            {.tenant = {},
             .range = {},
             .matchers = {Matcher::Equal("__name__", metric)}},
            {.account = &account, .stop = {}}));
    VIGIE_RETURN_IF_ERROR(Print(*snapshot));
  }
  std::fflush(stdout);
  if (abandon) std::_Exit(0);
  return store->Close();
}

}  // namespace
}  // namespace vigie

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fputs("usage: dump_store DIR METRIC [--abandon]\n", stderr);
    return 2;
  }
  const bool abandon = argc == 4 && std::string_view(argv[3]) == "--abandon";
  const absl::Status status = vigie::Dump(argv[1], argv[2], abandon);
  if (status.ok()) return 0;
  fmt::print(stderr, "dump_store: {}\n", vigie::MessageOf(status));
  return 1;
}

// dump_store DIR REGEX [--abandon]: prints every sample of the metrics whose
// name matches, in a stopped data directory, by bits:
// `labels<TAB>time in ms<TAB>16 hex digits`; of a histogram with positive
// buckets, instead of the digits, `i SCHEMA COUNT SUM OFFSET:COUNT,COUNT...`
// (`h`: counts are floats, by bits). Then the exemplars:
// `exemplar<TAB>labels<TAB>time<TAB>value<TAB>value of their first label`.
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

std::string Digits(double value) {
  return fmt::format("{:016x}", std::bit_cast<uint64_t>(value));
}
std::string Digits(uint64_t value) { return fmt::format("{}", value); }

template <class Count>
std::string Written(char kind, const BasicHistogram<Count>& histogram) {
  std::string text =
      fmt::format("{} {} {} {} ", kind, histogram.schema,
                  Digits(histogram.count), Digits(histogram.sum));
  const char* separator = "";
  for (const BucketSpan& span : histogram.positive_spans) {
    text += fmt::format("{}{}:", separator, span.offset);
    separator = ";";
  }
  separator = "";
  for (const Count count : histogram.positive_buckets) {
    text += separator + Digits(count);
    separator = ",";
  }
  return text;
}

std::string Written(const store::SampleBatch& batch, size_t i) {
  switch (batch.kind) {
    case store::SampleKind::kFloat:
      return Digits(batch.values[i]);
    case store::SampleKind::kIntegerHistogram:
      return Written('i', batch.integer_histograms[i]);
    case store::SampleKind::kFloatHistogram:
      return Written('h', batch.float_histograms[i]);
  }
  return "?";
}

absl::Status Print(const store::SeriesSnapshot& snapshot) {
  std::string lines;
  store::SampleBatch batch;
  for (size_t i = 0; i < snapshot.size(); ++i) {
    const std::string labels = snapshot.labels(i).ToString();
    const auto samples = snapshot.Samples(i);
    for (;;) {
      VIGIE_ASSIGN_OR_RETURN(const bool more, samples->Next(&batch));
      if (!more) break;
      for (size_t k = 0; k < batch.times_ms.size(); ++k) {
        fmt::format_to(std::back_inserter(lines), "{}\t{}\t{}\n", labels,
                       batch.times_ms[k], Written(batch, k));
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

absl::Status PrintExemplars(const store::Queryable& queryable,
                            const Matcher& matcher, ByteAccount* account) {
  VIGIE_ASSIGN_OR_RETURN(const auto found,
                         queryable.Exemplars({}, {}, {{matcher}},
                                             {.account = account, .stop = {}}));
  for (const store::ExemplarSeries& series : found) {
    for (const Exemplar& exemplar : series.exemplars) {
      const std::string_view first =
          exemplar.labels.empty() ? "" : (*exemplar.labels.begin()).value;
      fmt::print("exemplar\t{}\t{}\t{}\t{}\n", series.series.ToString(),
                 exemplar.time_ms, Digits(exemplar.value), first);
    }
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
  VIGIE_ASSIGN_OR_RETURN(
      const Matcher matcher,
      Matcher::Create(Matcher::Type::kRegex, "__name__", metric));
  ByteAccount account("dump", int64_t{4} << 30);
  {
    VIGIE_ASSIGN_OR_RETURN(
        const auto snapshot,
        store->queryable().Select(
            {.tenant = {}, .range = {}, .matchers = {matcher}},
            {.account = &account, .stop = {}}));
    VIGIE_RETURN_IF_ERROR(Print(*snapshot));
  }
  VIGIE_RETURN_IF_ERROR(PrintExemplars(store->queryable(), matcher, &account));
  std::fflush(stdout);
  if (abandon) std::_Exit(0);
  return store->Close();
}

}  // namespace
}  // namespace vigie

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fputs("usage: dump_store DIR REGEX [--abandon]\n", stderr);
    return 2;
  }
  const bool abandon = argc == 4 && std::string_view(argv[3]) == "--abandon";
  const absl::Status status = vigie::Dump(argv[1], argv[2], abandon);
  if (status.ok()) return 0;
  fmt::print(stderr, "dump_store: {}\n", vigie::MessageOf(status));
  return 1;
}

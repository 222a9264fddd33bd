// A seal as files: chunks by window, rows of series and metadata, watermark.
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "store/day_index_builder.h"
#include "store/place_writer.h"

namespace vigie::store {
namespace {

class SealWriter {
 public:
  SealWriter(const SealCapture& capture, uint32_t seal,
             size_t chunk_samples_max, RocksTables& tables,
             BlockCatalog& catalog, SealFiles* out)
      : capture_(capture),
        seal_(seal),
        chunk_samples_max_(chunk_samples_max),
        tables_(tables),
        catalog_(catalog),
        out_(*out) {
    // The order of the keys, so that series are read and written one by one.
    const std::vector<uint32_t> ranks = RanksOf(capture.tenants);
    order_.reserve(capture.series.size());
    for (uint32_t i = 0; i < capture.series.size(); ++i) {
      const SealCapture::Series& one = capture.series[i];
      order_.push_back(
          {uint64_t{ranks[one.tenant]} << 32 | one.metric_hash, i});
    }
    std::sort(order_.begin(), order_.end());
  }

  absl::Status WriteChunks() {
    int32_t newest = catalog_.newest_window();
    for (const SealCapture::Series& one : capture_.series) {
      newest = std::max(newest, NearestWindowOf(one.newest_ms));
    }
    SampleRuns runs;
    for (const auto& [rank, i] : order_) {
      capture_.read(i, &runs);
      VIGIE_RETURN_IF_ERROR(
          EachWindow(runs,
                     [&](int32_t window, const SampleColumns& run, size_t begin,
                         size_t end) -> absl::Status {
                       VIGIE_ASSIGN_OR_RETURN(PlaceWriter * writer,
                                              WriterOf(window, newest));
                       if (writer != nullptr) {
                         return AddTo(*writer, i, run, begin, end);
                       }
                       const std::pair<int32_t, uint32_t> late(window, i);
                       if (late_.empty() || late_.back() != late)
                         late_.push_back(late);
                       return absl::OkStatus();
                     }));
    }
    for (auto& [window, writer] : writers_) {
      if (writer == nullptr) continue;
      VIGIE_RETURN_IF_ERROR(Finish(window, /*late=*/false, *writer));
    }
    return WriteLate();
  }

  // Of the series in the head, by id as the capture is; and of those that
  // have left it no more.
  absl::Status WriteRows() {
    FileWriter names(tables_, tables_.at(Table::kNames), &out_.files);
    FileWriter active(tables_, tables_.at(Table::kActive), &out_.files);
    FileWriter exemplars(tables_, tables_.at(Table::kExemplars), &out_.files);
    std::vector<uint64_t> gone = capture_.gone;
    std::sort(gone.begin(), gone.end());
    auto next_gone = gone.begin();
    auto forget_before = [&](uint64_t id) -> absl::Status {
      for (; next_gone != gone.end() && *next_gone < id; ++next_gone) {
        VIGIE_RETURN_IF_ERROR(names.Delete(SeriesKey(*next_gone)));
        VIGIE_RETURN_IF_ERROR(active.Delete(SeriesKey(*next_gone)));
      }
      return absl::OkStatus();
    };
    for (size_t i = 0; i < capture_.series.size(); ++i) {
      const SealCapture::Series& one = capture_.series[i];
      VIGIE_RETURN_IF_ERROR(forget_before(one.id));
      const std::string key = SeriesKey(one.id);
      const std::string& tenant = capture_.tenants[one.tenant];
      if (one.is_new || !one.index_days.empty()) {
        const Labels labels = capture_.labels(i);
        if (one.is_new) {
          VIGIE_RETURN_IF_ERROR(
              names.Put(key, EncodeSeriesRow(tenant, labels)));
        }
        for (const int32_t day : one.index_days) {
          index_.Add(day, one.id, tenant, labels);
        }
      }
      SeriesState state{one.first_ms, one.newest_ms, one.last_day_indexed, {}};
      if (const auto it = capture_.deltas.find(i);
          it != capture_.deltas.end()) {
        state.delta = it->second;
      }
      VIGIE_RETURN_IF_ERROR(active.Put(key, EncodeSeenRow(state)));
      if (const auto it = capture_.exemplars.find(i);
          it != capture_.exemplars.end()) {
        VIGIE_RETURN_IF_ERROR(
            exemplars.Put(key, EncodeExemplarsRow(it->second)));
      }
    }
    VIGIE_RETURN_IF_ERROR(forget_before(~uint64_t{0}));
    VIGIE_RETURN_IF_ERROR(names.Finish());
    VIGIE_RETURN_IF_ERROR(active.Finish());
    VIGIE_RETURN_IF_ERROR(exemplars.Finish());
    FileWriter index(tables_, tables_.at(Table::kIndex), &out_.files);
    VIGIE_RETURN_IF_ERROR(
        index_.Finish(seal_, [&](std::string_view key, std::string_view value) {
          return index.Put(key, value);
        }));
    return index.Finish();
  }

  absl::Status WriteMetadata() {
    std::map<std::string, std::string> rows;
    for (const SealCapture::Metadata& one : capture_.metadata) {
      rows[EncodeMetadataKey(one.tenant, one.metric)] =
          EncodeMetadataRow(one.entry);
    }
    return WriteAll(Table::kMetadata, rows);
  }

  absl::Status WriteWindows(const Watermark& watermark) {
    std::map<std::string, std::string> rows;
    for (const SealedWindow& row : out_.windows) {
      rows[SealedWindowKey(row.window, row.seal)] = EncodeSealedWindow(row);
    }
    VIGIE_RETURN_IF_ERROR(WriteAll(Table::kWindows, rows));
    return WriteAll(Table::kMeta, {{"watermark", EncodeWatermark(watermark)}});
  }

 private:
  // The place of each among all, as keys sort: the length of the name comes
  // first.
  static std::vector<uint32_t> RanksOf(
      const std::vector<std::string>& tenants) {
    std::vector<std::tuple<size_t, std::string_view, uint32_t>> order;
    for (const std::string& tenant : tenants) {
      order.emplace_back(tenant.size(), tenant, order.size());
    }
    std::sort(order.begin(), order.end());
    std::vector<uint32_t> ranks(tenants.size());
    for (uint32_t rank = 0; rank < order.size(); ++rank) {
      ranks[std::get<uint32_t>(order[rank])] = rank;
    }
    return ranks;
  }

  template <class Visit>
  static absl::Status EachWindow(const SampleRuns& runs, Visit visit) {
    for (const SampleColumns& run : runs) {
      for (size_t begin = 0; begin < run.size();) {
        const int32_t window = WindowOf(run.times_ms[begin]);
        const size_t end = run.UpperBound(WindowEndMs(window));
        VIGIE_RETURN_IF_ERROR(visit(window, run, begin, end));
        begin = end;
      }
    }
    return absl::OkStatus();
  }

  // Null for `late`.
  absl::StatusOr<PlaceWriter*> WriterOf(int32_t window, int32_t newest) {
    const auto it = writers_.find(window);
    if (it != writers_.end()) return it->second.get();
    VIGIE_ASSIGN_OR_RETURN(const std::shared_ptr<Family> family,
                           catalog_.FamilyFor(window, newest));
    auto& writer = writers_[window];
    if (family != tables_.at(Table::kLate)) {
      writer = std::make_unique<PlaceWriter>(
          tables_, family, "", WindowStartMs(window), seal_, &out_.files);
    }
    return writer.get();
  }

  absl::Status AddTo(PlaceWriter& writer, uint32_t i, const SampleColumns& run,
                     size_t begin, size_t end) {
    const SealCapture::Series& one = capture_.series[i];
    return writer.Add(capture_.tenants[one.tenant], one.metric_hash, one.id,
                      run, begin, end, chunk_samples_max_);
  }

  absl::Status Finish(int32_t window, bool late, PlaceWriter& writer) {
    if (!late) VIGIE_RETURN_IF_ERROR(writer.Finish());
    out_.windows.push_back({window, seal_, late, writer.samples(),
                            writer.chunks(), writer.bytes(),
                            writer.longest_ms()});
    return absl::OkStatus();
  }

  // In a second reading, as its keys begin with the window.
  absl::Status WriteLate() {
    std::stable_sort(
        late_.begin(), late_.end(),
        [](const auto& a, const auto& b) { return a.first < b.first; });
    FileWriter files(tables_, tables_.at(Table::kLate), &out_.files);
    SampleRuns runs;
    for (size_t at = 0; at < late_.size();) {
      const int32_t window = late_[at].first;
      PlaceWriter writer(&files, LatePlace(window), WindowStartMs(window),
                         seal_);
      for (; at < late_.size() && late_[at].first == window; ++at) {
        const uint32_t i = late_[at].second;
        capture_.read(i, &runs);
        VIGIE_RETURN_IF_ERROR(
            EachWindow(runs,
                       [&](int32_t one, const SampleColumns& run, size_t begin,
                           size_t end) -> absl::Status {
                         if (one != window) return absl::OkStatus();
                         return AddTo(writer, i, run, begin, end);
                       }));
      }
      VIGIE_RETURN_IF_ERROR(Finish(window, /*late=*/true, writer));
    }
    return files.Finish();
  }

  absl::Status WriteAll(Table table,
                        const std::map<std::string, std::string>& rows) {
    FileWriter writer(tables_, tables_.at(table), &out_.files);
    for (const auto& [key, value] : rows) {
      VIGIE_RETURN_IF_ERROR(writer.Put(key, value));
    }
    return writer.Finish();
  }

  const SealCapture& capture_;
  const uint32_t seal_;
  const size_t chunk_samples_max_;
  RocksTables& tables_;
  BlockCatalog& catalog_;
  SealFiles& out_;
  DayIndexBuilder index_;
  // Tenant and metric, as keys sort; an index in capture_.series, which are by
  // id.
  std::vector<std::pair<uint64_t, uint32_t>> order_;
  std::map<int32_t, std::unique_ptr<PlaceWriter>> writers_;  // null: late
  std::vector<std::pair<int32_t, uint32_t>> late_;           // window, index
};

}  // namespace

absl::Status WriteSeal(const SealCapture& capture, const Watermark& watermark,
                       size_t chunk_samples_max, RocksTables& tables,
                       BlockCatalog& catalog, SealFiles* out) {
  SealWriter writer(capture, watermark.next_seal - 1, chunk_samples_max, tables,
                    catalog, out);
  VIGIE_RETURN_IF_ERROR(writer.WriteChunks());
  VIGIE_RETURN_IF_ERROR(writer.WriteRows());
  VIGIE_RETURN_IF_ERROR(writer.WriteMetadata());
  return writer.WriteWindows(watermark);
}

}  // namespace vigie::store

#include "store/verify_index.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/byte_account.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "store/day_index.h"
#include "store/left_series.h"

namespace vigie::store {
namespace {

constexpr size_t kReadAheadBytes = 1 << 20;
constexpr size_t kProgressStride = 4096;

std::string_view ToView(const rocksdb::Slice& s) {
  return {s.data(), s.size()};
}

uint64_t HashOf(std::string_view name, std::string_view value) {
  return absl::HashOf(ToAbsl(name), ToAbsl(value));
}

// Of a label set: the sum of those of its pairs, in any order.
uint64_t HashOf(const Labels& labels) {
  uint64_t sum = 1;  // no label set is like no entry
  for (const LabelView& label : labels) sum += HashOf(label.name, label.value);
  return sum;
}

absl::Status OfSeries(uint64_t id, std::string_view what) {
  return absl::DataLossError(fmt::format("series {}: {}", id, what));
}

class IndexCheck {
 public:
  IndexCheck(const Blocks& blocks, const BlockSnapshot& snapshot,
             const Progress& progress,
             const std::function<void(const absl::Status&)>& found)
      : blocks_(blocks),
        index_(snapshot.index()),
        progress_(progress),
        found_(found) {}

  absl::Status Run() {
    if (const absl::Status status = ReadRows(); !status.ok()) {
      if (!absl::IsDataLoss(status)) return status;
      found_(status);
      rows_.clear();  // half of them would accuse the others
      last_days_.clear();
    }
    const std::shared_ptr<const BlockView> view = blocks_.view();
    for (const auto& [day, places] : view->days) {
      by_tenant_.clear();
      const absl::StatusOr<std::vector<std::string>> tenants =
          index_.Tenants(day);
      if (!tenants.ok()) Tell(day, tenants.status());
      for (const std::string& tenant :
           tenants.ok() ? *tenants : std::vector<std::string>()) {
        VIGIE_RETURN_IF_ERROR(CheckTenant(day, tenant));
      }
      CheckLastDays(day);
      for (const BlockPlace& place : places) {
        VIGIE_RETURN_IF_ERROR(CheckChunks(day, place, view->last_seal));
      }
    }
    return absl::OkStatus();
  }

 private:
  struct Row {
    const std::string* tenant = nullptr;  // null: not in `names`
    uint64_t labels = 0;
    bool active = false;
  };

  void Tell(int32_t day, const absl::Status& status) {
    found_(OfDay(day, Prefixed("index", status)));
  }
  void Tell(int32_t day, std::string_view tenant, const absl::Status& status) {
    Tell(day, Prefixed(fmt::format("tenant {}", tenant), status));
  }

  absl::Status ReadRows() {
    VIGIE_RETURN_IF_ERROR(blocks_.VisitNames(
        [&](uint64_t id, std::string_view tenant, const Labels& labels) {
          rows_[id] = {&*tenants_.emplace(tenant).first, HashOf(labels), false};
          return progress_.Stopped();
        }));
    VIGIE_RETURN_IF_ERROR(
        blocks_.VisitStates([&](uint64_t id, const SeriesState& state) {
          rows_[id].active = true;
          if (state.last_day_indexed != kNoDay) {
            last_days_[state.last_day_indexed].push_back(id);
          }
          return progress_.Stopped();
        }));
    for (const auto& [id, row] : rows_) {
      if (row.tenant == nullptr) {
        found_(Prefixed("active", OfSeries(id, "not in table names")));
      } else if (!row.active) {
        found_(Prefixed("names", OfSeries(id, "not in table active")));
      }
    }
    return absl::OkStatus();
  }

  // Labels against label pairs, and against the row of the series.
  absl::Status CheckTenant(int32_t day, const std::string& tenant) {
    const absl::StatusOr<IdRuns> all = index_.Match(day, tenant, {}, context());
    if (!all.ok()) {
      Tell(day, tenant, all.status());
      return progress_.Stopped();
    }
    absl::flat_hash_map<uint64_t, uint64_t> labels_of;  // what pairs are to say
    absl::Status status = index_.VisitLabels(
        day, tenant, *all, context(), [&](uint64_t id, const Labels& labels) {
          const uint64_t hash = HashOf(labels);
          if (labels_of.emplace(id, hash).first->second != hash) {
            Tell(day, tenant, OfSeries(id, "written twice, not alike"));
          }
          const auto row = rows_.find(id);
          if (row != rows_.end() && row->second.tenant != nullptr &&
              (row->second.labels != hash || *row->second.tenant != tenant)) {
            Tell(day, tenant, OfSeries(id, "table names has other labels"));
          }
          return progress_.Stopped();
        });
    if (absl::IsCancelled(status)) return status;
    if (!status.ok()) Tell(day, tenant, status);
    for (const uint64_t id : all->Ids()) {
      if (!labels_of.contains(id)) Tell(day, tenant, OfSeries(id, "no labels"));
    }
    status = index_.VisitPairs(
        day, tenant, "", context(),
        [&](std::string_view name, std::string_view value, const IdRuns& ids) {
          for (const uint64_t id : ids.Ids()) {
            const auto labels = labels_of.find(id);
            if (labels == labels_of.end()) {
              if (!all->Contains(id)) {
                Tell(day, tenant,
                     OfSeries(id, fmt::format("has {}={} and no other entry",
                                              name, value)));
              }
              continue;
            }
            labels->second -= HashOf(name, value);
          }
          return progress_.Stopped();
        });
    if (absl::IsCancelled(status)) return status;
    if (!status.ok()) Tell(day, tenant, status);
    for (const auto& [id, rest] : labels_of) {
      if (rest != 1) {
        Tell(day, tenant, OfSeries(id, "its label pairs are not its labels"));
      }
    }
    by_tenant_[tenant] = *all;
    return absl::OkStatus();
  }

  bool IsIndexed(const std::string& tenant, uint64_t id) const {
    const auto ids = by_tenant_.find(tenant);
    return ids != by_tenant_.end() && ids->second.Contains(id);
  }

  void CheckLastDays(int32_t day) {
    for (const uint64_t id : last_days_[day]) {
      const std::string* tenant = rows_[id].tenant;
      if (tenant != nullptr && !IsIndexed(*tenant, id)) {
        Tell(day, *tenant,
             OfSeries(id, "no entry, although table active names the day"));
      }
    }
  }

  absl::Status CheckChunks(int32_t day, const BlockPlace& place,
                           uint32_t last_seal) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = kReadAheadBytes;
    const std::shared_ptr<rocksdb::DB> db = blocks_.database().db;
    const std::unique_ptr<rocksdb::Iterator> it(
        db->NewIterator(options, place.family->handle()));
    uint64_t chunks = 0;
    std::pair<std::string, uint64_t> last;
    for (it->Seek(FirstChunkKey(place.prefix));
         it->Valid() && ToView(it->key()).starts_with(place.prefix);
         it->Next()) {
      const absl::StatusOr<ChunkKeyParts> key =
          ParseChunkKey(ToView(it->key()).substr(place.prefix.size()));
      if (!key.ok()) {
        Tell(day, Prefixed(place.family->name(), key.status()));
        continue;
      }
      if (key->seal < place.first_seal || key->seal > last_seal) continue;
      if (++chunks % kProgressStride == 0) {
        VIGIE_RETURN_IF_ERROR(progress_.Stopped());
        checked_ += kProgressStride;
        progress_.Report("comparing with the index", checked_, 0, "chunks");
      }
      if (last.second == key->series_id && last.first == key->tenant) continue;
      last = {std::string(key->tenant), key->series_id};
      if (!IsIndexed(last.first, last.second)) {
        Tell(day, last.first,
             OfSeries(last.second, fmt::format("no entry, although {} has "
                                               "samples of it",
                                               place.family->name())));
      }
    }
    absl::Status status = FromRocks(it->status(), place.family->name());
    if (status.ok() && chunks != place.chunks) {
      status = absl::DataLossError(
          fmt::format("{}: {} chunks, but table windows has {}",
                      place.family->name(), chunks, place.chunks));
    }
    if (!status.ok()) Tell(day, status);
    return absl::OkStatus();
  }

  ReadContext context() { return {&account_, progress_.stop}; }

  const Blocks& blocks_;
  const DayIndex index_;
  const Progress& progress_;
  const std::function<void(const absl::Status&)>& found_;
  ByteAccount account_{"verify", int64_t{1} << 40};
  std::set<std::string, std::less<>> tenants_;
  absl::flat_hash_map<uint64_t, Row> rows_;  // `names` and `active`, by id
  std::map<int32_t, std::vector<uint64_t>> last_days_;  // as `active` has them
  std::map<std::string, IdRuns> by_tenant_;             // of the day
  uint64_t checked_ = 0;
};

}  // namespace

absl::Status VerifyIndex(
    const Blocks& blocks, const BlockSnapshot& snapshot,
    const Progress& progress,
    const std::function<void(const absl::Status& damage)>& found) {
  return IndexCheck(blocks, snapshot, progress, found).Run();
}

}  // namespace vigie::store

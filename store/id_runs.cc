#include "store/id_runs.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "store/byte_coding.h"

namespace vigie::store {

IdRuns IdRuns::FromRuns(std::vector<Run> runs) {
  auto by_first = [](const Run& a, const Run& b) { return a.first < b.first; };
  if (!std::is_sorted(runs.begin(), runs.end(), by_first)) {
    std::sort(runs.begin(), runs.end(), by_first);
  }
  IdRuns out;
  for (const Run& run : runs) {
    if (!out.runs_.empty() && run.first <= out.runs_.back().last + 1) {
      out.runs_.back().last = std::max(out.runs_.back().last, run.last);
    } else {
      out.runs_.push_back(run);
    }
  }
  return out;
}

absl::StatusOr<IdRuns> IdRuns::FromBytes(std::string_view bytes) {
  IdRuns out;
  ByteReader reader(bytes);
  uint64_t begin = 0;
  while (!reader.empty()) {
    const uint64_t head = reader.Varint();
    const uint64_t more = (head & 1) != 0 ? reader.Varint() + 1 : 0;
    const uint64_t gap = head >> 1;
    if (!reader.ok() || gap > kSeriesIdMax || more > kSeriesIdMax ||
        begin + gap + more > kSeriesIdMax) {
      return absl::DataLossError("set of ids: malformed");
    }
    const uint64_t first = begin + gap;
    out.runs_.push_back({first, first + more});
    begin = first + more + 2;
  }
  return out;
}

void IdRuns::Add(uint64_t id) {
  if (runs_.empty() || id > runs_.back().last + 1) {
    runs_.push_back({id, id});
    return;
  }
  VIGIE_CHECK(id >= runs_.back().last);
  runs_.back().last = id;
}

bool IdRuns::Contains(uint64_t id) const {
  const auto it =
      std::lower_bound(runs_.begin(), runs_.end(), id,
                       [](const Run& run, uint64_t x) { return run.last < x; });
  return it != runs_.end() && it->first <= id;
}

uint64_t IdRuns::size() const {
  uint64_t ids = 0;
  for (const Run& run : runs_) ids += run.last - run.first + 1;
  return ids;
}

std::vector<uint64_t> IdRuns::Ids() const {
  std::vector<uint64_t> ids;
  ids.reserve(size());
  for (const Run& run : runs_) {
    for (uint64_t id = run.first; id <= run.last; ++id) ids.push_back(id);
  }
  return ids;
}

IdRuns Union(const IdRuns& a, const IdRuns& b) {
  std::vector<IdRuns::Run> runs(a.runs().size() + b.runs().size());
  std::merge(a.runs().begin(), a.runs().end(), b.runs().begin(), b.runs().end(),
             runs.begin(), [](const IdRuns::Run& x, const IdRuns::Run& y) {
               return x.first < y.first;
             });
  return IdRuns::FromRuns(std::move(runs));
}

IdRuns Intersection(const IdRuns& a, const IdRuns& b) {
  std::vector<IdRuns::Run> runs;
  auto ia = a.runs().begin(), ib = b.runs().begin();
  while (ia != a.runs().end() && ib != b.runs().end()) {
    const uint64_t first = std::max(ia->first, ib->first);
    const uint64_t last = std::min(ia->last, ib->last);
    if (first <= last) runs.push_back({first, last});
    if (ia->last < ib->last) {
      ++ia;
    } else {
      ++ib;
    }
  }
  return IdRuns::FromRuns(std::move(runs));
}

bool Overlap(const IdRuns& a, const IdRuns& b) {
  const bool a_is_less = a.runs().size() <= b.runs().size();
  const std::vector<IdRuns::Run>& more = (a_is_less ? b : a).runs();
  auto it = more.begin();
  for (const IdRuns::Run& run : (a_is_less ? a : b).runs()) {
    it = std::lower_bound(
        it, more.end(), run.first,
        [](const IdRuns::Run& r, uint64_t id) { return r.last < id; });
    if (it == more.end()) return false;
    if (it->first <= run.last) return true;
  }
  return false;
}

IdRuns Difference(const IdRuns& a, const IdRuns& b) {
  std::vector<IdRuns::Run> runs;
  auto ib = b.runs().begin();
  const auto end = b.runs().end();
  for (const IdRuns::Run& run : a.runs()) {
    uint64_t first = run.first;  // of what is left of it
    while (ib != end && ib->last < first) ++ib;
    for (; ib != end && ib->first <= run.last; ++ib) {
      if (ib->first > first) runs.push_back({first, ib->first - 1});
      first = ib->last + 1;
      if (ib->last >= run.last) break;  // it may reach into the next run
    }
    if (first <= run.last) runs.push_back({first, run.last});
  }
  return IdRuns::FromRuns(std::move(runs));
}

void IdRunsWriter::Add(uint64_t id) {
  if (open_ && id <= run_.last + 1) {
    VIGIE_CHECK(id >= run_.last);
    run_.last = id;
    return;
  }
  Close();
  run_ = {id, id};
  open_ = true;
}

void IdRunsWriter::Close() {
  if (!open_) return;
  const uint64_t more = run_.last - run_.first;
  PutVarint((run_.first - end_) << 1 | (more > 0 ? 1 : 0), &bytes_);
  if (more > 0) PutVarint(more - 1, &bytes_);
  // Two runs that touch would be one.
  end_ = run_.last + 2;
  open_ = false;
}

std::string IdRunsWriter::Take() {
  Close();
  end_ = 0;
  return std::exchange(bytes_, {});
}

}  // namespace vigie::store

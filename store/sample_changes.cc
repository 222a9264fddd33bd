#include "store/sample_changes.h"

#include <algorithm>

namespace vigie::store {
namespace {

constexpr int64_t kMinuteMs = ChangedMinutes::kMinuteMs;

int64_t MinuteOf(int64_t time_ms) {
  return time_ms / kMinuteMs - (time_ms % kMinuteMs < 0 ? 1 : 0);
}

}  // namespace

void ChangedMinutes::AddAnother(int64_t time_ms) {
  const int64_t minute = MinuteOf(time_ms);
  // Of times that are never stored the product wraps, and does no harm: the
  // next one takes this way again.
  start_ms_ = static_cast<int64_t>(static_cast<uint64_t>(minute) *
                                   static_cast<uint64_t>(kMinuteMs));
  first_ = std::min(first_, minute);
  last_ = std::max(last_, minute);
  if (many_ ||
      std::find(minutes_.begin(), minutes_.end(), minute) != minutes_.end()) {
    return;
  }
  if (minutes_.size() == kMinutesMax) {
    many_ = true;
    return;
  }
  minutes_.push_back(minute);
}

std::optional<uint64_t> SampleChanges::Version(std::string_view tenant) {
  MutexLock lock(mutex_);
  const auto it = tenants_.find(tenant);
  if (it != tenants_.end()) return it->second.version;
  if (tenants_.size() == kTenantsMax) return std::nullopt;
  return tenants_.try_emplace(std::string(tenant)).first->second.version;
}

TimeRange SampleChanges::UnchangedSince(std::string_view tenant,
                                        uint64_t version,
                                        const TimeRange& range) const {
  constexpr TimeRange kNone{.min_ms = 1, .max_ms = 0};
  if (range.empty()) return kNone;
  MutexLock lock(mutex_);
  const auto it = tenants_.find(tenant);
  if (it == tenants_.end() || version < it->second.forgotten) return kNone;
  const Followed& followed = it->second;
  TimeRange unchanged = range;
  if (followed.before_version > version) {
    unchanged.min_ms = std::max(unchanged.min_ms, followed.before_ms);
  }
  const auto first =
      std::lower_bound(followed.minutes.begin(), followed.minutes.end(),
                       std::pair(MinuteOf(unchanged.min_ms), uint64_t{0}));
  for (auto at = first; at != followed.minutes.end(); ++at) {
    if (at->first > MinuteOf(unchanged.max_ms)) break;
    if (at->second <= version) continue;
    unchanged.max_ms = at->first * kMinuteMs - 1;
    break;
  }
  return unchanged.empty() ? kNone : unchanged;
}

void SampleChanges::Note(std::string_view tenant,
                         const ChangedMinutes& minutes) {
  if (minutes.empty()) return;
  MutexLock lock(mutex_);
  const auto it = tenants_.find(tenant);
  if (it == tenants_.end()) return;
  ++it->second.version;
  if (minutes.many()) {
    SetSpan(minutes.first(), minutes.last(), &it->second);
    return;
  }
  for (const int64_t minute : minutes.minutes()) Set(minute, &it->second);
}

void SampleChanges::Note(std::string_view tenant, const TimeRange& range) {
  if (range.empty()) return;
  MutexLock lock(mutex_);
  const auto it = tenants_.find(tenant);
  if (it == tenants_.end()) return;
  ++it->second.version;
  SetSpan(MinuteOf(range.min_ms), MinuteOf(range.max_ms), &it->second);
}

void SampleChanges::NoteAllBefore(int64_t time_ms) {
  MutexLock lock(mutex_);
  for (auto& [tenant, followed] : tenants_) {
    followed.before_ms = std::max(followed.before_ms, time_ms);
    followed.before_version = ++followed.version;
  }
}

void SampleChanges::Set(int64_t minute, Followed* followed) {
  auto& minutes = followed->minutes;
  if (!minutes.empty() && minutes.back().first == minute) {
    minutes.back().second = followed->version;
    return;
  }
  const auto at = std::lower_bound(minutes.begin(), minutes.end(),
                                   std::pair(minute, uint64_t{0}));
  if (at != minutes.end() && at->first == minute) {
    at->second = followed->version;
    return;
  }
  minutes.emplace(at, minute, followed->version);
  if (minutes.size() <= kMinutesMax) return;
  std::vector<uint64_t> versions;
  versions.reserve(minutes.size());
  for (const auto& entry : minutes) versions.push_back(entry.second);
  const auto middle =
      versions.begin() + static_cast<std::ptrdiff_t>(versions.size() / 2);
  std::nth_element(versions.begin(), middle, versions.end());
  followed->forgotten = std::max(followed->forgotten, *middle);
  std::erase_if(minutes, [followed](const auto& entry) {
    return entry.second <= followed->forgotten;
  });
}

void SampleChanges::SetSpan(int64_t first, int64_t last, Followed* followed) {
  const auto span = static_cast<uint64_t>(last) - static_cast<uint64_t>(first);
  if (span >= kMinutesMax / 4) {
    followed->forgotten = followed->version;
    followed->minutes.clear();
    return;
  }
  for (int64_t minute = first; minute <= last; ++minute) Set(minute, followed);
}

}  // namespace vigie::store

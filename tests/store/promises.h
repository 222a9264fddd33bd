// Promises: what a store has said of batches and records, and whether what is
// found in it keeps to that: acknowledged is there and unchanged, refused is
// not, unanswered is there whole or not at all, and nothing else is there.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/store/batch_maker.h"

namespace vigie::store {

class Promises {
 public:
  void Acknowledged(const MadeBatch& made) {
    for (const MadeBatch::Point& point : made.points) Hold(point);
    ++acknowledged_;
  }
  void Refused(const MadeBatch& made) {
    for (const MadeBatch::Point& point : made.points) {
      refused_[point.labels].insert(point.time_ms);
    }
  }
  void Unanswered(MadeBatch made) { unanswered_.push_back(std::move(made)); }

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t applied() const { return applied_; }
  uint64_t unapplied() const { return unapplied_; }
  // Unanswered batches that the last check did not find: to be sent again.
  std::vector<MadeBatch> TakeAbsent() { return std::exchange(absent_, {}); }

  // Samples before `kept_from_ms` may be gone.
  void Check(const Stored& found, int64_t kept_from_ms) {
    for (MadeBatch& made : unanswered_) {
      size_t present = 0;
      size_t due = 0;
      for (const MadeBatch::Point& point : made.points) {
        if (point.time_ms < kept_from_ms) continue;
        ++due;
        const auto series = found.find(point.labels);
        present +=
            series != found.end() && series->second.contains(point.time_ms);
      }
      EXPECT_TRUE(present == 0 || present == due)
          << present << " of " << due << " samples of a batch";
      if (present > 0) {
        for (const MadeBatch::Point& point : made.points) Hold(point);
        ++applied_;
      } else {
        ++unapplied_;
        if (due == made.points.size()) absent_.push_back(std::move(made));
      }
    }
    unanswered_.clear();
    for (const auto& [labels, points] : held_) {
      const auto series = found.find(labels);
      CheckSeries(labels, points,
                  series == found.end() ? kNone : series->second, kept_from_ms);
    }
    for (const auto& [labels, samples] : found) {
      const auto held = held_.find(labels);
      for (const auto& [time_ms, bytes] : samples) {
        const bool refused = refused_[labels].contains(time_ms);
        EXPECT_TRUE(held != held_.end() && held->second.contains(time_ms))
            << labels.ToString() << " at " << time_ms
            << (refused ? " was refused" : " is made up");
      }
    }
  }

 private:
  struct Held {
    std::string bytes;
    double increment = 0;
  };
  using Points = std::map<int64_t, Held>;
  static inline const std::map<int64_t, std::string> kNone;

  void Hold(const MadeBatch::Point& point) {
    held_[point.labels].insert_or_assign(point.time_ms,
                                         Held{point.bytes, point.increment});
  }

  // Whatever the start times are.
  static bool SameValue(const std::string& bytes, double value) {
    return bytes.substr(9) == BytesOfFloat(value).substr(9);
  }

  static void CheckSeries(const Labels& labels, const Points& points,
                          const std::map<int64_t, std::string>& found,
                          int64_t kept_from_ms) {
    double total = 0;
    // A sum that nothing was added to for so long may have been forgotten, and
    // begins anew: until a sample tells.
    double anew = 0;
    bool may_begin_anew = false;
    int64_t last_ms = points.begin()->first;
    for (const auto& [time_ms, held] : points) {
      if (time_ms - std::exchange(last_ms, time_ms) > kDeltaIdleMs) {
        may_begin_anew = true;
        anew = 0;
      }
      total += held.increment;
      anew += held.increment;
      const auto sample = found.find(time_ms);
      if (sample == found.end()) {
        EXPECT_LT(time_ms, kept_from_ms)
            << labels.ToString() << " at " << time_ms << " is lost";
        continue;
      }
      if (held.increment == 0) {
        EXPECT_EQ(sample->second, held.bytes)
            << labels.ToString() << " at " << time_ms << " has changed";
      } else {
        if (std::exchange(may_begin_anew, false) &&
            SameValue(sample->second, anew)) {
          total = anew;
        }
        EXPECT_TRUE(SameValue(sample->second, total))
            << labels.ToString() << " at " << time_ms
            << " is no sum of its increments";
      }
    }
  }

  std::map<Labels, Points> held_;
  std::map<Labels, std::set<int64_t>> refused_;
  std::vector<MadeBatch> unanswered_;
  std::vector<MadeBatch> absent_;
  uint64_t acknowledged_ = 0;
  uint64_t applied_ = 0;
  uint64_t unapplied_ = 0;
};

// The same for records: each write puts one number under several keys.
class RecordPromises {
 public:
  static RecordBatch Batch(uint64_t number, size_t keys) {
    RecordBatch batch;
    for (size_t i = 0; i < keys; ++i) {
      batch.Put({}, i % 2 == 0 ? "one" : "two", "k" + std::to_string(i),
                std::to_string(number));
    }
    return batch;
  }
  void Acknowledged(uint64_t number) {
    at_least_ = number;
    at_most_ = number;
  }
  void Unanswered(uint64_t number) { at_most_ = number; }
  // It may still be there, perhaps only after the store was opened again.
  void Refused(uint64_t number) { refused_ = number; }

  void Check(const Records& records, size_t keys) {
    std::set<uint64_t> numbers;
    for (size_t i = 0; i < keys; ++i) {
      const auto value =
          records.Get({}, i % 2 == 0 ? "one" : "two", "k" + std::to_string(i));
      EXPECT_TRUE(value.ok() || absl::IsNotFound(value.status()))
          << value.status();
      numbers.insert(value.ok() ? std::stoull(*value) : 0);
    }
    EXPECT_EQ(numbers.size(), 1u) << "a batch of records is there in half";
    EXPECT_GE(*numbers.begin(), at_least_) << "an acknowledged record is lost";
    EXPECT_LE(*numbers.rbegin(), std::max(at_most_, refused_))
        << "a record is made up";
    at_least_ = at_most_ = *numbers.begin();
  }

 private:
  uint64_t at_least_ = 0;
  uint64_t at_most_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace vigie::store

// HeldSamples finds the sample that a series has at some time, in the head or
// among those of the batch that is being decided. It is asked only for times
// that are not newer than the series, so a batch in order pays nothing.
// Thread-compatible; for one batch, until Clear.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "store/batch_record.h"
#include "store/head.h"
#include "store/sample_columns.h"

namespace vigie::store {

class HeldSamples {
 public:
  void Clear();

  // Null, or the columns that hold it at `*i`, valid until the next call. The
  // head is asked if `in_head`, the batch if it has `accepted` some of the
  // series.
  const SampleColumns* Find(const Head& head, bool in_head, uint64_t id,
                            uint32_t accepted, int64_t time_ms,
                            const BatchRecord& record, size_t* i);

  // The sample that is going to be number `index` of `columns`, which are the
  // record's.
  void Note(uint64_t id, int64_t time_ms, size_t index, const void* columns);

 private:
  struct Place {
    const void* columns = nullptr;  // which of the record's
    uint32_t index = 0;
  };
  const SampleRuns& DecodedOf(const Head& head, uint64_t id);
  template <class Value>
  void Index(const BatchRecord::Columns<Value>& columns);

  // Of the batch, once somebody has asked.
  bool indexed_ = false;
  absl::flat_hash_map<std::pair<uint64_t, int64_t>, Place> places_;
  // What the head holds of some series.
  absl::flat_hash_map<uint64_t, SampleRuns> decoded_;
  size_t decoded_samples_ = 0;
  SampleColumns found_;
};

}  // namespace vigie::store

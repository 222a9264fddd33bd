// DayIndexBuilder makes the rows that one seal adds to the index by day. Rows:
// day_rows.h.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/strings.h"
#include "model/labels.h"

namespace vigie::store {

// Thread-compatible.
class DayIndexBuilder {
 public:
  // A series has samples on `day`. In any order; twice is once. Holds 4 bytes
  // a label and each distinct string once.
  void Add(int32_t day, uint64_t id, std::string_view tenant,
           const Labels& labels);
  bool empty() const { return parts_.empty(); }
  // All rows in ascending order of keys, until `emit` fails; the builder is
  // empty then. `seal` is as in ChunkKey: no two of a day may be equal.
  absl::Status Finish(uint32_t seal,
                      absl::FunctionRef<absl::Status(std::string_view key,
                                                     std::string_view value)>
                          emit);

 private:
  struct Pair {
    std::string name;
    std::string value;
  };
  struct LabelViewHash {
    size_t operator()(const LabelView& label) const {
      return absl::HashOf(ToAbsl(label.name), ToAbsl(label.value));
    }
  };
  struct Tenant {
    std::deque<Pair> pairs;
    absl::flat_hash_map<LabelView, uint32_t, LabelViewHash> numbers;
    std::vector<uint32_t> last;  // pairs of the series added last
  };
  struct Part {  // of one day and tenant
    struct Series {
      uint64_t id = 0;
      uint32_t begin = 0;  // its pairs in refs, in order of names
      uint32_t count = 0;
    };
    Tenant* tenant = nullptr;
    std::vector<Series> series;
    std::vector<uint32_t> refs;
  };
  absl::Status FinishPart(
      int32_t day, std::string_view tenant, uint32_t seal, Part* part,
      absl::FunctionRef<absl::Status(std::string_view, std::string_view)> emit);

  std::map<std::string, Tenant, std::less<>> tenants_;
  std::map<std::string, Part> parts_;  // by DayTenantPrefix
};

}  // namespace vigie::store

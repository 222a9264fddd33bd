#include "store/text_order.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace vigie::store {
namespace {

constexpr size_t kFewMax = 16;  // std::sort is as fast

struct Entry {
  uint64_t key;
  std::string_view text;
  uint32_t index;
};

// Eight bytes from `depth` on, as a number that sorts as they do; 0 after the
// end.
uint64_t KeyAt(std::string_view text, size_t depth) {
  unsigned char bytes[8] = {};
  std::memcpy(bytes, text.data() + depth,
              std::min<size_t>(text.size() - depth, 8));
  uint64_t key = 0;
  std::memcpy(&key, bytes, 8);
  return __builtin_bswap64(key);
}

// All have the first `depth` bytes in common.
void SortFew(std::span<Entry> entries, size_t depth) {
  std::sort(entries.begin(), entries.end(),
            [depth](const Entry& a, const Entry& b) {
              return a.text.substr(depth) < b.text.substr(depth);
            });
}

size_t CommonBytes(std::span<const Entry> entries, size_t depth) {
  const std::string_view first = entries[0].text;
  size_t common = first.size();
  for (const Entry& entry : entries) {
    common = std::min(common, entry.text.size());
    size_t at = depth;
    while (at < common && entry.text[at] == first[at]) ++at;
    common = at;
  }
  return common;
}

void Sort(std::span<Entry> entries, size_t depth) {
  if (entries.size() <= kFewMax) {
    SortFew(entries, depth);
    return;
  }
  depth = CommonBytes(entries, depth);
  for (Entry& entry : entries) entry.key = KeyAt(entry.text, depth);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.key < b.key; });
  for (size_t begin = 0; begin < entries.size();) {
    size_t end = begin;
    bool all_go_on = true;
    for (; end < entries.size() && entries[end].key == entries[begin].key;
         ++end) {
      all_go_on = all_go_on && entries[end].text.size() > depth + 8;
    }
    const std::span<Entry> equal = entries.subspan(begin, end - begin);
    if (all_go_on) {
      Sort(equal, depth + 8);
    } else {  // an end, and a byte that is 0, give the same key
      SortFew(equal, depth);
    }
    begin = end;
  }
}

}  // namespace

std::vector<uint32_t> OrderOfTexts(const std::vector<std::string_view>& texts) {
  std::vector<Entry> entries;
  entries.reserve(texts.size());
  for (const std::string_view text : texts) {
    entries.push_back({0, text, static_cast<uint32_t>(entries.size())});
  }
  Sort(entries, 0);
  std::vector<uint32_t> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(entry.index);
  return order;
}

}  // namespace vigie::store

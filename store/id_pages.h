// IdPages finds a row by its id in two steps without hashing it: ids are given
// one after the other, so rows lie in pages of 64 ids, and a page takes no more
// than the rows it has. What a page table of all ids ever given would take is
// not: 32768 ids share a node, and a node without rows is freed.
// Thread-compatible.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"

namespace vigie::store {

template <class Row>
class IdPages {
  static_assert(std::is_trivially_copyable_v<Row>);

  static constexpr uint64_t kNodeIds = 32'768;
  struct Page {
    uint64_t present = 0;
    Row* rows = nullptr;
    uint32_t room = 0;
  };
  struct Node {
    Node() = default;
    ~Node() {
      for (Page& page : pages) std::free(page.rows);
    }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    Page pages[kNodeIds / 64];
    uint32_t rows = 0;
  };

 public:
  // Null if there is none; valid until the next Add or Remove.
  const Row* Find(uint64_t id) const {
    const Page* page = PageOf(id);
    if (page == nullptr || (page->present >> (id % 64) & 1) == 0) {
      return nullptr;
    }
    return page->rows + Rank(*page, id);
  }

  // Finds many, best in ascending order, until the next Add or Remove.
  class Cursor {
   public:
    explicit Cursor(const IdPages& all) : all_(all) {}
    const Row* Find(uint64_t id) {
      const Page* page = PageAt(id);
      if (page == nullptr || (page->present >> (id % 64) & 1) == 0) {
        return nullptr;
      }
      return page->rows + Rank(*page, id);
    }
    // For a Find some steps later.
    void Prefetch(uint64_t id) {
      const Page* page = PageAt(id);
      if (page != nullptr) __builtin_prefetch(page->rows + Rank(*page, id));
    }

   private:
    const Page* PageAt(uint64_t id) {
      if (id / kNodeIds != number_) {
        number_ = id / kNodeIds;
        const auto it = all_.nodes_.find(number_);
        node_ = it == all_.nodes_.end() ? nullptr : it->second.get();
      }
      return node_ == nullptr ? nullptr : &node_->pages[id % kNodeIds / 64];
    }
    const IdPages& all_;
    uint64_t number_ = ~uint64_t{0};
    const Node* node_ = nullptr;
  };

  // `id` must be new.
  void Add(uint64_t id, const Row& row) {
    std::unique_ptr<Node>& node = nodes_[id / kNodeIds];
    if (node == nullptr) node = std::make_unique<Node>();
    Page& page = node->pages[id % kNodeIds / 64];
    const uint64_t bit = uint64_t{1} << (id % 64);
    VIGIE_CHECK((page.present & bit) == 0);
    const auto count = static_cast<uint32_t>(std::popcount(page.present));
    if (count == page.room) Resize(&page, count < 8 ? 8 : 64);
    const uint32_t at = Rank(page, id);
    std::memmove(page.rows + at + 1, page.rows + at,
                 (count - at) * sizeof(Row));
    page.rows[at] = row;
    page.present |= bit;
    ++node->rows;
    ++size_;
  }

  // False if there was none.
  bool Remove(uint64_t id) {
    const auto it = nodes_.find(id / kNodeIds);
    if (it == nodes_.end()) return false;
    Node& node = *it->second;
    Page& page = node.pages[id % kNodeIds / 64];
    const uint64_t bit = uint64_t{1} << (id % 64);
    if ((page.present & bit) == 0) return false;
    const uint32_t at = Rank(page, id);
    const auto count = static_cast<uint32_t>(std::popcount(page.present));
    std::memmove(page.rows + at, page.rows + at + 1,
                 (count - at - 1) * sizeof(Row));
    page.present &= ~bit;
    if (count - 1 == 0 || (count - 1) * 2 <= page.room) {
      Resize(&page, count - 1);
    }
    --size_;
    if (--node.rows == 0) nodes_.erase(it);
    return true;
  }

  size_t size() const { return size_; }

 private:
  const Page* PageOf(uint64_t id) const {
    const auto it = nodes_.find(id / kNodeIds);
    return it == nodes_.end() ? nullptr
                              : &it->second->pages[id % kNodeIds / 64];
  }
  static uint32_t Rank(const Page& page, uint64_t id) {
    const uint64_t below = (uint64_t{1} << (id % 64)) - 1;
    return static_cast<uint32_t>(std::popcount(page.present & below));
  }
  static void Resize(Page* page, uint32_t room) {
    if (room == 0) {
      std::free(page->rows);
      page->rows = nullptr;
    } else {
      page->rows =
          static_cast<Row*>(std::realloc(page->rows, room * sizeof(Row)));
      VIGIE_CHECK(page->rows != nullptr);
    }
    page->room = room;
  }

  absl::flat_hash_map<uint64_t, std::unique_ptr<Node>> nodes_;
  size_t size_ = 0;
};

}  // namespace vigie::store

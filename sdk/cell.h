// Cells hold the values of one series. Handles write them without a lock, the
// meter reads them; whoever is last frees them.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace vigie::sdk {

// What a meter did not take. Counted on the hot path, so an atomic each.
enum class Refusal {
  kNegative,           // added to a counter
  kNotFinite,          // NaN or an infinity added or observed
  kSeriesOverflow,     // Bind() beyond series_max
  kInvalidInstrument,  // a name, bounds, or a clash with an instrument
  kCount,
};

class RefusalCounts {
 public:
  void Count(Refusal why) noexcept {
    counts_[static_cast<int>(why)].fetch_add(1, std::memory_order_relaxed);
  }
  uint64_t Get(Refusal why) const {
    return counts_[static_cast<int>(why)].load(std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> counts_[static_cast<int>(Refusal::kCount)] = {};
};

// On a cache line of its own: series do not slow each other down. Integers and
// fractions are added apart, so that cents stay exact and orders cost one
// instruction.
struct alignas(64) Cell {
  explicit Cell(std::shared_ptr<RefusalCounts> refusals)
      : refusals(std::move(refusals)) {}
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  // An up-down counter's may be negative, as two's complement.
  std::atomic<uint64_t> whole{0};
  // A gauge's value, a histogram's sum, the fractions added to a counter.
  std::atomic<double> real{0};
  // Whether a gauge has a value yet.
  std::atomic<bool> is_set{false};
  const std::shared_ptr<RefusalCounts> refusals;
};

struct HistogramCell final : Cell {
  HistogramCell(std::shared_ptr<RefusalCounts> refusals,
                std::shared_ptr<const std::vector<double>> bounds)
      : Cell(std::move(refusals)),
        bounds(std::move(bounds)),
        counts(new std::atomic<uint64_t>[this->bounds->size() + 1]()) {}

  const std::shared_ptr<const std::vector<double>> bounds;
  const std::unique_ptr<std::atomic<uint64_t>[]> counts;
};

}  // namespace vigie::sdk

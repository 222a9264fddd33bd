// Handles on one series each: what the hot path holds. Writing is lock-free,
// allocates nothing and never throws; a value that cannot be taken is ignored
// and counted (`vigie_sdk_refusals_total`).
// A handle outlives its meter safely: what is written then is lost. So does one
// that was never bound. Copies write the same series. Thread-safe.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <memory>

#include "sdk/cell.h"

namespace vigie::sdk {

// Only grows. Refuses negative amounts, NaN and infinities.
class BoundCounter {
 public:
  BoundCounter() = default;
  explicit BoundCounter(std::shared_ptr<Cell> cell) : cell_(std::move(cell)) {}

  void Increment() const noexcept { Add(1); }
  // Exact up to 2^64.
  template <std::integral Number>
  void Add(Number amount) const noexcept {
    if (cell_ == nullptr) return;
    if (std::signed_integral<Number> && amount < 0) {
      return cell_->refusals->Count(Refusal::kNegative);
    }
    cell_->whole.fetch_add(static_cast<uint64_t>(amount),
                           std::memory_order_relaxed);
  }
  template <std::floating_point Number>
  void Add(Number amount) const noexcept {
    if (cell_ == nullptr) return;
    if (!std::isfinite(amount)) {
      return cell_->refusals->Count(Refusal::kNotFinite);
    }
    if (amount < 0) return cell_->refusals->Count(Refusal::kNegative);
    cell_->real.fetch_add(amount, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<Cell> cell_;
};

// Goes up and down by amounts: what is in a queue, open connections.
class BoundUpDownCounter {
 public:
  BoundUpDownCounter() = default;
  explicit BoundUpDownCounter(std::shared_ptr<Cell> cell)
      : cell_(std::move(cell)) {}

  template <std::integral Number>
  void Add(Number amount) const noexcept {
    if (cell_ == nullptr) return;
    cell_->whole.fetch_add(static_cast<uint64_t>(amount),
                           std::memory_order_relaxed);
  }
  template <std::floating_point Number>
  void Add(Number amount) const noexcept {
    if (cell_ == nullptr) return;
    if (!std::isfinite(amount)) {
      return cell_->refusals->Count(Refusal::kNotFinite);
    }
    cell_->real.fetch_add(amount, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<Cell> cell_;
};

// A value as it is now; the series exists once it has been set.
class BoundGauge {
 public:
  BoundGauge() = default;
  explicit BoundGauge(std::shared_ptr<Cell> cell) : cell_(std::move(cell)) {}

  void Set(double value) const noexcept {
    if (cell_ == nullptr) return;
    cell_->real.store(value, std::memory_order_relaxed);
    // Whoever sees it set sees the value as well.
    cell_->is_set.store(true, std::memory_order_release);
  }

 private:
  std::shared_ptr<Cell> cell_;
};

// Counts values by bucket. Refuses NaN and infinities, which would spoil the
// sum for good.
class BoundHistogram {
 public:
  BoundHistogram() = default;
  explicit BoundHistogram(std::shared_ptr<Cell> cell)
      : cell_(std::static_pointer_cast<HistogramCell>(std::move(cell))) {}

  void Observe(double value) const noexcept {
    if (cell_ == nullptr) return;
    if (!std::isfinite(value)) {
      return cell_->refusals->Count(Refusal::kNotFinite);
    }
    const auto& bounds = *cell_->bounds;
    const auto bucket =
        std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
    cell_->counts[bucket].fetch_add(1, std::memory_order_relaxed);
    cell_->real.fetch_add(value, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<HistogramCell> cell_;
};

}  // namespace vigie::sdk

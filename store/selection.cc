#include "store/selection.h"

#include <utility>

#include "store/selection_iterator.h"

namespace vigie::store {
namespace {

class SelectionSnapshot final : public SeriesSnapshot {
 public:
  explicit SelectionSnapshot(std::shared_ptr<const Selection> selection)
      : selection_(std::move(selection)) {}

  size_t size() const override { return selection_->series.size(); }
  const Labels& labels(size_t series) const override {
    return selection_->series[series].labels;
  }
  std::unique_ptr<SampleIterator> Samples(size_t series) const override {
    auto iterator = std::make_unique<SelectionIterator>(selection_);
    iterator->Begin(series);
    return iterator;
  }
  void Reuse(size_t series,
             std::unique_ptr<SampleIterator>* iterator) const override {
    if (*iterator == nullptr) {
      *iterator = Samples(series);
    } else {
      static_cast<SelectionIterator*>(iterator->get())->Begin(series);
    }
  }
  const std::vector<std::string>& warnings() const override {
    return selection_->warnings;
  }

 private:
  const std::shared_ptr<const Selection> selection_;
};

}  // namespace

Selection::~Selection() {
  if (account != nullptr) account->Release(charged);
}

std::unique_ptr<SeriesSnapshot> SnapshotOf(
    std::shared_ptr<const Selection> selection) {
  return std::make_unique<SelectionSnapshot>(std::move(selection));
}

}  // namespace vigie::store

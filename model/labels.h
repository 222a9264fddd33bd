// Labels is a sorted label set, `__name__` included, packed into one string:
// for each label varint length, name, varint length, value. Equal sets have
// equal bytes, so bytes() is the canonical form that identity is taken from.
// Immutable; cheap to move, one allocation to copy.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace vigie {

inline constexpr std::string_view kMetricName = "__name__";

struct LabelView {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const LabelView&, const LabelView&) = default;
  friend auto operator<=>(const LabelView&, const LabelView&) = default;
};

class Labels {
 public:
  class Iterator {
   public:
    using value_type = LabelView;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using pointer = const LabelView*;
    using reference = const LabelView&;
    Iterator(const char* next, const char* end);
    const LabelView& operator*() const { return label_; }
    const LabelView* operator->() const { return &label_; }
    Iterator& operator++();
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    void Read();
    const char* at_;
    const char* next_;
    const char* end_;
    LabelView label_;
  };

  Labels() = default;
  // For tests and constants: any order; a later duplicate wins; labels with
  // an empty value are left out, as Prometheus does not tell them from absent.
  Labels(std::initializer_list<std::pair<std::string_view, std::string_view>>
             labels);

  // `labels` are sorted by name, names unique, names and values not empty.
  static Labels FromSorted(const std::vector<LabelView>& labels);

  // Takes bytes() of an earlier set. kDataLoss if they are not canonical.
  static absl::StatusOr<Labels> FromBytes(std::string_view bytes);

  Iterator begin() const;
  Iterator end() const;
  bool empty() const { return bytes_.empty(); }
  size_t size() const;  // O(n)

  // The value, or "" if the label is absent. Valid as long as this set.
  std::string_view Get(std::string_view name) const;
  std::string_view metric_name() const { return Get(kMetricName); }
  bool Has(std::string_view name) const;

  // {__name__="up", job="x"} is `up{job="x"}`; quoted as Prometheus does.
  std::string ToString() const;

  const std::string& bytes() const { return bytes_; }

  friend bool operator==(const Labels& a, const Labels& b) {
    return a.bytes_ == b.bytes_;
  }
  // By name, then value, label by label, as Prometheus sorts series.
  friend std::strong_ordering operator<=>(const Labels& a, const Labels& b);
  template <typename H>
  friend H AbslHashValue(H h, const Labels& labels) {
    return H::combine(std::move(h), labels.bytes_);
  }

 private:
  friend class LabelsBuilder;
  explicit Labels(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

// Changes a set: start from another or from nothing, Set and Remove, Build.
class LabelsBuilder {
 public:
  LabelsBuilder() = default;
  explicit LabelsBuilder(const Labels& base);

  // An empty value removes the label. A later Set wins.
  LabelsBuilder& Set(std::string_view name, std::string_view value);
  LabelsBuilder& Remove(std::string_view name);
  // Valid until the next call that changes this builder.
  std::string_view Get(std::string_view name) const;

  // Sorted by name.
  Labels Build() const;

 private:
  std::vector<std::pair<std::string, std::string>> labels_;  // sorted
};

// [a-zA-Z_:][a-zA-Z0-9_:]*, the names that need no quotes.
bool IsLegacyMetricName(std::string_view name);
// [a-zA-Z_][a-zA-Z0-9_]*.
bool IsLegacyLabelName(std::string_view name);

// `text` in double quotes, with Go's escapes, as Prometheus prints values.
std::string Quoted(std::string_view text);

}  // namespace vigie

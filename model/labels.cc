#include "model/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/strings.h"

namespace vigie {
namespace {

void PutString(std::string_view s, std::string* out) {
  uint64_t n = s.size();
  while (n >= 0x80) {
    out->push_back(static_cast<char>(n | 0x80));
    n >>= 7;
  }
  out->push_back(static_cast<char>(n));
  out->append(s);
}

size_t VarintBytes(uint64_t n) {
  size_t bytes = 1;
  for (; n >= 0x80; n >>= 7) ++bytes;
  return bytes;
}

// Null if the bytes end within the length or the string, and for lengths that
// take more bytes than they need: equal sets have equal bytes.
const char* TakeString(const char* p, const char* end, std::string_view* out) {
  uint64_t n = 0;
  for (int shift = 0; p < end && shift < 35; shift += 7) {
    const auto byte = static_cast<unsigned char>(*p++);
    n |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0) return nullptr;
      if (n > static_cast<uint64_t>(end - p)) return nullptr;
      *out = {p, static_cast<size_t>(n)};
      return p + n;
    }
  }
  return nullptr;
}

}  // namespace

Labels::Iterator::Iterator(const char* next, const char* end)
    : at_(next), next_(next), end_(end) {
  Read();
}

void Labels::Iterator::Read() {
  at_ = next_;
  if (at_ == end_) return;
  const char* p = TakeString(at_, end_, &label_.name);
  VIGIE_CHECK(p != nullptr);
  next_ = TakeString(p, end_, &label_.value);
  VIGIE_CHECK(next_ != nullptr);
}

Labels::Iterator& Labels::Iterator::operator++() {
  Read();
  return *this;
}

Labels::Labels(
    std::initializer_list<std::pair<std::string_view, std::string_view>>
        labels) {
  LabelsBuilder builder;
  for (const auto& [name, value] : labels) builder.Set(name, value);
  *this = builder.Build();
}

Labels Labels::FromSorted(const std::vector<LabelView>& labels) {
  // Every new series comes through here: one allocation, written in place.
  size_t size = 0;
  for (const LabelView& label : labels) {
    size += VarintBytes(label.name.size()) + label.name.size() +
            VarintBytes(label.value.size()) + label.value.size();
  }
  std::string out(size, '\0');
  char* p = out.data();
  for (const LabelView& label : labels) {
    for (const std::string_view s : {label.name, label.value}) {
      uint64_t n = s.size();
      for (; n >= 0x80; n >>= 7) *p++ = static_cast<char>(n | 0x80);
      *p++ = static_cast<char>(n);
      std::memcpy(p, s.data(), s.size());
      p += s.size();
    }
  }
  return Labels(std::move(out));
}

absl::StatusOr<Labels> Labels::FromBytes(std::string_view bytes) {
  const char* p = bytes.data();
  const char* end = p + bytes.size();
  std::string_view last;
  bool first = true;
  while (p < end) {
    std::string_view name, value;
    p = TakeString(p, end, &name);
    if (p != nullptr) p = TakeString(p, end, &value);
    if (p == nullptr)
      return absl::DataLossError("labels: cut short or malformed");
    if (value.empty() || (!first && name <= last)) {
      return absl::DataLossError("labels: not canonical");
    }
    last = name;
    first = false;
  }
  return Labels(std::string(bytes));
}

Labels::Iterator Labels::begin() const {
  return {bytes_.data(), bytes_.data() + bytes_.size()};
}
Labels::Iterator Labels::end() const {
  const char* end = bytes_.data() + bytes_.size();
  return {end, end};
}

size_t Labels::size() const {
  return static_cast<size_t>(std::distance(begin(), end()));
}

std::string_view Labels::Get(std::string_view name) const {
  for (const LabelView& label : *this) {
    if (label.name == name) return label.value;
    if (label.name > name) break;
  }
  return {};
}

bool Labels::Has(std::string_view name) const { return !Get(name).empty(); }

std::string Labels::ToString() const {
  std::string out;
  const std::string_view metric = metric_name();
  const bool bare = IsLegacyMetricName(metric);
  if (bare) out = metric;
  std::string inner;
  if (!metric.empty() && !bare) inner = Quoted(metric);
  for (const LabelView& label : *this) {
    if (label.name == kMetricName) continue;
    if (!inner.empty()) inner += ", ";
    inner += IsLegacyLabelName(label.name) ? std::string(label.name)
                                           : Quoted(label.name);
    inner += '=';
    inner += Quoted(label.value);
  }
  if (!inner.empty() || out.empty()) out += "{" + inner + "}";
  return out;
}

std::strong_ordering operator<=>(const Labels& a, const Labels& b) {
  auto ia = a.begin(), ib = b.begin();
  const auto ea = a.end(), eb = b.end();
  for (; ia != ea && ib != eb; ++ia, ++ib) {
    if (auto order = *ia <=> *ib; order != 0) return order;
  }
  return (ia != ea) <=> (ib != eb);
}

LabelsBuilder::LabelsBuilder(const Labels& base) {
  for (const LabelView& label : base) {
    labels_.emplace_back(label.name, label.value);
  }
}

LabelsBuilder& LabelsBuilder::Set(std::string_view name,
                                  std::string_view value) {
  if (value.empty()) return Remove(name);
  auto it = std::lower_bound(
      labels_.begin(), labels_.end(), name,
      [](const auto& label, std::string_view n) { return label.first < n; });
  if (it != labels_.end() && it->first == name) {
    it->second = value;
  } else {
    labels_.emplace(it, name, value);
  }
  return *this;
}

LabelsBuilder& LabelsBuilder::Remove(std::string_view name) {
  std::erase_if(labels_,
                [&](const auto& label) { return label.first == name; });
  return *this;
}

std::string_view LabelsBuilder::Get(std::string_view name) const {
  for (const auto& [n, value] : labels_) {
    if (n == name) return value;
  }
  return {};
}

Labels LabelsBuilder::Build() const {
  size_t bytes = 0;
  for (const auto& [name, value] : labels_) {
    bytes += name.size() + value.size() + 4;
  }
  std::string out;
  out.reserve(bytes);
  for (const auto& [name, value] : labels_) {
    PutString(name, &out);
    PutString(value, &out);
  }
  return Labels(std::move(out));
}

namespace {

bool IsLegacyName(std::string_view name, bool colons) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || (colons && c == ':');
  });
}

}  // namespace

bool IsLegacyMetricName(std::string_view name) {
  return IsLegacyName(name, /*colons=*/true);
}

bool IsLegacyLabelName(std::string_view name) {
  return IsLegacyName(name, /*colons=*/false);
}

std::string Quoted(std::string_view text) {
  constexpr std::string_view kEscaped = "\a\b\f\n\r\t\v\"\\";
  constexpr std::string_view kLetters = "abfnrtv\"\\";
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (const size_t at = kEscaped.find(c); at != std::string_view::npos) {
      out += {'\\', kLetters[at]};
      ++i;
      continue;
    }
    const size_t width = byte < 0x80   ? 1
                         : byte < 0xE0 ? 2
                         : byte < 0xF0 ? 3
                                       : 4;
    const std::string_view rune = text.substr(i, width);
    const bool fine = byte < 0x80 ? byte >= 0x20 && byte != 0x7F
                                  : rune.size() == width && IsValidUtf8(rune);
    if (fine) {
      out += rune;
      i += width;
    } else {
      out += fmt::format("\\x{:02x}", byte);
      ++i;
    }
  }
  out += '"';
  return out;
}

}  // namespace vigie

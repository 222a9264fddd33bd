#include "alerting/dispatch_records.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "model/tenant.h"

namespace vigie::alerting {
namespace {

constexpr uint8_t kVersion = 1;

class Writer {
 public:
  Writer() { bytes_.push_back(static_cast<char>(kVersion)); }

  Writer& Put(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      bytes_.push_back(static_cast<char>(value | 0x80));
    }
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  Writer& Put(int64_t value) {
    return Put(static_cast<uint64_t>(value) << 1 ^
               static_cast<uint64_t>(value >> 63));
  }
  Writer& Put(std::string_view text) {
    Put(static_cast<uint64_t>(text.size()));
    bytes_.append(text);
    return *this;
  }
  template <class Strings>
  Writer& PutAll(const Strings& strings) {
    Put(static_cast<uint64_t>(strings.size()));
    for (const std::string& text : strings) Put(std::string_view(text));
    return *this;
  }
  Writer& Put(const ChannelRecord& channel) {
    return Put(std::string_view(channel.group.key))
        .Put(std::string_view(channel.group.receiver))
        .Put(std::string_view(channel.group.labels.bytes()))
        .Put(std::string_view(channel.integration));
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Past the end, or at anything malformed, it fails for good and gives zeros:
// a decoder reads on and asks once.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {
    if (rest_.empty()) {
      ok_ = false;
    } else {
      version_ = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      ok_ = version_ == kVersion;
    }
  }

  void Get(uint64_t* out) {
    *out = 0;
    for (int shift = 0; shift < 64 && !rest_.empty() && ok_; shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      *out |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return;
    }
    ok_ = false;
    *out = 0;
  }
  void Get(int64_t* out) {
    uint64_t value;
    Get(&value);
    *out = static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
  }
  void Get(std::string* out) {
    uint64_t bytes;
    Get(&bytes);
    if (bytes > rest_.size()) ok_ = false;
    if (!ok_) return;
    *out = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
  }
  void Get(Labels* out) {
    std::string bytes;
    Get(&bytes);
    auto labels = Labels::FromBytes(bytes);
    if (labels.ok()) {
      *out = *std::move(labels);
    } else {
      ok_ = false;
    }
  }
  void Get(bool* out) {
    uint64_t value;
    Get(&value);
    if (value > 1) ok_ = false;
    *out = value == 1;
  }
  void Get(Fingerprints* out) {
    for (uint64_t n = Count(); n > 0 && ok_; --n) {
      std::string text;
      Get(&text);
      out->insert(std::move(text));
    }
  }
  void Get(std::vector<std::string>* out) {
    for (uint64_t n = Count(); n > 0 && ok_; --n) Get(&out->emplace_back());
  }
  void Get(ChannelRecord* out) {
    Get(&out->group.key);
    Get(&out->group.receiver);
    Get(&out->group.labels);
    Get(&out->integration);
  }
  uint64_t Count() {
    uint64_t count;
    Get(&count);
    if (count > rest_.size()) ok_ = false;
    return ok_ ? count : 0;
  }
  absl::Status End(std::string_view what) const {
    if (ok_ && rest_.empty()) return absl::OkStatus();
    if (version_ != kVersion) {
      return absl::DataLossError(
          fmt::format("{}: version {} is not known", what, version_));
    }
    return absl::DataLossError(fmt::format("{}: malformed", what));
  }

 private:
  std::string_view rest_;
  uint8_t version_ = kVersion;
  bool ok_ = true;
};

}  // namespace

std::string ChannelKey(const GroupIdentity& group,
                       std::string_view integration) {
  return fmt::format("{}{:c}{}{:c}{}", group.key, '\0', group.receiver, '\0',
                     integration);
}

std::string LedgerKey(uint64_t sequence) {
  std::string key;
  for (int shift = 56; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(sequence >> shift & 0xFF));
  }
  return key;
}

absl::StatusOr<uint64_t> ParseLedgerKey(std::string_view key) {
  if (key.size() != 8) {
    return absl::DataLossError("ledger: a key is not of 8 bytes");
  }
  uint64_t sequence = 0;
  for (const char c : key) sequence = sequence << 8 | static_cast<uint8_t>(c);
  return sequence;
}

std::string Encode(const AlertRecord& record) {
  const Alert& alert = record.alert;
  Writer out;
  out.Put(std::string_view(alert.labels.bytes()))
      .Put(alert.starts_at_ms)
      .Put(alert.ends_at_ms)
      .Put(record.taken_at_ms)
      .Put(std::string_view(alert.generator_url))
      .Put(static_cast<uint64_t>(alert.annotations.size()));
  for (const auto& [name, value] : alert.annotations) {
    out.Put(std::string_view(name)).Put(std::string_view(value));
  }
  return out.Take();
}

absl::Status Decode(std::string_view bytes, AlertRecord* record) {
  Reader in(bytes);
  Alert& alert = record->alert;
  in.Get(&alert.labels);
  in.Get(&alert.starts_at_ms);
  in.Get(&alert.ends_at_ms);
  in.Get(&record->taken_at_ms);
  in.Get(&alert.generator_url);
  for (uint64_t n = in.Count(); n > 0; --n) {
    auto& [name, value] = alert.annotations.emplace_back();
    in.Get(&name);
    in.Get(&value);
  }
  return in.End("alert record");
}

std::string Encode(const ChannelRecord& channel, const Told& told) {
  return Writer()
      .Put(channel)
      .Put(told.time_ms)
      .PutAll(told.firing)
      .Put(told.given_up_ms)
      .PutAll(told.given_up_firing)
      .PutAll(told.given_up_resolved)
      .Take();
}

absl::Status Decode(std::string_view bytes, ChannelRecord* channel,
                    Told* told) {
  Reader in(bytes);
  in.Get(channel);
  in.Get(&told->time_ms);
  in.Get(&told->firing);
  in.Get(&told->given_up_ms);
  in.Get(&told->given_up_firing);
  in.Get(&told->given_up_resolved);
  return in.End("record of what a receiver was told");
}

std::string Encode(const ChannelRecord& channel, const Owed& owed) {
  return Writer()
      .Put(channel)
      .Put(std::string_view(owed.id))
      .Put(std::string_view(owed.reason))
      .Put(owed.since_ms)
      .Put(owed.attempts)
      .Put(owed.not_before_ms)
      .Put(static_cast<uint64_t>(owed.uncertain ? 1 : 0))
      .PutAll(owed.maybe_firing)
      .Take();
}

absl::Status Decode(std::string_view bytes, ChannelRecord* channel,
                    Owed* owed) {
  Reader in(bytes);
  in.Get(channel);
  in.Get(&owed->id);
  in.Get(&owed->reason);
  in.Get(&owed->since_ms);
  in.Get(&owed->attempts);
  in.Get(&owed->not_before_ms);
  in.Get(&owed->uncertain);
  in.Get(&owed->maybe_firing);
  return in.End("record of what a receiver is owed");
}

std::string Encode(const LedgerEntry& entry) {
  return Writer()
      .Put(entry.time_ms)
      .Put(std::string_view(entry.notification))
      .Put(std::string_view(entry.receiver))
      .Put(std::string_view(entry.integration))
      .Put(std::string_view(entry.group_key))
      .Put(std::string_view(entry.event))
      .Put(std::string_view(entry.detail))
      .Put(entry.attempt)
      .PutAll(entry.firing)
      .PutAll(entry.resolved)
      .Take();
}

absl::Status Decode(std::string_view bytes, LedgerEntry* entry) {
  Reader in(bytes);
  in.Get(&entry->time_ms);
  in.Get(&entry->notification);
  in.Get(&entry->receiver);
  in.Get(&entry->integration);
  in.Get(&entry->group_key);
  in.Get(&entry->event);
  in.Get(&entry->detail);
  in.Get(&entry->attempt);
  in.Get(&entry->firing);
  in.Get(&entry->resolved);
  return in.End("ledger entry");
}

void PutTold(const GroupIdentity& group, const std::string& integration,
             const Told& told, store::RecordBatch* batch) {
  const std::string key = ChannelKey(group, integration);
  if (told == Told{}) {
    batch->Delete(Tenant{}, kToldTable, key);
  } else {
    batch->Put(Tenant{}, kToldTable, key,
               Encode(ChannelRecord{group, integration}, told));
  }
}

void PutOwed(const GroupIdentity& group, const std::string& integration,
             const std::optional<Owed>& owed, store::RecordBatch* batch) {
  const std::string key = ChannelKey(group, integration);
  if (!owed) {
    batch->Delete(Tenant{}, kOwedTable, key);
  } else {
    batch->Put(Tenant{}, kOwedTable, key,
               Encode(ChannelRecord{group, integration}, *owed));
  }
}

std::vector<std::string> Listed(const Fingerprints& set) {
  std::vector<std::string> out;
  for (const std::string& fingerprint : set) {
    if (out.size() == kListedMax) {
      out.push_back(fmt::format("+{}", set.size() - kListedMax));
      break;
    }
    out.push_back(fingerprint);
  }
  return out;
}

std::string KindOf(const std::string& integration) {
  return integration.substr(0, integration.find('['));
}

}  // namespace vigie::alerting

// Whatever the table of alert states holds is read or refused; what is read is
// written back the same.
#include <cstdint>
#include <string_view>

#include "alerting/alert_state.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vigie::alerting;  // NOLINT: the subject of this file
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto alert = DecodeAlertRecord(bytes); alert.ok()) {
    const auto again = DecodeAlertRecord(EncodeAlertRecord(*alert));
    VIGIE_CHECK(again.ok() && again->times == alert->times &&
                again->annotations == alert->annotations &&
                again->told_labels == alert->told_labels);
  }
  if (const auto key = DecodeAlertKey(bytes); key.ok()) {
    const auto again = DecodeAlertKey(EncodeAlertKey(*key));
    VIGIE_CHECK(again.ok() && again->rule_id == key->rule_id &&
                again->labels == key->labels && again->file == key->file);
  }
  return 0;
}

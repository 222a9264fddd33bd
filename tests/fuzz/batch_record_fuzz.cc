// Any bytes decode or are refused; what decodes encodes to bytes that tell the
// same, and that encode to themselves.
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/batch_record.h"

namespace vigie::store {
namespace {

void Try(std::string_view bytes) {
  const auto record = DecodeBatchRecord(bytes);
  if (!record.ok()) return;
  const std::string once = EncodeBatchRecord(*record);
  const auto again = DecodeBatchRecord(once);
  if (!again.ok() || EncodeBatchRecord(*again) != once) std::abort();
}

}  // namespace
}  // namespace vigie::store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  vigie::store::Try(bytes);
  // The version is not what there is to find.
  vigie::store::Try("\x03" + std::string(bytes));
  return 0;
}

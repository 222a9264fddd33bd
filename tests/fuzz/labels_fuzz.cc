// Bytes that are taken as a label set are its canonical form.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/labels.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto labels = vigie::Labels::FromBytes(bytes);
  if (!labels.ok()) return 0;
  VIGIE_CHECK(labels->bytes() == bytes);
  VIGIE_CHECK(vigie::LabelsBuilder(*labels).Build() == *labels);
  labels->ToString();
  return 0;
}

// Whatever text `vigie push` takes becomes a request that the server's decoder
// takes as well.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "cli/push_convert.h"
#include "collector/otlp_decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request = vigie::cli::ExpositionToOtlp(
      {reinterpret_cast<const char*>(data), size}, 1'700'000'000'000, "j", "i");
  if (!request.ok()) return 0;
  VIGIE_CHECK(vigie::collector::DecodeOtlp(request->SerializeAsString(),
                                           vigie::Tenant(), int64_t{1} << 30)
                  .ok());
  return 0;
}

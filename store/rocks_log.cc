#include "store/rocks_log.h"

#include <rocksdb/env.h>

#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "base/log.h"

namespace vigie::store {
namespace {

constexpr size_t kLineBytesMax = 2048;

class Log final : public rocksdb::Logger {
 public:
  Log() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::InfoLogLevel::WARN_LEVEL, format, arguments);
  }
  void Logv(rocksdb::InfoLogLevel level, const char* format,
            va_list arguments) override {
    // The header level, which is above all, describes options.
    if (level < GetInfoLogLevel() ||
        level == rocksdb::InfoLogLevel::HEADER_LEVEL) {
      return;
    }
    char line[kLineBytesMax];
    if (std::vsnprintf(line, sizeof line, format, arguments) < 0) return;
    std::string_view text = line;
    while (text.ends_with('\n')) text.remove_suffix(1);
    spdlog::debug("blocks: rocksdb: {}", text);
  }
};

}  // namespace

std::shared_ptr<rocksdb::Logger> RocksLog() { return std::make_shared<Log>(); }

}  // namespace vigie::store

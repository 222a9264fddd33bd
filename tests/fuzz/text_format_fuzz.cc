// Any text is read or refused with its line and column, in both formats; what
// is read decodes the same when only the text of the series is at hand.
#include <cctype>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/strings.h"
#include "collector/text_format.h"

namespace {

using vigie::MessageOf;
using namespace vigie::collector;

void CheckPlace(const absl::Status& status) {
  const std::string_view message = MessageOf(status);
  VIGIE_CHECK(!message.empty() && std::isdigit(message[0]));
  VIGIE_CHECK(message.find(':') != std::string_view::npos);
  VIGIE_CHECK(vigie::IsValidUtf8(message));
}

void Read(std::string_view text, TextFormat format) {
  TextParser parser(text, format);
  TextEntry entry;
  TextLabels labels, again;
  while (true) {
    const absl::StatusOr<bool> more = parser.Next(&entry);
    if (!more.ok()) return CheckPlace(more.status());
    if (!*more) return;
    if (entry.kind != TextEntry::Kind::kSample) continue;
    VIGIE_CHECK(!entry.series.empty());
    const absl::Status status = parser.ReadLabels(entry, &labels);
    const absl::Status alone =
        DecodeSeriesText(entry.series, entry.type, &again);
    VIGIE_CHECK(status.ok() == alone.ok());
    if (status.ok()) {
      VIGIE_CHECK(labels == again && labels[0].first == "__name__");
    } else {
      CheckPlace(status);
    }
    if (!entry.exemplar.empty()) {
      vigie::Exemplar exemplar;
      if (auto read = parser.ReadExemplar(entry, &exemplar); !read.ok()) {
        CheckPlace(read);
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Read(text, TextFormat::kPrometheus);
  Read(text, TextFormat::kOpenMetrics);
  return 0;
}

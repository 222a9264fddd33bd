#include "collector/otlp_exemplar.h"

#include "absl/strings/escaping.h"
#include "base/strings.h"

namespace vigie::collector {

bool ReadExemplar(std::string_view body, OtlpBuilder* build,
                  OtlpExemplar* out) {
  WireReader reader = build->Open(body);
  while (reader.Next()) {
    uint64_t bits = 0;
    std::string_view attribute;
    switch (reader.field()) {
      case 2:
        reader.ReadFixed64(&out->time_nano);
        break;
      case 3:
        reader.ReadDouble(&out->value);
        break;
      case 4:
        reader.Read(&out->span_id);
        break;
      case 5:
        reader.Read(&out->trace_id);
        break;
      case 6:
        reader.ReadFixed64(&bits);
        out->value = static_cast<double>(static_cast<int64_t>(bits));
        break;
      case 7:
        reader.Read(&attribute);
        if (reader.error() == nullptr) out->attributes.push_back(attribute);
        break;
      default:
        break;
    }
  }
  return build->Check(reader);
}

bool LabelExemplar(const OtlpExemplar& exemplar, OtlpBuilder* build,
                   LabelRow* row, Labels* out) {
  LabelsBuilder labels;
  size_t chars = 0;
  const auto set_id = [&](std::string_view name, std::string_view id) {
    if (id.find_first_not_of('\0') == std::string_view::npos) return;
    chars += name.size() + 2 * id.size();
    if (chars > kExemplarCharsMax) return;
    labels.Set(name, absl::BytesToHexString(ToAbsl(id)));
  };
  set_id("trace_id", exemplar.trace_id);
  set_id("span_id", exemplar.span_id);
  // Attributes go in together or not at all, as in Prometheus.
  LabelsBuilder full = labels;
  for (const std::string_view pair : exemplar.attributes) {
    std::string_view key, value;
    if (!build->ReadAttribute(pair, row, &key, &value)) return false;
    chars += key.size() + value.size();
    if (chars <= kExemplarCharsMax && !key.empty()) full.Set(key, value);
  }
  *out = (chars <= kExemplarCharsMax ? full : labels).Build();
  return true;
}

}  // namespace vigie::collector

// Checks and runs arbitrary templates, as text and as a page: each ends with
// an output or an error within its bounds, and what runs has passed its check.
#include <cstddef>
#include <cstdint>
#include <string>

#include "alerting/template/template.h"
#include "base/check.h"

namespace {

using vigie::alerting::TemplateContext;
using vigie::alerting::TemplateDialect;
using vigie::alerting::TemplateList;
using vigie::alerting::TemplateMap;
using vigie::alerting::TemplateOutput;
using vigie::alerting::TemplateSet;
using vigie::alerting::TemplateTime;
using vigie::alerting::TemplateValue;
using Variant = TemplateValue::Variant;

TemplateValue Data() {
  const TemplateValue labels = TemplateValue::OfPairs(
      {{"alertname", "Down"}, {"job", "<shop> \"&'"}, {"instance", "a:1"}});
  const TemplateValue alert = TemplateValue::OfMap(
      {{"Status", "firing"},
       {"Labels", labels},
       {"StartsAt", Variant(TemplateTime{.time_ms = 1'795'268'524'250})},
       {"EndsAt", Variant(TemplateTime{.is_zero = true})}});
  TemplateList alerts{{alert, alert}};
  alerts.fields = std::make_shared<const TemplateMap>(
      TemplateMap{{"Firing", TemplateValue::OfList({alert})}});
  return TemplateValue::OfMap(
      {{"Alerts", Variant(std::make_shared<const TemplateList>(alerts))},
       {"CommonLabels", labels},
       {"Value", Variant(0.25)},
       {"ExternalURL", "http://a/b"}});
}

void Run(const std::string& text, TemplateDialect dialect,
         TemplateOutput output) {
  static const TemplateValue* const data = new TemplateValue(Data());
  static const TemplateContext* const context = new TemplateContext{
      .now_ms = 1'795'268'600'000,
      .external_url = "http://a/b",
      .query =
          [](const std::string&) {
            return TemplateValue::OfList({TemplateValue::OfMap(
                {{"Labels", TemplateValue::OfPairs({{"a", "b"}})},
                 {"Value", Variant(1.5)}})});
          },
      .variables = {{"labels", TemplateValue::OfPairs({{"a", "b"}})},
                    {"value", Variant(2.5)}}};
  const TemplateSet set(dialect);
  const bool checked = set.Check(text, {"labels", "value"}).ok();
  const auto out = set.Execute(text, *data, *context, output);
  if (!out.ok()) return;
  VIGIE_CHECK(out->size() <= vigie::alerting::kTemplateOutputBytesMax);
  // A template that is not there is found by the check alone if nothing asks
  // for it.
  VIGIE_CHECK(checked || text.find("template") != std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1024) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  Run(text, TemplateDialect::kRules, TemplateOutput::kText);
  Run(text, TemplateDialect::kNotifications, TemplateOutput::kText);
  Run(text, TemplateDialect::kNotifications, TemplateOutput::kHtml);
  return 0;
}

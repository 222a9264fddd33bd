// Texts of a configuration that are templates, and what fills them.
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "alerting/receivers/integration.h"
#include "alerting/template/template.h"

namespace vigie::alerting {

struct TemplateText {
  std::string text = {};
  std::string place = {};  // "alertmanager.yml:12:3"
};

// What label values must not become in the texts of a message.
enum class Markup : uint8_t {
  kNone,            // as they are; HTML is escaped by the template engine
  kSlack,           // links and mentions: &, < and > are escaped
  kSlackLinkNames,  // and plain @names, where `link_names` makes them mentions
};

// Data as in Alertmanager's "Notification template reference": Receiver,
// Status, Alerts, GroupLabels, CommonLabels, CommonAnnotations, ExternalURL,
// NotificationReason, RouteLabels. Values of labels and annotations, and their
// names, are escaped for `markup`; bytes that are not UTF-8 become U+FFFD. Of
// generator URLs only those of http and https are kept.
TemplateValue NotificationData(const Notification& notification, Markup markup);

// Fills in the texts of one message. References outlive it.
class Renderer {
 public:
  Renderer(const TemplateSet& templates, const Notification& notification,
           Markup markup);

  // Valid UTF-8. On error the place of the text comes first.
  absl::StatusOr<std::string> Text(const TemplateText& text) const;
  absl::StatusOr<std::string> Html(const TemplateText& text) const;

 private:
  absl::StatusOr<std::string> Execute(const TemplateText& text,
                                      TemplateOutput output) const;

  const TemplateSet& templates_;
  TemplateContext context_;
  TemplateValue data_;
};

// `text` with U+FFFD for what is not UTF-8.
std::string SanitizedUtf8(std::string_view text);

// At most `characters_max` characters; one cut short ends in "…".
std::string CutText(std::string_view text, size_t characters_max);

}  // namespace vigie::alerting

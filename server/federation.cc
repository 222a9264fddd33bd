#include "server/federation.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"
#include "server/api_v1.h"
#include "server/form.h"
#include "server/json.h"
#include "server/result_json.h"
#include "server/selector_deadline.h"

namespace vigie::server {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;
using Snapshots = std::vector<std::unique_ptr<store::SeriesSnapshot>>;

struct Element {
  const Labels* labels = nullptr;  // of a snapshot
  Sample sample;
};

bool IsLegacyCharacter(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == ':' || (!first && c >= '0' && c <= '9');
}

// The next code point and how many bytes it has; U+FFFD for a wrong byte.
std::pair<uint32_t, size_t> DecodeUtf8(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (size == 1) return {lead, 1};
  if (text.size() < size || !IsValidUtf8(text.substr(0, size))) {
    return {0xfffd, 1};
  }
  uint32_t code = lead & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  }
  return {code, size};
}

// Quotes, backslashes and line breaks, as the text format has them.
void AppendEscaped(std::string_view text, std::string* out) {
  for (const char c : text) {
    if (c == '\n') {
      *out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') *out += '\\';
    *out += c;
  }
}

void AppendQuoted(std::string_view text, std::string* out) {
  *out += '"';
  AppendEscaped(text, out);
  *out += '"';
}

// The newest sample, unless it ends the series.
absl::StatusOr<std::optional<Sample>> NewestFloat(
    const store::SeriesSnapshot& snapshot, size_t series) {
  const std::unique_ptr<store::SampleIterator> samples =
      snapshot.Samples(series);
  store::SampleBatch batch;
  std::optional<Sample> newest;
  while (true) {
    VIGIE_ASSIGN_OR_RETURN(const bool more, samples->Next(&batch));
    if (!more) break;
    if (batch.times_ms.empty()) continue;
    newest.reset();  // of a histogram: there is nothing to show
    if (batch.kind == store::SampleKind::kFloat) {
      newest = Sample{batch.times_ms.back(), batch.values.back()};
    }
  }
  if (newest && IsStaleMarker(newest->value)) newest.reset();
  return newest;
}

class FederationSource final : public BodySource {
 public:
  FederationSource(Pairs external_labels, NameEscaping escaping,
                   ByteAccount& listings)
      : external_labels_(std::move(external_labels)),
        escaping_(escaping),
        account_("federation", kListingBytesMax, &listings) {}
  ~FederationSource() override {
    snapshots_.clear();  // they release what they charged
    account_.Release(charged_);
  }

  absl::Status Collect(const std::vector<std::vector<Matcher>>& selectors,
                       const HttpDependencies& dependencies,
                       const std::stop_token& stop) {
    const int64_t now_ms = dependencies.clock.NowMs();
    store::SelectRequest select;
    select.range = {now_ms - dependencies.lookback_ms, now_ms};
    select.hint = store::WindowHint{
        .function = "", .first_ms = now_ms, .step_ms = 0, .range_ms = 0};
    for (const std::vector<Matcher>& matchers : selectors) {
      select.matchers = matchers;
      VIGIE_ASSIGN_OR_RETURN(
          std::unique_ptr<store::SeriesSnapshot> snapshot,
          dependencies.queryable.Select(select, {&account_, stop}));
      VIGIE_RETURN_IF_ERROR(Take(*snapshot, stop));
      snapshots_.push_back(std::move(snapshot));
    }
    std::sort(elements_.begin(), elements_.end(),
              [](const Element& a, const Element& b) {
                const std::string_view left = a.labels->metric_name();
                const std::string_view right = b.labels->metric_name();
                return left != right ? left < right : *a.labels < *b.labels;
              });
    // Two selectors may both have asked for a series.
    const auto same = [](const Element& a, const Element& b) {
      return *a.labels == *b.labels;
    };
    elements_.erase(std::unique(elements_.begin(), elements_.end(), same),
                    elements_.end());
    return absl::OkStatus();
  }

  bool Next(std::string* out) override {
    const size_t full = out->size() + kPieceBytes;
    for (; next_ < elements_.size(); ++next_) {
      if (out->size() >= full) return true;
      const std::string_view name = elements_[next_].labels->metric_name();
      if (name.empty()) continue;  // as Prometheus: a line begins with a name
      if (name != family_) AppendType(name, out);
      AppendLine(elements_[next_], out);
    }
    return false;
  }

 private:
  absl::Status Take(const store::SeriesSnapshot& snapshot,
                    const std::stop_token& stop) {
    for (size_t i = 0; i < snapshot.size(); ++i) {
      if (stop.stop_requested()) {
        return absl::CancelledError("federation was canceled");
      }
      VIGIE_ASSIGN_OR_RETURN(const std::optional<Sample> newest,
                             NewestFloat(snapshot, i));
      if (!newest) continue;
      constexpr auto kBytes = static_cast<int64_t>(sizeof(Element));
      VIGIE_RETURN_IF_ERROR(account_.Charge(kBytes));
      charged_ += kBytes;
      elements_.push_back({&snapshot.labels(i), *newest});
    }
    return absl::OkStatus();
  }

  void AppendType(std::string_view name, std::string* out) {
    family_ = name;
    family_escaped_ = EscapeName(name, escaping_);
    *out += "# TYPE ";
    if (IsLegacyMetricName(family_escaped_)) {
      *out += family_escaped_;
    } else {
      AppendQuoted(family_escaped_, out);
    }
    *out += " untyped\n";
  }

  void AppendLine(const Element& element, std::string* out) {
    const bool plain = IsLegacyMetricName(family_escaped_);
    if (plain) {
      *out += family_escaped_;
    } else {
      *out += '{';
      AppendQuoted(family_escaped_, out);
    }
    bool open = !plain;
    const auto append = [&](std::string_view name, std::string_view value) {
      *out += open ? "," : "{";
      open = true;
      const std::string escaped = EscapeName(name, escaping_);
      if (IsLegacyLabelName(escaped)) {
        *out += escaped;
      } else {
        AppendQuoted(escaped, out);
      }
      *out += '=';
      AppendQuoted(value, out);
    };
    for (const LabelView& label : *element.labels) {
      if (label.name != kMetricName) append(label.name, label.value);
    }
    for (const auto& [name, value] : external_labels_) {
      if (!element.labels->Has(name)) append(name, value);
    }
    if (open) *out += '}';
    *out += ' ';
    AppendFloatText(element.sample.value, out);
    *out += fmt::format(" {}\n", element.sample.time_ms);
  }

  const Pairs external_labels_;  // sorted
  const NameEscaping escaping_;
  ByteAccount account_;
  int64_t charged_ = 0;  // for elements_
  Snapshots snapshots_;
  std::vector<Element> elements_;
  size_t next_ = 0;
  std::string_view family_;  // of elements_
  std::string family_escaped_;
};

HttpAnswer TextError(const absl::Status& error) {
  HttpAnswer answer = ErrorAnswer(error);  // for its status and headers
  answer.content_type = "text/plain; charset=utf-8";
  answer.body = std::string(MessageOf(error)) + '\n';
  return answer;
}

}  // namespace

NameEscaping NegotiateEscaping(std::string_view accept) {
  constexpr std::string_view kKey = "escaping=";
  const size_t at = accept.find(kKey);
  if (at == std::string_view::npos) return NameEscaping::kUnderscores;
  std::string_view value = accept.substr(at + kKey.size());
  value = value.substr(0, value.find_first_of(";, "));
  if (value == "allow-utf-8") return NameEscaping::kAllowUtf8;
  if (value == "dots") return NameEscaping::kDots;
  if (value == "values") return NameEscaping::kValues;
  return NameEscaping::kUnderscores;
}

std::string EscapeName(std::string_view name, NameEscaping escaping) {
  if (name.empty() || escaping == NameEscaping::kAllowUtf8 ||
      (escaping != NameEscaping::kDots && IsLegacyMetricName(name))) {
    return std::string(name);
  }
  std::string out = escaping == NameEscaping::kValues ? "U__" : "";
  for (size_t i = 0; i < name.size();) {
    const auto [code, size] = DecodeUtf8(name.substr(i));
    const char c = name[i];
    if (c == '_' && escaping != NameEscaping::kUnderscores) {
      out += "__";
    } else if (c == '.' && escaping == NameEscaping::kDots) {
      out += "_dot_";
    } else if (IsLegacyCharacter(c, i == 0)) {
      out += c;
    } else if (escaping == NameEscaping::kUnderscores) {
      out += '_';
    } else if (escaping == NameEscaping::kDots) {
      out += "__";
    } else {
      out += fmt::format("_{:x}_", code);
    }
    i += size;
  }
  return out;
}

HttpAnswer AnswerFederation(const HttpRequest& request,
                            const HttpDependencies& dependencies,
                            ByteAccount& listings) {
  Form form;
  if (absl::Status status = form.Add(request.query); !status.ok()) {
    return TextError(Prefixed("error parsing form values", status));
  }
  std::vector<std::vector<Matcher>> selectors;
  const SelectorDeadline deadline(request, dependencies.clock);
  for (const std::string_view text : form.GetAll("match[]")) {
    if (absl::Status status = deadline.Check(); !status.ok()) {
      return TextError(status);
    }
    absl::StatusOr<std::vector<Matcher>> matchers = query::ParseMatchers(text);
    if (!matchers.ok()) return TextError(matchers.status());
    selectors.push_back(*std::move(matchers));
  }
  Pairs external_labels;
  if (dependencies.external_labels) {
    external_labels = dependencies.external_labels();
  }
  // An `instance` that the scraper did not ask for would be the scraper's own.
  const auto named = [](std::string_view name) {
    return [name](const auto& pair) { return pair.first == name; };
  };
  if (std::none_of(external_labels.begin(), external_labels.end(),
                   named("instance"))) {
    external_labels.emplace_back("instance", "");
  }
  std::sort(external_labels.begin(), external_labels.end());

  const NameEscaping escaping = NegotiateEscaping(request.Header("accept"));
  auto source = std::make_unique<FederationSource>(std::move(external_labels),
                                                   escaping, listings);
  if (absl::Status status =
          source->Collect(selectors, dependencies, request.stop);
      !status.ok()) {
    return TextError(status);
  }
  constexpr std::string_view kNames[] = {"underscores", "dots", "values",
                                         "allow-utf-8"};
  HttpAnswer answer;
  answer.content_type =
      fmt::format("text/plain; version=0.0.4; charset=utf-8; escaping={}",
                  kNames[static_cast<size_t>(escaping)]);
  if (source->Next(&answer.body)) answer.rest = std::move(source);
  return answer;
}

}  // namespace vigie::server

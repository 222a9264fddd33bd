// labels, label/NAME/values, series, metadata.
#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "query/parser/parser.h"
#include "server/api_v1.h"
#include "server/json.h"
#include "server/openmetrics_export.h"
#include "server/parameters.h"
#include "server/result_json.h"
#include "server/selector_deadline.h"

namespace vigie::server {
namespace {

struct Listing {
  TimeRange range;
  std::vector<std::vector<Matcher>> selectors;
  uint64_t limit = 0;
};

absl::StatusOr<Listing> ReadListing(const HttpRequest& request,
                                    const Form& form, const Clock& clock) {
  Listing listing;
  absl::StatusOr<uint64_t> limit = ParseLimit(form.Get("limit"));
  if (!limit.ok()) return InvalidParameter("limit", limit.status());
  listing.limit = *limit;
  VIGIE_ASSIGN_OR_RETURN(listing.range, ReadTimeRange(form));
  VIGIE_ASSIGN_OR_RETURN(listing.selectors,
                         ReadSelectors(request, form, clock));
  return listing;
}

absl::StatusOr<HttpAnswer> AnswerNames(store::NameList list,
                                       ByteAccount& results) {
  std::vector<std::string> warnings = std::move(list.warnings);
  if (list.truncated) warnings.emplace_back(kTruncatedWarning);
  const size_t size = list.names.size();
  const int64_t bytes = BytesOf(list.names);
  return StreamAnswer(
      std::make_unique<ListSource>(
          size,
          [names = std::move(list.names)](size_t i, std::string* out) {
            AppendJsonString(names[i], out);
          },
          std::move(warnings)),
      bytes, results);
}

}  // namespace

absl::StatusOr<std::vector<std::vector<Matcher>>> ReadSelectors(
    const HttpRequest& request, const Form& form, const Clock& clock) {
  std::vector<std::vector<Matcher>> selectors;
  const SelectorDeadline deadline(request, clock);
  for (const std::string_view text : form.GetAll("match[]")) {
    VIGIE_RETURN_IF_ERROR(deadline.Check());
    absl::StatusOr<std::vector<Matcher>> matchers = query::ParseMatchers(text);
    if (!matchers.ok()) {
      return InvalidParameter("match[]", matchers.status());
    }
    bool selective = false;
    for (const Matcher& matcher : *matchers) {
      selective = selective || !matcher.MatchesEmpty();
    }
    if (!selective) {
      return InvalidParameter("match[]",
                              absl::InvalidArgumentError(
                                  "match[] must contain at least one non-empty "
                                  "matcher"));
    }
    selectors.push_back(*std::move(matchers));
  }
  return selectors;
}

absl::StatusOr<TimeRange> ReadTimeRange(const Form& form) {
  TimeRange range;
  for (const auto& [name, bound] :
       {std::pair{"start", &range.min_ms}, std::pair{"end", &range.max_ms}}) {
    const std::string_view text = form.Get(name);
    if (text.empty()) continue;
    absl::StatusOr<int64_t> time_ms = ParseTimeMs(text);
    if (!time_ms.ok()) {
      return InvalidParameter(
          name, Prefixed(fmt::format("Invalid time value for '{}'", name),
                         time_ms.status()));
    }
    *bound = *time_ms;
  }
  return range;
}

ApiV1::Answer ApiV1::LabelNames(const HttpRequest& request, const Form& form) {
  VIGIE_ASSIGN_OR_RETURN(const Listing listing,
                         ReadListing(request, form, dependencies_.clock));
  ByteAccount account("labels", kListingBytesMax, &listings_);
  VIGIE_ASSIGN_OR_RETURN(store::NameList list,
                         dependencies_.queryable.LabelNames(
                             Tenant{}, listing.range, listing.selectors,
                             listing.limit, {&account, request.stop}));
  return AnswerNames(std::move(list), results_);
}

ApiV1::Answer ApiV1::LabelValues(const HttpRequest& request, const Form& form) {
  const std::string label = UnescapeLabelName(request.path_argument);
  if (label.empty() || !IsValidUtf8(label)) {
    return absl::InvalidArgumentError(
        fmt::format("invalid label name: {}", Quoted(label)));
  }
  VIGIE_ASSIGN_OR_RETURN(const Listing listing,
                         ReadListing(request, form, dependencies_.clock));
  ByteAccount account("label values", kListingBytesMax, &listings_);
  VIGIE_ASSIGN_OR_RETURN(store::NameList list,
                         dependencies_.queryable.LabelValues(
                             Tenant{}, label, listing.range, listing.selectors,
                             listing.limit, {&account, request.stop}));
  return AnswerNames(std::move(list), results_);
}

ApiV1::Answer ApiV1::Series(const HttpRequest& request, const Form& form) {
  if (form.GetAll("match[]").empty()) {
    return absl::InvalidArgumentError("no match[] parameter provided");
  }
  VIGIE_ASSIGN_OR_RETURN(const Listing listing,
                         ReadListing(request, form, dependencies_.clock));
  ByteAccount account("series", kListingBytesMax, &listings_);
  bool truncated = false;
  VIGIE_ASSIGN_OR_RETURN(
      std::vector<Labels> found,
      dependencies_.queryable.Series(Tenant{}, listing.range, listing.selectors,
                                     listing.limit, {&account, request.stop},
                                     &truncated));
  std::vector<std::string> warnings;
  if (truncated) warnings.emplace_back(kTruncatedWarning);
  const size_t size = found.size();
  const int64_t bytes = BytesOf(found);
  return StreamAnswer(
      std::make_unique<ListSource>(
          size,
          [found = std::move(found)](size_t i, std::string* out) {
            AppendLabels(found[i], out);
          },
          std::move(warnings)),
      bytes, results_);
}

ApiV1::Answer ApiV1::Metadata(const HttpRequest& request, const Form& form) {
  // Negative, as in Prometheus, is no limit.
  const auto read = [&](std::string_view name, size_t* limit) {
    const std::string_view text = form.Get(name);
    int64_t value = -1;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value);
    if (!text.empty() &&
        (error != std::errc() || end != text.data() + text.size())) {
      return absl::InvalidArgumentError(
          fmt::format("{} must be a number", name));
    }
    *limit = value < 0 ? std::numeric_limits<size_t>::max()
                       : static_cast<size_t>(value);
    return absl::OkStatus();
  };
  size_t limit = 0, limit_per_metric = 0;
  VIGIE_RETURN_IF_ERROR(read("limit", &limit));
  VIGIE_RETURN_IF_ERROR(read("limit_per_metric", &limit_per_metric));
  if (limit_per_metric == 0) {
    limit_per_metric = std::numeric_limits<size_t>::max();
  }
  ByteAccount account("metadata", kListingBytesMax, &listings_);
  VIGIE_ASSIGN_OR_RETURN(
      const std::vector<store::MetricMetadata> found,
      dependencies_.queryable.ListMetadata(Tenant{}, form.Get("metric"),
                                           {&account, request.stop}));
  std::string data = "{";
  size_t metrics = 0;
  for (size_t i = 0; i < found.size() && metrics < limit; ++metrics) {
    if (i > 0) data += ',';
    AppendJsonString(found[i].metric, &data);
    data += ":[";
    const std::string& metric = found[i].metric;
    for (size_t held = 0; i < found.size() && found[i].metric == metric;
         ++i, ++held) {
      if (held >= limit_per_metric) continue;
      const vigie::Metadata& metadata = found[i].metadata;
      data += fmt::format("{}{{\"type\":\"{}\",\"help\":", held > 0 ? "," : "",
                          MetricTypeText(metadata.type));
      AppendJsonString(metadata.help, &data);
      data += ",\"unit\":";
      AppendJsonString(metadata.unit, &data);
      data += '}';
    }
    data += ']';
  }
  data += '}';
  return SuccessAnswer(std::move(data));
}

}  // namespace vigie::server

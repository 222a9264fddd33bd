// label_replace and label_join.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "model/regex.h"
#include "query/evaluator.h"
#include "query/parser/limit.h"

namespace vigie::query {
namespace {

const std::string& TextOf(const Expr& expr) {
  return WithoutParens(expr).As<StringLiteral>().value;
}

bool IsLabelName(std::string_view name) {
  return !name.empty() && IsValidUtf8(name);
}

// Sets `destination` of each series; a series without a new value stays.
class Relabel {
 public:
  virtual ~Relabel() = default;
  // False to leave the label as it is.
  virtual bool NewValue(const Labels& labels, std::string* value) = 0;
  // How long the new value can become: nested calls may double it each time.
  virtual size_t BytesMax(const Labels& labels) const = 0;
};

class Replace final : public Relabel {
 public:
  Replace(Regex regex, std::string source, std::string replacement)
      : regex_(std::move(regex)),
        source_(std::move(source)),
        replacement_(std::move(replacement)) {}

  bool NewValue(const Labels& labels, std::string* value) override {
    return regex_.Expand(labels.Get(source_), replacement_, value);
  }

  // Each group is a part of the source.
  size_t BytesMax(const Labels& labels) const override {
    const auto groups = static_cast<size_t>(
        std::count(replacement_.begin(), replacement_.end(), '$'));
    return replacement_.size() + groups * labels.Get(source_).size();
  }

 private:
  const Regex regex_;
  const std::string source_;
  const std::string replacement_;
};

class Join final : public Relabel {
 public:
  Join(std::string separator, std::vector<std::string> sources)
      : separator_(std::move(separator)), sources_(std::move(sources)) {}

  bool NewValue(const Labels& labels, std::string* value) override {
    value->clear();
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (i > 0) value->append(separator_);
      value->append(labels.Get(sources_[i]));
    }
    return true;
  }

  size_t BytesMax(const Labels& labels) const override {
    size_t bytes = separator_.size() * sources_.size();
    for (const std::string& source : sources_) {
      bytes += labels.Get(source).size();
    }
    return bytes;
  }

 private:
  const std::string separator_;
  const std::vector<std::string> sources_;
};

absl::StatusOr<std::unique_ptr<Relabel>> MakeReplace(
    const CallExpr& call, const EngineOptions& options) {
  const std::string& pattern = TextOf(*call.args[4]);
  if (static_cast<int64_t>(pattern.size()) > options.regex_bytes_max) {
    return WithLimit(
        Limit::kRegex,
        absl::FailedPreconditionError(fmt::format(
            "regular expression of {} bytes in label_replace(): at most {} "
            "are taken (setting query.regex_bytes_max)",
            pattern.size(), options.regex_bytes_max)));
  }
  absl::StatusOr<Regex> regex = Regex::Create(pattern);
  if (!regex.ok()) {
    return absl::FailedPreconditionError(fmt::format(
        "invalid regular expression in label_replace(): {}", pattern));
  }
  const std::string& destination = TextOf(*call.args[1]);
  if (!IsLabelName(destination)) {
    return absl::FailedPreconditionError(fmt::format(
        "invalid destination label name in label_replace(): {}", destination));
  }
  return std::make_unique<Replace>(*std::move(regex), TextOf(*call.args[3]),
                                   TextOf(*call.args[2]));
}

absl::StatusOr<std::unique_ptr<Relabel>> MakeJoin(const CallExpr& call) {
  std::vector<std::string> sources;
  for (size_t i = 3; i < call.args.size(); ++i) {
    sources.push_back(TextOf(*call.args[i]));
    if (!IsLabelName(sources.back())) {
      return absl::FailedPreconditionError(fmt::format(
          "invalid source label name in label_join(): {}", sources.back()));
    }
  }
  const std::string& destination = TextOf(*call.args[1]);
  if (!IsLabelName(destination)) {
    return absl::FailedPreconditionError(fmt::format(
        "invalid destination label name in label_join(): {}", destination));
  }
  return std::make_unique<Join>(TextOf(*call.args[2]), std::move(sources));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesStream>> EvaluateLabelCall(
    Evaluator* evaluator, const CallExpr& call, const Steps& steps) {
  VIGIE_ASSIGN_OR_RETURN(auto relabel,
                         call.function->name == "label_replace"
                             ? MakeReplace(call, evaluator->context().options)
                             : MakeJoin(call));
  const std::string& destination = TextOf(*call.args[1]);
  VIGIE_ASSIGN_OR_RETURN(auto series, evaluator->Collect(*call.args[0], steps));
  std::string value;
  for (StepSeries& one : series) {
    const size_t bytes =
        one.labels.bytes().size() + relabel->BytesMax(one.labels);
    VIGIE_RETURN_IF_ERROR(evaluator->context().CheckNowAndThen(bytes / 16));
    // The value, the builder and the new set.
    Charge made(&evaluator->context().account);
    VIGIE_RETURN_IF_ERROR(made.Add(3 * static_cast<int64_t>(bytes)));
    if (!relabel->NewValue(one.labels, &value)) continue;
    LabelsBuilder builder(one.labels);
    VIGIE_RETURN_IF_ERROR(
        one.SetLabels(builder.Set(destination, value).Build()));
    // A name given by hand is kept.
    if (destination == kMetricName) one.drop_name = false;
  }
  VIGIE_ASSIGN_OR_RETURN(
      series, MergeEqualLabels(&evaluator->context(), std::move(series)));
  return StreamOf(std::move(series));
}

}  // namespace vigie::query

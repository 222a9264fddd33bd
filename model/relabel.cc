#include "model/relabel.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie {
namespace {

using Action = RelabelOptions::Action;

constexpr std::pair<std::string_view, Action> kActions[] = {
    {"replace", Action::kReplace},     {"keep", Action::kKeep},
    {"drop", Action::kDrop},           {"keepequal", Action::kKeepEqual},
    {"dropequal", Action::kDropEqual}, {"hashmod", Action::kHashMod},
    {"labelmap", Action::kLabelMap},   {"labeldrop", Action::kLabelDrop},
    {"labelkeep", Action::kLabelKeep}, {"lowercase", Action::kLowercase},
    {"uppercase", Action::kUppercase}};

std::string_view NameOf(Action action) {
  for (const auto& [name, value] : kActions) {
    if (value == action) return name;
  }
  return "";
}

std::string AsciiCase(std::string_view text, bool upper) {
  std::string out(text);
  for (char& c : out) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// The last eight bytes of the MD5, big endian: how Prometheus spreads targets
// over servers, so that both agree on who scrapes what.
uint64_t SpreadHash(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  VIGIE_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size,
                         EVP_md5(), nullptr) == 1);
  uint64_t hash = 0;
  for (size_t i = 8; i < 16; ++i) hash = hash << 8 | digest[i];
  return hash;
}

bool HasReference(std::string_view pattern) {
  return pattern.find('$') != std::string_view::npos;
}

absl::Status Check(const RelabelOptions& o) {
  const auto invalid = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("relabel action {}: {}", NameOf(o.action), what));
  };
  const RelabelOptions defaults;
  switch (o.action) {
    case Action::kReplace:
    case Action::kHashMod:
    case Action::kLowercase:
    case Action::kUppercase:
    case Action::kKeepEqual:
    case Action::kDropEqual:
      if (o.target_label.empty()) return invalid("needs 'target_label'");
      break;
    default:
      break;
  }
  if (o.action == Action::kHashMod && o.modulus == 0) {
    return invalid("needs a 'modulus' that is not 0");
  }
  if ((o.action == Action::kKeepEqual || o.action == Action::kDropEqual) &&
      (o.regex != defaults.regex || o.modulus != 0 ||
       o.separator != defaults.separator ||
       o.replacement != defaults.replacement)) {
    return invalid("takes 'source_labels' and 'target_label' only");
  }
  if ((o.action == Action::kLabelDrop || o.action == Action::kLabelKeep) &&
      (!o.source_labels.empty() || !o.target_label.empty() || o.modulus != 0 ||
       o.separator != defaults.separator ||
       o.replacement != defaults.replacement)) {
    return invalid("takes 'regex' only");
  }
  for (const std::string& text : o.source_labels) {
    if (!IsValidUtf8(text) || text.empty()) {
      return invalid("a source label has no valid name");
    }
  }
  if (!IsValidUtf8(o.target_label) || !IsValidUtf8(o.replacement)) {
    return invalid("'target_label' or 'replacement' is not valid UTF-8");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Action> ParseRelabelAction(std::string_view name) {
  const std::string lower = AsciiCase(name, /*upper=*/false);
  for (const auto& [known, action] : kActions) {
    if (known == lower) return action;
  }
  return absl::InvalidArgumentError(
      fmt::format("unknown relabel action {}", Quoted(name)));
}

absl::StatusOr<Relabel> Relabel::Create(RelabelOptions options) {
  VIGIE_RETURN_IF_ERROR(Check(options));
  VIGIE_ASSIGN_OR_RETURN(Regex regex, Regex::Create(options.regex));
  return Relabel(std::move(options), std::move(regex));
}

bool Relabel::Apply(LabelsBuilder* labels) const {
  std::string value;
  for (size_t i = 0; i < options_.source_labels.size(); ++i) {
    if (i > 0) value += options_.separator;
    value += labels->Get(options_.source_labels[i]);
  }
  switch (options_.action) {
    case Action::kKeep:
      return regex_.Matches(value);
    case Action::kDrop:
      return !regex_.Matches(value);
    case Action::kKeepEqual:
      return labels->Get(options_.target_label) == value;
    case Action::kDropEqual:
      return labels->Get(options_.target_label) != value;
    case Action::kReplace: {
      std::string target = options_.target_label, replacement;
      if (!regex_.Expand(value, options_.replacement, &replacement))
        return true;
      if (HasReference(target))
        regex_.Expand(value, options_.target_label, &target);
      if (target.empty() || !IsValidUtf8(target)) return true;
      labels->Set(target, replacement);
      return true;
    }
    case Action::kHashMod:
      labels->Set(options_.target_label,
                  std::to_string(SpreadHash(value) % options_.modulus));
      return true;
    case Action::kLowercase:
    case Action::kUppercase:
      labels->Set(options_.target_label,
                  AsciiCase(value, options_.action == Action::kUppercase));
      return true;
    case Action::kLabelMap:
      for (const Labels before = labels->Build();
           const LabelView& label : before) {
        std::string name;
        if (regex_.Expand(label.name, options_.replacement, &name) &&
            !name.empty()) {
          labels->Set(name, label.value);
        }
      }
      return true;
    case Action::kLabelDrop:
    case Action::kLabelKeep:
      for (const Labels before = labels->Build();
           const LabelView& label : before) {
        if (regex_.Matches(label.name) ==
            (options_.action == Action::kLabelDrop)) {
          labels->Remove(label.name);
        }
      }
      return true;
  }
  return true;
}

bool ApplyAll(const std::vector<Relabel>& rules, LabelsBuilder* labels) {
  return std::all_of(rules.begin(), rules.end(),
                     [&](const Relabel& rule) { return rule.Apply(labels); });
}

}  // namespace vigie

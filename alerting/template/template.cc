#include "alerting/template/template.h"

#include <utility>

#include "alerting/template/executor.h"
#include "alerting/template/functions.h"
#include "alerting/template/node.h"
#include "alerting/template/parser.h"
#include "base/status_macros.h"

namespace vigie::alerting {

struct TemplateSet::Impl {
  TemplateDialect dialect;
  tmpl::Definitions definitions = {};

  const tmpl::FunctionTable& functions() const {
    return tmpl::FunctionTable::Of(dialect);
  }

  // An empty definition does not stand in the way of a full one.
  void Add(const std::string& name,
           std::shared_ptr<const tmpl::Definition> definition) {
    if (tmpl::IsBlank(*definition) && definitions.count(name) > 0) return;
    definitions[name] = std::move(definition);
  }
};

TemplateSet::TemplateSet(TemplateDialect dialect)
    : impl_(std::make_unique<Impl>(Impl{dialect})) {}
TemplateSet::~TemplateSet() = default;
TemplateSet::TemplateSet(TemplateSet&&) noexcept = default;
TemplateSet& TemplateSet::operator=(TemplateSet&&) noexcept = default;

absl::Status TemplateSet::AddFile(std::string_view text,
                                  std::string_view file_name) {
  VIGIE_ASSIGN_OR_RETURN(tmpl::Parsed parsed,
                         tmpl::Parse(text, file_name, impl_->functions(), {}));
  for (auto& [name, definition] : parsed.defined) {
    impl_->Add(name, std::move(definition));
  }
  // What stands outside of definitions is a template of the file's own name.
  if (!tmpl::IsBlank(parsed.main)) {
    impl_->Add(std::string(file_name.substr(file_name.rfind('/') + 1)),
               std::make_shared<tmpl::Definition>(std::move(parsed.main)));
  }
  return absl::OkStatus();
}

absl::Status TemplateSet::Check(
    std::string_view text, const std::vector<std::string>& variables) const {
  VIGIE_ASSIGN_OR_RETURN(const tmpl::Parsed parsed,
                         tmpl::Parse(text, "", impl_->functions(), variables));
  VIGIE_RETURN_IF_ERROR(
      tmpl::CheckNames(parsed.main, parsed.defined, impl_->definitions));
  for (const auto& [name, definition] : parsed.defined) {
    VIGIE_RETURN_IF_ERROR(
        tmpl::CheckNames(*definition, parsed.defined, impl_->definitions));
  }
  for (const auto& [name, definition] : impl_->definitions) {
    VIGIE_RETURN_IF_ERROR(
        tmpl::CheckNames(*definition, parsed.defined, impl_->definitions));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> TemplateSet::Execute(std::string_view text,
                                                 const TemplateValue& data,
                                                 const TemplateContext& context,
                                                 TemplateOutput output) const {
  std::vector<std::string> variables;
  for (const auto& [name, value] : context.variables) {
    variables.push_back(name);
  }
  VIGIE_ASSIGN_OR_RETURN(const tmpl::Parsed parsed,
                         tmpl::Parse(text, "", impl_->functions(), variables));
  return tmpl::Execute(parsed.main, parsed.defined, impl_->definitions, data,
                       context, impl_->dialect, output);
}

}  // namespace vigie::alerting

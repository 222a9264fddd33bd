#include "alerting/template/executor.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "alerting/template/functions.h"
#include "alerting/template/go_print.h"
#include "alerting/template/html.h"
#include "alerting/template/parser.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace vigie::alerting::tmpl {
namespace {

// Keeps the stack of the thread short: branches, loops and templates inside of
// one another.
constexpr int kFramesMax = 256;

absl::Status PlacedError(const std::string& file, Place place,
                         const absl::Status& status) {
  return {status.code(), ErrorAt(file, place, MessageOf(status)).message()};
}

class Executor {
 public:
  Executor(const Definitions& own, const Definitions& known,
           const TemplateContext& context, TemplateDialect dialect,
           TemplateOutput output)
      : own_(own),
        known_(known),
        call_{context, dialect, output, budget_,
              [this](const std::string& name, const TemplateValue& data) {
                return RunApart(name, data);
              }} {}

  absl::StatusOr<std::string> Run(const Definition& main,
                                  const TemplateValue& data) {
    variables_.emplace_back("", data);
    for (const auto& variable : call_.context.variables) {
      variables_.push_back(variable);
    }
    definition_ = &main;
    VIGIE_RETURN_IF_ERROR(WalkAll(main.nodes, data).status());
    return std::move(out_);
  }

 private:
  enum class Flow : uint8_t { kOn, kBreak, kContinue };

  absl::Status Wrong(Place place, std::string_view message) const {
    return ErrorAt(definition_->file, place, message);
  }
  absl::Status Placed(Place place, const absl::Status& status) const {
    return PlacedError(definition_->file, place, status);
  }

  absl::Status TooDeep(Place place) const {
    return Placed(place, absl::ResourceExhaustedError(fmt::format(
                             "a template nested deeper than {}", kFramesMax)));
  }

  absl::Status Write(Place place, std::string_view text) {
    if (out_.size() + text.size() > kTemplateOutputBytesMax) {
      return Placed(
          place, absl::ResourceExhaustedError(fmt::format(
                     "more than {} bytes of output", kTemplateOutputBytesMax)));
    }
    out_ += text;
    return absl::OkStatus();
  }

  absl::StatusOr<Flow> WalkAll(const std::vector<Node>& nodes,
                               const TemplateValue& dot) {
    if (++frames_ > kFramesMax) {
      return TooDeep(nodes.empty() ? Place() : nodes[0].place);
    }
    const size_t scope = variables_.size();
    Flow flow = Flow::kOn;
    for (const Node& node : nodes) {
      VIGIE_ASSIGN_OR_RETURN(flow, Walk(node, dot));
      if (flow != Flow::kOn) break;
    }
    variables_.resize(scope);
    --frames_;
    return flow;
  }

  absl::StatusOr<Flow> Walk(const Node& node, const TemplateValue& dot) {
    if (absl::Status status = budget_.Step(); !status.ok()) {
      return Placed(node.place, status);
    }
    switch (node.kind) {
      case Node::Kind::kText:
        VIGIE_RETURN_IF_ERROR(Write(node.place, node.text));
        if (call_.output == TemplateOutput::kHtml) page_.Follow(node.text);
        return Flow::kOn;
      case Node::Kind::kAction: {
        VIGIE_ASSIGN_OR_RETURN(const TemplateValue value,
                               EvalPipe(*node.pipe, dot));
        if (node.pipe->variables.empty()) {
          VIGIE_RETURN_IF_ERROR(WriteValue(node.place, value));
        }
        return Flow::kOn;
      }
      case Node::Kind::kIf:
      case Node::Kind::kWith:
        return WalkBranch(node, dot);
      case Node::Kind::kRange:
        return WalkRange(node, dot);
      case Node::Kind::kTemplate:
        VIGIE_RETURN_IF_ERROR(WalkTemplate(node, dot));
        return Flow::kOn;
      case Node::Kind::kBreak:
        return Flow::kBreak;
      case Node::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  absl::Status WriteValue(Place place, const TemplateValue& value) {
    const bool is_html = call_.output == TemplateOutput::kHtml;
    if (value.As<std::monostate>() != nullptr) {
      return Write(place, is_html ? "" : "<no value>");
    }
    const auto text = Printed(value, call_.dialect);
    if (!text.ok()) return Placed(place, text.status());
    if (!is_html) return Write(place, *text);
    const auto* markup = value.As<TemplateMarkup>();
    const auto escaped =
        page_.Escape(*text, markup != nullptr && !markup->is_url,
                     markup != nullptr && markup->is_url);
    if (!escaped.ok()) return Placed(place, escaped.status());
    return Write(place, *escaped);
  }

  absl::StatusOr<Flow> WalkBranch(const Node& node, const TemplateValue& dot) {
    const size_t scope = variables_.size();
    VIGIE_ASSIGN_OR_RETURN(const TemplateValue value,
                           EvalPipe(*node.pipe, dot));
    const bool is_true = IsTrue(value);
    const TemplateValue& inner =
        is_true && node.kind == Node::Kind::kWith ? value : dot;
    VIGIE_ASSIGN_OR_RETURN(
        const Flow flow, WalkAll(is_true ? node.body : node.otherwise, inner));
    variables_.resize(scope);
    return flow;
  }

  // One turn of a loop; what it declares ends with it.
  absl::StatusOr<Flow> WalkTurn(const Node& node, const TemplateValue& key,
                                const TemplateValue& item) {
    if (absl::Status status = budget_.Step(); !status.ok()) {
      return Placed(node.place, status);
    }
    const size_t scope = variables_.size();
    const std::vector<std::string>& names = node.pipe->variables;
    if (names.size() == 1) SetVariable(*node.pipe, names[0], item);
    if (names.size() == 2) {
      SetVariable(*node.pipe, names[0], key);
      SetVariable(*node.pipe, names[1], item);
    }
    VIGIE_ASSIGN_OR_RETURN(const Flow flow, WalkAll(node.body, item));
    variables_.resize(scope);
    return flow;
  }

  absl::StatusOr<Flow> WalkRange(const Node& node, const TemplateValue& dot) {
    const size_t scope = variables_.size();
    VIGIE_ASSIGN_OR_RETURN(const TemplateValue value,
                           EvalCommands(*node.pipe, dot));
    const TemplateMap* map = nullptr;
    if (const auto* plain = value.As<TemplateValue::Map>()) {
      map = plain->get();
    }
    if (const auto* dict = value.As<TemplateDict>()) {
      map = dict->entries.get();
    }
    bool ran = false;
    if (const auto* list = value.As<TemplateValue::List>()) {
      int64_t index = 0;
      for (const TemplateValue& item : (*list)->items) {
        ran = true;
        VIGIE_ASSIGN_OR_RETURN(
            const Flow flow,
            WalkTurn(node, TemplateValue::Variant(index++), item));
        if (flow == Flow::kBreak) break;
      }
    } else if (map != nullptr) {
      for (const auto& [key, item] : *map) {
        ran = true;
        VIGIE_ASSIGN_OR_RETURN(const Flow flow, WalkTurn(node, key, item));
        if (flow == Flow::kBreak) break;
      }
    } else if (const auto* count = value.As<int64_t>()) {
      for (int64_t i = 0; i < *count; ++i) {
        ran = true;
        const TemplateValue item = TemplateValue::Variant(i);
        VIGIE_ASSIGN_OR_RETURN(const Flow flow, WalkTurn(node, item, item));
        if (flow == Flow::kBreak) break;
      }
    } else if (value.As<std::monostate>() == nullptr) {
      return Wrong(node.pipe->place,
                   fmt::format("range cannot go over a {}", KindName(value)));
    }
    Flow flow = Flow::kOn;
    if (!ran) {
      VIGIE_ASSIGN_OR_RETURN(flow, WalkAll(node.otherwise, dot));
    }
    variables_.resize(scope);
    return flow;
  }

  const Definition* Find(const std::string& name) const {
    if (const auto it = own_.find(name);
        it != own_.end() &&
        (!IsBlank(*it->second) || known_.count(name) == 0)) {
      return it->second.get();
    }
    const auto it = known_.find(name);
    return it == known_.end() ? nullptr : it->second.get();
  }

  absl::Status WalkTemplate(const Node& node, const TemplateValue& dot) {
    TemplateValue data;
    if (node.pipe != nullptr) {
      VIGIE_ASSIGN_OR_RETURN(data, EvalPipe(*node.pipe, dot));
    }
    const Definition* definition = Find(node.text);
    if (definition == nullptr) {
      return Wrong(node.place,
                   fmt::format("template \"{}\" is not defined", node.text));
    }
    if (depth_ == kTemplateDepthMax) {
      return Placed(node.place,
                    absl::ResourceExhaustedError(fmt::format(
                        "templates nested deeper than {}", kTemplateDepthMax)));
    }
    return Enter(*definition, data);
  }

  absl::Status Enter(const Definition& definition, const TemplateValue& data) {
    std::vector<std::pair<std::string, TemplateValue>> outer;
    outer.emplace_back("", data);
    outer.swap(variables_);
    const Definition* from = std::exchange(definition_, &definition);
    ++depth_;
    VIGIE_RETURN_IF_ERROR(WalkAll(definition.nodes, data).status());
    --depth_;
    definition_ = from;
    outer.swap(variables_);
    return absl::OkStatus();
  }

  // For `tmpl`: the output is a value.
  absl::StatusOr<std::string> RunApart(const std::string& name,
                                       const TemplateValue& data) {
    const Definition* definition = Find(name);
    if (definition == nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("template \"{}\" is not defined", name));
    }
    if (depth_ == kTemplateDepthMax) {
      return absl::ResourceExhaustedError(
          fmt::format("templates nested deeper than {}", kTemplateDepthMax));
    }
    std::string outer;
    outer.swap(out_);
    const HtmlPage page = std::exchange(page_, HtmlPage());
    VIGIE_RETURN_IF_ERROR(Enter(*definition, data));
    outer.swap(out_);
    page_ = page;
    return outer;
  }

  void SetVariable(const Pipe& pipe, const std::string& name,
                   const TemplateValue& value) {
    if (!pipe.assigns) {
      variables_.emplace_back(name, value);
      return;
    }
    for (size_t i = variables_.size(); i-- > 0;) {
      if (variables_[i].first == name) {
        variables_[i].second = value;
        return;
      }
    }
  }

  absl::StatusOr<TemplateValue> EvalPipe(const Pipe& pipe,
                                         const TemplateValue& dot) {
    VIGIE_ASSIGN_OR_RETURN(TemplateValue value, EvalCommands(pipe, dot));
    for (const std::string& name : pipe.variables) {
      SetVariable(pipe, name, value);
    }
    return value;
  }

  absl::StatusOr<TemplateValue> EvalCommands(const Pipe& pipe,
                                             const TemplateValue& dot) {
    TemplateValue value;
    for (size_t i = 0; i < pipe.commands.size(); ++i) {
      VIGIE_ASSIGN_OR_RETURN(
          value, EvalCommand(pipe.commands[i], dot, i == 0 ? nullptr : &value));
    }
    return value;
  }

  // `last` is what the stage before gave: one more argument.
  absl::StatusOr<TemplateValue> EvalCommand(const Command& command,
                                            const TemplateValue& dot,
                                            const TemplateValue* last) {
    const Operand& first = command.operands[0];
    const bool calls =
        first.kind == Operand::Kind::kFunction && first.fields.empty();
    if (calls &&
        (first.function->name == "and" || first.function->name == "or")) {
      return EvalLogic(command, dot, last);
    }
    Arguments arguments;
    for (size_t i = 1; i < command.operands.size(); ++i) {
      VIGIE_ASSIGN_OR_RETURN(TemplateValue argument,
                             EvalOperand(command.operands[i], dot, {}));
      arguments.push_back(std::move(argument));
    }
    if (last != nullptr) arguments.push_back(*last);
    return EvalOperand(first, dot, arguments);
  }

  absl::StatusOr<TemplateValue> EvalLogic(const Command& command,
                                          const TemplateValue& dot,
                                          const TemplateValue* last) {
    const std::string_view name = command.operands[0].function->name;
    const bool stops_at = name == "or";
    if (command.operands.size() == 1 && last == nullptr) {
      return Wrong(command.place, fmt::format("{}: no arguments", name));
    }
    TemplateValue value;
    for (size_t i = 1; i < command.operands.size(); ++i) {
      VIGIE_ASSIGN_OR_RETURN(value, EvalOperand(command.operands[i], dot, {}));
      if (IsTrue(value) == stops_at) return value;
    }
    return last != nullptr ? *last : value;
  }

  // The operand with its fields; `arguments` are for the last of them, or for
  // the function.
  absl::StatusOr<TemplateValue> EvalOperand(const Operand& operand,
                                            const TemplateValue& dot,
                                            const Arguments& arguments) {
    VIGIE_ASSIGN_OR_RETURN(
        TemplateValue value,
        EvalTerm(operand, dot,
                 operand.fields.empty() ? arguments : Arguments()));
    for (size_t i = 0; i < operand.fields.size(); ++i) {
      const bool is_last = i + 1 == operand.fields.size();
      if (absl::Status status = budget_.Step(); !status.ok()) {
        return Placed(operand.place, status);
      }
      auto field = FieldOf(call_, value, operand.fields[i],
                           is_last ? arguments : Arguments());
      if (!field.ok()) return Placed(operand.place, field.status());
      value = *std::move(field);
    }
    return value;
  }

  absl::StatusOr<TemplateValue> EvalTerm(const Operand& operand,
                                         const TemplateValue& dot,
                                         const Arguments& arguments) {
    switch (operand.kind) {
      case Operand::Kind::kDot:
        return dot;
      case Operand::Kind::kNil:
        return TemplateValue();
      case Operand::Kind::kConstant:
        return operand.constant;
      case Operand::Kind::kVariable:
        for (size_t i = variables_.size(); i-- > 0;) {
          if (variables_[i].first == operand.name) {
            return variables_[i].second;
          }
        }
        return Wrong(operand.place,
                     fmt::format("undefined variable \"${}\"", operand.name));
      case Operand::Kind::kPipe: {
        if (++frames_ > kFramesMax) return TooDeep(operand.place);
        VIGIE_ASSIGN_OR_RETURN(TemplateValue value,
                               EvalPipe(*operand.pipe, dot));
        --frames_;
        return value;
      }
      case Operand::Kind::kFunction:
        return CallFunction(operand, arguments);
    }
    return TemplateValue();
  }

  absl::StatusOr<TemplateValue> CallFunction(const Operand& operand,
                                             const Arguments& arguments) {
    const Function& function = *operand.function;
    const auto count = static_cast<int>(arguments.size());
    if (count < function.arguments_min ||
        (function.arguments_max >= 0 && count > function.arguments_max)) {
      return Wrong(operand.place,
                   fmt::format("{}: wrong number of arguments: {}",
                               function.name, count));
    }
    absl::Status status = budget_.Step();
    if (status.ok()) {
      auto result = function.run(call_, arguments);
      if (result.ok()) {
        status = budget_.Build(BytesOf(*result));
        if (status.ok()) return result;
      } else {
        status = Prefixed(function.name, result.status());
      }
    }
    return Placed(operand.place, status);
  }

  static size_t BytesOf(const TemplateValue& value) {
    if (const auto* text = value.As<std::string>()) return text->size();
    if (const auto* markup = value.As<TemplateMarkup>()) {
      return markup->text.size();
    }
    if (const auto* list = value.As<TemplateValue::List>()) {
      return (*list)->items.size() * sizeof(TemplateValue);
    }
    return sizeof(TemplateValue);
  }

  const Definitions& own_;
  const Definitions& known_;
  Budget budget_;
  const Call call_;
  const Definition* definition_ = nullptr;
  std::vector<std::pair<std::string, TemplateValue>> variables_;
  std::string out_;
  HtmlPage page_;
  int depth_ = 0;
  int frames_ = 0;
};

}  // namespace

absl::StatusOr<std::string> Execute(
    const Definition& main, const Definitions& own, const Definitions& known,
    const TemplateValue& data, const TemplateContext& context,
    TemplateDialect dialect, TemplateOutput output) {
  return Executor(own, known, context, dialect, output).Run(main, data);
}

bool IsTrue(const TemplateValue& value) {
  if (const bool* b = value.As<bool>()) return *b;
  if (const int64_t* i = value.As<int64_t>()) return *i != 0;
  if (const double* d = value.As<double>()) return *d != 0;
  if (const std::string* s = value.As<std::string>()) return !s->empty();
  if (const auto* markup = value.As<TemplateMarkup>()) {
    return !markup->text.empty();
  }
  if (const auto* duration = value.As<TemplateDuration>()) {
    return duration->ns != 0;
  }
  if (const auto* list = value.As<TemplateValue::List>()) {
    return !(*list)->items.empty();
  }
  if (const auto* map = value.As<TemplateValue::Map>()) {
    return !(*map)->empty();
  }
  if (const auto* dict = value.As<TemplateDict>()) {
    return !dict->entries->empty();
  }
  return value.As<std::monostate>() == nullptr;
}

}  // namespace vigie::alerting::tmpl

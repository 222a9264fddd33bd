#include "alerting/template/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "alerting/template/template.h"
#include "base/status_macros.h"

namespace vigie::alerting::tmpl {
namespace {

using Kind = Token::Kind;

// What ended a list of nodes.
enum class Ending : uint8_t { kEof, kEnd, kElse };

bool IsKeyword(std::string_view name) {
  static constexpr std::string_view kKeywords[] = {
      "if",     "else",     "end",   "range", "with",
      "define", "template", "block", "break", "continue"};
  return std::find(std::begin(kKeywords), std::end(kKeywords), name) !=
         std::end(kKeywords);
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string_view file,
         const FunctionTable& functions, std::vector<std::string> variables)
      : tokens_(std::move(tokens)),
        file_(file),
        functions_(functions),
        variables_(std::move(variables)) {}

  absl::StatusOr<Parsed> Run() && {
    variables_.insert(variables_.begin(), "");  // $
    parsed_.main.file = file_;
    VIGIE_ASSIGN_OR_RETURN(const Ending ending, ReadList(&parsed_.main.nodes));
    if (ending != Ending::kEof) {
      return WrongAt(ending_place_, "{{else}} or {{end}} of nothing");
    }
    return std::move(parsed_);
  }

 private:
  const Token& Peek() const { return tokens_[at_]; }
  const Token& Take() {
    const Token& token = tokens_[at_];
    if (token.kind != Kind::kEnd) ++at_;
    return token;
  }
  bool PeekName(std::string_view name) const {
    return Peek().kind == Kind::kName && Peek().text == name;
  }
  absl::Status Wrong(std::string_view message) const {
    return ErrorAt(file_, Peek().place, message);
  }
  absl::Status WrongAt(Place place, std::string_view message) const {
    return ErrorAt(file_, place, message);
  }
  absl::Status TakeClose(std::string_view after) {
    if (Peek().kind != Kind::kClose) {
      return Wrong(fmt::format("unexpected {} after {}", Shown(), after));
    }
    Take();
    return absl::OkStatus();
  }

  std::string Shown() const {
    switch (Peek().kind) {
      case Kind::kName:
        return fmt::format("'{}'", Peek().text);
      case Kind::kField:
        return fmt::format("'.{}'", Peek().text);
      case Kind::kVariable:
        return fmt::format("'${}'", Peek().text);
      case Kind::kInteger:
      case Kind::kFloat:
        return fmt::format("number {}", Peek().text);
      case Kind::kString:
        return "string";
      case Kind::kPipe:
        return "'|'";
      case Kind::kLeftParen:
        return "'('";
      case Kind::kRightParen:
        return "')'";
      case Kind::kDeclare:
        return "':='";
      case Kind::kAssign:
        return "'='";
      case Kind::kComma:
        return "','";
      case Kind::kDot:
        return "'.'";
      case Kind::kClose:
        return "}}";
      default:
        return "end of the template";
    }
  }

  // Reads up to the {{end}} or {{else}} that belongs to the list, which has
  // been taken apart from its rest.
  absl::StatusOr<Ending> ReadList(std::vector<Node>* nodes) {
    while (true) {
      const Token& token = Take();
      if (token.kind == Kind::kEnd) return Ending::kEof;
      if (token.kind == Kind::kText) {
        Node node;
        node.place = token.place;
        node.text = token.text;
        nodes->push_back(std::move(node));
        continue;
      }
      ending_place_ = Peek().place;
      if (PeekName("end")) {
        Take();
        VIGIE_RETURN_IF_ERROR(TakeClose("end"));
        return Ending::kEnd;
      }
      if (PeekName("else")) {
        Take();
        return Ending::kElse;
      }
      VIGIE_RETURN_IF_ERROR(ReadAction(nodes));
    }
  }

  absl::Status ReadAction(std::vector<Node>* nodes) {
    Node node;
    node.place = Peek().place;
    if (Peek().kind == Kind::kName && IsKeyword(Peek().text)) {
      const std::string& word = Take().text;
      if (word == "define") return ReadDefine(node.place);
      if (word == "block") return ReadBlock(std::move(node), nodes);
      if (word == "template") {
        VIGIE_RETURN_IF_ERROR(ReadTemplate(&node));
      } else if (word == "break" || word == "continue") {
        if (ranges_ == 0) {
          return WrongAt(node.place, fmt::format("{} outside of range", word));
        }
        node.kind =
            word == "break" ? Node::Kind::kBreak : Node::Kind::kContinue;
        VIGIE_RETURN_IF_ERROR(TakeClose(word));
      } else {
        VIGIE_RETURN_IF_ERROR(ReadControl(word, &node));
      }
      nodes->push_back(std::move(node));
      return absl::OkStatus();
    }
    node.kind = Node::Kind::kAction;
    VIGIE_ASSIGN_OR_RETURN(node.pipe, ReadPipe(/*ranges=*/false));
    VIGIE_RETURN_IF_ERROR(TakeClose("a pipeline"));
    nodes->push_back(std::move(node));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> TakeTemplateName() {
    if (Peek().kind != Kind::kString) {
      return Wrong(
          fmt::format("expected the name of a template, not {}", Shown()));
    }
    return Take().text;
  }

  absl::Status ReadTemplate(Node* node) {
    node->kind = Node::Kind::kTemplate;
    VIGIE_ASSIGN_OR_RETURN(node->text, TakeTemplateName());
    if (Peek().kind != Kind::kClose) {
      VIGIE_ASSIGN_OR_RETURN(node->pipe, ReadPipe(/*ranges=*/false));
    }
    return TakeClose("template");
  }

  // The body of a template sees no variable of the text around it.
  absl::Status ReadBody(Place place, const std::string& name) {
    VIGIE_RETURN_IF_ERROR(Descend(place));
    auto definition = std::make_shared<Definition>();
    definition->file = file_;
    std::vector<std::string> outer = {""};
    outer.swap(variables_);
    const int ranges = std::exchange(ranges_, 0);
    VIGIE_ASSIGN_OR_RETURN(const Ending ending, ReadList(&definition->nodes));
    if (ending != Ending::kEnd) {
      return WrongAt(
          place, fmt::format("template \"{}\" lacks its {{{{end}}}}", name));
    }
    outer.swap(variables_);
    ranges_ = ranges;
    --depth_;
    const auto found = parsed_.defined.find(name);
    if (found != parsed_.defined.end() && !IsBlank(*definition) &&
        !IsBlank(*found->second)) {
      return WrongAt(place,
                     fmt::format("template \"{}\" is defined twice", name));
    }
    if (found == parsed_.defined.end() || !IsBlank(*definition)) {
      parsed_.defined[name] = std::move(definition);
    }
    return absl::OkStatus();
  }

  absl::Status ReadDefine(Place place) {
    if (depth_ > 0) return WrongAt(place, "define inside of another action");
    VIGIE_ASSIGN_OR_RETURN(const std::string name, TakeTemplateName());
    VIGIE_RETURN_IF_ERROR(TakeClose("define"));
    return ReadBody(place, name);
  }

  absl::Status ReadBlock(Node node, std::vector<Node>* nodes) {
    node.kind = Node::Kind::kTemplate;
    VIGIE_ASSIGN_OR_RETURN(node.text, TakeTemplateName());
    VIGIE_ASSIGN_OR_RETURN(node.pipe, ReadPipe(/*ranges=*/false));
    VIGIE_RETURN_IF_ERROR(TakeClose("block"));
    VIGIE_RETURN_IF_ERROR(ReadBody(node.place, node.text));
    nodes->push_back(std::move(node));
    return absl::OkStatus();
  }

  absl::Status Descend(Place place) {
    if (++depth_ > kTemplateDepthMax) {
      return WrongAt(place,
                     fmt::format("nested deeper than {}", kTemplateDepthMax));
    }
    return absl::OkStatus();
  }

  // if, with, range, and the chain of their else branches.
  absl::Status ReadControl(const std::string& word, Node* node) {
    VIGIE_RETURN_IF_ERROR(Descend(node->place));
    const size_t scope = variables_.size();
    const bool ranges = word == "range";
    node->kind = word == "if"     ? Node::Kind::kIf
                 : word == "with" ? Node::Kind::kWith
                                  : Node::Kind::kRange;
    VIGIE_ASSIGN_OR_RETURN(node->pipe, ReadPipe(ranges));
    VIGIE_RETURN_IF_ERROR(TakeClose(word));
    ranges_ += ranges;
    VIGIE_ASSIGN_OR_RETURN(Ending ending, ReadScope(&node->body));
    ranges_ -= ranges;
    if (ending == Ending::kElse) {
      if (PeekName(word) && !ranges) {
        Node next;
        next.place = Peek().place;
        Take();
        VIGIE_RETURN_IF_ERROR(ReadControl(word, &next));
        node->otherwise.push_back(std::move(next));
        ending = Ending::kEnd;  // shared with the branch
      } else {
        VIGIE_RETURN_IF_ERROR(TakeClose("else"));
        VIGIE_ASSIGN_OR_RETURN(ending, ReadScope(&node->otherwise));
      }
    }
    if (ending != Ending::kEnd) {
      return WrongAt(node->place,
                     fmt::format("{} lacks its {{{{end}}}}", word));
    }
    variables_.resize(scope);
    --depth_;
    return absl::OkStatus();
  }

  // Variables of a branch end with it.
  absl::StatusOr<Ending> ReadScope(std::vector<Node>* nodes) {
    const size_t scope = variables_.size();
    VIGIE_ASSIGN_OR_RETURN(const Ending ending, ReadList(nodes));
    variables_.resize(scope);
    return ending;
  }

  bool IsVariable(const std::string& name) const {
    return std::find(variables_.begin(), variables_.end(), name) !=
           variables_.end();
  }

  // `$x :=`, `$x =`, of range `$i, $x :=` too.
  absl::Status ReadVariables(bool ranges, Pipe* pipe) {
    const auto kind_at = [&](size_t i) {
      return at_ + i < tokens_.size() ? tokens_[at_ + i].kind : Kind::kEnd;
    };
    size_t names = 0;
    if (kind_at(0) != Kind::kVariable) return absl::OkStatus();
    if (kind_at(1) == Kind::kDeclare || kind_at(1) == Kind::kAssign) {
      names = 1;
    } else if (kind_at(1) == Kind::kComma) {
      if (!ranges || kind_at(2) != Kind::kVariable ||
          (kind_at(3) != Kind::kDeclare && kind_at(3) != Kind::kAssign)) {
        return Wrong("only range takes two variables: $i, $x := ...");
      }
      names = 2;
    }
    for (size_t i = 0; i < names; ++i) {
      const Token& token = Take();
      const Kind then = Take().kind;
      if (i + 1 == names) pipe->assigns = then == Kind::kAssign;
      if (token.text.empty()) return WrongAt(token.place, "$ cannot be set");
      pipe->variables.push_back(token.text);
    }
    if (pipe->assigns) {
      for (const std::string& name : pipe->variables) {
        if (!IsVariable(name)) {
          return WrongAt(pipe->place,
                         fmt::format("undefined variable \"${}\"", name));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Pipe>> ReadPipe(bool ranges) {
    auto pipe = std::make_unique<Pipe>();
    pipe->place = Peek().place;
    VIGIE_RETURN_IF_ERROR(ReadVariables(ranges, pipe.get()));
    while (true) {
      VIGIE_ASSIGN_OR_RETURN(Command command, ReadCommand());
      if (!pipe->commands.empty() && !Callable(command)) {
        return WrongAt(command.place,
                       "a value cannot stand behind |: a function is wanted");
      }
      pipe->commands.push_back(std::move(command));
      if (Peek().kind != Kind::kPipe) break;
      Take();
    }
    // Known from here on, not within its own definition.
    if (!pipe->assigns) {
      for (const std::string& name : pipe->variables) {
        variables_.push_back(name);
      }
    }
    return pipe;
  }

  static bool Callable(const Command& command) {
    const Operand& first = command.operands[0];
    return first.kind == Operand::Kind::kFunction || !first.fields.empty();
  }

  absl::StatusOr<Command> ReadCommand() {
    Command command;
    command.place = Peek().place;
    while (true) {
      switch (Peek().kind) {
        case Kind::kClose:
        case Kind::kPipe:
        case Kind::kRightParen:
          if (command.operands.empty()) {
            return Wrong(fmt::format("a value is missing before {}", Shown()));
          }
          return FinishedCommand(std::move(command));
        case Kind::kEnd:
          return Wrong("a value is missing");
        default:
          break;
      }
      if (!command.operands.empty() && !Peek().after_space) {
        return Wrong(
            fmt::format("unexpected {}: a space is missing?", Shown()));
      }
      VIGIE_ASSIGN_OR_RETURN(Operand operand, ReadOperand());
      command.operands.push_back(std::move(operand));
    }
  }

  absl::StatusOr<Command> FinishedCommand(Command command) const {
    const Operand& first = command.operands[0];
    const size_t arguments = command.operands.size() - 1;
    if (first.kind == Operand::Kind::kNil && arguments == 0) {
      return WrongAt(first.place, "nil is not a command");
    }
    if (arguments > 0 && !Callable(command)) {
      return WrongAt(first.place,
                     "only a function or a method takes arguments");
    }
    return command;
  }

  absl::StatusOr<Operand> ReadOperand() {
    Operand operand;
    operand.place = Peek().place;
    const Token& token = Peek();
    bool chained = true;
    switch (token.kind) {
      case Kind::kDot:
        operand.kind = Operand::Kind::kDot;
        chained = false;
        break;
      case Kind::kField:
        operand.kind = Operand::Kind::kDot;
        operand.fields.push_back(token.text);
        break;
      case Kind::kVariable:
        operand.kind = Operand::Kind::kVariable;
        operand.name = token.text;
        if (!IsVariable(token.text)) {
          return Wrong(fmt::format("undefined variable \"${}\"", token.text));
        }
        break;
      case Kind::kInteger:
        operand.kind = Operand::Kind::kConstant;
        operand.constant = TemplateValue::Variant(token.integer);
        chained = false;
        break;
      case Kind::kFloat:
        operand.kind = Operand::Kind::kConstant;
        operand.constant = TemplateValue::Variant(token.number);
        chained = false;
        break;
      case Kind::kString:
        operand.kind = Operand::Kind::kConstant;
        operand.constant = token.text;
        chained = false;
        break;
      case Kind::kLeftParen:
        return ReadParentheses(std::move(operand));
      case Kind::kName:
        VIGIE_RETURN_IF_ERROR(ReadName(token.text, &operand));
        chained = operand.kind == Operand::Kind::kFunction;
        break;
      default:
        return Wrong(fmt::format("unexpected {}", Shown()));
    }
    Take();
    if (chained) ReadFields(&operand);
    return operand;
  }

  void ReadFields(Operand* operand) {
    while (Peek().kind == Kind::kField && !Peek().after_space) {
      operand->fields.push_back(Take().text);
    }
  }

  absl::StatusOr<Operand> ReadParentheses(Operand operand) {
    VIGIE_RETURN_IF_ERROR(Descend(operand.place));
    Take();
    operand.kind = Operand::Kind::kPipe;
    VIGIE_ASSIGN_OR_RETURN(operand.pipe, ReadPipe(/*ranges=*/false));
    if (Peek().kind != Kind::kRightParen) {
      return Wrong(fmt::format("expected ')', not {}", Shown()));
    }
    Take();
    --depth_;
    ReadFields(&operand);
    return operand;
  }

  absl::Status ReadName(const std::string& name, Operand* operand) const {
    if (name == "true" || name == "false") {
      operand->kind = Operand::Kind::kConstant;
      operand->constant = TemplateValue::Variant(name == "true");
      return absl::OkStatus();
    }
    if (name == "nil") {
      operand->kind = Operand::Kind::kNil;
      return absl::OkStatus();
    }
    if (IsKeyword(name)) return Wrong(fmt::format("unexpected '{}'", name));
    operand->kind = Operand::Kind::kFunction;
    operand->function = functions_.Find(name);
    if (operand->function == nullptr) {
      return Wrong(functions_.IsRefused(name)
                       ? fmt::format("function \"{}\" is not supported", name)
                       : fmt::format("function \"{}\" is not defined", name));
    }
    return absl::OkStatus();
  }

  const std::vector<Token> tokens_;
  const std::string file_;
  const FunctionTable& functions_;
  std::vector<std::string> variables_;  // in scope; "" is $
  Parsed parsed_;
  Place ending_place_;  // of the {{end}} or {{else}} read last
  size_t at_ = 0;
  int depth_ = 0;
  int ranges_ = 0;
};

absl::Status CheckNodes(const Definition& definition,
                        const std::vector<Node>& nodes, const Definitions& own,
                        const Definitions& known) {
  for (const Node& node : nodes) {
    if (node.kind == Node::Kind::kTemplate && own.count(node.text) == 0 &&
        known.count(node.text) == 0) {
      return ErrorAt(definition.file, node.place,
                     fmt::format("template \"{}\" is not defined", node.text));
    }
    VIGIE_RETURN_IF_ERROR(CheckNodes(definition, node.body, own, known));
    VIGIE_RETURN_IF_ERROR(CheckNodes(definition, node.otherwise, own, known));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Parsed> Parse(std::string_view text, std::string_view file,
                             const FunctionTable& functions,
                             const std::vector<std::string>& variables) {
  VIGIE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(text, file));
  return Parser(std::move(tokens), file, functions, variables).Run();
}

absl::Status CheckNames(const Definition& definition, const Definitions& own,
                        const Definitions& known) {
  return CheckNodes(definition, definition.nodes, own, known);
}

bool IsBlank(const Definition& definition) {
  return std::all_of(
      definition.nodes.begin(), definition.nodes.end(), [](const Node& node) {
        return node.kind == Node::Kind::kText &&
               node.text.find_first_not_of(" \t\r\n") == std::string::npos;
      });
}

}  // namespace vigie::alerting::tmpl

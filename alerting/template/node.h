// What a template is once it has been read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "alerting/template/lexer.h"
#include "alerting/template/value.h"

namespace vigie::alerting::tmpl {

struct Function;
struct Pipe;

// A term and the fields that are taken from it: `$x.Labels.job`.
struct Operand {
  enum class Kind : uint8_t {
    kDot,
    kNil,
    kConstant,
    kVariable,
    kPipe,  // in parentheses
    kFunction,
  };
  Kind kind = Kind::kDot;
  Place place;
  std::string name;                    // of a variable, "" for $
  TemplateValue constant;              // kConstant
  std::unique_ptr<Pipe> pipe;          // kPipe
  const Function* function = nullptr;  // kFunction
  std::vector<std::string> fields;
};

// A function or method and its arguments, or one operand.
struct Command {
  Place place;
  std::vector<Operand> operands;  // at least one
};

struct Pipe {
  Place place;
  std::vector<std::string> variables;  // set to the result, at most two
  bool assigns = false;                // = rather than :=
  std::vector<Command> commands;       // at least one
};

struct Node {
  enum class Kind : uint8_t {
    kText,
    kAction,
    kIf,
    kWith,
    kRange,
    kTemplate,
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  Place place;
  std::string text;            // kText; of kTemplate the name
  std::unique_ptr<Pipe> pipe;  // null for kTemplate: no data
  std::vector<Node> body;
  std::vector<Node> otherwise;
};

struct Definition {
  std::string file;  // what errors in it name; "" for a text by itself
  std::vector<Node> nodes;
};

using Definitions =
    std::map<std::string, std::shared_ptr<const Definition>, std::less<>>;

}  // namespace vigie::alerting::tmpl

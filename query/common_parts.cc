#include "query/common_parts.h"

#include <fmt/format.h>

#include <bit>
#include <string>
#include <utility>

#include "query/plan.h"

namespace vigie::query {
namespace {

// What of a shift decides, once it is resolved.
std::string TextOf(const TimeShift& shift) {
  const bool pinned = shift.at != TimeShift::At::kNone;
  return fmt::format("{} {} {}", shift.offset_ms, pinned,
                     pinned ? shift.at_ms : 0);
}

void AppendNames(const std::vector<std::string>& names, std::string* text) {
  *text += '(';
  for (const std::string& name : names) {
    *text += fmt::format("{}:{}", name.size(), name);
  }
  *text += ')';
}

std::string TextOf(const VectorSelector& selector) {
  std::string text = fmt::format("{} {} {}", TextOf(selector.shift),
                                 static_cast<int>(selector.edges),
                                 selector.bypass_empty_matcher_check);
  for (const Matcher& matcher : selector.matchers) {
    text += fmt::format(" {}{}:{}{}:{}", static_cast<int>(matcher.type()),
                        matcher.name().size(), matcher.name(),
                        matcher.value().size(), matcher.value());
  }
  return text;
}

std::string TextOf(const std::optional<double>& value) {
  return value.has_value() ? fmt::format("{}", std::bit_cast<uint64_t>(*value))
                           : "none";
}

std::string TextOf(const VectorMatching& matching) {
  std::string text = fmt::format(
      "{} {} {} {}", static_cast<int>(matching.cardinality), matching.on,
      TextOf(matching.fill_lhs), TextOf(matching.fill_rhs));
  AppendNames(matching.labels, &text);
  AppendNames(matching.include, &text);
  return text;
}

}  // namespace

class CommonParts::Builder {
 public:
  explicit Builder(CommonParts* parts) : parts_(*parts) {}

  void Build(const Expr& expr) {
    Identify(expr);
    Count(expr, 0);
    for (auto& [key, places] : places_) {
      if (places.size() < 2) continue;
      for (const Expr* place : places) {
        parts_.numbers_[place] = parts_.uses_.size();
      }
      parts_.uses_.push_back(places.size());
    }
  }

 private:
  // Equal trees have one identity, whatever their parentheses and places.
  struct Identity {
    size_t number = 0;
    bool selects = false;  // else it costs nothing to evaluate again
  };
  struct Key {
    size_t scope = 0;  // where the steps are the same
    size_t identity = 0;
    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.scope, key.identity);
    }
  };

  size_t NumberOfText(std::string text) {
    return numbers_.try_emplace(std::move(text), numbers_.size()).first->second;
  }

  Identity Identify(const Expr& expr) {
    const Expr& inner = WithoutParens(expr);
    std::string text = fmt::format("{} ", static_cast<int>(inner.kind));
    bool selects = false;
    const auto add = [&](const Expr& child) {
      const Identity identity = Identify(child);
      selects = selects || identity.selects;
      text += fmt::format("#{} ", identity.number);
    };
    switch (inner.kind) {
      case Expr::Kind::kNumber:
        text += fmt::format(
            "{}", std::bit_cast<uint64_t>(inner.As<NumberLiteral>().value));
        break;
      case Expr::Kind::kString:
        text += inner.As<StringLiteral>().value;
        break;
      case Expr::Kind::kVectorSelector:
        text += TextOf(inner.As<VectorSelector>());
        selects = true;
        break;
      case Expr::Kind::kMatrixSelector: {
        const auto& matrix = inner.As<MatrixSelector>();
        text += fmt::format("{} {}", matrix.range_ms, TextOf(*matrix.vector));
        selects = true;
        break;
      }
      case Expr::Kind::kSubquery:
        text += ScopeText(inner.As<SubqueryExpr>());
        add(*inner.As<SubqueryExpr>().expr);
        break;
      case Expr::Kind::kUnary:
        text += inner.As<UnaryExpr>().negate ? '-' : '+';
        add(*inner.As<UnaryExpr>().expr);
        break;
      case Expr::Kind::kBinary: {
        const auto& binary = inner.As<BinaryExpr>();
        text += fmt::format("{} {} ", static_cast<int>(binary.op),
                            binary.return_bool);
        if (binary.matching.has_value()) text += TextOf(*binary.matching);
        add(*binary.lhs);
        add(*binary.rhs);
        break;
      }
      case Expr::Kind::kAggregate: {
        const auto& aggregate = inner.As<AggregateExpr>();
        text += fmt::format("{} {} ", static_cast<int>(aggregate.op),
                            aggregate.without);
        AppendNames(aggregate.grouping, &text);
        if (aggregate.param != nullptr) add(*aggregate.param);
        add(*aggregate.expr);
        break;
      }
      case Expr::Kind::kCall: {
        const auto& call = inner.As<CallExpr>();
        text += fmt::format("{} ", call.function->name);
        for (const ExprPtr& arg : call.args) add(*arg);
        break;
      }
      case Expr::Kind::kParen:
      case Expr::Kind::kDuration:
        break;
    }
    const Identity identity{NumberOfText(std::move(text)), selects};
    identities_[&inner] = identity;
    return identity;
  }

  static std::string ScopeText(const SubqueryExpr& subquery) {
    return fmt::format("{} {} {} ", subquery.range_ms, subquery.step_ms,
                       TextOf(subquery.shift));
  }

  // Of what Evaluator::Vector is asked for.
  void Count(const Expr& expr, size_t scope) {
    const Expr& inner = WithoutParens(expr);
    const Identity identity = identities_.at(&inner);
    if (!identity.selects) return;
    if (inner.type == ValueType::kVector) {
      std::vector<const Expr*>& places = places_[Key{scope, identity.number}];
      places.push_back(&inner);
      if (places.size() > 1) return;
    }
    switch (inner.kind) {
      case Expr::Kind::kSubquery: {
        const auto& subquery = inner.As<SubqueryExpr>();
        Count(*subquery.expr, NumberOfText(fmt::format("scope {} {}", scope,
                                                       ScopeText(subquery))));
        return;
      }
      case Expr::Kind::kUnary:
        return Count(*inner.As<UnaryExpr>().expr, scope);
      case Expr::Kind::kBinary:
        Count(*inner.As<BinaryExpr>().lhs, scope);
        return Count(*inner.As<BinaryExpr>().rhs, scope);
      case Expr::Kind::kAggregate: {
        const auto& aggregate = inner.As<AggregateExpr>();
        if (aggregate.param != nullptr) Count(*aggregate.param, scope);
        return Count(*aggregate.expr, scope);
      }
      case Expr::Kind::kCall:
        return CountArguments(inner.As<CallExpr>(), scope);
      case Expr::Kind::kNumber:
      case Expr::Kind::kString:
      case Expr::Kind::kVectorSelector:
      case Expr::Kind::kMatrixSelector:
      case Expr::Kind::kParen:
      case Expr::Kind::kDuration:
        return;
    }
  }

  void CountArguments(const CallExpr& call, size_t scope) {
    const std::string_view name = call.function->name;
    // They look at the selector itself, not at its values.
    const bool of_times = name == "timestamp" || name == "start_timestamp";
    if (of_times &&
        WithoutParens(*call.args[0]).kind == Expr::Kind::kVectorSelector) {
      return;
    }
    const size_t count = name == "info" ? 1 : call.args.size();
    for (size_t i = 0; i < count; ++i) Count(*call.args[i], scope);
  }

  CommonParts& parts_;
  absl::flat_hash_map<std::string, size_t> numbers_;  // of texts
  absl::flat_hash_map<const Expr*, Identity> identities_;
  absl::flat_hash_map<Key, std::vector<const Expr*>> places_;
};

CommonParts::CommonParts(const Expr& expr) { Builder(this).Build(expr); }

}  // namespace vigie::query

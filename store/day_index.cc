#include "store/day_index.h"

#include <algorithm>

#include "base/status_macros.h"
#include "store/day_rows.h"
#include "store/read_charge.h"

namespace vigie::store {
namespace {

size_t BytesOf(const IdRuns& ids) {
  return ids.runs().size() * sizeof(IdRuns::Run);
}

bool IsNegative(const Matcher& matcher) {
  return matcher.type() == Matcher::Type::kNotEqual ||
         matcher.type() == Matcher::Type::kNotRegex;
}

// Runs of many sets, which become one.
class Gathered {
 public:
  explicit Gathered(const ReadContext& context) : charge_(context.account) {}
  absl::Status Add(std::string_view row) {
    VIGIE_ASSIGN_OR_RETURN(const IdRuns ids, ParsePairRow(row));
    VIGIE_RETURN_IF_ERROR(charge_.Add(BytesOf(ids)));
    runs_.insert(runs_.end(), ids.runs().begin(), ids.runs().end());
    return absl::OkStatus();
  }
  IdRuns Take() { return IdRuns::FromRuns(std::move(runs_)); }

 private:
  ScopedCharge charge_;
  std::vector<IdRuns::Run> runs_;
};

bool IsBelow(std::string_view key, std::string_view prefix) {
  return key.substr(0, prefix.size()) == prefix;
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> DayIndex::Days(int32_t first,
                                                    int32_t last) const {
  std::vector<int32_t> days;
  const std::unique_ptr<RowCursor> cursor = rows_.NewCursor();
  int64_t from = first;
  while (from <= last) {
    VIGIE_ASSIGN_OR_RETURN(const bool found,
                           cursor->Seek(DayPrefix(static_cast<int32_t>(from))));
    if (!found) break;
    VIGIE_ASSIGN_OR_RETURN(const int32_t day, DayOfKey(cursor->key()));
    if (day > last) break;
    days.push_back(day);
    from = int64_t{day} + 1;
  }
  return days;
}

absl::StatusOr<std::vector<std::string>> DayIndex::Tenants(int32_t day) const {
  const std::string prefix = DayPrefix(day);
  std::vector<std::string> tenants;
  const std::unique_ptr<RowCursor> cursor = rows_.NewCursor();
  VIGIE_ASSIGN_OR_RETURN(bool found, cursor->Seek(prefix));
  while (found && IsBelow(cursor->key(), prefix)) {
    VIGIE_ASSIGN_OR_RETURN(const std::string_view tenant,
                           TenantOfKey(cursor->key()));
    tenants.emplace_back(tenant);
    // No kind of row sorts after it.
    VIGIE_ASSIGN_OR_RETURN(
        found, cursor->Seek(DayTenantPrefix(day, tenants.back()) + '\xff'));
  }
  return tenants;
}

// All seals together.
absl::StatusOr<IdRuns> DayIndex::ReadPair(RowCursor* cursor,
                                          std::string_view prefix,
                                          const ReadContext& context) const {
  Gathered gathered(context);
  VIGIE_ASSIGN_OR_RETURN(bool found, cursor->Seek(prefix));
  while (found && IsBelow(cursor->key(), prefix)) {
    VIGIE_RETURN_IF_ERROR(gathered.Add(cursor->value()));
    VIGIE_ASSIGN_OR_RETURN(found, cursor->Next());
  }
  return gathered.Take();
}

// The series whose value of the label is there and does (not) match.
absl::StatusOr<IdRuns> DayIndex::UnionOf(int32_t day, std::string_view tenant,
                                         const Matcher& matcher, bool matching,
                                         const ReadContext& context) const {
  const std::unique_ptr<RowCursor> cursor = rows_.NewCursor();
  // Where the values that are asked for are named, no other is looked at.
  if (matching != IsNegative(matcher)) {
    const bool equality = matcher.type() == Matcher::Type::kEqual ||
                          matcher.type() == Matcher::Type::kNotEqual;
    const std::vector<std::string> values =
        equality ? std::vector<std::string>{matcher.value()}
                 : matcher.literals();
    IdRuns ids;
    for (const std::string& value : values) {
      if (value.empty()) continue;
      VIGIE_ASSIGN_OR_RETURN(
          const IdRuns some,
          ReadPair(cursor.get(), PairPrefix(day, tenant, matcher.name(), value),
                   context));
      ids = Union(ids, some);
    }
    if (!values.empty()) return ids;
  }
  const std::string all = PairPrefix(day, tenant);
  const std::string prefix = PairPrefix(day, tenant, matcher.name());
  Gathered gathered(context);
  std::string last;
  bool wanted = false;
  size_t steps = 0;
  VIGIE_ASSIGN_OR_RETURN(bool found, cursor->Seek(prefix));
  while (found && IsBelow(cursor->key(), prefix)) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    VIGIE_ASSIGN_OR_RETURN(PairKey key, ParsePairKey(cursor->key(), all));
    if (key.value != last) {
      wanted = matcher.Matches(key.value) == matching;
      last = std::move(key.value);
    }
    if (wanted) VIGIE_RETURN_IF_ERROR(gathered.Add(cursor->value()));
    VIGIE_ASSIGN_OR_RETURN(found, cursor->Next());
  }
  return gathered.Take();
}

absl::StatusOr<IdRuns> DayIndex::Match(int32_t day, std::string_view tenant,
                                       const std::vector<Matcher>& matchers,
                                       const ReadContext& context) const {
  // Equality narrows for the price of a row, so it goes first; what an absent
  // label satisfies can only take away, so it goes last.
  std::vector<const Matcher*> order;
  for (const Matcher& matcher : matchers) order.push_back(&matcher);
  auto rank = [](const Matcher* matcher) {
    if (matcher->MatchesEmpty()) return 2;
    return matcher->type() == Matcher::Type::kEqual ? 0 : 1;
  };
  std::stable_sort(
      order.begin(), order.end(),
      [&](const Matcher* a, const Matcher* b) { return rank(a) < rank(b); });
  IdRuns ids;
  bool narrowed = false;
  ScopedCharge charge(context.account);
  for (const Matcher* matcher : order) {
    if (narrowed && ids.empty()) break;
    if (!matcher->MatchesEmpty()) {
      VIGIE_ASSIGN_OR_RETURN(IdRuns some, UnionOf(day, tenant, *matcher,
                                                  /*matching=*/true, context));
      VIGIE_RETURN_IF_ERROR(charge.Add(BytesOf(some)));
      ids = narrowed ? Intersection(ids, some) : std::move(some);
      narrowed = true;
      continue;
    }
    if (!narrowed) {
      VIGIE_ASSIGN_OR_RETURN(
          ids, ReadPair(rows_.NewCursor().get(),
                        PairPrefix(day, tenant, "", ""), context));
      VIGIE_RETURN_IF_ERROR(charge.Add(BytesOf(ids)));
      narrowed = true;
    }
    VIGIE_ASSIGN_OR_RETURN(
        const IdRuns some,
        UnionOf(day, tenant, *matcher, /*matching=*/false, context));
    VIGIE_RETURN_IF_ERROR(charge.Add(BytesOf(some)));
    ids = Difference(ids, some);
  }
  if (narrowed) return ids;
  return ReadPair(rows_.NewCursor().get(), PairPrefix(day, tenant, "", ""),
                  context);
}

absl::Status DayIndex::VisitLabels(
    int32_t day, std::string_view tenant, const IdRuns& ids,
    const ReadContext& context,
    absl::FunctionRef<absl::Status(uint64_t, Labels)> visit) const {
  const std::string pairs = PairPrefix(day, tenant);
  const std::string everything = PairPrefix(day, tenant, "", "");
  const std::unique_ptr<RowCursor> parts = rows_.NewCursor();
  const std::unique_ptr<RowCursor> rows = rows_.NewCursor();
  size_t steps = 0;
  VIGIE_ASSIGN_OR_RETURN(bool found, parts->Seek(everything));
  while (found && IsBelow(parts->key(), everything)) {
    ScopedCharge charge(context.account);
    VIGIE_ASSIGN_OR_RETURN(const PairKey key,
                           ParsePairKey(parts->key(), pairs));
    VIGIE_ASSIGN_OR_RETURN(const IdRuns of_seal, ParsePairRow(parts->value()));
    VIGIE_RETURN_IF_ERROR(charge.Add(BytesOf(of_seal)));
    const IdRuns wanted = Intersection(ids, of_seal);
    const std::string prefix = SeriesRowPrefix(day, tenant, key.seal);
    uint64_t from = 0;  // what lies before was visited
    for (const IdRuns::Run& run : wanted.runs()) {
      from = std::max(from, run.first);
      while (from <= run.last) {
        VIGIE_ASSIGN_OR_RETURN(const bool there,
                               rows->Seek(SeriesRowKey(prefix, from)));
        if (!there || !IsBelow(rows->key(), prefix)) {
          return absl::DataLossError("index: series without a row");
        }
        VIGIE_ASSIGN_OR_RETURN(const SeriesRowReader row,
                               SeriesRowReader::Create(rows->value()));
        for (size_t i = 0; i < row.ids().size(); ++i) {
          VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
          const uint64_t id = row.ids()[i];
          if (id < from || !wanted.Contains(id)) continue;
          VIGIE_RETURN_IF_ERROR(visit(id, row.LabelsOf(i)));
        }
        if (row.ids().empty() || row.ids().back() < from) {
          return absl::DataLossError("index: series row out of place");
        }
        from = row.ids().back() + 1;
      }
    }
    VIGIE_ASSIGN_OR_RETURN(found, parts->Next());
  }
  return absl::OkStatus();
}

absl::Status DayIndex::VisitPairs(
    int32_t day, std::string_view tenant, std::string_view name,
    const ReadContext& context,
    absl::FunctionRef<absl::Status(std::string_view, std::string_view,
                                   const IdRuns&)>
        visit) const {
  const std::string all = PairPrefix(day, tenant);
  const std::string prefix = name.empty() ? all : PairPrefix(day, tenant, name);
  const std::unique_ptr<RowCursor> cursor = rows_.NewCursor();
  PairKey last;
  IdRuns ids;
  size_t steps = 0;
  VIGIE_ASSIGN_OR_RETURN(bool found, cursor->Seek(prefix));
  while (found && IsBelow(cursor->key(), prefix)) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    VIGIE_ASSIGN_OR_RETURN(PairKey key, ParsePairKey(cursor->key(), all));
    VIGIE_ASSIGN_OR_RETURN(IdRuns some, ParsePairRow(cursor->value()));
    if (key.name == last.name && key.value == last.value) {
      ids = Union(ids, some);
    } else {
      if (!last.name.empty()) {
        VIGIE_RETURN_IF_ERROR(visit(last.name, last.value, ids));
      }
      ids = std::move(some);
      last = std::move(key);
    }
    VIGIE_ASSIGN_OR_RETURN(found, cursor->Next());
  }
  return last.name.empty() ? absl::OkStatus()
                           : visit(last.name, last.value, ids);
}

absl::StatusOr<std::vector<std::string>> DayIndex::Names(
    int32_t day, std::string_view tenant, const ReadContext& context) const {
  const std::string all = PairPrefix(day, tenant);
  const std::unique_ptr<RowCursor> cursor = rows_.NewCursor();
  std::vector<std::string> names;
  size_t steps = 0;
  VIGIE_ASSIGN_OR_RETURN(bool found, cursor->Seek(all));
  while (found && IsBelow(cursor->key(), all)) {
    VIGIE_RETURN_IF_ERROR(CheckStop(context, &steps));
    VIGIE_ASSIGN_OR_RETURN(const PairKey key, ParsePairKey(cursor->key(), all));
    if (!key.name.empty()) names.push_back(key.name);
    // Past all values: names end with 00 01 in keys.
    std::string past = PairPrefix(day, tenant, key.name);
    past.back() = '\x02';
    VIGIE_ASSIGN_OR_RETURN(found, cursor->Seek(past));
  }
  return names;
}

}  // namespace vigie::store

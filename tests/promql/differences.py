"""What Prometheus 2.42 and 3 answer differently, by design of 3 or by a fault of
2.42: the only differences that differential_fuzz.py accepts. At most 20."""

import collections
import re

import math

SAME_LABELSET = "vector cannot contain metrics with the same labelset"
MANY_WITHOUT_NAMES = ("multiple matches for labels: grouping labels must ensure "
                      "unique matches")

Difference = collections.namedtuple("Difference", "name reason accepts")


def _series(data):
    return {tuple(sorted(one["metric"].items())):
            one["values"] if "values" in one else [one["value"]]
            for one in data["result"]}


def _changed(found):
    """(2.42's, vigie's) of all values that differ, where only values do."""
    if found.what != "value":
        return []
    if found.reference["resultType"] == "scalar":
        return [(float(found.reference["result"][1]),
                 float(found.test["result"][1]))]
    test = _series(found.test)
    return [(float(a[1]), float(b[1]))
            for labels, points in _series(found.reference).items()
            for a, b in zip(points, test[labels]) if a[1] != b[1]]


def _all_changed(found, accepts):
    changed = _changed(found)
    return bool(changed) and all(accepts(a, b) for a, b in changed)


def _without_name(data):
    return {tuple(label for label in labels if label[0] != "__name__")
            for labels in _series(data)}


def _atan2(query, found):
    if " atan2 " in query and found.what == "error":
        return found.test.get("error") == SAME_LABELSET
    return (" atan2 " in query and found.what == "series" and
            _without_name(found.reference) == _without_name(found.test))


def _ties(query, found):
    """The same values at the same times, however the series are called."""
    if not re.match(r"(topk|bottomk) ", query) or found.what == "error":
        return False

    def values(data):
        return collections.Counter(
            (t, f"{float(value) + 0.0:.9g}") for points in _series(data).values()
            for t, value in points)
    return values(found.reference) == values(found.test)


def _zero_bound(query, found):
    return bool(re.match(r"(rate|increase)\(\(?low_total", query)) and (
        _all_changed(found, lambda a, b: 0.7 * a < b <= a * (1 + 1e-12)))


def _date(query, found):
    if not re.search(r"\b(minute|hour|day_of_\w+|days_in_month|month|year)\(",
                     query):
        return False
    # A filter, which NaN does not pass; neither a matcher nor the bounds that
    # queries are given.
    if re.search(r"(==|!=|[<>]=?)", re.sub(
            r"\{[^{}]*\}| > -1e11 < 1e11", "", query)) and _only_in_one(found):
        return True
    return _all_changed(found, lambda _, b: math.isnan(b))


def _deviation(query, found):
    return bool(re.search(r"\bstd(dev|var)\b", query)) and (
        _all_changed(found, lambda _, b: math.isnan(b)))


def _rounding(query, found):
    return bool(re.search(r"std(dev|var)|deriv|predict_linear|avg", query)) and (
        _all_changed(found, lambda a, b: abs(a - b) <= 1e-5 * abs(a)))


def _only_in_one(found):
    """The values that one of both has and the other has not."""
    if found.what not in ("series", "times"):
        return []
    points = [{(labels, t): float(value)
               for labels, values in _series(data).items()
               for t, value in values}
              for data in (found.reference, found.test)]
    return [value for one, other in (points, reversed(points))
            for at, value in one.items() if at not in other]


def _rounding_compared(query, found):
    if not re.search(r"std(dev|var)", query):
        return False
    if re.search(r"(==|!=|[<>]=?) bool ", query) and _all_changed(
            found, lambda a, b: {a, b} == {0, 1}):
        return True
    # The same deviation on both sides.
    return (re.search(r"(\bstd(dev|var)\b.{8,}?\)).*\1", query) is not None and
            bool(_only_in_one(found)))


def _range_at(query, found):
    if found.what == "error" and (
            "many-to-many" not in found.test.get("error", "")):
        return False
    return (re.search(r"(predict_linear|quantile_over_time)\(.*@", query)
            is not None and found.what in ("times", "series", "value",
                                           "error"))


def _parameter_at(query, found):
    """The aggregation's parameter is not a mere number, its vector has an @."""
    if found.what == "error" and (
            found.test.get("error") != "Parameter value is NaN"):
        return False
    return (re.search(r"(topk|bottomk|quantile) [^@]*(time|scalar)\(.*@", query)
            is not None)


def _filter_conflict(query, found):
    return (found.what == "error" and re.search("[=<>]", query) is not None and
            "multiple matches for labels" in found.test.get("error", ""))


def _delayed_name(query, found):
    return (found.what == "error" and ("__name__=~" in query or " or " in query)
            and found.reference.get("error") in (
                SAME_LABELSET, MANY_WITHOUT_NAMES)) or (
                found.what in ("series", "times") and " or " in query and
                _without_name(found.reference) == _without_name(found.test))


def _power(query, found):
    if " ^ " in query and "count_values" in query and found.what == "series":
        counted = [sorted(float(dict(labels)["value"])
                          for labels in _series(data)
                          if "value" in dict(labels))
                   for data in (found.reference, found.test)]
        return len(counted[0]) == len(counted[1]) > 0 and all(
            math.isclose(a, b, rel_tol=1e-12) for a, b in zip(*counted))
    return " ^ " in query and _all_changed(
        found, lambda a, b: math.isnan(a) != math.isnan(b) or
        abs(a - b) <= 1e-5 * abs(a))


def _large_angle(query, found):
    return (found.what == "value" and
            re.search(r"\b(sin|cos|tan)\(", query) is not None and
            re.search(r"\^|\b(exp|sinh|cosh|std(dev|var))\b", query) is not None)


def _zero_sign(query, found):
    def turned(a, b):
        return (a == -b or sorted((abs(a), abs(b))) == [0, math.pi] or
                math.isclose(a, b, rel_tol=1e-12))
    if not (re.search(r"sum|avg", query) and
            re.search(r"/|atan2|\^", query)):
        return False
    if re.search(r"[=<>]", query):  # a filter, which one of both passed
        alone = _only_in_one(found)
        if alone and all(math.isinf(value) for value in alone):
            return True
    return _all_changed(found, turned)


def _infinite_sum(query, found):
    return "_over_time(" in query and _all_changed(
        found, lambda a, b: math.isnan(a) and math.isinf(b))


def _timestamp_at(query, found):
    return (found.what in ("series", "times", "value") and re.search(
        r"timestamp\([^()]*(\(\))?[^()]*\)", query) is not None and
            re.search(r"timestamp\(.*(@.*offset|offset.*@)", query) is not None)


DIFFERENCES = [
    Difference("atan2's name", "2.42 keeps the metric's name", _atan2),
    Difference("ties", "which of equal elements topk and bottomk keep is not "
               "defined; 3 replaces the heap's top in place", _ties),
    Difference("zero bound", "rate and increase: 3 bounds the extrapolation at "
               "zero after its limit of 1.1 intervals, 2.42 before", _zero_bound),
    Difference("date of NaN", "Go leaves the conversion to the processor; ours "
               "is NaN", _date),
    Difference("deviation of infinity", "stddev and stdvar: NaN since 3 with one "
               "element, too", _deviation),
    Difference("rounding", "sums of stddev, deriv and others are compensated "
               "since 3: relative 1e-5", _rounding),
    Difference("rounding, compared", "what is equal but for such a rounding: 2.42 "
               "does not even find a deviation equal to itself each time",
               _rounding_compared),
    Difference("range at @", "of a range fixed by @, beside an argument (or for"
               " predict_linear a time) that changes, 2.42 knows the first step"
               " only", _range_at),
    Difference("parameter beside @", "Prometheus takes the first step's "
               "parameter of an aggregation whose vector is fixed by @, 3 too; "
               "ours is each step's, as an instant query has it", _parameter_at),
    Difference("timestamp at @", "Prometheus forgets the offset beside an @ in "
               "timestamp(x @ t offset d), 3 too", _timestamp_at),
    Difference("sum of -0", "is 0 since sums are compensated; atan2 and division "
               "tell", _zero_sign),
    Difference("infinite sums", "a compensated sum that becomes infinite is NaN "
               "in 2.42", _infinite_sum),
    Difference("large angles", "powers and deviations differ from Go's in the "
               "last bits, and of a large one's sine that is all digits", _large_angle),
    Difference("powers", "of a negative mean that is whole but for its last bit "
               "there, and whole here: 3 compensates the sum", _power),
    Difference("conflict in a filter", "a comparison that filters: since 3 many "
               "to one is refused even where the filter leaves one",
               _filter_conflict),
    Difference("delayed name removal", "names are dropped at the end of a query:"
               " series that only they tell apart are refused there or not at "
               "all", _delayed_name),
]


def classify(query, found):
    """The name of the first difference that accepts it, or None."""
    for difference in DIFFERENCES:
        if difference.accepts(query, found):
            return difference.name
    return None

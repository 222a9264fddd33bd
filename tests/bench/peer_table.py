"""The tables of peers.py: a row a figure, vigie's ratio to each peer, and what
docs and issues ask for; queries and names have tables of their own."""

from peer_names import NOTHING
from peer_queries import COLD, KEPT, RUNS

# Figure -> (must, aim).
TARGETS = {
    "ingest, 100,000 series, CPU-s/M": (0.25, 0.15),
    "ingest, 1,000,000 series, CPU-s/M": (0.30, 0.17),
    "new series, 1,000,000, CPU-s/M": (5, 2.5),
    "memory, 1,000,000 series, anonymous B a series": (350, 256),
    "disk, plain, B a sample": (0.95, 0.85),
    "disk, +-5 ms jitter, B a sample": (1.1, 0.90),
    "kill -9 to ready, 24 M samples written, s": (1.0, 0.4),
    "kill -9 to ready, 1,000,000 series, s": (1.5, 0.8),
    "acknowledged samples lost, kill -9": (0, 0),
}
# Class of queries -> (must, aim), the p50 of one at a time, in ms.
QUERY_TARGETS = {
    "single-groupby-1-1-1": (0.12, 0.07),
    "rate-by-service-24h": (10, 5),
    "p99-by-service-1h": (10, 5),
    "lastpoint": (2, 1),
    "cardinality-instant": (4, 2),
}
NAMES_RATIO_MIN = 5  # Prometheus over vigie


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def verdict(value, target):
    if value is None or target is None:
        return ""
    must, aim = target
    if value <= aim:
        return "aim reached"
    return "must reached" if value <= must else "MISSED"


def row_of(figure, of_peer, peers):
    own = of_peer.get("vigie")
    cells = [figure, *(number(of_peer.get(peer)) for peer in peers)]
    for peer in peers:
        if peer == "vigie":
            continue
        theirs = of_peer.get(peer)
        more_is_better = figure.endswith("/s")
        ratio = None
        if own and theirs:
            ratio = own / theirs if more_is_better else theirs / own
        cells.append("-" if ratio is None else f"{ratio:.1f} x")
    target = TARGETS.get(figure)
    cells.append("" if target is None else f"{target[0]:g} / {target[1]:g}")
    cells.append(verdict(own, target))
    return cells


def flatness(figures):
    """Cost a sample of the largest fleet over that of the smallest."""
    costs = {}
    for figure, of_peer in figures.items():
        words = figure.split()
        if (figure.startswith("ingest, ") and figure.endswith("CPU-s/M") and
                words[2] == "series," and "vigie" in of_peer):
            costs[int(words[1].replace(",", ""))] = of_peer["vigie"]
    if len(costs) < 2:
        return None
    return costs[max(costs)] / costs[min(costs)]


def aligned(rows):
    """GitHub's table; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in
                               zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def ratio(theirs, own):
    return f"{theirs / own:.1f} x" if theirs and own else "-"


def split(figures, prefix):
    """Subject -> unit -> peer -> value, of the figures `prefix subject, unit`."""
    found = {}
    for figure, of_peer in figures.items():
        if figure.startswith(prefix):
            subject, _, unit = figure[len(prefix):].rpartition(", ")
            found.setdefault(subject, {})[unit] = of_peer
    return found


def query_tables(figures, peers):
    """One for each way to ask: p50 and p99 of each class."""
    found = split(figures, "query ")
    runs = {COLD: "ms"} | {run: "p50 ms" for run in RUNS}
    for run, unit in runs.items():
        classes = [subject.removesuffix(f", {run}") for subject in found
                   if subject.endswith(f", {run}")]
        if classes:
            yield f"queries, {run}, ms", aligned(
                [query_head(run, peers)] +
                [query_row(found, name, run, unit, peers) for name in classes])


def query_head(run, peers):
    head = ["query"]
    for peer in peers:
        if run == COLD:
            head.append(peer)
            continue
        head += [f"{peer} p50", "p99"]
        if peer != "prometheus":
            head += ["kept p50", "p99"]
    head += [f"{peer} / vigie" for peer in peers if peer != "vigie"]
    return [*head, "must / aim" if run != COLD else "", ""]


def query_row(found, name, run, unit, peers):
    def value(peer, of_unit, kept=False):
        of_run = f"{name}, {run}, {KEPT}" if kept else f"{name}, {run}"
        return found.get(of_run, {}).get(of_unit, {}).get(peer)

    row = [name]
    for peer in peers:
        row.append(number(value(peer, unit)))
        if run == COLD:
            continue
        row.append(number(value(peer, "p99 ms")))
        if peer != "prometheus":
            row += [number(value(peer, u, True)) for u in (unit, "p99 ms")]
    own = value("vigie", unit)
    row += [ratio(value(peer, unit), own) for peer in peers if peer != "vigie"]
    if run == "1 at once" and name in QUERY_TARGETS:
        must, aim = QUERY_TARGETS[name]
        return [*row, f"{must:g} / {aim:g}", verdict(own, (must, aim))]
    if run.endswith("ingest") and own is not None:
        p99_max = max(3 * own, own + 10)
        return [*row, f"p99 {number(p99_max)}",
                verdict(value("vigie", "p99 ms"), (p99_max, p99_max))]
    return [*row, "", ""]


def answers_that_differ(figures):
    """Of the classes whose answers have other numbers of series on average."""
    for subject, units in split(figures, "query ").items():
        series = units.get("series", {})
        if len(series) > 1 and min(series.values()) < 0.99 * max(
                series.values()):
            yield f"series an answer differ: {subject}: " + ", ".join(
                f"{peer} {number(value)}" for peer, value in series.items())


def names_table(figures, peers):
    found = split(figures, "names ")
    peers = [peer for peer in peers
             if any(peer in units["p50 ms"] for units in found.values())]
    others = [peer for peer in peers if peer != "vigie"]
    rows = [["names, ms", *(f"{peer} {what}" for what in ("p50", "CPU")
                            for peer in peers),
             *(f"{what}, {peer} / vigie" for what in ("p50", "CPU")
               for peer in others), "KiB", "must", ""]]
    nothing = found.get(NOTHING, {}).get("p50 ms", {}).get("vigie")
    for what, units in found.items():
        row = [what]
        ratios = []
        for unit in ("p50 ms", "CPU ms"):
            of_peer = units[unit]
            row += [number(of_peer.get(peer)) for peer in peers]
            ratios += [ratio(of_peer.get(peer), of_peer.get("vigie"))
                       for peer in others]
        row += [*ratios, " ".join(number(units["KiB"].get(peer))
                                  for peer in peers)]
        row += names_verdict(what, units["p50 ms"], nothing)
        rows.append(row)
    return aligned(rows)


def names_verdict(what, of_peer, nothing):
    theirs, own = of_peer.get("prometheus"), of_peer.get("vigie")
    if what == NOTHING or not theirs or not own:
        return ["", ""]
    if theirs / own >= NAMES_RATIO_MIN:
        reached = "must reached"
    else:  # no answer can come sooner than an empty one
        reached = "round trip" if nothing and own < 3 * nothing else "MISSED"
    return [f"{NAMES_RATIO_MIN} x", reached]


def totals_table(figures, peers):
    rows = [["queries over all series of a metric", *peers,
             *(f"{peer} / vigie" for peer in peers if peer != "vigie")]]
    for what, units in split(figures, "totals ").items():
        for unit, of_peer in units.items():
            rows.append([f"{what}, {unit}",
                         *(number(of_peer.get(peer)) for peer in peers),
                         *(ratio(of_peer.get(peer), of_peer.get("vigie"))
                           for peer in peers if peer != "vigie")])
    return aligned(rows)


def render(figures, peers):
    """All tables that there are figures for."""
    own_table = ("query ", "names ", "totals ")
    tables = []
    plain = {figure: of_peer for figure, of_peer in figures.items()
             if not figure.startswith(own_table)}
    if plain:
        tables.append(figures_table(plain, peers))
    tables += [f"{title}\n{table}"
               for title, table in query_tables(figures, peers)]
    tables += answers_that_differ(figures)
    for prefix, table in (("names ", names_table), ("totals ", totals_table)):
        if any(figure.startswith(prefix) for figure in figures):
            tables.append(table(figures, peers))
    return "\n\n".join(tables)


def figures_table(figures, peers):
    others = [f"{peer} / vigie" for peer in peers if peer != "vigie"]
    rows = [["figure", *peers, *others, "must / aim", ""]]
    rows += [row_of(figure, of_peer, peers)
             for figure, of_peer in figures.items()]
    flat = flatness(figures)
    if flat is not None:
        rows.append(["cost a sample, largest fleet over smallest", number(flat),
                     *["-"] * (len(rows[0]) - 4), "1.3 / 1.3",
                     verdict(flat, (1.3, 1.3))])
    return aligned(rows)

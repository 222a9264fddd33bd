"""The table of peers.py: a row a figure, vigie's ratio to each peer, and what
docs and issues ask for."""

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
    "query single-groupby-1-1-1, p50 ms": (0.12, 0.07),
    "query rate-by-service-24h, p50 ms": (10, 5),
    "query p99-by-service-1h, p50 ms": (10, 5),
    "query lastpoint, p50 ms": (2, 1),
    "query cardinality-instant, p50 ms": (4, 2),
}


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


def render(figures, peers):
    """GitHub's table, columns aligned."""
    others = [f"{peer} / vigie" for peer in peers if peer != "vigie"]
    rows = [["figure", *peers, *others, "must / aim", ""]]
    rows += [row_of(figure, of_peer, peers)
             for figure, of_peer in figures.items()]
    flat = flatness(figures)
    if flat is not None:
        rows.append(["cost a sample, largest fleet over smallest", number(flat),
                     *["-"] * (len(rows[0]) - 4), "1.3 / 1.3",
                     verdict(flat, (1.3, 1.3))])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in
                               zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)

"""figures: samples by name, and the table of them. Measures nothing."""

import math
import statistics

TARGETS = ("met", "missed")


class Figures:
    """Samples of one run, each under a name."""

    def __init__(self):
        self.samples, self.rows = {}, []

    def add(self, name, *values):
        self.samples.setdefault(name, []).extend(values)

    def median(self, name):
        return statistics.median(self.samples[name]) if self.samples.get(name) else math.nan

    def spread(self, name):
        """The middle half."""
        values = self.samples.get(name, [])
        if len(values) < 4:
            return ""
        low, _, high = statistics.quantiles(values, n=4)
        return f"{number(low)}–{number(high)}"

    def row(self, what, unit, ours, theirs=None, called="", most=None):
        """One line: our figure, another's of the same run, and the largest ratio that is good enough."""
        self.rows.append((what, unit, ours, theirs, called, most))

    def lines(self):
        yield "| what | here | middle half | compared with | there | here ÷ there | aim | |"
        yield "|---|---:|---:|---|---:|---:|---:|---|"
        for what, unit, ours, theirs, called, most in self.rows:
            here = self.median(ours)
            there = theirs if isinstance(theirs, (int, float)) else self.median(theirs) if theirs else math.nan
            ratio = here / there if there else math.nan
            aim = "" if most is None else f"≤ {most:g}"
            verdict = "" if most is None or math.isnan(ratio) else TARGETS[ratio > most]
            cells = [what, f"{number(here)} {unit}", self.spread(ours), called]
            cells += [f"{number(there)} {unit}" if theirs else "", "" if math.isnan(ratio) else f"{ratio:.2f}"]
            yield f"| {' | '.join([*cells, aim, verdict])} |"


def number(value):
    """Three digits that mean something."""
    if math.isnan(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def plain(lines):
    """The same table with aligned columns, for a terminal."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|---")]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()

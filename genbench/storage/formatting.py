"""Rows as text: every number with as many digits as its error allows, in every output alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genbench.storage.rows import Result

MARKS: Mapping[str, str] = {"lower_bound": "<= ", "estimate": "~ "}
ARROWS: Mapping[str, str] = {"lower": "↓", "higher": "↑", "zero": "→0"}
ABSENT = "—"
ROUNDING = 1e-6  # relative; smaller errors are those of features in float32
MOST_DECIMALS = 9
LARGEST_PLAIN = 1e12  # larger numbers have an exponent


def heading(row: Result) -> str:
    """The title of a row's column, the direction that is better, and the unit."""
    return f"{row.title} {ARROWS[row.better]}" + (f" ({row.unit})" if row.unit else "")


def cell_text(row: Result | None) -> str:
    """``<= 12.34 ± 0.56``, or ``~ 12.34 [12.20, 12.41] ± 0.56`` for an estimate that lies between two values.

    The error has two significant digits and the value ends where it does; without an error, half the width of the
    interval stands for it, and without either the column's digits count. The interval is shown of estimates, and
    wherever it says more than the error does. A dash stands where a model does not define the number, the word where it
    failed.
    """
    if row is None:
        return ""
    if row.value is None:
        return "failed" if row.status == "failed" else ABSENT
    width = 0.0 if row.low is None or row.high is None else (row.high - row.low) / 2
    error = row.stderr if row.stderr is not None and row.stderr > ROUNDING * abs(row.value) else 0.0
    decimals = decimals_of(error or width, row.digits)
    text = MARKS.get(row.kind, "") + number_text(row.value, decimals)
    shows_ends = row.kind == "estimate" or not error
    if shows_ends and row.low is not None and row.high is not None:
        text += f" [{number_text(row.low, decimals)}, {number_text(row.high, decimals)}]"
        if not error:
            return text
    return text if row.stderr is None else f"{text} ± {number_text(error, decimals)}"


def decimals_of(error: float, otherwise: int) -> int:
    """After how many decimals an error has two significant digits (negative: before the point), if it is not 0."""
    if not error:
        return otherwise
    exponent = int(f"{error:.1e}".partition("e")[2])  # after rounding: 0.0996 is 0.10
    return 1 - exponent


def number_text(value: float, decimals: int) -> str:
    """A number rounded to that many decimals, negative ones included; very small and large ones with an exponent."""
    if decimals > MOST_DECIMALS or abs(value) >= LARGEST_PLAIN:
        return f"{value:.6g}"
    rounded = round(value, decimals) or 0.0  # no negative zero
    return f"{rounded:.{max(decimals, 0)}f}"


def counted(n: int, what: str) -> str:
    """``1 column``, ``2 columns``."""
    return f"{n:,} {what}" + "s" * (n != 1)


def listing(rows: Iterable[Result]) -> str:
    """Rows of one model as aligned lines: title, number, remark; what has no number comes last."""
    lines = []
    for row in sorted(rows, key=lambda row: row.value is None):
        remark = row.detail if row.status == "ok" else f"{row.status}: {row.detail}"
        number = ABSENT if row.value is None else cell_text(row)
        lines.append((printable(heading(row)), number, printable(remark)))
    widths = [max((len(line[place]) for line in lines), default=0) for place in range(2)]
    return "\n".join(
        f"{title.ljust(widths[0])}  {number.rjust(widths[1])}  {remark}".rstrip() for title, number, remark in lines
    )


def printable(text: str) -> str:
    """Text in one line, without the control characters by which a name or a message could take hold of a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

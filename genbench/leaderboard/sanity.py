"""What metrics can see: a table of metric by fault, from rows of generators with known faults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genbench.leaderboard import pictures, ranks, tables
from genbench.storage import atomic
from genbench.storage.formatting import cell_text, heading
from genbench.storage.results import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Verdict = Literal["worse", "better", "same", "unknown"]
COLOURS = {"worse": "#2a9d60", "better": "#c8442f", "": "#e4e4e4"}
PALEST = 0.45  # of a colour where only the largest strength is seen


@dataclass(frozen=True, slots=True)
class Reading:
    """What one column says of a fault at one strength, beside what it says of real items."""

    fault: str
    unit: str
    strength: float
    real: Result
    row: Result
    z: float | None
    verdict: Verdict


def readings(real: Sequence[Result], faulty: Sequence[tuple[str, str, float, Sequence[Result]]]) -> list[Reading]:
    """Every number of a faulty generator (fault, unit, strength, rows) against that of real items.

    A number is worse or better than that of real items where a z-test tells them apart, all tests of a column together
    at 5 % (Holm); both errors count as independent. A verdict is unknown where an error is.
    """
    done = []
    for base in (row for row in real if row.value is not None):
        tests = []
        for fault, unit, strength, rows in faulty:
            row = next((row for row in rows if row.column == base.column and row.value is not None), None)
            if row is not None:
                tests.append((fault, unit, strength, row, _z(base, row)))
        known = [test for test in tests if test[4] is not None]
        differ = dict(
            zip(map(id, known), ranks.holm([ranks.p_value(test[4] or 0.0, 1.0) for test in known]), strict=True)
        )
        for test in tests:
            fault, unit, strength, row, z = test
            verdict: Verdict = "unknown"
            if z is not None:
                verdict = "same" if not differ[id(test)] else "worse" if z > 0 else "better"
            done.append(Reading(fault, unit, strength, base, row, z, verdict))
    return done


def _z(real: Result, row: Result) -> float | None:
    """By how many errors a number is worse than that of real items."""
    assert real.value is not None
    assert row.value is not None
    errors = [_error(real), _error(row)]
    difference = ranks.cost(row.value, row.better) - ranks.cost(real.value, row.better)
    if errors[0] is None or errors[1] is None:
        return None
    scale = math.hypot(*(error or 0.0 for error in errors))
    return difference / scale if scale else None if difference else 0.0


def _error(row: Result) -> float | None:
    """The standard error; where it is 0 or unknown, a quarter of the interval, of 95 %."""
    if row.stderr:
        return row.stderr
    return row.stderr if row.low is None or row.high is None else (row.high - row.low) / 4


def seen_from(own: Sequence[Reading]) -> tuple[str, float | None]:
    """What a column makes of a fault, from readings of rising strength: a verdict, and from which strength on.

    It reacts from the least strength from which on every stronger one has the same verdict, "worse" or "better"; the
    verdict is "same" where the strongest fault is not seen.
    """
    last: Verdict = own[-1].verdict if own else "unknown"
    if last not in ("worse", "better"):
        return last, None
    start = len(own)
    while start and own[start - 1].verdict == last:
        start -= 1
    return last, own[start].strength


def _grid(readings: Sequence[Reading]) -> tuple[list[Result], list[str], Mapping[tuple[str, str], list[Reading]]]:
    """The columns by their rows of real items, the faults, and the readings of each pair."""
    columns = list({reading.real.column: reading.real for reading in readings}.values())
    faults = list(dict.fromkeys(reading.fault for reading in readings))
    cells: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        cells.setdefault((reading.real.column, reading.fault), []).append(reading)
    return sorted(columns, key=lambda row: row.place), faults, cells


def _text(own: Sequence[Reading]) -> str:
    verdict, strength = seen_from(own)
    if verdict == "worse":
        return f"{strength:g}"
    return f"praised {strength:g}" if verdict == "better" else "?" if verdict == "unknown" else "no"


def sheet(readings: Sequence[Reading], absent: Sequence[Result] = ()) -> tables.Sheet:
    """A line for each column: its number for real items, and from which strength of each fault on it is worse.

    Of `absent` rows, which have no number for real items, the notes say why.
    """
    columns, faults, cells = _grid(readings)
    units = {reading.fault: reading.unit for reading in readings}
    heads = ["column", "real", *(f"{fault} ({units[fault]})" for fault in faults)]
    lines = [
        [
            heading(row),
            cell_text(row),
            *(_text(cells.get((row.column, fault), [])) for fault in faults),
        ]
        for row in columns
    ]
    first = readings[0].real
    title = f"What the columns of {first.benchmark} can see: {first.n:,} samples against {first.reference:,} real items"
    notes = [
        "A number is the strength from which on the column is worse than for real items, beyond its error (5 % of a "
        "line together); praised: the column is better there, so that it rewards the fault; no: it does not see "
        "even the strongest; ?: it has no number there, or no error to judge by.",
    ]
    blind = [
        f"{fault}: praised by {names}"
        for fault in faults
        if (
            names := ", ".join(
                row.title for row in columns if seen_from(cells.get((row.column, fault), []))[0] == "better"
            )
        )
    ]
    missing = [f"{row.title}: not in the table, for want of a number for real items: {row.detail}" for row in absent]
    return tables.Sheet(title, heads, lines, [*notes, *blind, *missing], frozenset({0}), fixed=2)


def table(readings: Sequence[Reading]) -> pd.DataFrame:
    """A line for each column, fault and strength: value, stderr, those of real items, z (above 0: worse), verdict."""
    import pandas as pd

    return pd.DataFrame(
        {
            "column": reading.real.column,
            "fault": reading.fault,
            "strength": reading.strength,
            "unit": reading.unit,
            "value": reading.row.value,
            "stderr": reading.row.stderr,
            "real": reading.real.value,
            "real_stderr": reading.real.stderr,
            "z": None if reading.z is None else round(reading.z, 3),
            "verdict": reading.verdict,
        }
        for reading in readings
    )


def save(readings: Sequence[Reading], folder: Path, absent: Sequence[Result] = ()) -> None:
    """Write ``sanity.csv``, ``.md`` and ``.png``, each atomically. Raises ResultsError where one cannot be written."""
    atomic.write_text(folder / "sanity.csv", table(readings).to_csv(index=False, lineterminator="\n"))
    atomic.write_text(folder / "sanity.md", tables.markdown(sheet(readings, absent)))
    path = folder / "sanity.png"
    with pictures.drawing(path):
        figure = _figure(readings)
        atomic.write(path, lambda part: figure.savefig(part, format="png", dpi=130))


def ink_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast with a colour (red, green, blue from 0 to 1), by WCAG 2.1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def _figure(readings: Sequence[Reading]) -> Figure:
    """A cell for each column and fault: green where it is worse, red where it is praised, paler the later."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns, faults, cells = _grid(readings)
    units = {reading.fault: reading.unit for reading in readings}
    figure = Figure(figsize=(2.6 + 1.05 * len(faults), 1.9 + 0.3 * len(columns)), layout="constrained")
    panel = figure.subplots()
    for line, row in enumerate(columns):
        for place, fault in enumerate(faults):
            own = cells.get((row.column, fault), [])
            verdict, strength = seen_from(own)
            strengths = [reading.strength for reading in own]
            late = 0.0 if strength is None else strengths.index(strength) / max(len(own) - 1, 1)
            shade = 1 - (1 - PALEST) * late
            colour = [1 - shade * (1 - part) for part in to_rgb(COLOURS.get(verdict, COLOURS[""]))]
            panel.fill_between([place - 0.48, place + 0.48], line - 0.46, line + 0.46, color=colour, lw=0)
            text = "?" if verdict == "unknown" else "–" if strength is None else f"{strength:g}"
            panel.text(place, line, text, ha="center", va="center", fontsize=9, color=ink_on(colour))
    panel.set_xticks(range(len(faults)), [f"{fault.replace(' ', chr(10), 2)}\n({units[fault]})" for fault in faults])
    panel.set_yticks(range(len(columns)), [heading(row) for row in columns])
    panel.tick_params(labelsize=9, length=0)
    panel.xaxis.tick_top()
    panel.set_xlim(-0.5, len(faults) - 0.5)
    panel.set_ylim(len(columns) - 0.5, -0.5)
    for spine in panel.spines.values():
        spine.set_visible(False)
    labels = {"worse": "worse, from this strength on", "better": "praised, from this strength on", "": "not seen"}
    patches = [Patch(color=COLOURS[verdict], label=label) for verdict, label in labels.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure

"""The loss curve of a training, thinned to a few points while it is under way, for the record beside its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

POINTS = 50  # of each phase of a training
DIGITS = 5  # significant ones of each number

Notes = dict[str, Any]


class Curve:
    """Hears of every step and keeps the mean of each figure over each fiftieth of the steps.

    What it knows lies in `notes` (plain lists and numbers), which may be stored and handed to another Curve that goes
    on from there. A training may have several phases, each with steps and figures of its own; a step that is not beyond
    the last one of its phase takes back what came after it.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.sums: dict[str, tuple[float, int]] = {}

    def add(self, phase: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Note the figures of a step of a phase, of `steps` in all."""
        points: list[list[Any]] = self.notes.setdefault(str(phase), [])
        while points and points[-1][0] >= step:
            points.pop()
            self.sums = {}
        for name, value in figures.items():
            if math.isfinite(value):
                total, count = self.sums.get(str(name), (0.0, 0))
                self.sums[str(name)] = total + value, count + 1
        if step >= steps or step * POINTS // steps > (step - 1) * POINTS // steps:
            means = {name: float(f"{total / count:.{DIGITS}g}") for name, (total, count) in self.sums.items()}
            if means:
                points.append([step, means])
            self.sums = {}

    def record(self) -> list[dict[str, list[float | None]]]:
        """The phases with two points or more: their `step`, and each figure by its name, None where it had no value."""
        phases = []
        for _, points in sorted(self.notes.items(), key=lambda pair: int(pair[0])):
            names = list(dict.fromkeys(name for _, means in points for name in means if name != "step"))
            lines: dict[str, list[float | None]] = {"step": [step for step, _ in points]}
            lines |= {name: [means.get(name) for _, means in points] for name in names}
            phases += [lines] if len(points) > 1 else []
        return phases

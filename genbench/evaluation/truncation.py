"""Sweeps of the truncation strength: what quality costs in variety.

References: A. Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019), for the
threshold on z; T. Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019), for
the interpolation in w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from genbench.contracts import Generator, HasTruncation
from genbench.errors import InputError, ModelError, Unsupported
from genbench.evaluation import generators
from genbench.evaluation.benchmarks import Task
from genbench.evaluation.evidence import Collected

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_PSIS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
THRESHOLD_PSIS = (*DEFAULT_PSIS, 1.25, 1.5, 2.0)  # a normal z still feels these
FEW, POINTS = 6, "no truncation"  # how many curves are drawn in one group, and the group of the points


def parse_psis(text: str) -> tuple[float, ...]:
    """``0.2:1.0:0.1`` (first, last, step) or ``0.5,0.7,inf`` as numbers. Raises InputError for anything else."""
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            if not (step > 0 and last >= first > 0 and math.isfinite(last)):
                raise ValueError
            return tuple(round(first + i * step, 10) for i in range(int((last - first) / step + 1e-6) + 1))
        psis = tuple(float(part) for part in text.split(","))
        if not all(psi > 0 for psi in psis):
            raise ValueError
        return psis
    except ValueError as error:
        raise InputError(f"psi must read first:last:step or a,b,c with positive numbers, not {text!r}") from error


def require_truncation(generator: Generator, task: Task, name: str = "the model") -> HasTruncation:
    """The generator, if it fits the task and can be truncated. Raises ModelError or Unsupported, naming it."""
    faults = generators.shape_faults(generator, task.dataset.spec)
    if faults:
        raise ModelError(f"{name}: {faults[0]}")
    if not isinstance(generator, HasTruncation):
        raise Unsupported(f"{name} defines no truncation (sample_truncated)")
    return generator


def sweep(
    generator: Generator,
    task: Task,
    psis: Sequence[float] | None = None,
    seed: int = 0,
    tell: Callable[[float, int, int], None] | None = None,
) -> pd.DataFrame:
    """One row per psi: `psi`, each sample metric's columns with ``_stderr``, `n` and `seed`; the last is not truncated.

    Every psi draws under the same seeds, so that neighbouring points differ by psi and not by luck. Raises Unsupported
    where the generator has no `sample_truncated`, ModelError where it breaks its contract.
    """
    import pandas as pd

    truncated = require_truncation(generator, task)
    if psis is None:
        psis = THRESHOLD_PSIS if truncated.truncation == "threshold" else DEFAULT_PSIS
    points = sorted({*psis, generators.untruncated(truncated)})
    rows = []
    for index, psi in enumerate(points):
        if tell is not None:
            tell(psi, index, len(points))
        rows.append({"psi": psi, **_measured(Collected(generator, task, seed, psi=psi))})
    return pd.DataFrame(rows)


def curve(
    generator: Generator,
    task: Task,
    psis: Sequence[float] | None = None,
    seed: int = 0,
    tell: Callable[[float, int, int], None] | None = None,
) -> pd.DataFrame:
    """The sweep of a generator, or the one row, with psi NaN, of a generator that defines no truncation."""
    import pandas as pd

    if isinstance(generator, HasTruncation):
        return sweep(generator, task, psis, seed, tell)
    return pd.DataFrame([{"psi": math.nan, **_measured(Collected(generator, task, seed))}])


def require_curves(models: Mapping[str, Generator], task: Task) -> None:
    """Refuse models that do not fit the task (ModelError), and those of which none can be truncated (Unsupported)."""
    for name, model in models.items():
        if isinstance(model, HasTruncation) or len(models) == 1:
            require_truncation(model, task, name)
    if not any(isinstance(model, HasTruncation) for model in models.values()):
        raise Unsupported(f"none of {', '.join(models)} defines a truncation (sample_truncated)")


def joined(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The curves of models as one table, whose first column names the `model`."""
    import pandas as pd

    return pd.concat([found.assign(model=model) for model, found in curves.items()])[
        ["model", *dict.fromkeys(column for found in curves.values() for column in found)]
    ]


def grouped(curves: Mapping[str, pd.DataFrame], families: Mapping[str, str]) -> dict[str, dict[str, pd.DataFrame]]:
    """Curves of models in groups to draw: few in one, more by family, those of a single point in one of their own."""
    if len(curves) <= FEW:
        return {"": dict(curves)}
    groups: dict[str, dict[str, pd.DataFrame]] = {}
    for model, found in curves.items():
        group = families[model] if len(found) > 1 else POINTS
        groups.setdefault(group, {})[model] = found
    return dict(sorted(groups.items(), key=lambda item: (item[0] == POINTS, -len(item[1]))))


def _measured(evidence: Collected) -> dict[str, float | None]:
    """What the task's metrics make of the samples, with `n` and `seed`."""
    row: dict[str, float | None] = {}
    for metric in evidence.task.metrics:
        if metric.reads != "samples":
            continue
        try:
            scores = metric.compute(evidence)
        except Unsupported:
            continue
        for name, score in scores.items():
            row |= {name: score.value, f"{name}_stderr": score.stderr}
    return row | {"n": evidence.task.n, "seed": evidence.seed}

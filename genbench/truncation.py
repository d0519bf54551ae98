"""Sweeps of the truncation strength: what quality costs in variety.

References: A. Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019), for the
threshold on z; T. Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019), for
the interpolation in w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from genbench import generators
from genbench.benchmarks import Task
from genbench.contracts import Generator, HasTruncation
from genbench.errors import InputError, ModelError, Unsupported
from genbench.evidence import Collected

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_PSIS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
THRESHOLD_PSIS = (*DEFAULT_PSIS, 1.25, 1.5, 2.0)  # a normal z still feels these


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

    model, truncated = generator, require_truncation(generator, task)
    none = generators.untruncated(truncated)
    if psis is None:
        psis = THRESHOLD_PSIS if truncated.truncation == "threshold" else DEFAULT_PSIS
    points = sorted({*psis, none})
    rows = []
    for index, psi in enumerate(points):
        if tell is not None:
            tell(psi, index, len(points))
        evidence = Collected(model, task, seed, psi=psi)
        row: dict[str, float | None] = {"psi": psi}
        for metric in task.metrics:
            if metric.reads != "samples":
                continue
            try:
                scores = metric.compute(evidence)
            except Unsupported:
                continue
            for name, score in scores.items():
                row |= {name: score.value, f"{name}_stderr": score.stderr}
        row |= {"n": task.n, "seed": seed}
        rows.append(row)
    return pd.DataFrame(rows)

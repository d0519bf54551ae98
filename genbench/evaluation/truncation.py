"""Sweeps of the truncation strength: what quality costs in variety.

References: A. Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019), for the
threshold on z; T. Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019), for
the interpolation in w.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genbench.contracts import Generator, parts_read
from genbench.errors import InputError, ModelError, Unsupported
from genbench.evaluation import generators
from genbench.evaluation.benchmarks import Task
from genbench.evaluation.driver import Subject, measure
from genbench.evaluation.generator_evidence import of_generator
from genbench.evaluation.progress import Tell
from genbench.plugins.cards import FEW

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_PSIS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
THRESHOLD_PSIS = (*DEFAULT_PSIS, 1.25, 1.5, 2.0)  # a normal z still feels these
N = FEW  # samples at each psi where nobody names a number: as many as the smallest boards have real items
SMALLEST = 1e-3  # of a threshold: eight normal numbers in ten thousand lie within it


def parse_psis(text: str) -> tuple[float, ...]:
    """``0.2:1.0:0.1`` (first, last, step) or ``0,0.5,inf`` as numbers from 0 on; else raises InputError."""
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            if not (step > 0 and last >= first >= 0 and math.isfinite(last)):
                raise ValueError
            return tuple(round(first + i * step, 10) for i in range(int((last - first) / step + 1e-6) + 1))
        psis = tuple(float(part) for part in text.split(","))
        if not all(psi >= 0 for psi in psis):
            raise ValueError
        return psis
    except ValueError as error:
        raise InputError(f"psi must read first:last:step or a,b,c with numbers from 0 on, not {text!r}") from error


def points(generator: Generator, psis: Sequence[float] | None, name: str = "the model") -> list[float]:
    """The psis of a generator's curve in rising order, the one that truncates nothing last.

    Raises InputError for those that its kind of truncation does not know: a threshold on z is at least SMALLEST,
    below which no normal number falls in reasonable time, and an interpolation or a temperature is at most 1.
    """
    none = generators.untruncated(generator)
    if psis is None:
        psis = THRESHOLD_PSIS if math.isinf(none) else DEFAULT_PSIS
    least, most = (SMALLEST, math.inf) if math.isinf(none) else (0.0, 1.0)
    wrong = [psi for psi in psis if not least <= psi <= most]
    if wrong:
        kind = "threshold on z" if math.isinf(none) else "strength of truncation"
        raise InputError(f"the psi of {name} is a {kind}, within {least:g} to {most:g}; got {wrong[0]:g}")
    return sorted({*psis, none})


def require_truncation(generator: Generator, task: Task, name: str = "the model") -> None:
    """Raises ModelError for a generator that does not fit the task, Unsupported for one that cannot be truncated."""
    faults = generators.shape_faults(generator, task.dataset.spec)
    if faults:
        raise ModelError(f"{name}: {faults[0]}")
    if not generators.offers(generator, "truncation"):
        raise Unsupported(f"{name} defines no truncation (sample_truncated)")


def sweep(
    generator: Generator, task: Task, psis: Sequence[float] | None = None, seed: int = 0, tell: Tell | None = None
) -> pd.DataFrame:
    """One row per psi: `psi`, each sample metric's columns with ``_stderr``, `n` and `seed`; the last is not truncated.

    Every psi draws under the same seeds, so that neighbouring points differ by psi and not by luck. A metric that fails
    at a point leaves its columns empty there. Raises Unsupported where the generator has no `sample_truncated`,
    ModelError where it breaks its contract.
    """
    import pandas as pd

    require_truncation(generator, task)
    rows = []
    chosen = points(generator, psis)
    for index, psi in enumerate(chosen):
        if tell is not None:
            tell(f"psi {psi:g}", index, len(chosen))
        rows.append({"psi": psi, **_measured(generator, task, seed, psi)})
    return pd.DataFrame(rows)


def curve(
    generator: Generator, task: Task, psis: Sequence[float] | None = None, seed: int = 0, tell: Tell | None = None
) -> pd.DataFrame:
    """The sweep of a generator, or the one row, with psi NaN, of a generator that defines no truncation."""
    import pandas as pd

    if generators.offers(generator, "truncation"):
        return sweep(generator, task, psis, seed, tell)
    return pd.DataFrame([{"psi": math.nan, **_measured(generator, task, seed, None)}])


def require_curves(models: Mapping[str, Generator], task: Task, psis: Sequence[float] | None = None) -> None:
    """Refuse, before anything is computed, models that do not fit the task, of which none can be truncated, or psis
    that one of them does not know. Raises ModelError, Unsupported or InputError."""
    for name, model in models.items():
        if generators.offers(model, "truncation") or len(models) == 1:
            require_truncation(model, task, name)
            points(model, psis, name)
    if not any(generators.offers(model, "truncation") for model in models.values()):
        raise Unsupported(f"none of {', '.join(models)} defines a truncation (sample_truncated)")


def joined(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The curves of models as one table, whose first column names the `model`."""
    import pandas as pd

    return pd.concat([table.assign(model=model) for model, table in curves.items()])[
        ["model", *dict.fromkeys(column for table in curves.values() for column in table)]
    ]


def _measured(generator: Generator, task: Task, seed: int, psi: float | None) -> dict[str, float | None]:
    """What the task's metrics make of the samples, with `n` and `seed`. Raises ModelError where none can be drawn."""
    evidence = of_generator(generator, task, seed, psi=psi)
    _ = evidence.samples
    subject = Subject("", task.benchmark.name, seed, "", task.computing.device, task.protocol, task.own)
    measured: dict[str, float | None] = {}
    for rows in measure([metric for metric in task.metrics if "samples" in parts_read(metric)], evidence, subject):
        for row in rows:
            if row.status != "unsupported":
                measured |= {row.column: row.value, f"{row.column}_stderr": row.stderr}
    return measured | {"n": task.n, "seed": seed}

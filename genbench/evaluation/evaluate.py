"""The public functions for a generator at hand: one evaluation, one truncation curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from genbench.contracts import Generator, parts_read
from genbench.errors import GenbenchError
from genbench.evaluation import benchmarks
from genbench.evaluation.protocol import DRAWN
from genbench.evaluation.run import evaluate_generator
from genbench.evaluation.truncation import N, sweep
from genbench.plugins import guard
from genbench.storage.formatting import listing
from genbench.storage.results import Result, as_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Report:
    """What one evaluation came to: its `results` row by row, the same as a `table`, and the `samples` it looked at.

    `samples` is None where no metric reads any, and where the generator breaks.
    """

    results: tuple[Result, ...]
    samples: Tensor | None

    @property
    def table(self) -> pd.DataFrame:
        """One row per column of the benchmark: value, stderr, kind, status, detail."""
        return as_table(self.results)

    @property
    def failed(self) -> bool:
        return any(row.status == "failed" for row in self.results)

    def _repr_html_(self) -> str:
        return str(self.table.to_html())

    def __str__(self) -> str:
        return listing(self.results)


def evaluate(
    generator: Generator,
    benchmark: str = "digits",
    metrics: Sequence[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    data_root: Path | str | None = None,
) -> Report:
    """Evaluate a generator on a benchmark (a name, a folder of images or an .npz).

    `metrics` and `n` (samples drawn) replace the benchmark's own. A metric that the generator does not support has
    status "unsupported", one that broke "failed", each with the reason in `detail`. Raises GenbenchError for unknown
    names, missing data, and a generator for items of another shape or number of levels.
    """
    root = None if data_root is None else Path(data_root)
    task = benchmarks.load(str(benchmark), metrics=metrics, n=n, data_root=root)
    name = guard.name_of(generator)
    with guard.watching(name):
        rows, evidence = evaluate_generator(generator, task, seed, name)
    samples = None
    if any(part in DRAWN for metric in task.metrics for part in parts_read(metric)):
        try:
            samples = evidence.samples
        except GenbenchError:  # the rows say why
            samples = None
    return Report(tuple(rows), samples)


def tradeoff(
    generator: Generator,
    benchmark: str = "digits",
    psis: Sequence[float] | None = None,
    n: int = N,
    seed: int = 0,
) -> pd.DataFrame:
    """The truncation curve of a generator: one row per psi with the columns of the benchmark and their errors.

    Raises Unsupported for a generator without `sample_truncated`.
    """
    return sweep(generator, benchmarks.load(benchmark, metrics=None, n=n), psis, seed)

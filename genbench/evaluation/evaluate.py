"""The public functions for a generator at hand: one evaluation, one truncation curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from genbench.contracts import Generator
from genbench.evaluation import benchmarks, run
from genbench.evaluation.truncation import sweep
from genbench.leaderboard import boards
from genbench.storage.results import Result, as_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Report:
    """What one evaluation found: its `results` row by row, the same as a `table`, and the `samples` it looked at."""

    results: tuple[Result, ...]
    samples: Tensor | None

    @property
    def table(self) -> pd.DataFrame:
        """One row per column of the benchmark: value, stderr, kind, status, detail."""
        return as_table(self.results)

    def _repr_html_(self) -> str:
        return str(self.table.to_html())

    def __str__(self) -> str:
        return boards.Board.of(self.results).to_text()


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
    name = getattr(generator, "name", None) or type(generator).__name__
    rows, evidence = run.evaluate_generator(generator, task, seed, str(name))
    drawn = any(metric.reads == "samples" for metric in task.metrics)
    broken = all(row.status == "failed" for row in rows)
    return Report(tuple(rows), evidence.samples if drawn and not broken else None)


def tradeoff(
    generator: Generator,
    benchmark: str = "digits",
    psis: Sequence[float] | None = None,
    n: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The truncation curve of a generator: one row per psi with the columns of the benchmark and their errors.

    Raises Unsupported for a generator without `sample_truncated`.
    """
    return sweep(generator, benchmarks.load(benchmark, metrics=None, n=n), psis, seed)

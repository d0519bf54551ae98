"""One metric on one piece of evidence: its numbers as rows, or the reason why there are none."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import genbench
from genbench.contracts import Metric, Score
from genbench.errors import GenbenchError, Unsupported
from genbench.storage.results import SCHEMA, Result, Status


@dataclass(slots=True)
class Rows:
    """Makes the rows of one model; `start` is when the metric at hand began.

    `protocol` and `items` say, of a metric, the fingerprint of how it is computed and how many items it is a mean over.
    """

    model: str
    benchmark: str
    seed: int
    version: str
    protocol: Callable[[Metric], str]
    items: Callable[[Metric], int]
    start: float = field(default_factory=time.monotonic)

    def with_scores(self, metric: Metric, scores: dict[str, Score]) -> Iterator[Result]:
        for column in metric.columns:
            yield self._row(metric, column.name, "ok", scores[column.name])

    def without(self, metric: Metric, status: Status, reason: str) -> Iterator[Result]:
        for column in metric.columns:
            yield self._row(metric, column.name, status, None, reason)

    def _row(self, metric: Metric, column: str, status: Status, score: Score | None, reason: str = "") -> Result:
        return Result(
            schema=SCHEMA,
            model=self.model,
            benchmark=self.benchmark,
            column=column,
            value=None if score is None else float(score.value),
            stderr=None if score is None or score.stderr is None else float(score.stderr),
            status=status,
            detail=reason if score is None else score.detail,
            kind="" if score is None else score.kind or "",
            n=self.items(metric),
            seed=self.seed,
            protocol=self.protocol(metric),
            seconds=round(time.monotonic() - self.start, 2),
            versions=f"{software()} model={self.version}".strip(),
            low=None if score is None else score.low,
            high=None if score is None else score.high,
        )


def measure(metric: Metric, evidence: Any, rows: Rows) -> list[Result]:
    """The rows of a metric; whatever it raises becomes a status with a reason."""
    rows.start = time.monotonic()
    try:
        scores = dict(metric.compute(evidence))
        return list(rows.with_scores(metric, scores))
    except Unsupported as reason:
        return list(rows.without(metric, "unsupported", str(reason)))
    except GenbenchError as error:
        return list(rows.without(metric, "failed", str(error)))
    except Exception as error:  # a third party's metric must not end the run either
        return list(rows.without(metric, "failed", f"{metric.name} raised {type(error).__name__}: {error}"))


def software() -> str:
    """The versions behind a number, as ``name=version`` words."""
    return (
        f"genbench={genbench.__version__} torch={torch.__version__} numpy={np.__version__} "
        f"python={platform.python_version()}"
    )

"""Metrics on one piece of evidence: their numbers as rows, or the reason why there are none."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Metric, Score, parts_read
from genbench.errors import GenbenchError, ModelError, Unsupported, way_to_install
from genbench.evaluation import evidence as evidences
from genbench.evaluation import processes
from genbench.evaluation.copies import Copies
from genbench.evaluation.protocol import Protocol, extractors_of
from genbench.plugins import guard
from genbench.storage.results import Result, Status

# Which of a model's steps stand behind what a metric reads.
STEPS = {
    "samples": ("samples", "translated"),
    "log_prob": ("log_prob",),
    "outliers": ("outlier_log_prob",),
    "classes": ("class_log_joint",),
    "reconstruction": ("reconstruct",),
    "translation": ("translated", "cycled"),
}


@dataclass(frozen=True, eq=False)
class Subject:
    """What the rows of one model, or of one set of files, have in common.

    `own` says whether the features are those that the columns' titles stand for; `places` are the columns of the board
    from left to right.
    """

    model: str
    benchmark: str
    seed: int
    version: str
    device: str
    protocol: Protocol
    own: bool = True
    places: Mapping[str, int] = field(default_factory=dict)

    def row(self, metric: Metric, column: Column, outcome: Score | tuple[Status, str], seconds: Seconds) -> Result:
        """One row; instead of a score it may be given a status and the reason."""
        score = outcome if isinstance(outcome, Score) else None
        status: Status = "ok"
        if isinstance(outcome, Score):
            reason = outcome.detail
        else:
            status, reason = outcome
        features = self.protocol.features_of(metric)
        general = column.general and not self.own and not extractors_of(metric)
        return Result(
            model=self.model,
            benchmark=self.benchmark,
            column=column.name,
            title=f"{column.general} ({features})" if general else column.title,
            unit=column.unit,
            digits=column.digits,
            better=column.better,
            note=column.note,
            place=self.places.get(column.name, len(self.places)),
            value=None if score is None else float(score.value),
            stderr=None if score is None else _float(score.stderr),
            total_stderr=None if score is None else _float(score.total_stderr),
            low=None if score is None else _float(score.low),
            high=None if score is None else _float(score.high),
            biased=score is not None and score.biased,
            status=status,
            detail=reason,
            kind="" if score is None else score.kind or "",
            n=self.protocol.items(metric),
            reference=self.protocol.real_items(metric),
            seed=self.seed,
            features=features,
            device=self.device,
            protocol=self.protocol.fingerprint(metric),
            model_version=self.version,
            software=software(),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds.metric, 3),
            model_seconds=round(seconds.model, 3),
            features_seconds=round(seconds.features, 3),
        )

    def without(self, metric: Metric, status: Status, reason: str, seconds: Seconds | None = None) -> list[Result]:
        """A row for each column of a metric that has no numbers."""
        return [self.row(metric, column, (status, reason), seconds or Seconds()) for column in metric.columns]


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a metric took, what the model took to make what it reads, and what their features took."""

    metric: float = 0.0
    model: float = 0.0
    features: float = 0.0


def measure(metrics: Sequence[Metric], evidence: evidences.Evidence, subject: Subject) -> Iterator[list[Result]]:
    """The rows of each metric in turn: first all that they read is made, then one after the other is computed.

    Processes share what is made of chunks, and then the metrics.

    Whatever a metric raises, or returns that is no number, becomes a status with a reason.
    """
    # Metrics that look through extractors of their own need no features of the evidence's.
    plain = [metric for metric in metrics if not extractors_of(metric)]
    for part in dict.fromkeys(part for metric in plain for part in parts_read(metric)):
        evidence.prepare(part)

    def rows(number: int) -> list[Result]:
        evidence.tell(metrics[number].name, number, len(metrics))
        return _rows(metrics[number], evidence, subject)

    if processes.size() == 1:
        yield from map(rows, range(len(metrics)))
        return
    make = lambda number: (rows(number), evidence.nats, evidence.item_parts)  # noqa: E731
    for metric_rows, nats, item_parts in processes.shared(len(metrics), make):
        evidence.nats |= nats
        evidence.item_parts |= item_parts
        yield metric_rows


def _rows(metric: Metric, evidence: evidences.Evidence, subject: Subject) -> list[Result]:
    scores: Mapping[str, Score] = {}
    status: Status = "ok"
    reason = ""
    with evidence.clock(metric.name):
        try:
            scores = _scores(metric, evidence, subject.protocol)
        except Unsupported as error:
            status, reason = "unsupported", str(error)
        except GenbenchError as error:
            status, reason = "failed", str(error)
        except Exception as error:  # one metric's fault must not end the run
            said = f"{type(error).__name__}: {guard.one_line(error)}{way_to_install(error)}"
            status, reason = "failed", f"{metric.name} raised {said}"
    seconds = _seconds(metric, evidence)
    if status != "ok":
        return subject.without(metric, status, reason, seconds)
    outcomes = [scores[column.name] for column in metric.columns]
    faults = [fault for column, score in zip(metric.columns, outcomes, strict=True) if (fault := _fault(column, score))]
    if faults:
        return subject.without(metric, "failed", faults[0], seconds)
    named = list(zip(metric.columns, outcomes, strict=True))
    evidence.nats |= {column.name: float(score.nats) for column, score in named if score.nats is not None}
    evidence.item_parts |= {
        column.name: score.parts.detach().cpu().double() for column, score in named if score.parts is not None
    }
    return [subject.row(metric, column, score, seconds) for column, score in named]


def _scores(metric: Metric, evidence: Evidence, protocol: Protocol) -> Mapping[str, Score]:
    """What a metric makes of the evidence; one of a third party's gets copies, and is called under guard."""
    parts = parts_read(metric)
    sizes = [size for part, size in (("samples", protocol.n), ("real", protocol.reference)) if part in parts]
    known = [size for size in sizes if size]  # statistics of others do not say
    if "samples" in parts and min(known, default=metric.min_samples) < metric.min_samples:
        raise ModelError(f"needs at least {metric.min_samples} samples, got {min(known)}")
    if type(metric).__module__.split(".")[0] == "genbench":
        return metric.compute(evidence)
    scores = guard.guarded(metric.name, metric.compute, Copies(evidence))
    if not isinstance(scores, Mapping):
        raise ModelError(f"{metric.name} returned {type(scores).__name__}, not a mapping of columns to scores")
    for column in metric.columns:
        if not isinstance(scores.get(column.name), Score):
            raise ModelError(f"{metric.name} returned no Score for its column {column.name}")
    return scores


def _fault(column: Column, score: Score) -> str:
    """Why a score is no number; empty where it is one."""
    named = {
        "value": score.value,
        "standard error": score.stderr,
        "total standard error": score.total_stderr,
        "lower end": score.low,
        "upper end": score.high,
        "nats of a unit": score.nats,
    }
    for name, value in named.items():
        if value is None:
            continue
        try:
            finite = math.isfinite(value)
        except (TypeError, ValueError, OverflowError):
            return f"the {name} of {column.name} is no number but {type(value).__name__}"
        if not finite:
            return f"the {name} of {column.name} is {float(value)}"
        if "error" in name and value < 0:
            return f"the {name} of {column.name} is negative"
        if "nats" in name and value <= 0:
            return f"the {name} of {column.name} is not above 0"
    if score.low is not None and score.high is not None and score.low > score.high:
        return f"the interval of {column.name} ends below its beginning"
    parts = score.parts
    if parts is not None and not (isinstance(parts, Tensor) and parts.ndim == 1 and bool(parts.isfinite().all())):
        return f"the parts of {column.name} are no tensor (n,) of finite numbers"
    return ""


def _seconds(metric: Metric, evidence: evidences.Evidence) -> Seconds:
    parts = parts_read(metric)
    steps = {step for part in parts for step in STEPS.get(part, ())}
    spent = evidence.clock.seconds
    model = sum(spent[step] for step in steps if step in spent)
    return Seconds(spent[metric.name], model, spent["features"] if "samples" in parts else 0.0)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


@cache
def software() -> str:
    """The versions behind a number, as ``name=version`` words."""
    return (
        f"genbench={version('genbench')} torch={torch.__version__} numpy={np.__version__} "
        f"python={platform.python_version()}"
    )

"""What a benchmark's metrics make of generators with a known fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from genbench import seeding
from genbench.contracts import parts_read
from genbench.errors import InputError
from genbench.evaluation.benchmarks import Task
from genbench.evaluation.faults import FAULTS, Fault, Faulty, Material
from genbench.evaluation.progress import Progress, Silent
from genbench.evaluation.run import evaluate_generator
from genbench.storage.formatting import counted
from genbench.storage.results import Result

REAL = "real"


@dataclass(frozen=True, slots=True)
class Trial:
    """The rows of one generator: `real`, or a fault at a strength, of which `unit` says what it counts."""

    fault: str
    unit: str
    strength: float
    rows: tuple[Result, ...]


def trials(
    task: Task, seed: int = 0, faults: Sequence[Fault] = FAULTS, progress: Progress | None = None
) -> list[Trial]:
    """The rows of `real`, then of each fault that the data allows, from its least strength to its largest.

    A fixed random half of the train split is taken away from it: the fresh real items that are shown as they are, or
    spoiled. At most so many samples are drawn, so that no item occurs twice. Raises InputError where no
    metric reads samples drawn at will, and where they are too few for one.
    """
    task, material = prepared(task)
    progress = progress or Silent()
    plan: list[tuple[Fault | None, float]] = [(None, 0.0)]
    plan += [(fault, strength) for fault in faults if fault.fits(material) for strength in fault.strengths]
    names = [REAL if fault is None else f"{fault.name} {strength:g}" for fault, strength in plan]
    progress.start(names)
    done = []
    for name, (fault, strength) in zip(names, plan, strict=True):
        rows, _ = evaluate_generator(Faulty(material, fault, strength), task, seed, name)
        label, unit = (REAL, "") if fault is None else (fault.name, fault.unit)
        done.append(Trial(label, unit, strength, tuple(rows)))
        failed = next((row.detail for row in rows if row.status == "failed"), "")
        progress.finish(name, failed or counted(len(rows), "column"), bool(failed))
    return done


def prepared(task: Task) -> tuple[Task, Material]:
    """The task with half of its train split and the metrics that read samples, and what the faults are made of."""
    data = task.dataset
    metrics = tuple(metric for metric in task.metrics if "samples" in parts_read(metric))
    if not metrics or data.source is not None:
        raise InputError(f"no metric of {task.benchmark.name} reads samples drawn at will; name another benchmark")
    order = torch.randperm(len(data.train), generator=seeding.generator("sanity", len(data.train)))
    rest, fresh = order[: len(order) // 2].sort().values, order[len(order) // 2 :].sort().values
    labels = data.train_labels
    n = min(task.n, len(fresh))
    for metric in metrics:
        if n < metric.min_samples:
            raise InputError(f"{metric.name} needs at least {metric.min_samples} samples, here are {n}; raise -n")
    halved = dataclasses.replace(
        data, train=data.train[rest], train_labels=None if labels is None else labels[rest], validation=None
    )
    material = Material(
        data.spec, data.train[fresh], None if labels is None else labels[fresh], halved.train, data.heldout
    )
    return dataclasses.replace(task, dataset=halved, metrics=metrics, n=n), material

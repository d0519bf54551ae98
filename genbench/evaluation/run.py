"""From a task and models to result rows: what is missing is computed, what is there is kept, failures stay apart."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from genbench.contracts import Generator, Metric
from genbench.errors import GenbenchError, ModelError, Unsupported
from genbench.evaluation import generators
from genbench.evaluation.benchmarks import OF_SAMPLES, Task
from genbench.evaluation.driver import Rows, measure
from genbench.evaluation.evidence import Collected
from genbench.leaderboard import pictures
from genbench.plugins.cards import ModelCard
from genbench.storage import npz, results
from genbench.storage.results import Result


class Progress(Protocol):
    """Who hears of a run's progress."""

    def start(self, models: Sequence[str]) -> None: ...

    def stage(self, model: str, stage: str, done: int, total: int) -> None: ...

    def finish(self, model: str, note: str, failed: bool) -> None: ...


@dataclass(slots=True)
class Silent:
    """Progress that nobody hears."""

    def start(self, models: Sequence[str]) -> None: ...

    def stage(self, model: str, stage: str, done: int, total: int) -> None: ...

    def finish(self, model: str, note: str, failed: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes: the seed, the device, the folder for results (None: keep them in memory), whether to redo what is
    there, and a folder for each model's samples as MODEL.npz (None: keep none)."""

    seed: int = 0
    device: str = "cpu"
    out: Path | None = None
    fresh: bool = False
    save_samples: Path | None = None


@dataclass(slots=True)
class Outcome:
    """Every current row of the models that a run was about, and which of them it computed."""

    rows: list[Result] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[Result]:
        return [row for row in self.rows if row.status == "failed"]


def run(task: Task, models: Iterable[ModelCard], options: Options, progress: Progress | None = None) -> Outcome:
    """Evaluate models one after the other. A model that fails gets rows that say why, and the others go on.

    With a folder, rows are appended to its ``results.jsonl`` as soon as a model is done, pictures of samples go beside
    it, and rows that are there already with equal protocol and model are not computed again. Raises ResultsError where
    the folder cannot be written.
    """
    progress = progress or Silent()
    cards = list(models)
    path = None if options.out is None else options.out / "results.jsonl"
    if path is not None:
        results.require_writable(path)
    known = {} if path is None else {row.key: row for row in results.read(path)}
    outcome = Outcome()
    progress.start([card.name for card in cards])
    for card in cards:
        start = time.monotonic()
        kept, fresh = _evaluate(card, task, options, known, progress)
        if path is not None and fresh:
            results.append(path, fresh)
        outcome.rows += kept + fresh
        if fresh:
            outcome.computed.append(card.name)
        failed = next((row for row in fresh if row.status == "failed"), None)
        note = failed.detail if failed else f"{time.monotonic() - start:.1f} s" if fresh else "up to date"
        progress.finish(card.name, note, failed is not None)
    if path is not None:
        results.compact(path, task.benchmark.columns)
    return outcome


def _evaluate(
    card: ModelCard, task: Task, options: Options, known: dict[results.Key, Result], progress: Progress
) -> tuple[list[Result], list[Result]]:
    """The rows of one model: those kept from before, and those computed now."""
    progress.stage(card.name, "loading", 0, 1)
    try:
        generator = generators.build(card, task.benchmark.setting(card.name, task.dataset, options.device))
        version = generators.version(generator)
    except GenbenchError as error:
        rows = _rows(card.name, task, options.seed, "")
        return [], [row for metric in task.metrics for row in rows.without(metric, "failed", str(error))]
    picture = None if options.out is None else options.out / "samples" / f"{pictures.file_name(card.name)}.png"
    kept: list[Result] = []
    missing = []
    for metric in task.metrics:
        before = [] if options.fresh else _current(card.name, task, metric, options.seed, version, known)
        kept += before
        if not before:
            missing.append(metric)
    evidence = Collected(generator, task, options.seed, lambda *stage: progress.stage(card.name, *stage))
    rows = _rows(card.name, task, options.seed, version)
    fresh = [row for metric in missing for row in _measure(metric, evidence, rows)]
    if picture is not None and (not picture.exists() or any(m.reads in OF_SAMPLES for m in missing)):
        _draw_picture(evidence, picture)
    if options.save_samples is not None:
        with suppress(ModelError, Unsupported):  # the rows say why a model cannot sample
            file = options.save_samples / f"{pictures.file_name(card.name)}.npz"
            npz.save(file, evidence.samples, task.dataset.spec)
    return kept, fresh


def _current(
    model: str, task: Task, metric: Metric, seed: int, version: str, known: dict[results.Key, Result]
) -> list[Result]:
    """A metric's rows from before, if all of them are there, sound, and of this very model and protocol."""
    keys = [(model, task.benchmark.name, c.name, seed, task.fingerprint(metric)) for c in metric.columns]
    rows = [known[key] for key in keys if key in known]
    sound = len(rows) == len(keys) and all(r.status != "failed" and r.model_version == version for r in rows)
    return rows if sound else []


def _rows(model: str, task: Task, seed: int, version: str) -> Rows:
    return Rows(model, task.benchmark.name, seed, version, task.fingerprint, task.items)


def _measure(metric: Metric, evidence: Collected, rows: Rows) -> list[Result]:
    evidence.tell(metric.name, 0, 1)
    return measure(metric, evidence, rows)


def _draw_picture(evidence: Collected, path: Path) -> None:
    """The first samples as a PNG, translations beside their sources; a model that cannot sample has no picture.

    Its rows say why.
    """
    try:
        samples = evidence.samples
    except GenbenchError:
        return
    data, drawn_as = evidence.dataset, evidence.task.benchmark.picture
    if data.source is not None and evidence.translates:
        parts = [(data.source.heldout, data.source.spec), (samples, data.spec)]
        parts += [(data.heldout, data.spec)] if data.source.paired else []
        pictures.save_beside(parts, path)
    else:
        pictures.save_grid(samples[: pictures.GRID_ITEMS], data.spec, path, drawn_as)


def evaluate_generator(generator: Generator, task: Task, seed: int, name: str) -> tuple[list[Result], Collected]:
    """The rows and the evidence of a generator that is at hand already."""
    faults = generators.shape_faults(generator, task.dataset.spec)
    if faults:
        raise ModelError(f"{name}: {faults[0]}")
    evidence = Collected(generator, task, seed)
    rows = _rows(name, task, seed, generators.version(generator))
    return [row for metric in task.metrics for row in _measure(metric, evidence, rows)], evidence

"""From a task and models to result rows: what is missing is computed, what is there is kept, failures stay apart."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genbench.contracts import Generator, Metric
from genbench.errors import GenbenchError, GenbenchWarning, ModelError
from genbench.evaluation import benchmarks, generators, processes
from genbench.evaluation.benchmarks import Task
from genbench.evaluation.drawing import batched
from genbench.evaluation.driver import Subject, measure
from genbench.evaluation.evidence import Evidence
from genbench.evaluation.generator_evidence import of_generator, protocol_of
from genbench.evaluation.progress import Progress, Silent
from genbench.evaluation.protocol import Protocol, Record
from genbench.plugins.cards import ModelCard
from genbench.plugins.guard import one_line, watching
from genbench.storage import items, npz, results
from genbench.storage.items import Items
from genbench.storage.names import file_name
from genbench.storage.results import Key, Result

Finished = Callable[[str, Evidence, Task], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes: the seed, the device, the folder for results (None: keep them in memory), whether to redo what is
    there, and a folder for each model's samples as MODEL.npz (None: keep none).

    `batch_size` is how many items a model is asked for at once, None for what the model says itself.
    `isolate` runs every model in a process of its own, which `timeout` seconds without an answer end; `finished` is
    called with each model's evidence once its rows are safe, as to draw its samples.
    """

    seed: int = 0
    device: str = "cpu"
    out: Path | None = None
    fresh: bool = False
    save_samples: Path | None = None
    isolate: bool = False
    timeout: float | None = None
    finished: Finished | None = None
    batch_size: int | None = None


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

    With a folder, rows are appended to its ``results.jsonl`` as soon as a model is done, before anything is drawn of
    them, and rows that are there already with equal protocol and model are not computed again. Raises ResultsError
    where the folder cannot be written. Processes that share the work all return the same; the first of them writes.
    """
    progress = progress or Silent()
    cards = list(models)
    path = None if options.out is None else options.out / "results.jsonl"
    known: dict[Key, Result] = {}
    if path is not None:
        known = processes.from_first(lambda: _begun(path, task))
    outcome = Outcome()
    progress.start([card.name for card in cards])
    for card in cards:
        start = time.monotonic()
        job = _Job(card, task, options, known, progress)
        with watching(card.name):
            earlier, fresh = job.rows()
        if path is not None and fresh:
            processes.from_first(lambda job=job, fresh=fresh: _append(path, task, job, fresh))  # type: ignore[misc]
        outcome.rows += earlier + fresh
        if fresh:
            outcome.computed.append(card.name)
        job.finish()
        failed = next((row for row in fresh if row.status == "failed"), None)
        note = failed.detail if failed else f"{time.monotonic() - start:.1f} s" if fresh else "up to date"
        progress.finish(card.name, note, failed is not None)
    return outcome


def _begun(path: Path, task: Task) -> dict[Key, Result]:
    """The rows that are there already. Raises ResultsError where others could not be added."""
    results.require_writable(path)
    known = {row.key: row for row in results.current(results.read(path))}
    results.note_protocols(path, records(task.protocol, task))
    return known


def _append(path: Path, task: Task, job: _Job, rows: list[Result]) -> None:
    if job.protocol is not task.protocol:
        results.note_protocols(path, records(job.protocol, job.task))
    results.append(path, rows)
    job.keep_items(path.parent, rows)


def records(protocol: Protocol, task: Task) -> dict[str, Record]:
    """The readable records of a task's metrics, by their fingerprints."""
    return {protocol.fingerprint(metric): protocol.of(metric) for metric in task.metrics}


def without_numbers(task: Task, card: ModelCard, options: Options, reason: str) -> Outcome:
    """The outcome of a model that could not be run for that reason: rows that say so, added to those in the folder."""
    job = _Job(card, task, options, {}, Silent())
    subject = job.subject("")
    rows = [row for metric in task.metrics for row in subject.without(metric, "failed", reason)]
    if options.out is not None:
        results.note_protocols(options.out / "results.jsonl", records(job.protocol, job.task))
        results.append(options.out / "results.jsonl", rows)
    return Outcome(rows, [card.name])


class _Job:
    """One model of a run."""

    def __init__(
        self, card: ModelCard, task: Task, options: Options, known: dict[Key, Result], progress: Progress
    ) -> None:
        self.card, self.task, self.options, self.known, self.progress = card, task.of(card), options, known, progress
        self.generator: Generator | None = None
        self.protocol = self.task.protocol
        self.evidence: Evidence | None = None

    def rows(self) -> tuple[list[Result], list[Result]]:
        """The rows kept from before, and those computed now."""
        self.progress.stage(self.card.name, "loading", 0, 0)
        try:
            self.generator = generator = processes.together(self._build)
            self.protocol = protocol_of(generator, self.task)
            version = processes.from_first(lambda: generators.version(generator))
        except GenbenchError as error:
            subject = self.subject("")
            return [], [row for m in self.task.metrics for row in subject.without(m, "failed", str(error))]
        subject = self.subject(version)
        earlier: list[Result] = []
        missing = []
        for metric in self.task.metrics:
            before = [] if self.options.fresh else self._current(metric, version)
            earlier += before
            if not before:
                missing.append(metric)
        self.evidence = of_generator(self.generator, self.task, self.options.seed, self._tell)
        return earlier, [row for rows in measure(missing, self.evidence, subject) for row in rows]

    def finish(self) -> None:
        """What follows once the rows are safe: a failure here costs a file, and no number."""
        if self.evidence is not None and processes.rank() == 0:
            for follow in (self._save_samples, self._tell_finished):
                try:
                    with processes.apart():
                        follow(self.evidence)
                except Exception as error:
                    warnings.warn(f"{self.card.name}: {one_line(error)}", GenbenchWarning, stacklevel=2)
        if self.isolated and self.generator is not None:
            self.generator.close()  # type: ignore[attr-defined]

    def keep_items(self, folder: Path, rows: list[Result]) -> None:
        """Keep what each held-out item adds to numbers; a failure costs comparisons in pairs, and no number."""
        if self.evidence is None:
            return
        for behind in _items_behind([row for row in rows if row.value is not None], self.evidence):
            try:
                items.save(folder, behind)
            except GenbenchError as error:
                warnings.warn(f"{self.card.name}: {error}", GenbenchWarning, stacklevel=2)

    @property
    def isolated(self) -> bool:
        return self.options.isolate or self.options.timeout is not None

    def _build(self) -> Generator:
        setting = self.task.setting_of(self.card.name, self.options.device)
        if self.isolated:
            from genbench.evaluation import isolation

            generator: Generator = isolation.isolated(self.card, setting, self.options.timeout)
        else:
            generator = generators.build(self.card, setting)
        return batched(generator, self.options.batch_size)

    def subject(self, version: str) -> Subject:
        task, options = self.task, self.options
        places = {name: place for place, name in enumerate(benchmarks.columns(task.benchmark))}
        return Subject(
            model=self.card.name,
            benchmark=task.benchmark.name,
            seed=options.seed,
            version=version,
            device=options.device,
            protocol=self.protocol,
            own=task.own,
            places=places,
        )

    def _current(self, metric: Metric, version: str) -> list[Result]:
        """A metric's rows from before, if all of them are there, sound, and of this very model and protocol."""
        protocol, benchmark = self.protocol.fingerprint(metric), self.task.benchmark.name
        keys = [(self.card.name, benchmark, c.name, self.options.seed, protocol) for c in metric.columns]
        rows = [self.known[key] for key in keys if key in self.known]
        sound = len(rows) == len(keys) and all(r.status != "failed" and r.model_version == version for r in rows)
        return rows if sound else []

    def _tell(self, stage: str, done: int, total: int) -> None:
        self.progress.stage(self.card.name, stage, done, total)

    def _save_samples(self, evidence: Evidence) -> None:
        if self.options.save_samples is not None:
            try:
                samples = evidence.samples
            except GenbenchError:  # the rows say why a model cannot sample
                return
            npz.save(self.options.save_samples / f"{file_name(self.card.name)}.npz", samples, self.task.dataset.spec)

    def _tell_finished(self, evidence: Evidence) -> None:
        if self.options.finished is not None:
            self.options.finished(self.card.name, evidence, self.task)


def _items_behind(rows: list[Result], evidence: Evidence) -> Iterator[Items]:
    """What held-out items add to numbers: the log-probabilities behind some, and the parts of each of the others."""
    likelihoods = {row: evidence.nats[row.column] for row in rows if row.column in evidence.nats}
    if likelihoods:
        log_prob = evidence.log_prob
        yield items.behind(likelihoods, log_prob.values.numpy(), log_prob.error)
    for row in rows:
        if row.column in evidence.item_parts and not row.kind:
            yield items.behind({row: 1.0}, evidence.item_parts[row.column].numpy(), log_probs=False)


def evaluate_generator(generator: Generator, task: Task, seed: int, name: str) -> tuple[list[Result], Evidence]:
    """The rows and the evidence of a generator that is at hand already; one that breaks has rows that say why.

    Raises ModelError for a generator of other items than the task's.
    """
    faults = generators.shape_faults(generator, task.dataset.spec)
    if faults:
        raise ModelError(f"{name}: {faults[0]}")
    evidence = of_generator(generator, task, seed)
    places = {column: place for place, column in enumerate(benchmarks.columns(task.benchmark))}
    try:
        version = processes.from_first(lambda: generators.version(generator))
        protocol, fault = protocol_of(generator, task), ""
    except GenbenchError as error:
        version, protocol, fault = "", task.protocol, str(error)
    subject = Subject(name, task.benchmark.name, seed, version, "cpu", protocol, task.own, places)
    if fault:
        return [row for metric in task.metrics for row in subject.without(metric, "failed", fault)], evidence
    return [row for rows in measure(task.metrics, evidence, subject) for row in rows], evidence

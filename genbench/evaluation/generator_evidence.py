"""The evidence of a generator on a task: what it samples, how likely it finds items, what it makes of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from genbench.contracts import Dataset, Features, Generator
from genbench.evaluation import drawing, extraction, generators, processes
from genbench.evaluation.benchmarks import Task
from genbench.evaluation.evidence import Evidence
from genbench.evaluation.progress import Tell
from genbench.evaluation.protocol import Protocol

T = TypeVar("T")

# By capability, the part of the evidence that rests on it and what is missing without it.
RESTS_ON = {
    "log_prob": (("log_prob", "outlier_log_prob"), "the model defines no log_prob"),
    "class_joint": (("class_log_joint",), "the model defines no class_log_joint"),
    "reconstruction": (("reconstruct",), "the model defines no reconstruct"),
    "translation": (("translated",), "the model defines no translate"),
    "cycle": (("cycled",), "the model defines no cycle"),
}


def of_generator(
    generator: Generator, task: Task, seed: int, tell: Tell | None = None, psi: float | None = None
) -> Evidence:
    """The evidence of one generator; its samples are truncated where psi is given.

    A generator that chooses classes is told those of its samples, as frequent as the held-out items'. Where the data
    has sources and the generator translates, samples are the translations of the first n held-out ones.
    """
    offered = generators.offered(generator)
    maker = _Maker(generator, task, seed, tell or (lambda stage, done, total: None), offered, psi)
    makers: dict[str, Callable[..., Any]] = {"samples": maker.samples, "fake": maker.fake, "fake_labels": maker.labels}
    if "classes" in offered and not maker.translates:
        makers["conditions"] = maker.conditions
    absent = {"": "the benchmark does not define it"}
    for capability, (parts, reason) in RESTS_ON.items():
        for part in parts:
            if capability in offered:
                makers[part] = getattr(maker, part)
            else:
                absent[part] = reason
    maker.evidence = Evidence(task.reference, makers, absent, offered, tell, maker.view)
    return maker.evidence


def protocol_of(generator: Generator, task: Task) -> Protocol:
    """How the numbers of a generator on a task are computed; one that chooses classes has a protocol of its own."""
    chooses = generators.offers(generator, "classes") and not _translates(task, generators.offered(generator))
    return task.conditional_protocol if chooses else task.protocol


def _translates(task: Task, offered: tuple[str, ...]) -> bool:
    return task.dataset.source is not None and "translation" in offered


class _Maker:
    """Calls the generator for each part."""

    evidence: Evidence

    def __init__(
        self, generator: Any, task: Task, seed: int, tell: Tell, offered: tuple[str, ...], psi: float | None
    ) -> None:
        self.generator, self.task, self.seed, self.tell, self.psi = generator, task, seed, tell, psi
        self.translates = _translates(task, offered) and psi is None

    @property
    def data(self) -> Dataset:
        return self.task.dataset

    def samples(self) -> Tensor:
        if self.translates:
            return self.evidence.translated
        n, tell, labels = self.task.n, self._stage("sampling"), self.evidence.conditions
        wanted = drawing.Drawing(self.data.spec, n, self.seed, labels=labels, tell=tell)
        return drawing.samples_with(self.generator, wanted, self.psi)

    def conditions(self) -> Tensor | None:
        """The classes that the samples are drawn for."""
        return drawing.labels_for(self.generator, self.data, self.task.n, self.seed)

    def fake(self) -> Features:
        samples = self.evidence.samples
        self.tell("features", 0, len(samples))
        return extraction.in_blocks(self.task.extractor, samples)

    def view(self, features: str) -> Evidence:
        """The same samples and real items, seen by another extractor."""
        task = self.task.through(features)

        def fake() -> Features:
            self.tell(features, 0, task.n)
            return extraction.in_blocks(task.extractor, self.evidence.samples)

        makers = {"samples": lambda: self.evidence.samples, "fake": fake}
        return Evidence(task.reference, makers, self.evidence.absent, self.evidence.capabilities, self.tell)

    def labels(self) -> Tensor | None:
        """The classes that the extractor takes the samples for, where it knows those of the data."""
        probabilities = self.evidence.fake.probabilities
        known = probabilities is not None and probabilities.shape[1] == len(self.data.classes)
        return probabilities.argmax(1) if probabilities is not None and known else None

    def log_prob(self) -> object:
        self.tell("log-likelihood", 0, len(self.data.heldout))
        return self._on_items(lambda: generators.log_probs_of(self.generator, self.data.heldout, self.seed))

    def outlier_log_prob(self) -> object:
        self.tell("outliers", 0, len(self.evidence.outliers))
        outliers = self.evidence.outliers
        return self._on_items(lambda: generators.log_probs_of(self.generator, outliers, self.seed))

    def class_log_joint(self) -> Tensor:
        """float64 (items, classes) of the held-out split, in nats."""
        data = self.data
        return self._on_items(
            lambda: generators.class_log_joints(self.generator, data.heldout, len(data.classes), self.seed)
        )

    def reconstruct(self, x: Tensor) -> Tensor:
        self.tell("reconstruction", 0, len(x))
        return generators.reconstructions(self.generator, x, self.data.spec, self.seed)

    def translated(self) -> Tensor:
        return generators.translations(self.generator, self.data, self.task.n, self.seed, self._stage("translating"))

    def cycled(self) -> Tensor:
        self.tell("translating back", 0, self.task.n)
        return generators.cycles(self.generator, self.data, self.task.n, self.seed)

    def _on_items(self, make: Callable[[], T]) -> T:
        """What a generator makes of given items: what is one call for all of them is one process's."""
        return processes.from_first(make) if drawing.batch_size_of(self.generator) is None else make()

    def _stage(self, stage: str) -> Callable[[int], None]:
        """Whom to tell how many of the n samples a stage has made; that it begins is told at once."""
        n, tell = self.task.n, self.tell
        tell(stage, 0, n)
        return lambda done: tell(stage, done, n)

"""What the metrics read of one model: samples, features and log-probabilities, each computed once, on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import (
    Dataset,
    Features,
    Generator,
    HasClassJoint,
    HasCycle,
    HasLogProb,
    HasReconstruction,
    HasTranslation,
)
from genbench.errors import ModelError, Unsupported
from genbench.evaluation import generators
from genbench.evaluation.benchmarks import Task

T = TypeVar("T")


class Collected:
    """The evidence of one generator on one task. A part that failed once fails again with the same error."""

    def __init__(
        self,
        generator: Generator,
        task: Task,
        seed: int,
        tell: Callable[[str, int, int], None] | None = None,
        psi: float | None = None,
    ) -> None:
        self.generator, self.task, self.seed, self.psi = generator, task, seed, psi
        self.tell = tell or (lambda stage, done, total: None)
        self._parts: dict[str, Any] = {}

    @property
    def dataset(self) -> Dataset:
        return self.task.dataset

    @property
    def samples(self) -> Tensor:
        """(n, *shape) as the protocol draws them; truncated where psi is given.

        Where the data has sources and the model translates, they are the translations of the first n held-out ones.
        """
        return self.translated if self.translates and self.psi is None else self._once("samples", self._draw)

    @property
    def translates(self) -> bool:
        """Whether the data has sources and the model translates."""
        return self.dataset.source is not None and isinstance(self.generator, HasTranslation)

    @property
    def real(self) -> Features:
        return self.task.reference

    @property
    def fake(self) -> Features:
        return self._once("features", lambda: self.task.extractor(self.samples))

    @property
    def train(self) -> Features:
        return self.task.train_features

    @property
    def real_labels(self) -> Tensor | None:
        return self.dataset.heldout_labels

    @property
    def fake_labels(self) -> Tensor | None:
        """The classes that the extractor takes the samples for, where it knows those of the data."""
        seen = self.fake.probabilities
        return seen.argmax(1) if seen is not None and seen.shape[1] == len(self.dataset.classes) else None

    @property
    def log_prob(self) -> Tensor:
        """float64 (items,) of the held-out split, in nats."""
        return self._log_probs("log-likelihood", self.dataset.heldout)

    @property
    def class_log_joint(self) -> Tensor:
        """float64 (items, classes) of the held-out split, in nats."""
        if not isinstance(self.generator, HasClassJoint):
            raise Unsupported("the model defines no class_log_joint")
        return self._once("class_log_joint", self._joint)

    @property
    def outliers(self) -> Tensor:
        """Items of the dataset's spec that are nothing like its own."""
        return self.task.outliers

    @property
    def outlier_log_prob(self) -> Tensor:
        """float64 (outliers,), in nats."""
        return self._log_probs("outliers", self.outliers)

    def reconstruct(self, x: Tensor, what: str, /) -> Tensor:
        """The model's reconstructions of items x, which are known as `what`."""
        if not isinstance(self.generator, HasReconstruction):
            raise Unsupported("the model defines no reconstruct")
        model = self.generator
        self.tell("reconstruction", 0, len(x))
        spec = self.dataset.spec
        return self._once(f"reconstructed {what}", lambda: generators.reconstructions(model, x, spec, self.seed))

    @property
    def translated(self) -> Tensor:
        """(n, *shape), the first n held-out sources, translated."""
        if not isinstance(self.generator, HasTranslation):
            raise Unsupported("the model defines no translate")
        model, data, n = self.generator, self.dataset, self.task.n
        return self._once(
            "translated", lambda: generators.translations(model, data, n, self.seed, self._stage("translating"))
        )

    @property
    def cycled(self) -> Tensor:
        """(n, *source.shape), the first n held-out sources, translated there and back."""
        if not isinstance(self.generator, HasCycle):
            raise Unsupported("the model defines no cycle")
        model, n = self.generator, self.task.n
        return self._once("cycled", lambda: generators.cycles(model, self.dataset, n, self.seed))

    def _stage(self, stage: str) -> Callable[[int], None]:
        """Whom to tell how many of the n samples a stage has made; that it begins is told at once."""
        tell, n = self.tell, self.task.n
        tell(stage, 0, n)
        return lambda done: tell(stage, done, n)

    def _log_probs(self, stage: str, x: Tensor) -> Tensor:
        if not isinstance(self.generator, HasLogProb):
            raise Unsupported("the model defines no log_prob")
        model = self.generator
        self.tell(stage, 0, len(x))
        return self._once(f"log_prob, {stage}", lambda: generators.log_probs(model, x, self.seed))

    def _draw(self) -> Tensor:
        method, options, what = self.generator.sample, {}, "sample"
        if self.psi is not None:
            method, options, what = self.generator.sample_truncated, {"psi": self.psi}, "sample_truncated"  # type: ignore[attr-defined]
        tell = self._stage("sampling")
        return generators.draw(method, self.dataset.spec, self.task.n, self.seed, what, tell, **options)

    def _joint(self) -> Tensor:
        model = self.generator
        assert isinstance(model, HasClassJoint)
        with seeding.scoped(self.seed, "class_log_joint"), torch.no_grad():
            joint = generators.shielded("class_log_joint", model.class_log_joint, self.dataset.heldout)
        expected = (len(self.dataset.heldout), len(self.dataset.classes))
        if not isinstance(joint, Tensor) or tuple(joint.shape) != expected or joint.isnan().any():
            raise ModelError(f"class_log_joint must return a tensor of shape {expected} without NaN")
        return joint.cpu().double()

    def _once(self, part: str, compute: Callable[[], T]) -> T:
        if part not in self._parts:
            try:
                self._parts[part] = compute()
            except Exception as error:
                self._parts[part] = error
        found = self._parts[part]
        if isinstance(found, Exception):
            raise found
        return found

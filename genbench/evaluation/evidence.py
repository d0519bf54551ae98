"""What metrics read of one model or one set of files: each part made once, on first use, its seconds kept apart."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor

from genbench.contracts import Dataset, Features, LogProbs, Reads
from genbench.errors import GenbenchError, Unsupported
from genbench.evaluation.progress import Tell
from genbench.evaluation.reference import Reference

T = TypeVar("T")


# The steps that make what a metric reads, besides features.
MODEL_STEPS = ("samples", "log_prob", "outlier_log_prob", "class_log_joint", "reconstruct", "translated", "cycled")
# By what a metric reads, the parts that are made before it is asked.
PARTS: Mapping[Reads, tuple[str, ...]] = {
    "samples": ("samples", "fake"),
    "real": ("real",),
    "train": ("train",),
    "log_prob": ("log_prob",),
    "classes": ("class_log_joint",),
    "outliers": ("outlier_log_prob",),
}


class Clock:
    """Seconds by step; a step inside another counts for itself alone.

    >>> clock = Clock()
    >>> with clock("metric"), clock("samples"):
    ...     time.sleep(0.01)
    >>> clock.seconds["samples"] > clock.seconds["metric"]
    True
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.monotonic()
        self._inner.append(0.0)
        try:
            yield
        finally:
            whole = time.monotonic() - start
            self.seconds[step] += whole - self._inner.pop()
            if self._inner:
                self._inner[-1] += whole


class Evidence:
    """The parts of one comparison, by name; a part that failed once fails again with the same error.

    `makers` make the parts that there are; reading another raises Unsupported for the reason in `absent`. The names are
    those of `contracts.Evidence`. `views` gives the same items as another extractor sees them.
    """

    def __init__(
        self,
        reference: Reference,
        makers: Mapping[str, Callable[[], Any]],
        absent: Mapping[str, str],
        capabilities: tuple[str, ...] = (),
        tell: Tell | None = None,
        views: Callable[[str], Evidence] | None = None,
    ) -> None:
        self.reference, self.makers, self.absent, self.capabilities = reference, makers, absent, capabilities
        self.views = views
        self.tell: Tell = tell or (lambda stage, done, total: None)
        self.clock = Clock()
        self.nats: dict[str, float] = {}  # by column, where its number is a mean over log_prob: nats of one unit
        self.item_parts: dict[str, Tensor] = {}  # by column, where it is the mean of parts of the held-out items
        self._parts: dict[Hashable, Any] = {}

    @property
    def dataset(self) -> Dataset:
        if self.reference.dataset is None:
            raise Unsupported(self.absent[""])
        return self.reference.dataset

    @property
    def classes(self) -> tuple[str, ...]:
        return self.reference.classes

    @property
    def real(self) -> Features:
        with self.clock("reference"):
            return self.reference.features

    @property
    def train(self) -> Features:
        with self.clock("reference"):
            return self.reference.train_features

    @property
    def real_labels(self) -> Tensor | None:
        return self.reference.labels

    @property
    def samples(self) -> Tensor:
        samples: Tensor = self._part("samples")
        return samples

    @property
    def fake(self) -> Features:
        features: Features = self._part("fake")
        return features

    @property
    def fake_labels(self) -> Tensor | None:
        labels: Tensor | None = self._part("fake_labels")
        return labels

    @property
    def conditions(self) -> Tensor | None:
        if "conditions" not in self.makers:
            return None
        labels: Tensor | None = self._part("conditions")
        return labels

    @property
    def log_prob(self) -> LogProbs:
        log_probs: LogProbs = self._part("log_prob")
        return log_probs

    @property
    def class_log_joint(self) -> Tensor:
        joint: Tensor = self._part("class_log_joint")
        return joint

    @property
    def outliers(self) -> Tensor:
        with self.clock("reference"):
            return self.reference.outliers

    @property
    def outlier_log_prob(self) -> LogProbs:
        log_probs: LogProbs = self._part("outlier_log_prob")
        return log_probs

    @property
    def translated(self) -> Tensor:
        translations: Tensor = self._part("translated")
        return translations

    @property
    def cycled(self) -> Tensor:
        translations: Tensor = self._part("cycled")
        return translations

    def reconstruct(self, x: Tensor, what: str, /) -> Tensor:
        """The model's reconstructions of items x, which are known as `what`."""
        make = self._maker("reconstruct")
        return self._timed(("reconstruct", what), "reconstruct", lambda: make(x))

    def offers(self, capability: str, /) -> bool:
        """Whether the model has a capability of `contracts.CAPABILITIES`."""
        return capability in self.capabilities

    def once(self, key: Hashable, compute: Callable[[], T], /) -> T:
        """What several metrics make of both sides, computed by the first that asks."""
        value: T = self._kept(("shared", key), compute)
        return value

    def through(self, features: str, /) -> Evidence:
        """The same items, seen by the extractor of that name; its seconds count as those of features."""
        if self.views is None:
            raise Unsupported(f"these items cannot be seen through the features {features}")
        views = self.views
        view: Evidence = self._kept(("through", features), lambda: views(features))
        view.clock = self.clock
        return view

    def prepare(self, reads: Reads) -> None:
        """Make what a metric reads before it is asked; what cannot be made fails when the metric reads it."""
        for part in PARTS.get(reads, ()):
            try:
                getattr(self, part)
            except GenbenchError:
                return

    @property
    def model_seconds(self) -> Mapping[str, float]:
        """What the model took, step by step."""
        return {step: self.clock.seconds[step] for step in MODEL_STEPS if step in self.clock.seconds}

    def _maker(self, part: str) -> Callable[..., Any]:
        if part not in self.makers:
            raise Unsupported(self.absent.get(part, self.absent[""]))
        return self.makers[part]

    def _part(self, part: str) -> Any:
        return self._timed(part, "features" if part == "fake" else part, self._maker(part))

    def _timed(self, key: Hashable, step: str, make: Callable[[], T]) -> T:
        def timed() -> T:
            with self.clock(step):
                return make()

        value: T = self._kept(key, timed)
        return value

    def _kept(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._parts:
            try:
                self._parts[key] = make()
            except Exception as error:
                self._parts[key] = error
        value = self._parts[key]
        if isinstance(value, Exception):
            raise value
        return value

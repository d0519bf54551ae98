"""Metrics: the evidence they read, the columns they fill, and the features behind most of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from genbench.contracts.data import Dataset
from genbench.contracts.generators import Kind

if TYPE_CHECKING:
    from torch import Tensor

Better = Literal["higher", "lower", "zero"]
Reads = Literal[
    "samples",
    "real",
    "train",
    "labels",
    "conditions",
    "log_prob",
    "classes",
    "outliers",
    "reconstruction",
    "translation",
]
Holds = Literal["moments", "features"]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LogProbs:
    """Log-probabilities float64 ``(n,)`` in nats, and what kind of numbers they are.

    `error` is a standard error in nats that all items share, as that of a log Z; `interval` the pair of offsets
    (lower <= 0, upper >= 0) in nats between which all true values may lie around the ones given.
    """

    values: Tensor
    kind: Kind
    error: float = 0.0
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """What an extractor sees in n items: embeddings float32 ``(n, D)``, class probabilities ``(n, K)`` or None."""

    embeddings: Tensor
    probabilities: Tensor | None = None
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What follows from these features alone, such as their moments: computed once, shared by all metrics."""
        if key not in self._known:
            self._known[key] = compute()
        value: T = self._known[key]
        return value


class FeatureExtractor(Protocol):
    """Maps items of one spec to features; `fingerprint` covers weights and preprocessing."""

    name: str
    fingerprint: str

    def __call__(self, x: Tensor, /) -> Features: ...


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a board; the direction belongs here, never to the table that sorts by it.

    `better` is "zero" where the best value is 0 and both sides of it are worse. `note` is what every board that shows
    the column must say of it. `general` is the title where the features are not those that the title stands for, as a
    distance between pixels is no FID; empty where the title suits all.
    """

    name: str
    title: str
    better: Better
    digits: int = 3
    unit: str = ""
    note: str = ""
    general: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One number for one column, its standard error, what kind of number it is, and a remark.

    `stderr` holds the real items fixed; `total_stderr` covers their draw too. `low` and `high`, given together, say
    between which values an estimate lies. `biased` says that the number is known to be off, for the reason in `detail`.
    `nats` is how many nats one unit is, of a number that is the mean of the held-out items' negative log-probabilities
    up to a constant that all models share: such models are compared in pairs, item by item. So are those of another
    number with `parts`, what every held-out item adds to it: (n,) in its unit, the same items in the same order for all
    models. The number is their mean, or to first order is.
    """

    value: float
    stderr: float | None = None
    kind: Kind | None = None
    detail: str = ""
    low: float | None = None
    high: float | None = None
    total_stderr: float | None = None
    biased: bool = False
    nats: float | None = None
    parts: Tensor | None = field(default=None, compare=False, repr=False)


class Evidence(Protocol):
    """What a metric may read of one model on one benchmark; each part is computed once, on first use.

    Reading a part raises Unsupported where the model or benchmark does not define it. Parts may be shared by several
    metrics: read them, never write into them.
    """

    @property
    def dataset(self) -> Dataset: ...

    @property
    def classes(self) -> tuple[str, ...]: ...  # the names of the classes that labels count; () where none are known

    @property
    def real(self) -> Features: ...

    @property
    def fake(self) -> Features: ...

    @property
    def train(self) -> Features: ...  # of the train split

    @property
    def samples(self) -> Tensor: ...  # (n, *shape), those behind `fake`

    @property
    def real_labels(self) -> Tensor | None: ...  # the class of each real item, int64, where it is known

    @property
    def fake_labels(self) -> Tensor | None: ...  # likewise; for generators the extractor's guess

    @property
    def conditions(self) -> Tensor | None: ...  # the class that each sample was drawn for, where one was chosen

    @property
    def log_prob(self) -> LogProbs: ...  # of the held-out split

    @property
    def class_log_joint(self) -> Tensor: ...  # of the held-out split

    @property
    def outliers(self) -> Tensor: ...  # items of the same spec that are nothing like the data

    @property
    def outlier_log_prob(self) -> LogProbs: ...

    def reconstruct(self, x: Tensor, what: str, /) -> Tensor: ...  # any items; `what` names them

    @property
    def translated(self) -> Tensor: ...  # the held-out sources (the first n of them), translated

    @property
    def cycled(self) -> Tensor: ...  # likewise, there and back

    def offers(self, capability: str, /) -> bool: ...  # whether the model has a capability of CAPABILITIES

    def once(self, key: Hashable, compute: Callable[[], T], /) -> T: ...  # what several metrics make of both sides

    def through(self, features: str, /) -> Evidence: ...  # the same items, seen by the extractor of that name


class Metric(Protocol):
    """A frozen dataclass whose fields are its parameters; they enter the protocol fingerprint as they are.

    `reads` names the evidence behind the numbers, `min_samples` the fewest samples they can be computed from. An
    optional class attribute `version` (1 where it is absent) is raised when the definition of its numbers changes:
    that makes this metric's earlier rows stale, and no others. An optional attribute `features` names the extractors
    through which the metric looks, in place of the one behind the evidence that it is given: their fingerprints enter
    its protocol, and their names its rows. An optional `holds` says what it needs of features: "moments" where
    `Features.once` of "moments", "moments of halves", "size" and "rows" (some of them) is enough, as for more images
    than memory holds the features of; "features", all of them, where it is absent.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[Column, ...]: ...

    @property
    def reads(self) -> Reads | tuple[Reads, ...]: ...

    @property
    def min_samples(self) -> int: ...

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]: ...


def parts_read(metric: Metric) -> tuple[Reads, ...]:
    """What a metric reads; one that names samples alone means the real items too."""
    if not isinstance(metric.reads, str):
        return tuple(metric.reads)
    return ("samples", "real") if metric.reads == "samples" else (metric.reads,)


def held_by(metric: Metric) -> Holds:
    """What a metric needs of features."""
    holds: Holds = getattr(metric, "holds", "features")
    return holds

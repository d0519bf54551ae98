"""What a provider hands in: cards of models, data sets, extractors, metrics and benchmarks, all plain text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from genbench.contracts import Effort

FEW = 1000  # samples that are drawn of a model where its card says so, on boards that ask for more


@dataclass(frozen=True, slots=True)
class Card:
    """A name, the ``"module:object"`` behind it, and one line on what it is."""

    name: str
    target: str
    summary: str = ""

    def __post_init__(self) -> None:
        _require_text(self, "name", "target", "summary")
        module, colon, attribute = self.target.partition(":")
        if not (module and colon and attribute):
            raise ValueError(f"target of {self.name!r} must read 'module:object', got {self.target!r}")


@dataclass(frozen=True, slots=True)
class Published:
    """A number that a paper reports for a model on a benchmark's data: what the board's own is shown beside.

    `value` is in the unit of the benchmark's `column`, `source` the paper, and how it trained where it has several
    ways. `budget` says what the model of the zoo is trained for in place of it, so that a gap can be judged.
    """

    benchmark: str
    value: float
    source: str
    budget: str = ""
    column: str = "nll"

    def __post_init__(self) -> None:
        _require_text(self, "benchmark", "source", "budget", "column")
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise ValueError(f"a published value must be a finite number, got {self.value!r}")

    @property
    def name(self) -> str:
        return f"{self.column} on {self.benchmark}"


@dataclass(frozen=True, slots=True)
class ModelCard(Card):
    """A model of the catalogue: its family, the paper that defines it, and the boards on which it stands by default.

    `deviations` names, one short sentence each, every way in which the model departs from that paper; empty where it
    does not. `published` are numbers of papers to compare with. `target` is a factory that takes a `contracts.Setting`,
    or nothing, and returns a generator. An empty `benchmarks` puts the model on no board by itself; ``("*",)`` on every
    one. `few_on` are the boards where FEW samples are drawn of it, because 10,000 take it more than a minute on one
    thread, or because there are no more; ``("*",)`` again stands for every one. `records` may name a function
    (``"module:function"``) from the model's name to the records of its trainings by benchmark, for `genbench show`.
    """

    family: str = ""
    reference: str = ""
    year: int | None = None
    benchmarks: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    few_on: tuple[str, ...] = ()
    records: str = ""

    def __post_init__(self) -> None:
        Card.__post_init__(self)
        _require_text(self, "family", "reference", "records")
        _require_texts(self, "benchmarks", "capabilities", "deviations", "few_on")
        if not isinstance(self.published, tuple) or not all(isinstance(each, Published) for each in self.published):
            raise ValueError(f"published of {self.name!r} must be a tuple of Published, got {self.published!r}")
        if self.year is not None and not isinstance(self.year, int):
            raise ValueError(f"year of {self.name!r} must be an int or None, got {self.year!r}")

    @property
    def home(self) -> str:
        """The board that is meant where none is named: the first of the model's own, else digits."""
        return next((name for name in self.benchmarks if name != "*"), "digits")

    def stands_on(self, benchmark: str) -> bool:
        return benchmark in self.benchmarks or "*" in self.benchmarks


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is compared and how. The first metric's first column ranks the board.

    `dataset` and `features` are names of cards (or of files), `metrics` names of metrics, `n` the samples drawn of each
    model (FEW at most of those whose cards say so). `picture` says how samples of sequences are drawn: "pen", "wave",
    or "" for rows of coloured symbols; `bundled` that the data needs no files and no network.
    """

    name: str
    dataset: str
    features: str
    metrics: tuple[str, ...]
    n: int
    summary: str = ""
    effort: Effort = field(default_factory=Effort)
    picture: Literal["", "pen", "wave"] = ""
    bundled: bool = True

    def __post_init__(self) -> None:
        _require_text(self, "name", "dataset", "features", "summary")
        _require_texts(self, "metrics")
        if not self.metrics:
            raise ValueError(f"benchmark {self.name!r} must have metrics")
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"n of {self.name!r} must be an int of at least 1, got {self.n!r}")
        if not isinstance(self.effort, Effort):
            raise ValueError(f"effort of {self.name!r} must be an Effort, got {self.effort!r}")
        if self.picture not in ("", "pen", "wave"):
            raise ValueError(f"picture of {self.name!r} must be '', 'pen' or 'wave', got {self.picture!r}")

    def few_of(self, card: ModelCard) -> bool:
        """Whether fewer samples than n, FEW, are drawn of a model."""
        return self.n > FEW and (self.name in card.few_on or "*" in card.few_on)


def _require_text(card: Card | Benchmark | Published, *fields: str) -> None:
    """Refuse, with a ValueError, fields that are no printable text, and an empty name."""
    for name in fields:
        value = getattr(card, name)
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{name} of a {type(card).__name__} must be printable text, got {value!r}")
    if not card.name.strip():
        raise ValueError(f"a {type(card).__name__} must have a name")


def _require_texts(card: Card | Benchmark, *fields: str) -> None:
    """Refuse, with a ValueError, fields that are no tuples of text."""
    for name in fields:
        value = getattr(card, name)
        if not isinstance(value, tuple) or not all(isinstance(part, str) for part in value):
            raise ValueError(f"{name} of {card.name!r} must be a tuple of text, got {value!r}")

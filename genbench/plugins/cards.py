"""What a provider hands in: cards of models, data sets, extractors and metrics, and benchmarks, all of plain strings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from genbench.contracts import Effort


@dataclass(frozen=True, slots=True)
class Card:
    """A name, the ``"module:object"`` behind it, and one line on what it is."""

    name: str
    target: str
    summary: str = ""

    def __post_init__(self) -> None:
        module, colon, attribute = self.target.partition(":")
        if not (module and colon and attribute):
            raise ValueError(f"target of {self.name!r} must read 'module:object', got {self.target!r}")


@dataclass(frozen=True, slots=True)
class ModelCard(Card):
    """A model of the catalogue: its family, the paper that defines it, and the boards on which it stands by default.

    `deviations` names, one short sentence each, every way in which the model departs from that paper; empty where it
    does not. `target` is a factory that takes a `contracts.Setting`, or nothing, and returns a generator. An empty
    `benchmarks` puts the model on no board by itself; ``("*",)`` on every one.
    """

    family: str = ""
    reference: str = ""
    year: int | None = None
    benchmarks: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

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
    model. `picture` says how samples of sequences are drawn: "pen", "wave", or "" for rows of coloured symbols;
    `bundled` that the data needs no files and no network.
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

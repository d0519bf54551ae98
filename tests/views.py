"""Evidence of features that are given, seen by as many extractors as there are names."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genbench.contracts import Features


@dataclass
class View:
    """The sides of one extractor's features."""

    real: Features
    fake: Features
    train: Features


class Views:
    """Looks through the extractors by name; what is seen directly must not be asked for."""

    def __init__(self, **sides: tuple[Tensor, Tensor, Tensor]) -> None:
        self.sides = sides
        self.asked: list[str] = []

    def through(self, features: str) -> View:
        self.asked.append(features)
        return View(*(Features(side) for side in self.sides[features.replace(":", "_")]))


def direct(real: Tensor, fake: Tensor, train: Tensor) -> View:
    return View(Features(real), Features(fake), Features(train))

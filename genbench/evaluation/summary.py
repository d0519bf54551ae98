"""Features of more images than memory holds: their moments, those of both halves, and some rows, gathered in one pass.

That is all that a Fréchet distance, its errors and its bias are made of: the rows say how they spread, and moments are
what many of them amount to.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from genbench.errors import Unsupported
from genbench.numerics.moments import Moments, MomentsBuilder
from genbench.numerics.reduced_transport import row_step

MANY = 2**14  # images; the features of fewer are held whole
PER_DIMENSION = 4  # samples, from which on halves have covariances of full rank and a bias that is known
BLOCK = 2048  # rows that wait for a product
T = TypeVar("T")


class KnownAlone:
    """Stands where of features no more is at hand than what is `known`, by the names under which metrics ask for it."""

    probabilities = None

    def __init__(self, known: Mapping[Hashable, Any], reason: str) -> None:
        self.known, self.reason = known, reason

    @property
    def embeddings(self) -> Tensor:
        raise Unsupported(self.reason)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        value: T = self.known[key] if key in self.known else compute()
        return value


class Summary:
    """Gathers features of about `n` images, batch by batch; `arrays` is what remains of them."""

    def __init__(self, n: int) -> None:
        self.step = row_step(n)
        self.halves = MomentsBuilder(), MomentsBuilder()
        self.rows: list[Tensor] = []
        self._waiting: list[Tensor] = []
        self._taken = 0

    def add(self, embeddings: Tensor) -> None:
        self._waiting.append(embeddings)
        if sum(map(len, self._waiting)) >= BLOCK:
            self._take()

    def _take(self) -> None:
        block = torch.cat(self._waiting)
        for parity, half in enumerate(self.halves):
            own = block[(parity - self._taken) % 2 :: 2]
            if len(own):
                half.add(own)
        self.rows.append(block[-self._taken % self.step :: self.step].clone())
        self._taken += len(block)
        self._waiting = []

    def arrays(self) -> dict[str, Tensor]:
        """`rows` (r, D), and of all images and of every other one the `counts` (3,), `means` and `covariances`."""
        if self._waiting:
            self._take()
        whole = MomentsBuilder().merge(self.halves[0]).merge(self.halves[1])
        parts = [part.moments() for part in (whole, *self.halves)]
        return {
            "rows": torch.cat(self.rows),
            "counts": torch.tensor([part.n for part in parts]),
            "means": torch.stack([part.mean for part in parts]),
            "covariances": torch.stack([part.covariance for part in parts]),
        }


def of_arrays(arrays: Mapping[str, Tensor]) -> KnownAlone:
    """What metrics may ask of a summary's arrays."""
    parts = zip(arrays["counts"].tolist(), arrays["means"], arrays["covariances"], strict=True)
    whole, *halves = [Moments(*part) for part in parts]
    known: dict[Hashable, Any] = {
        "size": (whole.n, len(whole.mean)),
        "rows": arrays["rows"],
        "moments": whole,
        "moments of halves": tuple(halves),
    }
    return KnownAlone(known, "of so many images moments are held, not features; ask for another metric beside fid")

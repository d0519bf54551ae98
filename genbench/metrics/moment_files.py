"""Moments with their files: what users of pytorch-fid and guided-diffusion exchange."""

from __future__ import annotations

from pathlib import Path

from genbench.numerics import moments
from genbench.numerics.linalg import Array
from genbench.storage import statistics


class Moments(moments.Moments):
    """The mean (D,) and covariance (D, D) of n feature vectors, which can be written to an ``.npz`` and read again."""

    @classmethod
    def of(cls, features: Array) -> Moments:
        """The moments of features (n, D), in memory for one block besides. Raises InputError for n < 2."""
        made = moments.Moments.of(features)
        return cls(made.n, made.mean, made.covariance)

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Moments from an .npz file with `mu` (D,), `sigma` (D, D) and, where genbench wrote it, `n`.

        Raises DataError for what is no such file.
        """
        known = statistics.load(path).moments
        return cls(known.n, known.mean, known.covariance)

    def save(self, path: str | Path) -> None:
        """Write `mu`, `sigma` and, where it is known, `n` as an .npz file. Raises ResultsError where it cannot be."""
        statistics.save(path, self)

"""Statistics of features as files: `mu` and `sigma` as pytorch-fid, guided-diffusion and StyleGAN's users have them.

genbench adds `n`, the number of images, and `features`, the fingerprint of what extracted them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genbench.errors import DataError, InputError
from genbench.numerics.moments import Moments
from genbench.storage import npz
from genbench.storage.regular import shown

LONGEST = 4000  # characters of a fingerprint


@dataclass(frozen=True, eq=False, slots=True)
class Statistics:
    """The moments in a file, and the fingerprint of the extractor of their features, None where it does not say."""

    moments: Moments
    features: str | None = None

    @property
    def n(self) -> int | None:
        """The number of images; None where the file does not say."""
        return self.moments.n


def load(path: Path | str) -> Statistics:
    """The statistics in an ``.npz`` file with `mu` (D,), `sigma` (D, D) and, where genbench wrote it, the rest.

    Raises DataError for what is no such file: damaged, missing or pickled arrays, other shapes, values that are not
    finite, a `sigma` that is no covariance, an `n` that is no number of images.
    """
    path = Path(path)
    arrays = npz.read(path, ("mu", "sigma"), optional=("n", "features"), mmap=False)
    try:
        moments = Moments.from_arrays(arrays["mu"], arrays["sigma"], arrays.get("n"))
    except InputError as error:
        raise DataError(f"{shown(path)} holds no statistics of features: {error}; compute them again") from error
    return Statistics(moments, _fingerprint(path, arrays.get("features")))


def save(path: Path | str, moments: Moments, features: str | None = None) -> None:
    """Write statistics with, where they are known, `n` and the fingerprint of the features, for the peers to read too.

    Raises ResultsError where the file cannot be written.
    """
    known = {} if features is None else {"features": np.array(features)}
    npz.write(Path(path), **moments.arrays(), **known)


def _fingerprint(path: Path, stored: np.ndarray | None) -> str | None:
    if stored is None or stored.dtype.kind != "U" or stored.ndim:  # an array of features is another tool's
        return None
    try:
        text = str(stored.item())
    except ValueError:  # no character has this number
        text = "\0"
    if len(text) > LONGEST or not text.isprintable():
        raise DataError(f"{shown(path)} names its features by what is no text; compute the statistics again")
    return text

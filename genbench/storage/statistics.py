"""Statistics of features as files: `mu` and `sigma` as pytorch-fid, guided-diffusion and StyleGAN's users have them.

genbench adds `n`, the number of images, `features`, the fingerprint of what extracted them, and `content`, the digest
of the images.
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
    """The moments in a file, the fingerprint of the extractor of their features and the digest of the images.

    The last two are None where the file does not say.
    """

    moments: Moments
    features: str | None = None
    content: str | None = None

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
    arrays = npz.read(path, ("mu", "sigma"), optional=("n", "features", "content"), mmap=False)
    try:
        moments = Moments.from_arrays(arrays["mu"], arrays["sigma"], arrays.get("n"))
    except InputError as error:
        raise DataError(f"{shown(path)} holds no statistics of features: {error}; compute them again") from error
    return Statistics(moments, _text(path, arrays.get("features")), _text(path, arrays.get("content")))


def save(path: Path | str, moments: Moments, features: str | None = None, content: str | None = None) -> None:
    """Write statistics for the peers to read too, with `n`, the features' fingerprint and the images' digest if known.

    Raises ResultsError where the file cannot be written.
    """
    known = {name: np.array(text) for name, text in (("features", features), ("content", content)) if text is not None}
    npz.write(Path(path), **moments.arrays(), **known)


def _text(path: Path, stored: np.ndarray | None) -> str | None:
    if stored is None or stored.dtype.kind != "U" or stored.ndim:  # an array of features is another tool's
        return None
    try:
        text = str(stored.item())
    except ValueError:  # no character has this number
        text = "\0"
    if len(text) > LONGEST or not text.isprintable():
        raise DataError(f"{shown(path)} names its features by what is no text; compute the statistics again")
    return text

"""The mean and covariance of features: gathered batch by batch, merged, and exchanged as files.

References: T. Chan, G. Golub and R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979). The files are those of pytorch-fid, guided-diffusion and StyleGAN's users: `mu` and `sigma`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.numerics.blocks import as_features, parts_of
from genbench.numerics.linalg import Array, root_factor

BLOCK_ELEMENTS = 2**22  # values of a block in float64: 32 MB
PANEL = 256  # columns; of a symmetric product only the upper half is multiplied, one panel at a time
SYMMETRY = 1e-4  # files may hold covariances that were computed in float32


@dataclass(frozen=True, eq=False)
class Moments:
    """The mean (D,) and covariance (D, D) of n feature vectors, float64, the covariance divided by n - 1.

    n is None where it is not known, as for files that other tools wrote.
    """

    n: int | None
    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """A factor F (D, r) of the covariance F F', found once. Raises InputError where it is clearly indefinite."""
        return root_factor(self.covariance, "the covariance")

    @classmethod
    def of(cls, features: Array) -> Moments:
        """The moments of features (n, D), in memory for one block besides. Raises InputError for n < 2."""
        return MomentsBuilder().add(features).moments()

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Moments from an .npz file with `mu` (D,), `sigma` (D, D) and, where genbench wrote it, `n`.

        Raises InputError for what is no such file: missing or pickled arrays, other shapes, values that are not
        finite, a covariance that is not symmetric.
        """
        mean, covariance, n = _read(Path(path))
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or len(mean) == 0:
            raise InputError(f"{path} holds mu {mean.shape} and sigma {covariance.shape}; expected (D,) and (D, D)")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise InputError(f"{path} holds values that are not finite; compute the statistics again")
        if np.abs(covariance - covariance.T).max() > SYMMETRY * np.abs(covariance).max():
            raise InputError(f"sigma of {path} is not symmetric; it is no covariance")
        if (np.diagonal(covariance) < 0).any():
            raise InputError(f"sigma of {path} has negative variances; it is no covariance")
        return cls(n, torch.from_numpy(mean), torch.from_numpy(covariance / 2 + covariance.T / 2))

    def save(self, path: str | Path) -> None:
        """Write `mu`, `sigma` and, where it is known, `n` as an .npz file that the peers read too."""
        with open(path, "wb") as file:  # given a path, numpy would append a suffix to it
            np.savez(file, **self.arrays())  # type: ignore[arg-type]

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file of statistics holds: `mu`, `sigma` and, where it is known, `n`."""
        known = {} if self.n is None else {"n": np.asarray(self.n)}
        return {"mu": self.mean.cpu().numpy(), "sigma": self.covariance.cpu().numpy(), **known}


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, int | None]:
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds one array; expected an .npz file with mu and sigma")
            absent = [key for key in ("mu", "sigma") if key not in loaded.files]
            if absent:
                found = ", ".join(loaded.files) or "nothing"
                raise InputError(f"{path} has no {' and no '.join(absent)}, only {found}; expected mu and sigma")
            arrays = [loaded[key] for key in ("mu", "sigma", "n") if key in loaded.files]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy refuses pickles with a ValueError: loading one would run whatever its author wrote.
        raise InputError(f"{path} is no readable .npz file of plain arrays: {error}") from error
    if any(array.dtype.kind not in "fiu" for array in arrays):
        raise InputError(f"{path} must hold real numbers, it has {', '.join(str(array.dtype) for array in arrays)}")
    n = int(arrays[2]) if len(arrays) == 3 and arrays[2].size == 1 else None
    return arrays[0].astype(np.float64), arrays[1].astype(np.float64), n


class MomentsBuilder:
    """Moments of features that arrive in batches, or in parts on several machines, in memory for one covariance.

    >>> builder = MomentsBuilder()
    >>> for batch in torch.ones(2, 5, 3):
    ...     _ = builder.add(batch)
    >>> builder.moments().n
    10
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean = self._scatter = torch.empty(0, dtype=torch.float64)

    def add(self, batch: Array) -> Self:
        """Take features (n, D) of any n in; costs one product of the centred batch with itself, in float64.

        Raises InputError for values that are not finite and for another D than before.
        """
        x = as_features("features", batch)
        for part in parts_of(x, BLOCK_ELEMENTS):
            block = x[part].double()
            mean = block.mean(0)
            self._combine(len(block), mean, block - mean)
        return self

    def merge(self, other: MomentsBuilder) -> Self:
        """Take in all that `other` has taken in; `other` stays as it is."""
        if other.n:
            self._combine(other.n, other._mean.clone(), None, other._scatter.clone())
        return self

    def moments(self) -> Moments:
        """The moments of everything so far, independent of what comes later. Raises InputError for n < 2."""
        if self.n < 2:
            raise InputError(f"a covariance needs at least 2 samples, got {self.n}")
        upper = self._scatter.triu() / (self.n - 1)
        return Moments(self.n, self._mean.clone(), upper + upper.triu(1).T)

    def _combine(self, n: int, mean: Tensor, centred: Tensor | None, scatter: Tensor | None = None) -> None:
        """Add n samples of this mean, and either themselves centred or the upper half of their scatter matrix."""
        if self.n == 0:
            self._mean = mean
            self._scatter = mean.new_zeros(len(mean), len(mean)) if scatter is None else scatter
        elif len(mean) != len(self._mean):
            raise InputError(f"features must have {len(self._mean)} columns as before, got {len(mean)}")
        else:
            offset = mean.to(self._mean.device) - self._mean
            share = n / (self.n + n)
            self._scatter.addr_(offset, offset, alpha=self.n * share)
            self._mean = self._mean + share * offset
            if scatter is not None:
                self._scatter += scatter.to(self._scatter.device)
        self.n += n
        if centred is not None:
            _add_upper_square(self._scatter, centred.to(self._scatter.device))


def _add_upper_square(scatter: Tensor, x: Tensor) -> None:
    """Add x'x to `scatter`, at least on and above the diagonal."""
    for start in range(0, x.shape[1], PANEL):
        panel = x[:, start : start + PANEL]
        scatter[start : start + PANEL, start:].addmm_(panel.T, x[:, start:])

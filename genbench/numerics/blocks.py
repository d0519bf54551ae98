"""Feature matrices as the metrics take them: checked, and read block by block, so that no copy of one is ever whole."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.numerics.linalg import Array, as_matrix

BLOCK_ELEMENTS = 2**21  # values of a block: 16 MB in float64
LARGEST = 1e70  # of which standard errors need the fourth power, summed


def parts_of(x: Tensor, elements: int = BLOCK_ELEMENTS) -> Iterator[slice]:
    """The rows of x (n, D) in order, cut so that no part holds more than `elements` values (or one row)."""
    step = max(1, elements // max(1, x.shape[1]))
    return (slice(start, min(start + step, len(x))) for start in range(0, len(x), step))


def mean_of(x: Tensor) -> Tensor:
    """The mean (D,) of the rows of x (n, D), float64, to the precision of the dtype of x: something to centre by."""
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    # Summed in place: small results kept between large ones would keep the allocator from using its memory again.
    for part in parts_of(x):
        total += x[part].sum(0)
    return total / len(x)


def as_features(name: str, x: Array, largest: float = LARGEST) -> Tensor:
    """`x` (n, D) as a finite tensor: float32 and float64 without a copy, half precision as float32, others as float64.

    Raises InputError where it is not a matrix of finite numbers with at least one row and one column, and for numbers
    beyond `largest`.
    """
    tensor = as_matrix(name, x)
    # Both are NaN where anything is.
    ends = torch.stack([torch.stack(tensor[part].aminmax()) for part in parts_of(tensor)])
    reach = float(ends.abs().max())
    if not math.isfinite(reach):
        raise InputError(f"{name} holds values that are not finite")
    if reach > largest:
        raise InputError(f"{name} holds values up to {reach:.0e}, too large to compute with; divide by a constant")
    return tensor


def paired_features(real: Array, fake: Array, least: int) -> tuple[Tensor, Tensor]:
    """Both sets as `as_features` gives them. Raises InputError for fewer than `least` samples or unequal dimensions."""
    first, second = as_features("real", real), as_features("fake", fake)
    if first.shape[1] != second.shape[1]:
        raise InputError(f"real has {first.shape[1]} features and fake {second.shape[1]}; they must be the same")
    if first.device != second.device:
        raise InputError(f"real is on {first.device} and fake on {second.device}; move one to the other's device")
    if min(len(first), len(second)) < least:
        raise InputError(f"each side needs at least {least} samples, got {len(first)} real and {len(second)} fake")
    return first, second

"""Every state of a small discrete space, for exact sums."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.errors import InputError

LARGEST = 2**22


def every_state(size: int, levels: int = 2) -> Tensor:
    """All vectors of `size` symbols: uint8 (levels ** size, size), the last symbol changing fastest.

    Raises InputError where there are more than 2 ** 22 of them.
    """
    if levels**size > LARGEST:
        raise InputError(f"{levels} ** {size} states are too many to enumerate; the limit is {LARGEST}")
    numbers = torch.arange(levels**size)
    # One column at a time: a table of int64 quotients would be eight times the size of the result.
    columns = [(numbers // levels**place % levels).to(torch.uint8) for place in reversed(range(size))]
    return torch.stack(columns, dim=1)

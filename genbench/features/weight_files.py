"""Files of network weights: reading them without running code that they hold, and what identifies their content."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from genbench.errors import DataError
from genbench.storage import cache


def read(path: Path) -> dict[str, Tensor]:
    """The tensors by name in a file that torch.save wrote. Raises DataError where it holds anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path} to read weights from") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path} cannot be read as weights of a network: it is truncated, damaged or of another format ({reason})"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path} holds a {type(state).__name__} instead of tensors by name; save model.state_dict()")
    return dict(state)


def content(state: Mapping[str, Tensor]) -> str:
    """12 hexadecimal digits of a hash of all names and values, whatever file they came in."""
    return cache.checksum(state)[:12]

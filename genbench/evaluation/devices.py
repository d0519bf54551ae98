"""Whether a device that a user names is there."""

from __future__ import annotations

from genbench.errors import InputError


def check(device: str) -> None:
    """Raises InputError for a device that torch does not know or that is not there."""
    import torch

    try:
        torch.device(device)
    except RuntimeError as error:  # torch's own words list all that it was ever built for
        raise InputError(
            f"--device {device} cannot be used here: name cpu, cuda, or one of several as cuda:1"
        ) from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device} cannot be used here: {str(error).splitlines()[0]}") from error

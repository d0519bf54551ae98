"""Scoped seeds: what runs inside is reproducible, and the caller's random state is left as it was."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(*keys: object) -> int:
    """A 64-bit seed from any keys with a stable `repr`; different keys give unrelated seeds."""
    return int.from_bytes(hashlib.sha256(repr(keys).encode()).digest()[:8], "big")


@contextmanager
def scoped(*keys: object) -> Iterator[None]:
    """Seed torch (every device), numpy and random from `keys`, and restore their states on the way out.

    >>> with scoped(0, "samples", 3):
    ...     x = torch.randn(2)
    """
    seed = derive(*keys)
    random_state, numpy_state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed % 2**63)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(random_state)
            np.random.set_state(numpy_state)


def generator(*keys: object) -> torch.Generator:
    """A torch generator on the CPU, seeded from `keys`, for functions that take one explicitly."""
    return torch.Generator().manual_seed(derive(*keys) % 2**63)

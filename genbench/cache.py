"""Content-addressed arrays on disk: a key holds everything that determines the value, so nothing ever goes stale.

A cache that cannot be read or written never breaks a run: the value is computed instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def root() -> Path:
    """The cache folder: GENBENCH_CACHE, else the user's cache folder."""
    chosen = os.environ.get("GENBENCH_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "genbench"


def tensors(key: Mapping[str, object], compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors stored under `key`, or those that `compute` returns, which are then stored atomically."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    path = root() / "arrays" / digest[:2] / f"{digest}.safetensors"
    with suppress(OSError, SafetensorError, ValueError):
        return load_file(path)
    value = {name: tensor.contiguous() for name, tensor in compute().items()}
    with suppress(OSError, SafetensorError):
        _write(path, value)
    return value


def _write(path: Path, value: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(value, temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)

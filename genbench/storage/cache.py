"""Content-addressed arrays on disk: a key holds everything that determines the value, so nothing ever goes stale.

A cache that is corrupt, half-written, full or read-only never breaks a run and never falsifies one: every entry carries
a checksum of its arrays, and where an entry cannot be read or written, the value is computed instead.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import ResultsError
from genbench.storage import atomic

if TYPE_CHECKING:
    from torch import Tensor


ELSEWHERE = "name another folder for the cache with GENBENCH_CACHE"


def root() -> Path:
    """The cache folder: GENBENCH_CACHE, else the user's cache folder. Raises ResultsError where there is neither."""
    chosen = os.environ.get("GENBENCH_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "genbench"
    except RuntimeError as error:  # no home folder, as in many containers
        raise ResultsError("there is no home folder to cache in; name a folder with GENBENCH_CACHE") from error


def path(key: Mapping[str, object]) -> Path:
    """Where the tensors of a key lie, if they are there."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    return root() / "arrays" / digest[:2] / f"{digest}.safetensors"


def tensors(key: Mapping[str, object], compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors stored under `key`, or those that `compute` returns, which are then stored atomically."""
    value = known(key)
    if value is None:
        value = {name: tensor.contiguous() for name, tensor in compute().items()}
        keep(key, value)
    return value


def known(key: Mapping[str, object]) -> dict[str, Tensor] | None:
    """The tensors stored under `key`, None where there are none that can be read."""
    from safetensors import SafetensorError

    with suppress(OSError, SafetensorError, ValueError):
        return _read(path(key))
    return None


def keep(key: Mapping[str, object], value: Mapping[str, Tensor]) -> None:
    """Store tensors under `key` atomically, if that is possible."""
    with suppress(ResultsError):
        _write(path(key), {name: tensor.contiguous() for name, tensor in value.items()})


def checksum(value: Mapping[str, Tensor], key: str = "") -> str:
    """A hash of the names, shapes and values of tensors, and of a key that they belong to."""
    digest = hashlib.sha256(key.encode())
    for name in sorted(value):
        digest.update(f"{name} {value[name].dtype} {tuple(value[name].shape)} ".encode())
        digest.update(value[name].detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    if not file.is_file():  # a pipe would be waited for
        raise FileNotFoundError(file)
    with safe_open(file, framework="pt") as stored:
        value = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
        claimed = (stored.metadata() or {}).get("checksum")
    # Of the name too: a right file under a wrong one is as false as a flipped bit.
    if claimed != checksum(value, file.stem):
        raise ValueError(f"{file} is corrupt")
    return value


def _write(file: Path, value: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    metadata = {"checksum": checksum(value, file.stem)}
    atomic.write(file, lambda part: save_file(value, part, metadata=metadata), ELSEWHERE)

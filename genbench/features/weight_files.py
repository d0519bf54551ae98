"""Files of network weights: where they come from, reading them without running code that they hold, and their content.

A released file is one that its authors publish under a fixed address; what has its name must have its SHA-256 too.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
import urllib.request
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from genbench.errors import DataError
from genbench.storage import cache

BLOCK = 2**20
PATIENCE = 30  # seconds without a byte after which a download has failed


@dataclass(frozen=True, slots=True)
class Release:
    """A published file of weights: what of, its name and those under which others keep it, its address and SHA-256.

    `variable` is the environment variable that names a copy; empty where there is none. `instead` says what can be done
    without the weights.
    """

    of: str
    name: str
    url: str
    sha256: str
    also_called: tuple[str, ...] = ()
    variable: str = ""
    instead: str = ""


def find(release: Release, given: Path | None = None) -> Path:
    """The file to read: `given`, else the one that the environment names, else the released one, which is downloaded.

    The released file is looked for in genbench's cache and in torch's, where other tools keep it. Raises DataError
    where there is none, or where one with its name is not it.
    """
    chosen = os.environ.get(release.variable) if release.variable else None
    named = given or (Path(chosen).expanduser() if chosen else None)
    if named is not None:
        if not named.is_file():
            origin = "--weights" if given else release.variable
            raise DataError(f"{origin} names {named}, which is no file")
        return named
    home = cache.root() / "weights" / release.name
    names = (release.name, *release.also_called)
    for folder in (home.parent, Path(torch.hub.get_dir()) / "checkpoints"):
        for path in (folder / name for name in names):
            if path.is_file():
                _require_undamaged(path, release)
                return path
    try:
        download(release.url, home, release.sha256)
    except OSError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        variable = f" or in the environment variable {release.variable}" if release.variable else ""
        raise DataError(
            f"the weights of {release.of} are not here and cannot be downloaded ({reason}): "
            f"name a copy of {release.name} with --weights FILE{variable}, "
            f"or put it at {home}, or go online and genbench downloads it from {release.url}{release.instead}"
        ) from error
    return home


def _require_undamaged(path: Path, release: Release) -> None:
    if (actual := sha256(path)) != release.sha256:
        raise DataError(
            f"{path} is damaged: its SHA-256 begins with {actual[:12]} instead of {release.sha256[:12]}; "
            f"delete it, or name another file with --weights"
        )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, path: Path, expected: str) -> None:
    """The file at `url` to `path`, which appears whole and with the expected SHA-256 or not at all.

    Progress goes to stderr. Raises OSError where the network, the disk or the content fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=PATIENCE) as source:
            actual = _copy(source, file, int(source.headers.get("Content-Length") or 0), path.name)
        if actual != expected:
            raise OSError(f"the SHA-256 of what {url} sent begins with {actual[:12]} instead of {expected[:12]}")
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _copy(source: IO[bytes], file: IO[bytes], total: int, name: str) -> str:
    """Copies to the end and returns the SHA-256; tells every tenth on stderr."""
    digest, done, told = hashlib.sha256(), 0, -1
    while block := source.read(BLOCK):
        file.write(block)
        digest.update(block)
        done += len(block)
        if total and (tenth := 10 * done // total) > told:
            print(f"downloading {name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB", file=sys.stderr, flush=True)
            told = tenth
    return digest.hexdigest()


def read(path: Path) -> dict[str, Tensor]:
    """The tensors by name in a file that torch.save or torch.jit.save wrote, or in a ``.safetensors`` file.

    Tensors of a file that keeps them under `state_dict` or `model` are found there. Raises DataError where the file
    holds anything else.
    """
    try:
        state = _load(path)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path} to read weights from") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path} cannot be read as weights of a network: it is truncated, damaged or of another format ({reason})"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path} holds a {type(state).__name__} instead of tensors by name; save model.state_dict()")
    return dict(state)


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    if _is_script(path):
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):  # of a format that released files have all the same
                warnings.simplefilter("ignore", category)
            return torch.jit.load(path, map_location="cpu").state_dict()
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_script(path: Path) -> bool:
    """Whether a file is a TorchScript archive, of which nothing is run when its tensors are read."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def content(state: Mapping[str, Tensor]) -> str:
    """12 hexadecimal digits of a hash of all names and values, whatever file they came in."""
    return cache.checksum(state)[:12]

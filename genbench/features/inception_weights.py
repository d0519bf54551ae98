"""Where the weights of the FID network come from: a file, the environment, a cache, or the official release.

The release is that of pytorch-fid, a conversion of TensorFlow's graph ``inception-2015-12-05.tgz``; the file of
torch-fidelity is the same, byte for byte, under another name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from genbench.errors import DataError
from genbench.features import weight_files
from genbench.features.inception_network import skeleton
from genbench.storage import cache

NAME = "pt_inception-2015-12-05-6726825d.pth"
ALSO_CALLED = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "GENBENCH_INCEPTION_WEIGHTS"
BLOCK = 2**20
PATIENCE = 30  # seconds without a byte after which a download has failed


def find(given: Path | None = None) -> Path:
    """The file to read: `given`, else the one that the environment names, else the official one, which is downloaded.

    The official file is looked for in genbench's cache and in torch's, where pytorch-fid and torch-fidelity keep it.
    Raises DataError where there is none, or where one with the official name is not the official file.
    """
    named = given or (Path(chosen).expanduser() if (chosen := os.environ.get(VARIABLE)) else None)
    if named is not None:
        if not named.is_file():
            origin = "--weights" if given else VARIABLE
            raise DataError(f"{origin} names {named}, which is no file")
        return named
    home = cache.root() / "weights" / NAME
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    for path in (home, home.with_name(ALSO_CALLED), checkpoints / NAME, checkpoints / ALSO_CALLED):
        if path.is_file():
            if (found := sha256(path)) != SHA256:
                raise DataError(
                    f"{path} is damaged: its SHA-256 begins with {found[:12]} instead of {SHA256[:12]}; "
                    f"delete it, or name another file with --weights"
                )
            return path
    try:
        download(URL, home, SHA256)
    except OSError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"the weights of the Inception network are not here and cannot be downloaded ({reason}): "
            f"name a copy of {NAME} with --weights FILE or in the environment variable {VARIABLE}, "
            f"or put it at {home}, or go online and genbench downloads it from {URL}"
        ) from error
    return home


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
        with urllib.request.urlopen(url, timeout=PATIENCE) as source, os.fdopen(handle, "wb") as file:
            found = _copy(source, file, int(source.headers.get("Content-Length") or 0), path.name)
        if found != expected:
            raise OSError(f"the SHA-256 of what {url} sent begins with {found[:12]} instead of {expected[:12]}")
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


def load(path: Path) -> dict[str, Tensor]:
    """The state of the network (float32, names of torchvision's Inception3) from a file. No code in it is run.

    Raises DataError where the file is not one of weights, or of those of another network.
    """
    state = weight_files.read(path)
    fault = _fault(state)
    if fault:
        raise DataError(f"{path} does not hold the weights of the FID Inception network: {fault}")
    return {name: state[name].float() for name in expected_shapes()}


@functools.cache
def expected_shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every tensor by name; how many batches a norm once saw is left out, as nothing depends on it."""
    tensors = skeleton().state_dict().items()
    return {name: tuple(tensor.shape) for name, tensor in tensors if not name.endswith("num_batches_tracked")}


def _fault(state: Mapping[str, Tensor]) -> str:
    """What keeps tensors from being the network's state; empty where nothing does."""
    shapes = expected_shapes()
    missing = [name for name in shapes if name not in state]
    if missing:
        return f"{len(missing)} of {len(shapes)} tensors are missing, such as {missing[0]}"
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            return f"{name} has shape {tuple(state[name].shape)} instead of {shape}"
        if not torch.isfinite(state[name]).all():
            return f"{name} holds values that are not finite"
    return ""

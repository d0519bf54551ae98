"""Names that come from people and packages: as names of files, and of trainings."""

from __future__ import annotations

import hashlib
import re

TRAINING = re.compile(r"(.+)@(\d{1,9})")
LONGEST = 100  # characters; file systems take 255 bytes, endings and marks of unfinished files included


def file_name(model: str) -> str:
    """A model's name as a file name: ``package.module:make`` becomes ``package.module-make``.

    Names that are too long for a file end in a hash of what they were.
    """
    name = re.sub(r"[^\w.+-]+", "-", model).strip(".-") or "model"
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.sha256(model.encode(errors='replace')).hexdigest()[:8]}"


def training(name: str) -> tuple[str, int | None]:
    """The model that a name is a training of, with the seed of the training; None where it names the model alone.

    >>> training("dcgan@1"), training("dcgan")
    (('dcgan', 1), ('dcgan', None))
    """
    match = TRAINING.fullmatch(name)
    return (name, None) if match is None else (match[1], int(match[2]))

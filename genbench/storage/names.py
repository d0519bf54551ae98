"""Names that come from people and packages, as names of files."""

from __future__ import annotations

import hashlib
import re

LONGEST = 100  # characters; file systems take 255 bytes, endings and marks of unfinished files included


def file_name(model: str) -> str:
    """A model's name as a file name: ``package.module:make`` becomes ``package.module-make``.

    Names that are too long for a file end in a hash of what they were.
    """
    name = re.sub(r"[^\w.+-]+", "-", model).strip(".-") or "model"
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.sha256(model.encode(errors='replace')).hexdigest()[:8]}"

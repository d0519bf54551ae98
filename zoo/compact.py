"""Checkpoints in half the room: float32 weights are rounded to float16 in their files, and the records say so.

Loading gives float32 weights again, which are the rounded ones from then on. Weights beyond the range of float16 are
left as they are. After a training: ``python -m zoo.compact zoo/checkpoints/mnist-binary/made.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import torch as safetensors
from torch import Tensor

LARGEST = torch.finfo(torch.float16).max


def compact(path: Path) -> tuple[int, int]:
    """Rewrite a checkpoint and its record; gives the bytes of the weights before and after.

    Raises ValueError where the weights are not those of the record.
    """
    record_path = path.with_suffix(".json")
    before, record = path.read_bytes(), json.loads(record_path.read_text())
    if hashlib.sha256(before).hexdigest() != record["weights_sha256"]:
        raise ValueError(f"{path} is not the file that its record belongs to")
    after = safetensors.save({name: _rounded(tensor) for name, tensor in safetensors.load(before).items()})
    record |= {"weights_sha256": hashlib.sha256(after).hexdigest(), "stored": "float16"}
    for target, content in ((path, after), (record_path, (json.dumps(record, indent=2) + "\n").encode())):
        part = target.with_suffix(target.suffix + ".part")
        part.write_bytes(content)
        os.replace(part, target)
    return len(before), len(after)


def _rounded(tensor: Tensor) -> Tensor:
    fits = tensor.dtype == torch.float32 and bool((tensor.abs() <= LARGEST).all())
    return tensor.half() if fits else tensor


def main(arguments: Sequence[str]) -> None:
    for argument in arguments:
        before, after = compact(Path(argument))
        print(f"{argument}: {before / 1e6:.1f} MB, now {after / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])

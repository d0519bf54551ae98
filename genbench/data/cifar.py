"""CIFAR-10 through torchvision.

References: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec
from genbench.data.locations import obtain
from genbench.errors import DataError
from genbench.storage.regular import reason, shown

FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
FOLDER = "cifar-10-batches-py"


def cifar10(root: Path | None = None) -> Dataset:
    """50,000 train and 10,000 held-out images (3, 32, 32), values 0..255."""
    from torchvision.datasets import CIFAR10

    paths = obtain("cifar10", root, FILES, (FOLDER, f"cifar10/{FOLDER}"), lambda home: CIFAR10(home, download=True))
    home = paths[0].parent.parent
    try:  # torchvision compares every file's MD5 before it unpickles any
        train, heldout = CIFAR10(home, train=True), CIFAR10(home, train=False)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{shown(paths[0].parent)} does not hold CIFAR-10 ({reason(error)}); fetch it again") from error

    def images(split: CIFAR10) -> Tensor:
        return torch.from_numpy(split.data).permute(0, 3, 1, 2).contiguous()

    return Dataset(
        name="cifar10",
        spec=SampleSpec((3, 32, 32), 256),
        train=images(train),
        heldout=images(heldout),
        train_labels=torch.tensor(train.targets),
        heldout_labels=torch.tensor(heldout.targets),
        classes=tuple(train.classes),
    )

"""The 8x8 digits that scikit-learn bundles: real handwriting that needs no download.

References: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from genbench.contracts import Dataset, SampleSpec

TRAIN_ITEMS = 1000
THRESHOLD = 8


def digits(root: Path | None = None) -> Dataset:
    """1,000 train and 797 held-out images (1, 8, 8), values 0..16, by a fixed stratified split; `root` is not read."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.uint8).reshape(-1, 1, 8, 8)
    train, heldout, train_labels, heldout_labels = train_test_split(
        images, labels, train_size=TRAIN_ITEMS, stratify=labels, random_state=0
    )
    return Dataset(
        name="digits",
        spec=SampleSpec((1, 8, 8), 17),
        train=torch.from_numpy(train),
        heldout=torch.from_numpy(heldout),
        train_labels=torch.from_numpy(train_labels),
        heldout_labels=torch.from_numpy(heldout_labels),
        classes=tuple("0123456789"),
    )


def digits_binary(root: Path | None = None) -> Dataset:
    """The same split of the same images, each pixel 1 where its level is at least 8; `root` is not read."""
    grey = digits()
    return Dataset(
        name="digits-binary",
        spec=SampleSpec((1, 8, 8), 2),
        train=(grey.train >= THRESHOLD).to(torch.uint8),
        heldout=(grey.heldout >= THRESHOLD).to(torch.uint8),
        train_labels=grey.train_labels,
        heldout_labels=grey.heldout_labels,
        classes=grey.classes,
    )

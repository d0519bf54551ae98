"""MNIST, its fixed binarization and Fashion-MNIST, read from the original files, gzipped or not.

References: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998); H. Larochelle and
I. Murray, "The Neural Autoregressive Distribution Estimator" (2011), for the binarization that published likelihoods
use; H. Xiao et al., "Fashion-MNIST" (2017).
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec
from genbench.data.locations import find, obtain
from genbench.errors import DataError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
BINARY_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist_{}.amat"
BINARY_SPLITS = ("train", "valid", "test")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def mnist(root: Path | None = None) -> Dataset:
    """60,000 train and 10,000 held-out images (1, 28, 28), values 0..255."""
    from torchvision.datasets import MNIST

    folders = ("MNIST/raw", "mnist/MNIST/raw", "mnist", ".")
    return _idx("mnist", root, folders, tuple("0123456789"), lambda home: MNIST(str(home), download=True))


def fashion_mnist(root: Path | None = None) -> Dataset:
    """60,000 train and 10,000 held-out images (1, 28, 28), values 0..255."""
    from torchvision.datasets import FashionMNIST

    folders = ("FashionMNIST/raw", "fashion-mnist/FashionMNIST/raw", "fashion-mnist", ".")
    return _idx("fashion-mnist", root, folders, CLOTHES, lambda home: FashionMNIST(str(home), download=True))


def mnist_binary(root: Path | None = None) -> Dataset:
    """50,000 train, 10,000 validation and 10,000 held-out (test) images (1, 28, 28), values 0 and 1.

    Reads ``binarized_mnist.npz`` (arrays train, valid, test of packed bits) or the three original ``.amat`` files.
    """
    packed = find(root, ("binarized_mnist.npz",), (".", "mnist-binary")) if root is not None else None
    if packed is not None:
        with np.load(packed[0]) as arrays:
            splits = [np.unpackbits(arrays[name], axis=1)[:, :784] for name in BINARY_SPLITS]
    else:
        names = tuple(f"binarized_mnist_{split}.amat" for split in BINARY_SPLITS)
        paths = obtain("mnist-binary", root, names, ("mnist-binary", "."), _download_binary)
        splits = [np.loadtxt(path, dtype=np.uint8) for path in paths]
    train, validation, heldout = (torch.from_numpy(split.reshape(-1, 1, 28, 28)) for split in splits)
    return Dataset(
        name="mnist-binary",
        spec=SampleSpec((1, 28, 28), 2),
        train=train,
        heldout=heldout,
        validation=validation,
    )


def _download_binary(home: Path) -> None:
    from torchvision.datasets.utils import download_url

    for split in BINARY_SPLITS:
        download_url(BINARY_URL.format(split), str(home / "mnist-binary"))


def _idx(name: str, root: Path | None, folders: tuple[str, ...], classes: tuple[str, ...], download: object) -> Dataset:
    paths = obtain(name, root, FILES, folders, download)  # type: ignore[arg-type]
    train, train_labels, heldout, heldout_labels = map(read_idx, paths)
    return Dataset(
        name=name,
        spec=SampleSpec((1, 28, 28), 256),
        train=train[:, None],
        heldout=heldout[:, None],
        train_labels=train_labels.long(),
        heldout_labels=heldout_labels.long(),
        classes=classes,
    )


def read_idx(path: Path) -> Tensor:
    """The uint8 array in an idx file, gzipped or not. Raises DataError where it is damaged or of another type."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}; fetch it again") from error
    axes = content[3] if len(content) > 4 and content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content, ">i4", axes, 4) if axes and len(content) >= 4 + 4 * axes else np.zeros(1, int)
    values = content[4 + 4 * axes :]
    if not axes or len(values) != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path} is damaged or no idx file of bytes; fetch it again")
    return torch.from_numpy(np.frombuffer(values, np.uint8).reshape(shape).copy())

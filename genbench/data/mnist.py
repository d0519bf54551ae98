"""MNIST, its fixed binarization and Fashion-MNIST, read from the original files, gzipped or not.

References: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998); H. Larochelle and
I. Murray, "The Neural Autoregressive Distribution Estimator" (2011), for the binarization that published likelihoods
use; R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks" (2008), for drawing it anew;
Y. Burda et al., "Importance Weighted Autoencoders" (2016), whose likelihoods are on such draws; H. Xiao et al.,
"Fashion-MNIST" (2017).
"""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec
from genbench.data.locations import content, find, obtain
from genbench.errors import DataError
from genbench.storage import npz
from genbench.storage.regular import reason, shown

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
BINARY_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist_{}.amat"
BINARY_SPLITS = ("train", "valid", "test")
PIXELS = 28 * 28
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
        arrays = npz.read(packed[0], BINARY_SPLITS)
        splits = [_unpacked(packed[0], arrays[name]) for name in BINARY_SPLITS]
    else:
        names = tuple(f"binarized_mnist_{split}.amat" for split in BINARY_SPLITS)
        paths = obtain("mnist-binary", root, names, ("mnist-binary", "."), _download_binary)
        splits = [_read_bits(path) for path in paths]
    train, validation, heldout = (torch.from_numpy(split.reshape(-1, 1, 28, 28)) for split in splits)
    return Dataset(
        name="mnist-binary",
        spec=SampleSpec((1, 28, 28), 2),
        train=train,
        heldout=heldout,
        validation=validation,
    )


def mnist_dynamic(root: Path | None = None) -> Dataset:
    """60,000 train and 10,000 held-out images (1, 28, 28), values 0 and 1, drawn with the grey values as chances.

    Training draws its items anew each time, from the `intensities`; the `train` split is one such draw, fixed by a
    seed, for whoever needs a fixed set, and the held-out split another. Likelihoods here and on ``mnist-binary`` are of
    different data, and not to be compared.
    """
    grey = mnist(root)
    train, heldout = (_drawn(split, seed) for seed, split in enumerate((grey.train, grey.heldout)))
    return replace(
        grey,
        name="mnist-dynamic",
        spec=SampleSpec((1, 28, 28), 2),
        train=train,
        heldout=heldout,
        intensities=grey.train,
    )


def _drawn(intensities: Tensor, seed: int) -> Tensor:
    """Values 0 and 1, each 1 with its intensity over 255 as its chance."""
    # Unlike a library's own draws of integers or coins, plain uniforms have no version.
    uniform = np.random.default_rng(seed).random(intensities.shape, dtype=np.float32)
    return (torch.from_numpy(uniform) < intensities.float() / 255).to(torch.uint8)


def _unpacked(path: Path, bits: np.ndarray) -> np.ndarray:
    if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != PIXELS // 8 or not len(bits):
        raise DataError(
            f"{shown(path)} holds {bits.dtype} {bits.shape}, not packed bits uint8 (n, {PIXELS // 8}); fetch it again"
        )
    return np.unpackbits(bits, axis=1)


def _read_bits(path: Path) -> np.ndarray:
    try:
        values = np.loadtxt(io.BytesIO(content(path) or b"?"), dtype=np.uint8, ndmin=2)
    except ValueError as error:
        raise DataError(f"{shown(path)} is no table of numbers ({reason(error)}); fetch it again") from error
    if values.shape[1] != PIXELS or values.max() > 1:
        raise DataError(f"{shown(path)} holds no rows of {PIXELS} pixels 0 or 1; fetch it again")
    return values


def _download_binary(home: Path) -> None:
    from torchvision.datasets.utils import download_url

    for split in BINARY_SPLITS:
        download_url(BINARY_URL.format(split), str(home / "mnist-binary"))


def _idx(name: str, root: Path | None, folders: tuple[str, ...], classes: tuple[str, ...], download: object) -> Dataset:
    paths = obtain(name, root, FILES, folders, download)  # type: ignore[arg-type]
    train, train_labels, heldout, heldout_labels = map(read_idx, paths)
    for place, (items, labels) in enumerate(((train, train_labels), (heldout, heldout_labels))):
        if items.shape[1:] != (28, 28) or labels.shape != items.shape[:1] or not len(items):
            raise DataError(
                f"{shown(paths[2 * place])} and its labels hold arrays of shape {tuple(items.shape)} and "
                f"{tuple(labels.shape)}, not (n, 28, 28) and (n,); fetch them again"
            )
        if int(labels.max()) >= len(classes):
            raise DataError(f"{shown(paths[2 * place + 1])} holds the class {int(labels.max())}; fetch it again")
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
    whole = content(path)
    axes = whole[3] if len(whole) > 4 and whole[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * axes
    shape = np.frombuffer(whole, ">u4", axes, 4).tolist() if axes and len(whole) >= start else []
    if not shape or len(whole) - start != math.prod(shape):
        raise DataError(f"{shown(path)} is damaged or no idx file of bytes; fetch it again")
    return torch.from_numpy(np.frombuffer(whole, np.uint8, offset=start).reshape(shape).copy())

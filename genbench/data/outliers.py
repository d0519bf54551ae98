"""Items that have the shape of a dataset's and nothing else in common with it, for outlier detection.

References: E. Nalisnick et al., "Do Deep Generative Models Know What They Don't Know?" (2019), for judging models of
images by the likelihoods that they give to other images.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genbench import seeding
from genbench.contracts import Dataset, SampleSpec

ITEMS = 1000
WINDOW = 4  # a patch is this many times as large as the image that it is shrunk to


def outliers(dataset: Dataset) -> Tensor:
    """As many outliers (n, *shape) as held-out items, at most 1,000; the same ones whenever they are asked for.

    For images they are patches of the two photographs that scikit-learn bundles, shrunk and cut down to the dataset's
    levels; for sequences the held-out items themselves, each with its positions shuffled.
    """
    n = min(ITEMS, len(dataset.heldout))
    return photographs(n, dataset.spec) if dataset.spec.is_image else shuffled(dataset.heldout[:n])


def photographs(n: int, spec: SampleSpec) -> Tensor:
    """n patches of photographs as items of an image spec, grey where it has one channel."""
    from sklearn.datasets import load_sample_images

    channels, height, width = spec.shape
    pictures = [torch.from_numpy(picture.copy()).permute(2, 0, 1) for picture in load_sample_images().images]
    patches = []
    for index, (across, down) in enumerate(np.random.default_rng(0).random((n, 2))):
        picture = pictures[index % len(pictures)]
        top = int(down * (picture.shape[1] - WINDOW * height))
        left = int(across * (picture.shape[2] - WINDOW * width))
        patches.append(picture[:, top : top + WINDOW * height, left : left + WINDOW * width])
    shrunk = F.avg_pool2d(torch.stack(patches).double(), WINDOW)
    if channels != shrunk.shape[1]:
        shrunk = shrunk.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    if spec.levels is None:
        return (shrunk / 255).float()
    return (shrunk * spec.levels / 256).floor().to(torch.uint8)


def shuffled(x: Tensor) -> Tensor:
    """Each sequence (n, T, ...) with its positions in an order of its own."""
    order = torch.rand(x.shape[:2], generator=seeding.generator("shuffled", *x.shape[:2])).argsort(1)
    return torch.stack([item[places] for item, places in zip(x, order, strict=True)])

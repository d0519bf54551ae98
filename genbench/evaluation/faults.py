"""Generators with one known fault each, as strong as wanted: what a metric should see.

All of them draw real items that neither the train split nor the held-out split of the benchmark holds, and spoil them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.contracts import SampleSpec

CLASSES, IMAGES = "classes", "images"


@dataclass(frozen=True, eq=False)
class Material:
    """What faults are made of: `fresh` real items (n, *shape) with their labels (n,) where known, and both splits."""

    spec: SampleSpec
    fresh: Tensor
    labels: Tensor | None
    train: Tensor
    heldout: Tensor

    @property
    def values(self) -> tuple[float, float]:
        """The least and the largest value of an item."""
        if self.spec.levels is not None:
            return 0.0, float(self.spec.levels - 1)
        return float(self.fresh.min()), float(self.fresh.max())

    def as_items(self, x: Tensor) -> Tensor:
        """Real numbers as values of items: in their range, and whole where these are levels."""
        x = x.clamp(*self.values)
        return x.float() if self.spec.levels is None else x.round().to(torch.uint8)


Spoil = Callable[[Material, Tensor, Tensor | None, float], Tensor]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name, what its strengths count, and what it needs: "" anything, labelled classes, or images."""

    name: str
    unit: str
    strengths: tuple[float, ...]
    spoil: Spoil
    needs: str = ""

    def fits(self, material: Material) -> bool:
        if self.needs == CLASSES:
            return material.labels is not None and len(material.labels.unique()) > 1
        return self.needs != IMAGES or material.spec.is_image


class Faulty:
    """A generator of real items with a fault (none where `fault` is None), a plug-in as any other."""

    def __init__(self, material: Material, fault: Fault | None = None, strength: float = 0.0) -> None:
        self.material, self.fault, self.strength = material, fault, strength
        self.spec = material.spec

    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape): no real item twice while there are more."""
        size = len(self.material.fresh)
        rounds = [torch.randperm(size) for _ in range(-(-n // size))]
        rows = torch.cat(rounds)[:n]
        x, labels = self.material.fresh[rows], self.material.labels
        if self.fault is None:
            return x
        return self.fault.spoil(self.material, x, None if labels is None else labels[rows], self.strength)

    sample.in_one_piece = True  # type: ignore[attr-defined]


def replaced(x: Tensor, others: Tensor, share: float) -> Tensor:
    """Items x (n, *shape), a share of which, chosen at random, is that of the others (n, *shape)."""
    chosen = torch.randperm(len(x))[: round(share * len(x))]
    result = x.clone()
    result[chosen] = others[chosen]
    return result


def drawn(items: Tensor, n: int) -> Tensor:
    """n of some items, no item twice while there are more."""
    return items[torch.cat([torch.randperm(len(items)) for _ in range(-(-n // len(items)))])[:n]]


def copies_of_training(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    return replaced(x, drawn(material.train, len(x)), share)


def copies_of_heldout(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    return replaced(x, drawn(material.heldout, len(x)), share)


def one_image_per_class(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    """A share of the items is always the same one of its class."""
    assert labels is not None
    same = x.clone()
    for label in labels.unique():
        same[labels == label] = x[labels == label][:1]
    return replaced(x, same, share)


def missing_classes(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    """A share of the classes never occurs; items of the others take their place."""
    assert labels is not None
    assert material.labels is not None
    classes = material.labels.unique()
    absent = classes[: max(1, round(share * (len(classes) - 1)))]
    present = ~torch.isin(labels, absent)
    others = drawn(material.fresh[~torch.isin(material.labels, absent)], len(x))
    return torch.where(present.view(-1, *[1] * (x.dim() - 1)), x, others)


def skewed_classes(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    """A share of the items is of the last class, whatever the item was."""
    assert labels is not None
    assert material.labels is not None
    return replaced(x, drawn(material.fresh[material.labels == labels.max()], len(x)), share)


def blurred(material: Material, x: Tensor, labels: Tensor | None, sigma: float) -> Tensor:
    """A Gaussian of that many pixels over each image."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    planes = x.double().flatten(0, 1)[:, None]
    padded = F.pad(planes, (reach,) * 4, mode="replicate")
    smooth = F.conv2d(padded, (kernel[:, None] * kernel)[None, None].double())
    return material.as_items(smooth.reshape(x.shape))


def noisy(material: Material, x: Tensor, labels: Tensor | None, deviation: float) -> Tensor:
    """Gaussian noise, its deviation a share of the range of values."""
    low, high = material.values
    return material.as_items(x.double() + deviation * (high - low) * torch.randn(x.shape).double())


def shuffled_pixels(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    """A share of an item's values change places, each item by its own permutation."""
    flat = x.flatten(1).clone()
    size = flat.shape[1]
    count = max(2, round(share * size))
    for row in flat:
        places = torch.randperm(size)[:count]
        row[places] = row[places[torch.randperm(count)]]
    return flat.reshape(x.shape)


def outliers(material: Material, x: Tensor, labels: Tensor | None, share: float) -> Tensor:
    """A share of the items is uniform noise."""
    low, high = material.values
    return replaced(x, material.as_items(low - 0.5 + torch.rand(x.shape) * (high - low + 1)), share)


SHARES = (0.1, 0.25, 0.5, 1.0)
FAULTS = (
    Fault("copies of training items", "share", SHARES, copies_of_training),
    Fault("copies of held-out items", "share", SHARES, copies_of_heldout),
    Fault("one image per class", "share", SHARES, one_image_per_class, CLASSES),
    Fault("missing classes", "share of classes", (0.1, 0.3, 0.6, 1.0), missing_classes, CLASSES),
    Fault("skewed classes", "share", (0.1, 0.25, 0.5, 0.9), skewed_classes, CLASSES),
    Fault("blurred", "pixels", (0.4, 0.6, 0.8, 1.2), blurred, IMAGES),
    Fault("noisy", "share of range", (0.05, 0.1, 0.2, 0.4), noisy),
    Fault("shuffled pixels", "share", (0.05, 0.1, 0.25, 1.0), shuffled_pixels),
    Fault("outliers", "share", (0.01, 0.05, 0.1, 0.25), outliers),
)

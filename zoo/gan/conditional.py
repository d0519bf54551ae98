"""What class-conditional GANs share: codes that hold a class, and samples of a class.

A code is z with the one-hot class behind it, so that one can also walk from class to class. Data without labels count
as one class.

References: M. Mirza and S. Osindero, "Conditional Generative Adversarial Nets" (2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError
from zoo.gan import base


@dataclass(frozen=True, slots=True)
class Config(base.Config):
    """See `base.Config`; `classes`: how many the data has, which `fit` finds out; 1 where it has no labels."""

    classes: int = 1

    def __post_init__(self) -> None:
        base.Config.__post_init__(self)
        if self.classes < 1:
            raise ValueError(f"classes must be positive, got {self}")


class ConditionalGAN(base.GAN):
    """x = G(z, y): images of a class, against a discriminator that is told the class."""

    Config = Config

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.latent_shape = (self.config.latent + self.config.classes,)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """As all GANs, with networks for as many classes as the data has."""
        labels = dataset.train_labels
        classes = 1 if labels is None else max(len(dataset.classes), int(labels.max()) + 1)
        self.config = replace(self.config, classes=classes)
        self.latent_shape = (self.config.latent + classes,)
        self.generator = self.generator_network().to(self.device)
        return super().fit(dataset, budget)

    def coded(self, z: Tensor, labels: Tensor) -> Tensor:
        """The codes (n, latent + classes) of z (n, latent) and labels (n,)."""
        return torch.cat([z, F.one_hot(labels, self.config.classes)], 1)

    def any_labels(self, n: int) -> Tensor:
        """n classes, all of them as likely."""
        return torch.randint(self.config.classes, (n,), device=self.device)

    def imagine(self, n: int, labels: Tensor | None) -> Tensor:
        labels = self.any_labels(n) if labels is None else labels
        return self.generator(self.coded(self.draw(n), labels))

    def judge(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        labels = torch.zeros(len(images), dtype=torch.long, device=self.device) if labels is None else labels
        return discriminator(images, labels)

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes: z of the prior, and the indicator of a class drawn uniformly."""
        return self.coded(self.draw(n), self.any_labels(n))

    def truncated_latent(self, n: int, psi: float) -> Tensor:
        """n codes whose z is truncated; all classes stay as likely as they were."""
        return self.coded(self.draw(n, psi), self.any_labels(n))

    def sample_class(self, n: int, label: int) -> Tensor:
        """n images of a class, uint8 (n, C, H, W). Raises InputError where there is no such class."""
        if not 0 <= label < self.config.classes:
            raise InputError(f"the classes are 0..{self.config.classes - 1}, got {label}")
        return self.decode(self.coded(self.draw(n), torch.full((n,), label, device=self.device)))

"""The two-stage GAN that moves what an image shows into another pose.

Lecture topic: image-to-image translation. Stage one makes a coarse image from the source and a map of the target pose;
stage two adds the details that it lacks, as a difference map, against a discriminator.

References: L. Ma, X. Jia, Q. Sun, B. Schiele, T. Tuytelaars and L. Van Gool, "Pose Guided Person Image Generation"
(2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.adversarial import losses
from zoo.training import in_batches, minimise
from zoo.translation import translator
from zoo.translation.networks import UNet, patch_discriminator


@dataclass(frozen=True, slots=True)
class Config(translator.Config):
    """The networks and their losses; see `translator.Config` for the training of stage two.

    `coarse_width`, `width`: channels at the full resolution of the U-Nets of stage one and stage two.
    `discriminator_width`, `patches`: channels of the discriminator at the full resolution, and how often it halves
    that. `closeness`: the weight lambda of stage two's L1 loss. `reach`: how many pixels around the pose's key points
    the pose mask covers. `coarse_steps`, `coarse_rate`: optimiser steps and initial learning rate of stage one.
    """

    source_channels: int = 2
    batch: int = 16
    coarse_width: int = 64
    width: int = 64
    discriminator_width: int = 64
    patches: int = 3
    closeness: float = 10.0
    reach: int = 4
    coarse_steps: int = 20_000
    coarse_rate: float = 2e-4

    def __post_init__(self) -> None:
        translator.Config.__post_init__(self)
        if min(self.coarse_width, self.width, self.discriminator_width, self.patches, self.coarse_steps) < 1:
            raise ValueError(f"widths, patches and coarse_steps must be positive, got {self}")
        if min(self.closeness, self.reach) < 0:
            raise ValueError(f"closeness and reach must not be negative, got {self}")


@dataclass(frozen=True, slots=True)
class CoarseStage:
    """What `zoo.training.minimise` asks of stage one."""

    steps: int
    batch: int
    rate: float
    decay: float = 0.0


class PoseGAN(translator.Translator):
    """y = G1(x, p) + G2(x, G1(x, p)) for an image x and a pose map p, both of them channels of a source."""

    Config = Config
    name = "pose-gan"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, channels, sides = self.config, spec.shape[0], spec.shape[1:]
        if c.source_channels <= channels:
            raise ModelError(
                f"{self.name} models sources of an image and a pose map, not of {c.source_channels} channels "
                f"for targets of {channels}"
            )
        coarse = UNet((c.source_channels, *sides), channels, c.coarse_width, connected=True)
        self.coarse_generator = nn.Sequential(coarse, nn.Tanh())
        self.generator = UNet((2 * channels, *sides), channels, c.width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The image (n, C, H, W) and the pose map (n, P, H, W) of sources in [-1, 1]."""
        channels = self.spec.shape[0]
        return x[:, :channels], x[:, channels:]

    def masked_distance(self, x: Tensor, y: Tensor, made: Tensor) -> Tensor:
        """|(made - y) (1 + M)|, the mean over pixels, where M is 1 near the target pose of the sources x."""
        drawn = (self.split(x)[1] > -1).any(1, keepdim=True).float()
        mask = F.max_pool2d(drawn, 2 * self.config.reach + 1, stride=1, padding=self.config.reach)
        return ((made - y).abs() * (1 + mask)).mean()

    def refined(self, x: Tensor, coarse: Tensor) -> Tensor:
        """Coarse images with the difference map that stage two makes of them and of the source's image."""
        return coarse + self.generator(torch.cat([self.split(x)[0], coarse], 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():  # stage two leaves stage one as it is
            coarse = self.coarse_generator(x)
        return self.refined(x, coarse)

    @torch.no_grad()
    def coarse(self, x: Tensor, /) -> Tensor:
        """What stage one alone makes of sources (n, *source shape), uint8: uint8 (n, C, H, W)."""

        def made(part: Tensor) -> Tensor:
            return self.quantised(self.coarse_generator(self.scaled_sources(part)))

        return in_batches(made, self.accept(x, self.source_spec), translator.ITEMS_AT_ONCE)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Train stage one by its masked L1 loss alone, then stage two against the discriminator, stage one as it is."""
        c = self.config
        feed = translator.Feed(self, dataset)

        def loss(rows: Tensor) -> Tensor:
            x, y = feed.at(rows.cpu(), rows.cpu())
            return self.masked_distance(x, y, self.coarse_generator(x))

        stage = CoarseStage(c.coarse_steps, c.batch, c.coarse_rate)
        figures = minimise(loss, self.coarse_generator, torch.arange(len(dataset.train)), budget, stage)
        return {"coarse_loss": figures["loss"], **super().fit(dataset, budget)}

    def discriminator_network(self) -> nn.Module:
        c = self.config
        return patch_discriminator(2 * self.spec.shape[0], c.discriminator_width, c.patches)

    def judge(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The logits (n, 1, h, w) that the patches of y show what the source's image shows; the pose is not seen."""
        return discriminator(torch.cat([self.split(x)[0], self.seen(y)], 1))

    def discriminator_loss(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """-log D(x, y) - log(1 - D(x, G(x))), in nats."""
        with torch.no_grad():
            translated = self(x)
        real, fake = self.judge(discriminator, x, y), self.judge(discriminator, x, translated)
        return losses.logistic(real, fake)

    def generator_loss(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """-log D(x, G(x)) + lambda times the masked L1 loss."""
        translated = self(x)
        fake = self.judge(discriminator, x, translated)
        return losses.nonsaturating(fake) + self.config.closeness * self.masked_distance(x, y, translated)

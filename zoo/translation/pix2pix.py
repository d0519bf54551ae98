"""The conditional GAN for paired images.

Lecture topic: image-to-image translation. A U-Net translates, a PatchGAN judges pairs of source and translation patch
by patch, and an L1 loss ties every translation to its target: the L1 term gets the low frequencies right, the
adversarial term the high ones.

References: P. Isola, J. Zhu, T. Zhou and A. Efros, "Image-to-Image Translation with Conditional Adversarial Networks"
(2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from zoo.adversarial import losses
from zoo.translation import translator
from zoo.translation.networks import UNet, patch_discriminator


@dataclass(frozen=True, slots=True)
class Config(translator.Config):
    """The networks; see `translator.Config` for their training.

    `width`: channels of the U-Net at the full resolution. `dropout`: chance of dropping a channel of its decoder, when
    translating too. `discriminator_width`, `patches`: channels of the PatchGAN at the full resolution, and how often it
    halves that. `closeness`: the weight lambda of the L1 loss.
    """

    batch: int = 16
    width: int = 64
    dropout: float = 0.5
    discriminator_width: int = 64
    patches: int = 3
    closeness: float = 100.0

    def __post_init__(self) -> None:
        translator.Config.__post_init__(self)
        if min(self.width, self.discriminator_width, self.patches) < 1:
            raise ValueError(f"widths and patches must be positive, got {self}")
        if not 0 <= self.dropout < 1 or self.closeness < 0:
            raise ValueError(f"dropout must be within [0, 1) and closeness not negative, got {self}")


class Pix2Pix(translator.Translator):
    """y = G(x); D scores the pair (x, y)."""

    Config = Config
    name = "pix2pix"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        network = UNet((c.source_channels, *spec.shape[1:]), spec.shape[0], c.width, c.dropout)
        self.generator = nn.Sequential(network, nn.Tanh())

    def discriminator_network(self) -> nn.Module:
        c = self.config
        return patch_discriminator(c.source_channels + self.spec.shape[0], c.discriminator_width, c.patches)

    def judge(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The logits (n, 1, h, w) that the patches of y are the real ones for x."""
        return discriminator(torch.cat([x, self.seen(y)], 1))

    def discriminator_loss(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """-log D(x, y) - log(1 - D(x, G(x))), halved as in the paper, in nats."""
        with torch.no_grad():
            translated = self(x)
        real, fake = self.judge(discriminator, x, y), self.judge(discriminator, x, translated)
        return losses.logistic(real, fake) / 2

    def generator_loss(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """-log D(x, G(x)) + lambda |y - G(x)|."""
        translated = self(x)
        fake = self.judge(discriminator, x, translated)
        return losses.nonsaturating(fake) + self.config.closeness * F.l1_loss(translated, y)

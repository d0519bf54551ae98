"""The deep convolutional generative adversarial network.

Lecture topic: generative adversarial networks. A generator maps noise to images, a discriminator tells them from real
ones, and each is trained against the other; the truncation trick then trades diversity for quality. Beyond the paper:
one more convolution at the full resolution on both sides, noise and dropout against a discriminator that knows a small
data set by heart, and a choice between modes at the start of the generator.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014), for the non-saturating loss; A. Radford, L. Metz
and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks" (2016);
M. Khayatkhoei, M. Singh and A. Elgammal, "Disconnected Manifold Learning for Generative Adversarial Networks" (2018),
for the modes; A. Brock, J. Donahue and K. Simonyan, "Large Scale GAN Training for High Fidelity Natural Image
Synthesis" (2019), for the truncation trick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model, require_image, require_levels
from zoo.training import Average, batches, in_batches, report, sizes

ITEMS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Config:
    """The networks and their training.

    `latent`: dimensions of z. `modes`: how many of them only pick, by the largest, one of as many learned vectors; 0 is
    the paper's input. `width`: channels at the full resolution, doubled with every halving of it. `dropout`: chance of
    dropping a channel of the discriminator while training. `noise`: standard deviation of the Gaussian noise on every
    image that the discriminator sees, whose values span [-1, 1]. `steps`, `batch`: optimiser steps of each player, and
    images per step. `rate`, `discriminator_rate`: learning rates. `average`: decay of the generator's moving average.
    """

    latent: int = 32
    modes: int = 16
    width: int = 20
    dropout: float = 0.1
    noise: float = 0.1
    steps: int = 2600
    batch: int = 64
    rate: float = 1e-3
    discriminator_rate: float = 1e-3
    average: float = 0.999

    def __post_init__(self) -> None:
        if min(self.latent, self.width, self.steps) < 1 or self.batch < 2:
            raise ValueError(f"latent, width and steps must be positive and batch at least 2, got {self}")
        if not 0 <= self.modes <= self.latent:
            raise ValueError(f"modes must be within 0..latent, got {self}")
        if not 0 <= self.dropout < 1 or not 0 <= self.average < 1:
            raise ValueError(f"dropout and average must be within [0, 1), got {self}")
        if self.noise < 0 or min(self.rate, self.discriminator_rate) <= 0:
            raise ValueError(f"noise must be >= 0 and the rates > 0, got {self}")


def halvings(height: int, width: int) -> int:
    """How often the resolution doubles from the generator's first grid, of at most 7 x 7, to the image; at least 2."""
    return max(2, math.ceil(math.log2(max(height, width) / 7)))


class PickMode(nn.Module):
    """The first components of z replaced by the indicator of their largest, the others as they are.

    A continuous map of a normal z has connected images, and digits are not connected: without a choice to make, the
    generator has to paint what lies between them. Which component is largest does not depend on the scale of z, so that
    truncation narrows every mode around its centre and keeps them all.
    """

    def __init__(self, modes: int) -> None:
        super().__init__()
        self.modes = modes

    def forward(self, z: Tensor) -> Tensor:
        choice, rest = z[:, : self.modes], z[:, self.modes :]
        # The square root gives the indicators the second moment of the normals that they replace.
        indicator = F.one_hot(choice.argmax(1), self.modes) * math.sqrt(self.modes)
        return torch.cat([indicator, rest], 1)


class Crop(nn.Module):
    """The top left part of an image, where doubling a grid overshoots the image's size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.height, : self.width]


def generator_network(shape: tuple[int, int, int], config: Config) -> nn.Sequential:
    """Maps z (n, latent) to images (n, C, H, W) in [-1, 1] by transposed convolutions with batch norm and ReLU."""
    channels, height, breadth = shape
    width = config.width
    m = halvings(height, breadth)
    grid = (math.ceil(height / 2**m), math.ceil(breadth / 2**m))
    widths = [width * 2**i for i in range(m)][::-1]
    layers: list[nn.Module] = [
        *([PickMode(config.modes)] if config.modes else []),
        nn.Linear(config.latent, widths[0] * grid[0] * grid[1], bias=False),
        nn.Unflatten(1, (widths[0], *grid)),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    for before, after in zip(widths, [*widths[1:], width], strict=True):
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh(), Crop(height, breadth))


def discriminator_network(shape: tuple[int, int, int], width: int, dropout: float) -> nn.Sequential:
    """Maps images (n, C, H, W) to the logit of being real (n, 1) by strided convolutions with leaky ReLU."""
    channels, height, breadth = shape
    m = halvings(height, breadth)
    widths = [width * 2**i for i in range(m + 1)]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
    for before, after in pairwise(widths):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2),
        ]
        layers += [nn.Dropout2d(dropout)]
    features = widths[-1] * math.ceil(height / 2**m) * math.ceil(breadth / 2**m)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 1))


def initialise(module: nn.Module) -> None:
    """The paper's initial weights: N(0, 0.02) for linear maps, N(1, 0.02) for the gains of batch norm."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


class Game:
    """The two players, each with its own optimiser: a step of one leaves the parameters of the other as they are."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: Config) -> None:
        self.generator, self.discriminator, self.config = generator.train(), discriminator.train(), config
        # The paper's beta1: the usual 0.9 remembers gradients of an opponent that has moved on.
        self.generator_optimiser = torch.optim.Adam(generator.parameters(), config.rate, betas=(0.5, 0.999))
        self.discriminator_optimiser = torch.optim.Adam(
            discriminator.parameters(), config.discriminator_rate, betas=(0.5, 0.999)
        )

    def judge(self, images: Tensor) -> Tensor:
        """The discriminator's logits of images in [-1, 1]; noise keeps it from knowing few real ones by heart."""
        return self.discriminator(images + self.config.noise * torch.randn_like(images))

    def discriminator_step(self, real: Tensor, z: Tensor) -> float:
        """Descend -log D(x) - log(1 - D(G(z))); returns it, in nats."""
        with torch.no_grad():
            fake = self.generator(z)
        loss = F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(fake)).mean()
        return _descend(loss, self.discriminator_optimiser)

    def generator_step(self, z: Tensor) -> float:
        """Descend -log D(G(z)), whose gradient stays strong where the discriminator wins; returns it, in nats."""
        return _descend(F.softplus(-self.judge(self.generator(z))).mean(), self.generator_optimiser)


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> float:
    # A generator step leaves gradients in the discriminator too: each optimiser clears its own before it uses them.
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


class DCGAN(Model):
    """x = G(z), z ~ N(0, I), rounded to the levels. No likelihood: p(x) is defined by its sampler alone."""

    Config = Config
    truncation: Literal["threshold"] = "threshold"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("dcgan", spec)
        self.latent_shape = (self.config.latent,)
        self.generator = generator_network(require_image("dcgan", spec), self.config)

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The defaults suit a thousand small images; the paper's latent size and rates serve larger data."""
        if spec.size <= 256 and spec.levels == 2:
            # Two levels are told from a generator's greys early on, and modes collapse before they have formed.
            return Config(latent=16, modes=0)
        if spec.size <= 256:
            return Config()
        return Config(latent=100, modes=16, width=32, dropout=0.0, steps=20_000, rate=2e-4, discriminator_rate=2e-4)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Alternate a step of the discriminator with one of the generator; returns the final losses in nats.

        The generator ends as the moving average of its weights: the players circle around their equilibrium, and the
        average lies nearer to it than any point of the orbit. The discriminator serves no further use and is dropped.
        """
        c, steps = self.config, budget.steps or self.config.steps
        discriminator = discriminator_network(self.spec.shape, c.width, c.dropout).to(self.device)
        game = Game(self.generator.apply(initialise), discriminator.apply(initialise), c)
        averaged = Average(self.generator, c.average)
        figures: dict[str, float] = {}
        for step, x in zip(range(1, steps + 1), batches(dataset.train, c.batch), strict=False):
            real = x.to(self.device).float() * (2 / (self.levels - 1)) - 1
            figures["discriminator_loss"] = game.discriminator_step(real, self.sample_latent(c.batch))
            figures["generator_loss"] = game.generator_step(self.sample_latent(c.batch))
            averaged.update()
            report(budget, step, steps, figures)
        averaged.apply()
        self.measure_batch_norm()
        self.eval()
        return figures

    @torch.no_grad()
    def measure_batch_norm(self, passes: int = 10) -> None:
        """Replace batch norm's running statistics, which belong to the last weights, by those of the averaged ones."""
        norms = [module for module in self.generator.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's way to say: the plain mean over all passes
        self.generator.train()
        for _ in range(passes):
            self.generator(self.sample_latent(ITEMS_AT_ONCE))

    def sample(self, n: int, /) -> Tensor:
        """n images, uint8 (n, C, H, W)."""
        return self.sample_truncated(n, psi=math.inf)

    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n images of z whose components all lie within [-psi, psi]; inf is no truncation."""
        return torch.cat([self.decode(self.truncated_latent(part, psi)) for part in sizes(n, ITEMS_AT_ONCE)])

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes z ~ N(0, I): (n, latent)."""
        return torch.randn(n, *self.latent_shape, device=self.device)

    def truncated_latent(self, n: int, psi: float) -> Tensor:
        """n codes whose components are normal given that they lie within [-psi, psi]: (n, latent).

        The distribution is that of resampling the components outside until they are inside; the inverse of the normal
        distribution function reaches it at once, however small psi. Raises ModelError unless psi is positive.
        """
        if not psi > 0:
            raise ModelError(f"psi must be positive, got {psi}")
        if psi == math.inf:
            return self.sample_latent(n)
        inside = math.erf(psi / math.sqrt(2))
        uniform = 2 * torch.rand(n, *self.latent_shape, dtype=torch.float64, device=self.device) - 1
        return (math.sqrt(2) * torch.erfinv(inside * uniform)).clamp(-psi, psi).float()

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The images of codes (n, latent): uint8 (n, C, H, W)."""

        def images(part: Tensor) -> Tensor:
            return ((self.generator(part) + 1) / 2 * (self.levels - 1)).round().to(torch.uint8)

        return in_batches(images, z.to(self.device), ITEMS_AT_ONCE)

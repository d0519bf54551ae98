"""What all generative adversarial networks share: two players, their alternating steps, and samples from a prior.

Lecture topic: generative adversarial networks. A generator maps z ~ N(0, I) to images; a discriminator (or critic)
gives every image a score; the two are trained against each other, and only their losses tell one GAN from the next.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014); A. Brock, J. Donahue and K. Simonyan, "Large
Scale GAN Training for High Fidelity Natural Image Synthesis" (2019), for the truncation trick; M. Khayatkhoei, M. Singh
and A. Elgammal, "Disconnected Manifold Learning for Generative Adversarial Networks" (2018), for the modes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model, require_image, require_levels
from zoo.training import Average, Batches, Course, Stateful, descend, in_batches, sizes

ITEMS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Config:
    """The training that the players have in common; a model's own Config adds its networks.

    `latent`: dimensions of z. `steps`, `batch`: optimiser steps of the generator, and images per step. `critic_steps`:
    steps of the discriminator for each of the generator's. `rate`, `discriminator_rate`: learning rates of Adam.
    `momentum`: Adam's first beta. `average`: decay of the generator's moving average. `noise`: standard deviation of
    the Gaussian noise on every image that the discriminator sees, whose values span [-1, 1]. `modes`: how many
    components of z only pick, by the largest, one of as many learned vectors; 0 is the papers' input.
    """

    latent: int = 32
    steps: int = 2600
    batch: int = 64
    critic_steps: int = 1
    rate: float = 1e-3
    discriminator_rate: float = 1e-3
    momentum: float = 0.5  # the usual 0.9 remembers gradients of an opponent that has moved on
    average: float = 0.999
    noise: float = 0.1
    modes: int = 0

    def __post_init__(self) -> None:
        if min(self.latent, self.steps, self.critic_steps) < 1 or self.batch < 2:
            raise ValueError(f"latent, steps and critic_steps must be positive and batch at least 2, got {self}")
        if not 0 <= self.average < 1 or not 0 <= self.momentum < 1 or self.noise < 0:
            raise ValueError(f"average and momentum must be within [0, 1) and noise not negative, got {self}")
        if not 0 <= self.modes <= self.latent:
            raise ValueError(f"modes must be within 0..latent, got {self}")


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


def picking(modes: int, network: nn.Sequential) -> nn.Sequential:
    """A generator whose input first picks one of as many modes; 0: the generator as it is."""
    return nn.Sequential(PickMode(modes), *network) if modes else network


class GAN(Model):
    """x = G(z), z ~ N(0, I), rounded to the levels. No likelihood: p(x) is defined by its sampler alone.

    A subclass builds its two networks, and says what each of them descends as functions of the discriminator's scores.
    The checkpoint keeps the generator; the discriminator serves no further use.
    """

    Config = Config
    name: ClassVar[str] = "gan"
    truncation: Literal["threshold", "interpolation"] = "threshold"
    clipped: ClassVar[bool] = False  # whether the gradients of a step are clipped at norm 5

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels(self.name, spec)
        self.image_shape = require_image(self.name, spec)
        self.latent_shape = (self.config.latent,)
        self.generator = self.generator_network()

    def generator_network(self) -> nn.Module:
        """A network from z (n, latent) to images (n, C, H, W) in [-1, 1]."""
        raise NotImplementedError

    def discriminator_network(self) -> nn.Module:
        """A network from images (n, C, H, W) in [-1, 1] to scores (n, 1), high for what it takes for real."""
        raise NotImplementedError

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator descends, of its scores (n, 1) of real and of generated images."""
        raise NotImplementedError

    def generator_loss(self, fake: Tensor) -> Tensor:
        """What the generator descends, of the discriminator's scores (n, 1) of generated images."""
        raise NotImplementedError

    def discriminator_penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor | float:
        """What the discriminator descends besides, of the images (n, C, H, W) that it has seen."""
        return 0.0

    def generator_penalty(self) -> Tensor | float:
        """What the generator descends besides."""
        return 0.0

    def constrain(self, discriminator: nn.Module) -> None:
        """What is done to the discriminator's weights after each of its steps."""

    def optimiser(self, player: nn.Module, rate: float) -> torch.optim.Optimizer:
        """What takes the steps of one player's weights."""
        return torch.optim.Adam(player.parameters(), rate, betas=(self.config.momentum, 0.999))

    def begin_step(self, discriminator: nn.Module, step: int, steps: int) -> None:
        """What changes in the course of the training, before step 1..steps."""

    def imagine(self, n: int, labels: Tensor | None) -> Tensor:
        """n generated images (n, C, H, W) for training, of the classes `labels` (n,) where the data has any."""
        return self.generator(self.sample_latent(n))

    def judge(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        """The scores (n, 1) of images as `seen`, of the classes `labels` (n,) where the data has any."""
        return discriminator(images)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Alternate steps of the discriminator with one of the generator; returns the mean final losses.

        The generator ends as the moving average of its weights: the players circle around their equilibrium, and the
        average lies nearer to it than any point of the orbit.
        """
        c = self.config
        game = Game(self, self.discriminator_network().to(self.device))
        averaged, feed = Average(self.generator, c.average), Batches(dataset.train, c.batch)
        labels = None if dataset.train_labels is None else dataset.train_labels.to(self.device)
        course = Course(budget, c.steps, {**game.parts(), "average": averaged, "feed": feed})
        for step in course:
            self.begin_step(game.discriminator, step, course.steps)
            for _ in range(c.critic_steps):
                rows = pairable(feed)
                shown = None if labels is None else labels[rows.to(self.device)]
                judged = game.discriminator_step(self.scaled(dataset.train[rows]), shown)
            wanted = None if labels is None else labels[torch.randint(len(labels), (c.batch,))]
            loss = game.generator_step(c.batch, wanted)
            averaged.update()
            course.report({"discriminator_loss": judged, "generator_loss": loss})
        averaged.apply()
        self.measure_batch_norm()
        self.eval()
        return course.figures()

    def scaled(self, x: Tensor) -> Tensor:
        """Items (n, C, H, W) of the data as images in [-1, 1]."""
        return x.to(self.device).float() * (2 / (self.levels - 1)) - 1

    def seen(self, images: Tensor) -> Tensor:
        """Images as the discriminator sees them; noise keeps it from knowing few real ones, and levels, by heart."""
        return images + self.config.noise * torch.randn_like(images)

    @torch.no_grad()
    def measure_batch_norm(self, passes: int = 10) -> None:
        """Replace batch norm's running statistics, which belong to the last weights, by those of the averaged ones."""
        norms = [module for module in self.generator.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's way to say: the plain mean over all passes
        self.generator.train()
        for _ in range(passes if norms else 0):
            self.generator(self.sample_latent(ITEMS_AT_ONCE))

    def sample(self, n: int, /) -> Tensor:
        """n images, uint8 (n, C, H, W)."""
        return torch.cat([self.decode(self.sample_latent(part)) for part in sizes(n, ITEMS_AT_ONCE)])

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
        return in_batches(lambda part: self.quantized(self.generator(part)), z.to(self.device), ITEMS_AT_ONCE)

    def quantized(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] rounded to the levels, uint8."""
        return ((images + 1) / 2 * (self.levels - 1)).round().to(torch.uint8)


def pairable(feed: Batches) -> Tensor:
    """The next minibatch as row numbers (n,), n at least 2, which batch norm needs: a last single row has company."""
    rows = feed.rows()
    return torch.cat([rows, feed.rows()]) if len(rows) == 1 else rows


class Game:
    """The two players, each with its own optimiser: a step of one leaves the parameters of the other as they are."""

    def __init__(self, model: GAN, discriminator: nn.Module) -> None:
        self.model, self.discriminator = model, discriminator.train()
        model.generator.train()
        c = model.config
        self.generator_optimiser = model.optimiser(model.generator, c.rate)
        self.discriminator_optimiser = model.optimiser(discriminator, c.discriminator_rate)

    def parts(self) -> dict[str, Stateful]:
        """What a snapshot keeps of the game."""
        return {
            "generator": self.model.generator,
            "discriminator": self.discriminator,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    def discriminator_step(self, real: Tensor, labels: Tensor | None = None) -> float:
        """One step of the discriminator on images (n, C, H, W) in [-1, 1] and as many generated ones; its loss."""
        model, discriminator = self.model, self.discriminator
        with torch.no_grad():
            fake = model.imagine(len(real), labels)
        real, fake = model.seen(real), model.seen(fake)
        scores = model.judge(discriminator, real, labels), model.judge(discriminator, fake, labels)
        loss = model.discriminator_loss(*scores) + model.discriminator_penalty(discriminator, real, fake)
        descend(loss, self.discriminator_optimiser, discriminator if model.clipped else None)
        model.constrain(discriminator)
        return loss.item()

    def generator_step(self, n: int, labels: Tensor | None = None) -> float:
        """One step of the generator against the discriminator's scores of n of its images; its loss."""
        model = self.model
        scores = model.judge(self.discriminator, model.seen(model.imagine(n, labels)), labels)
        loss = model.generator_loss(scores) + model.generator_penalty()
        descend(loss, self.generator_optimiser, model.generator if model.clipped else None)
        return loss.item()

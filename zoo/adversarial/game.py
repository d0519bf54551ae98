"""The alternating game: a generator and a discriminator, each with its own optimiser, and images between them.

Lecture topic: generative adversarial networks. In every step the discriminator (or critic) first descends its loss,
once or several times, then the generator its own; what each of them descends tells the models apart.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.nn import Model, require_image, require_levels
from zoo.training import Average, Course, Stateful, descend

ITEMS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Config:
    """The training that all players have in common; a family's Config adds its inputs, a model's its networks.

    `steps`, `batch`: optimiser steps of the generator, and images per step. `critic_steps`: steps of the discriminator
    for each of the generator's. `rate`, `discriminator_rate`: learning rates. `momentum`, `squares`: Adam's betas, of
    the gradients and of their squares. `average`: decay of the generator's moving average; 0 takes the last weights.
    `noise`: standard deviation of the Gaussian noise on every image that the discriminator sees, whose values span
    [-1, 1].
    """

    steps: int = 10_000
    batch: int = 64
    critic_steps: int = 1
    rate: float = 2e-4
    discriminator_rate: float = 2e-4
    momentum: float = 0.5  # the usual 0.9 remembers gradients of an opponent that has moved on
    squares: float = 0.999
    average: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if min(self.steps, self.critic_steps) < 1 or self.batch < 2:
            raise ValueError(f"steps and critic_steps must be positive and batch at least 2, got {self}")
        if min(self.rate, self.discriminator_rate) <= 0:
            raise ValueError(f"rate and discriminator_rate must be positive, got {self}")
        if not all(0 <= decay < 1 for decay in (self.average, self.momentum, self.squares)):
            raise ValueError(f"average, momentum and squares must be within [0, 1), got {self}")
        if self.noise < 0:
            raise ValueError(f"noise must not be negative, got {self}")


class Feed(Protocol):
    """Minibatches for ever."""

    def batch(self) -> Any: ...  # what the objectives take

    def parts(self) -> Mapping[str, Stateful]: ...  # what a snapshot keeps of the feed


class AdversarialModel(Model):
    """A generator of images in [-1, 1], rounded to the levels, and what it takes to train one against a discriminator.

    A subclass builds `generator` and the discriminator, and says what each of them descends. The checkpoint keeps the
    generator; the discriminator serves no further use.
    """

    Config = Config
    name: ClassVar[str] = "adversarial"
    clipped: ClassVar[bool] = False  # whether the gradients of a step are clipped at norm 5
    generator: nn.Module

    def __init__(self, spec: SampleSpec, config: Any = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels(self.name, spec)
        self.image_shape = require_image(self.name, spec)

    def feed(self, dataset: Dataset) -> Feed:
        """The minibatches of a training."""
        raise NotImplementedError

    def discriminator_network(self) -> nn.Module:
        """What gives images their scores, high for what it takes for real."""
        raise NotImplementedError

    def discriminator_objective(self, discriminator: Any, batch: Any) -> Tensor:
        """What the discriminator descends, given a minibatch of the feed."""
        raise NotImplementedError

    def generator_objective(self, discriminator: Any, batch: Any) -> Tensor:
        """What the generator descends, given the minibatch that the discriminator saw last."""
        raise NotImplementedError

    def optimiser(self, player: nn.Module, rate: float) -> torch.optim.Optimizer:
        """What takes the steps of one player's weights."""
        return torch.optim.Adam(player.parameters(), rate, betas=(self.config.momentum, self.config.squares))

    def constrain(self, discriminator: nn.Module) -> None:
        """What is done to the discriminator's weights after each of its steps."""

    def begin_step(self, discriminator: nn.Module, step: int, steps: int) -> None:
        """What changes in the course of the training, before step 1..steps."""

    def critic_steps_at(self, step: int) -> int:
        """How many steps the discriminator takes before the generator's step 1..steps."""
        return self.config.critic_steps

    def settle(self) -> None:
        """What is measured at the end, with the weights that stay."""

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Alternate steps of the discriminator with one of the generator; returns the mean final losses.

        Where the configuration averages, the generator ends as the moving average of its weights: the players circle
        around their equilibrium, and the average lies nearer to it than any point of the orbit.
        """
        feed = self.feed(dataset)
        game = Game(self, self.discriminator_network().to(self.device))
        averaged = Average(self.generator, self.config.average)
        course = Course(budget, self.config.steps, {**game.parts(), "average": averaged, **feed.parts()})
        for step in course:
            self.begin_step(game.discriminator, step, course.steps)
            for _ in range(self.critic_steps_at(step)):
                batch = feed.batch()
                judged = game.discriminator_step(batch)
            loss = game.generator_step(batch)
            averaged.update()
            course.report({"discriminator_loss": judged, "generator_loss": loss})
        averaged.apply()
        self.generator.to(memory_format=torch.contiguous_format)
        self.settle()
        self.eval()
        return course.figures()

    def scaled(self, x: Tensor) -> Tensor:
        """Items (n, C, H, W) of the data as images in [-1, 1]."""
        return scaled(x.to(self.device), self.levels)

    def seen(self, images: Tensor) -> Tensor:
        """Images as the discriminator sees them; noise keeps it from knowing few real ones, and levels, by heart."""
        return images + self.config.noise * torch.randn_like(images) if self.config.noise else images

    def quantised(self, images: Tensor) -> Tensor:
        """Images, those beyond [-1, 1] cut off there, rounded to the levels: uint8."""
        return quantised(images, self.levels)


class Game:
    """The two players, each with its own optimiser: a step of one leaves the parameters of the other as they are."""

    def __init__(self, model: AdversarialModel, discriminator: nn.Module) -> None:
        # Convolutions on a CPU are up to a third faster where the channels of a pixel lie side by side.
        self.model = model
        self.discriminator = discriminator.train().to(memory_format=torch.channels_last)
        model.generator.train().to(memory_format=torch.channels_last)
        self.generator_optimiser = model.optimiser(model.generator, model.config.rate)
        self.discriminator_optimiser = model.optimiser(discriminator, model.config.discriminator_rate)

    def parts(self) -> dict[str, Stateful]:
        """What a snapshot keeps of the game."""
        return {
            "generator": self.model.generator,
            "discriminator": self.discriminator,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    def discriminator_step(self, batch: Any) -> float:
        """One step of the discriminator on a minibatch of the feed; its loss."""
        model, discriminator = self.model, self.discriminator
        loss = model.discriminator_objective(discriminator, batch)
        descend(loss, self.discriminator_optimiser, discriminator if model.clipped else None)
        model.constrain(discriminator)
        return loss.item()

    def generator_step(self, batch: Any) -> float:
        """One step of the generator against the discriminator's scores; its loss."""
        model = self.model
        with frozen(self.discriminator):
            loss = model.generator_objective(self.discriminator, batch)
            descend(loss, self.generator_optimiser, model.generator if model.clipped else None)
        return loss.item()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """The network's weights get no gradients inside, which spares computing them; gradients pass through it."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def scaled(x: Tensor, levels: int) -> Tensor:
    """Values 0..levels - 1 as real numbers in [-1, 1]."""
    return x.float() * (2 / (levels - 1)) - 1


def quantised(images: Tensor, levels: int) -> Tensor:
    """Images, those beyond [-1, 1] cut off there, rounded to 0..levels - 1: uint8."""
    return ((images.clamp(-1, 1) + 1) / 2 * (levels - 1)).round().to(torch.uint8)

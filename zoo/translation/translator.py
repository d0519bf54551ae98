"""What all image-to-image models share: sources and targets in [-1, 1], two players, and their alternating steps.

Lecture topic: image-to-image translation. A generator maps an image of one domain to an image of another, and a
discriminator says whether the result could be from there; what else is asked of the generator tells the models apart.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014); P. Isola et al., "Image-to-Image Translation
with Conditional Adversarial Networks" (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.errors import ModelError
from zoo import checkpoints
from zoo.nn import Model, require_image, require_levels
from zoo.training import Average, Batches, Course, descend, in_batches

ITEMS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Config:
    """The sources and the training that the models have in common; a model's own Config adds its networks.

    `source_channels`, `source_levels`: what a source image has, taken from the benchmark. `steps`, `batch`: optimiser
    steps of the generator, and images per step. `critic_steps`: steps of the discriminator for each of the generator's.
    `rate`, `discriminator_rate`: learning rates of Adam. `momentum`: Adam's first beta. `average`: decay of the
    generator's moving average. `noise`: standard deviation of the Gaussian noise on every image that the discriminator
    sees, whose values span [-1, 1]. `jitter_x`, `jitter_y`: the largest random shifts of a source and its target
    together, to the side and upwards or downwards, in pixels; without pairs there are none.
    """

    source_channels: int = 1
    source_levels: int = 17
    steps: int = 1500
    batch: int = 32
    critic_steps: int = 1
    rate: float = 1e-3
    discriminator_rate: float = 1e-3
    momentum: float = 0.5  # the usual 0.9 remembers gradients of an opponent that has moved on
    average: float = 0.995
    noise: float = 0.1
    jitter_x: int = 1
    jitter_y: int = 0

    def __post_init__(self) -> None:
        if min(self.source_channels, self.steps, self.batch, self.critic_steps) < 1 or self.source_levels < 2:
            raise ValueError(f"channels, steps and batch must be positive and source_levels at least 2, got {self}")
        if not 0 <= self.average < 1 or not 0 <= self.momentum < 1:
            raise ValueError(f"average and momentum must be within [0, 1), got {self}")
        if min(self.noise, self.jitter_x, self.jitter_y) < 0:
            raise ValueError(f"noise and jitter must not be negative, got {self}")


class Translator(Model):
    """y = G(x), rounded to the levels, for images x of a source and y of a target domain of the same height and width.

    A subclass builds `generator` and the discriminator, and says what each of them descends. The checkpoint keeps the
    generator; the discriminator serves no further use.
    """

    Config = Config
    name: ClassVar[str] = "translator"
    pairs: ClassVar[bool] = True  # whether training needs a target for each source
    generator: nn.Module

    def __init__(self, spec: SampleSpec, config: Any = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels(self.name, spec)
        self.image_shape = require_image(self.name, spec)
        self.source_spec = SampleSpec((self.config.source_channels, *spec.shape[1:]), self.config.source_levels)
        self.sources: Tensor | None = None

    @classmethod
    def build(cls, setting: Setting) -> Self:
        """The factory that the catalogue names: a model from its checkpoint, or a fresh one for the sources at hand."""
        source = cls.source_of(setting.dataset)
        if setting.trained:
            model = checkpoints.load(cls, setting)
        else:
            recipe = cls.recipe(setting.spec)
            channels, levels = source.shape[0], source.levels
            model = cls(setting.spec, replace(recipe, source_channels=channels, source_levels=levels))
        model.prepare(setting)
        return model.to(setting.device).eval()

    @classmethod
    def source_of(cls, dataset: Dataset) -> SampleSpec:
        """What the sources of a dataset look like. Raises ModelError where the model cannot be trained on them."""
        source = dataset.source
        if source is None:
            raise ModelError(
                f"{cls.name} models translations of source images, which {dataset.name} does not have; "
                "edges2digits, thin2bold, pose and slant have them"
            )
        if cls.pairs and not source.paired:
            raise ModelError(f"{cls.name} models pairs, and {dataset.name} does not pair its sources with targets")
        require_levels(cls.name, source.spec)
        if require_image(cls.name, source.spec)[1:] != require_image(cls.name, dataset.spec)[1:]:
            raise ModelError(f"{cls.name} models images of one size, and sources of {dataset.name} are not of its own")
        return source.spec

    def prepare(self, setting: Setting) -> None:
        self.sources = setting.dataset.source.train

    def discriminator_network(self) -> nn.Module:
        """What gives images their scores, high for what it takes for real."""
        raise NotImplementedError

    def discriminator_loss(self, discriminator: Any, x: Tensor, y: Tensor) -> Tensor:
        """What the discriminator descends, given sources x (n, C, H, W) and targets y in [-1, 1]."""
        raise NotImplementedError

    def generator_loss(self, discriminator: Any, x: Tensor, y: Tensor) -> Tensor:
        """What the generator descends, given sources x (n, C, H, W) and targets y in [-1, 1]."""
        raise NotImplementedError

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Alternate steps of the discriminator with one of the generator; returns the mean final losses.

        The generator ends as the moving average of its weights: the players circle around their equilibrium, and the
        average lies nearer to it than any point of the orbit.
        """
        c = self.config
        feed = Feed(self, dataset)
        discriminator = self.discriminator_network().to(self.device).train()
        generator = self.generator.train()
        betas = (c.momentum, 0.999)
        optimiser = torch.optim.Adam(generator.parameters(), c.rate, betas=betas)
        opponents = torch.optim.Adam(discriminator.parameters(), c.discriminator_rate, betas=betas)
        averaged = Average(generator, c.average)
        players = {"generator": generator, "discriminator": discriminator}
        state = {"optimiser": optimiser, "opponents": opponents, "average": averaged, **feed.parts()}
        course = Course(budget, c.steps, {**players, **state})
        for _ in course:
            for _ in range(c.critic_steps):
                x, y = feed.batch()
                judged = self.discriminator_loss(discriminator, x, y)
                descend(judged, opponents)
            loss = self.generator_loss(discriminator, x, y)
            descend(loss, optimiser)
            averaged.update()
            course.report({"discriminator_loss": judged.item(), "generator_loss": loss.item()})
        averaged.apply()
        self.eval()
        return course.figures()

    def scaled(self, y: Tensor) -> Tensor:
        """Targets (n, C, H, W) of the data as images in [-1, 1]."""
        return y.to(self.device).float() * (2 / (self.levels - 1)) - 1

    def scaled_sources(self, x: Tensor) -> Tensor:
        """Sources (n, C, H, W) of the data as images in [-1, 1]."""
        return x.to(self.device).float() * (2 / (self.config.source_levels - 1)) - 1

    def seen(self, images: Tensor) -> Tensor:
        """Images as the discriminator sees them; noise keeps it from knowing few real ones, and levels, by heart."""
        return images + self.config.noise * torch.randn_like(images)

    @torch.no_grad()
    def translate(self, x: Tensor, /) -> Tensor:
        """The translations of sources (n, *source shape), uint8: uint8 (n, C, H, W)."""
        return in_batches(
            lambda part: self.quantised(self(self.scaled_sources(part))),
            self.accept(x, self.source_spec),
            ITEMS_AT_ONCE,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Sources in [-1, 1] to images of the target domain in [-1, 1]."""
        return self.generator(x)

    def sample(self, n: int, /) -> Tensor:
        """The translations of n sources of the train split, drawn at random: uint8 (n, C, H, W)."""
        if self.sources is None:
            raise ModelError(f"{self.name} samples by translating sources, and none are at hand: build it by its card")
        return self.translate(self.sources[torch.randint(len(self.sources), (n,))])

    def quantised(self, images: Tensor) -> Tensor:
        """Images, those beyond [-1, 1] cut off there, rounded to the levels: uint8."""
        return quantised(images, self.levels)


def quantised(images: Tensor, levels: int) -> Tensor:
    """Images, those beyond [-1, 1] cut off there, rounded to 0..levels - 1: uint8."""
    return ((images.clamp(-1, 1) + 1) / 2 * (levels - 1)).round().to(torch.uint8)


class Feed:
    """Minibatches of sources and targets for ever: pairs where the model trains on them, else each in its own order."""

    def __init__(self, model: Translator, dataset: Dataset) -> None:
        self.model, self.sources, self.targets = model, dataset.source.train, dataset.train
        size = model.config.batch
        self.rows = Batches(self.targets, size)
        self.source_rows = None if model.pairs else Batches(self.sources, size)

    def batch(self) -> tuple[Tensor, Tensor]:
        """The next sources and targets, each (n, C, H, W) in [-1, 1]."""
        rows = self.rows.rows()
        source_rows = rows if self.source_rows is None else self.source_rows.rows()
        return self.at(source_rows, rows)

    def at(self, source_rows: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The sources and targets of some rows, each (n, C, H, W) in [-1, 1], pairs with their jitter."""
        x, y = self.sources[source_rows], self.targets[rows]
        if self.source_rows is None:
            x, y = jittered((x, y), self.model.config.jitter_x, self.model.config.jitter_y)
        return self.model.scaled_sources(x), self.model.scaled(y)

    def parts(self) -> dict[str, Batches]:
        """What a snapshot keeps of the feed."""
        return {"rows": self.rows} if self.source_rows is None else {"rows": self.rows, "sources": self.source_rows}


def jittered(images: tuple[Tensor, ...], most_x: int, most_y: int) -> tuple[Tensor, ...]:
    """Tensors of images (n, C, H, W), the i-th of each shifted by the same random numbers of pixels.

    What lies at the border is repeated, so that a plane of one value stays one.
    """
    for axis, most in ((3, most_x), (2, most_y)):
        n, side = len(images[0]), images[0].shape[axis]
        places = (torch.arange(side) + torch.randint(-most, most + 1, (n, 1))).clamp(0, side - 1)
        places = places[:, None, None, :] if axis == 3 else places[:, None, :, None]
        images = tuple(image.gather(axis, places.expand(image.shape)) for image in images)
    return images

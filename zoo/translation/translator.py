"""What all image-to-image models add to the game: sources and targets in [-1, 1], in pairs or not.

Lecture topic: image-to-image translation. A generator maps an image of one domain to an image of another, and a
discriminator says whether the result could be from there; what else is asked of the generator tells the models apart.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014); P. Isola et al., "Image-to-Image Translation
with Conditional Adversarial Networks" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec, Setting
from genbench.errors import ModelError
from zoo import checkpoints
from zoo.adversarial import game, presets
from zoo.adversarial.game import ITEMS_AT_ONCE
from zoo.nn import require_image, require_levels
from zoo.training import Batches, in_batches


@dataclass(frozen=True, slots=True)
class Config(game.Config):
    """The sources and what is done to pairs; see `game.Config` for the training, a model's own Config for its networks.

    `source_channels`, `source_levels`: what a source image has, taken from the benchmark. `jitter_x`, `jitter_y`: the
    largest random shifts of a source and its target together, to the side and upwards or downwards, in pixels; without
    pairs there are none.
    """

    source_channels: int = 1
    source_levels: int = 17
    jitter_x: int = 0
    jitter_y: int = 0

    def __post_init__(self) -> None:
        game.Config.__post_init__(self)
        if self.source_channels < 1 or self.source_levels < 2:
            raise ValueError(f"source_channels must be positive and source_levels at least 2, got {self}")
        if min(self.jitter_x, self.jitter_y) < 0:
            raise ValueError(f"jitter must not be negative, got {self}")


class Translator(game.AdversarialModel):
    """y = G(x), rounded to the levels, for images x of a source and y of a target domain of the same height and width.

    A subclass builds `generator` and the discriminator, and says what each of them descends, given sources and targets
    in [-1, 1].
    """

    Config = Config
    name: ClassVar[str] = "translator"
    pairs: ClassVar[bool] = True  # whether training needs a target for each source

    def __init__(self, spec: SampleSpec, config: Any = None) -> None:
        super().__init__(spec, config)
        self.source_spec = SampleSpec((self.config.source_channels, *spec.shape[1:]), self.config.source_levels)
        self.sources: Tensor | None = None

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Any:
        """The preset for images of this size."""
        return cls.Config(**presets.preset(cls.name, spec))

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
                "edges2digits, thin2bold, pose, slant and edges2mnist have them"
            )
        if cls.pairs and not source.paired:
            raise ModelError(f"{cls.name} models pairs, and {dataset.name} does not pair its sources with targets")
        require_levels(cls.name, source.spec)
        if require_image(cls.name, source.spec)[1:] != require_image(cls.name, dataset.spec)[1:]:
            raise ModelError(f"{cls.name} models images of one size, and sources of {dataset.name} are not of its own")
        return source.spec

    def prepare(self, setting: Setting) -> None:
        self.sources = setting.dataset.source.train

    def feed(self, dataset: Dataset) -> Feed:
        return Feed(self, dataset)

    def discriminator_objective(self, discriminator: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.discriminator_loss(discriminator, *batch)

    def generator_objective(self, discriminator: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.generator_loss(discriminator, *batch)

    def discriminator_loss(self, discriminator: Any, x: Tensor, y: Tensor) -> Tensor:
        """What the discriminator descends, given sources x (n, C, H, W) and targets y in [-1, 1]."""
        raise NotImplementedError

    def generator_loss(self, discriminator: Any, x: Tensor, y: Tensor) -> Tensor:
        """What the generator descends, given sources x (n, C, H, W) and targets y in [-1, 1]."""
        raise NotImplementedError

    def scaled_sources(self, x: Tensor) -> Tensor:
        """Sources (n, C, H, W) of the data as images in [-1, 1]."""
        return game.scaled(x.to(self.device), self.config.source_levels)

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

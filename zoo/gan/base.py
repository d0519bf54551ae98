"""What all generative adversarial networks add to the game: images of a prior, and samples from it, truncated or not.

Lecture topic: generative adversarial networks. A generator maps z, normal or uniform, to images; a discriminator (or
critic) gives every image a score; the two are trained against each other.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014); A. Brock, J. Donahue and K. Simonyan, "Large
Scale GAN Training for High Fidelity Natural Image Synthesis" (2019), for the truncation trick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genbench.contracts import Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.adversarial import game, presets
from zoo.adversarial.game import ITEMS_AT_ONCE
from zoo.training import Batches, Stateful, in_batches, sizes

PRIORS = ("normal", "uniform")


@dataclass(frozen=True, slots=True)
class Config(game.Config):
    """The input; see `game.Config` for the training, and the model's own Config for its networks.

    `latent`: dimensions of z. `prior`: of z, "normal" for N(0, I) or "uniform" for every component in [-1, 1]. `modes`:
    how many components of z only pick, by the largest, one of as many learned vectors; 0 is the papers' input.
    """

    latent: int = 100
    prior: str = "normal"
    modes: int = 0

    def __post_init__(self) -> None:
        game.Config.__post_init__(self)
        if self.prior not in PRIORS:
            raise ValueError(f"prior must be one of {', '.join(PRIORS)}, got {self.prior!r}")
        if self.latent < 1 or not 0 <= self.modes <= self.latent:
            raise ValueError(f"latent must be positive and modes within 0..latent, got {self}")


class GAN(game.AdversarialModel):
    """x = G(z), rounded to the levels. No likelihood: p(x) is defined by its sampler alone.

    A subclass builds its two networks, and says what each of them descends as functions of the discriminator's scores.
    """

    Config = Config
    name: ClassVar[str] = "gan"
    truncation: Literal["threshold", "interpolation"] = "threshold"
    discriminator_loss: Callable[[Tensor, Tensor], Tensor]  # of the scores of real and of generated images
    generator_loss: Callable[[Tensor], Tensor]  # of the scores of generated images

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.latent_shape: tuple[int, ...] = (self.config.latent,)
        self.generator = self.generator_network()

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The preset for images of this size."""
        return cls.Config(**presets.preset(cls.name, spec))

    def generator_network(self) -> nn.Module:
        """A network from codes (n, *latent_shape) to images (n, C, H, W) in [-1, 1]."""
        raise NotImplementedError

    def discriminator_penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor | float:
        """What the discriminator descends besides, of the images (n, C, H, W) that it has seen."""
        return 0.0

    def generator_penalty(self) -> Tensor | float:
        """What the generator descends besides."""
        return 0.0

    def imagine(self, n: int, labels: Tensor | None) -> Tensor:
        """n generated images (n, C, H, W) for training, of the classes `labels` (n,) where the data has any."""
        return self.generator(self.sample_latent(n))

    def judge(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        """The scores (n, 1) of images as `seen`, of the classes `labels` (n,) where the data has any."""
        return discriminator(images)

    def feed(self, dataset: Dataset) -> Feed:
        return Feed(self, dataset)

    def discriminator_objective(self, discriminator: nn.Module, batch: Batch) -> Tensor:
        """The loss of the scores of real images and of as many generated ones, and the penalty."""
        real, labels = batch
        with torch.no_grad():
            fake = self.imagine(len(real), labels)
        real, fake = self.seen(real), self.seen(fake)
        scores = self.judge(discriminator, real, labels), self.judge(discriminator, fake, labels)
        return self.discriminator_loss(*scores) + self.discriminator_penalty(discriminator, real, fake)

    def generator_objective(self, discriminator: nn.Module, batch: Batch) -> Tensor:
        """The loss of the scores of a batch of generated images, and the penalty."""
        n, labels = self.config.batch, batch[1]
        if labels is not None:
            labels = labels[torch.randint(len(labels), (n,), device=labels.device)]
        scores = self.judge(discriminator, self.seen(self.imagine(n, labels)), labels)
        return self.generator_loss(scores) + self.generator_penalty()

    @torch.no_grad()
    def settle(self, passes: int = 10) -> None:
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
        """n codes z of the prior: (n, latent)."""
        return self.draw(n)

    def truncated_latent(self, n: int, psi: float) -> Tensor:
        """n codes of the prior given that all components lie within [-psi, psi]: (n, latent)."""
        return self.draw(n, psi)

    def draw(self, n: int, psi: float = math.inf) -> Tensor:
        """n draws z of the prior, truncated to [-psi, psi]: (n, latent).

        The distribution is that of resampling the components outside until they are inside; the inverse of the normal
        distribution function reaches it at once, however small psi. Raises ModelError unless psi is positive.
        """
        if not psi > 0:
            raise ModelError(f"psi must be positive, got {psi}")
        shape, normal = (n, self.config.latent), self.config.prior == "normal"
        if normal and psi == math.inf:
            return torch.randn(shape, device=self.device)
        uniform = 2 * torch.rand(shape, dtype=torch.float64, device=self.device) - 1
        if not normal:
            return (min(psi, 1.0) * uniform).float()
        inside = math.erf(psi / math.sqrt(2))
        return (math.sqrt(2) * torch.erfinv(inside * uniform)).clamp(-psi, psi).float()

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The images of codes (n, *latent_shape): uint8 (n, C, H, W)."""
        return in_batches(lambda part: self.quantised(self.generator(part)), z.to(self.device), ITEMS_AT_ONCE)


Batch = tuple[Tensor, Tensor | None]


class Feed:
    """Minibatches of images in [-1, 1] with their labels, where the data has any."""

    def __init__(self, model: GAN, dataset: Dataset) -> None:
        self.model, self.images, self.labels = model, dataset.train, dataset.train_labels
        self.rows = Batches(dataset.train, model.config.batch)

    def batch(self) -> Batch:
        """The next images (n, C, H, W), n at least 2 as batch norm needs, and labels (n,) or None."""
        rows = self.rows.rows()
        if len(rows) == 1:  # what an epoch left over: it joins the next minibatch
            rows = torch.cat([rows, self.rows.rows()])
        labels = None if self.labels is None else self.labels[rows].to(self.model.device)
        return self.model.scaled(self.images[rows]), labels

    def parts(self) -> Mapping[str, Stateful]:
        return {"feed": self.rows}

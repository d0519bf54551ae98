"""The class-conditional GAN of residual blocks, with the truncation trick.

Lecture topic: generative adversarial networks, class-conditional and large. The generator is told the class in every
batch norm, whose gains and biases are linear in a shared embedding of it and in a part of z; the discriminator adds to
its score the inner product of the image's features with an embedding of the class, and its layers have spectral norm 1.
Truncating z trades variety for quality, and orthogonal regularisation makes the generator bear it. A code of this
model is z with the one-hot class behind it, so that one can also walk from class to class.

References: A. Brock, J. Donahue and K. Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis"
(2019); T. Miyato and M. Koyama, "cGANs with Projection Discriminator" (2018); T. Miyato et al., "Spectral
Normalization for Generative Adversarial Networks" (2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError
from zoo.gan import adversarial
from zoo.gan.resolutions import channels, enlarge, grids, halve
from zoo.gan.sn_gan import Hinge


@dataclass(frozen=True, slots=True)
class Config(adversarial.Config):
    """The networks; see `adversarial.Config` for their training.

    `classes`: how many the data has, which `fit` finds out; 1 where it has no labels. `embedding`: dimensions of the
    generator's shared class embedding. `width`: channels at the full resolution, doubled with every halving of it.
    `orthogonality`: the weight beta of orthogonal regularisation.
    """

    latent: int = 16
    steps: int = 1600
    batch: int = 32
    momentum: float = 0.0
    average: float = 0.998
    classes: int = 1
    embedding: int = 16
    width: int = 16
    orthogonality: float = 1e-4

    def __post_init__(self) -> None:
        adversarial.Config.__post_init__(self)
        if min(self.classes, self.embedding, self.width) < 1 or self.orthogonality < 0:
            raise ValueError(f"classes, embedding and width must be positive, orthogonality not negative, got {self}")


def normalised(layer: nn.Module) -> nn.Module:
    """A layer as the paper has them all: orthogonal at first, and of spectral norm 1 all the time."""
    nn.init.orthogonal_(layer.weight)
    return spectral_norm(layer)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gains and biases are linear in a condition (n, inputs): 1 + and 0 + of it."""

    def __init__(self, features: int, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(features, affine=False)
        self.gain = normalised(nn.Linear(inputs, features, bias=False))
        self.bias = normalised(nn.Linear(inputs, features, bias=False))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.gain(condition)[:, :, None, None], self.bias(condition)[:, :, None, None]
        return (1 + gain) * self.norm(x) + bias


class GrowingBlock(nn.Module):
    """A residual block of the generator that doubles the resolution to the next grid."""

    def __init__(self, before: int, after: int, inputs: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.norms = nn.ModuleList([ConditionalBatchNorm(before, inputs), ConditionalBatchNorm(after, inputs)])
        self.first = normalised(nn.Conv2d(before, after, 3, padding=1))
        self.second = normalised(nn.Conv2d(after, after, 3, padding=1))
        self.skip = normalised(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.first(enlarge(F.relu(self.norms[0](x, condition)), self.grid))
        y = self.second(F.relu(self.norms[1](y, condition)))
        # A convolution of one pixel gives the same before the enlargement as after it, at a quarter of the work.
        return y + enlarge(self.skip(x), self.grid)


class Generator(nn.Module):
    """Maps codes (n, latent + classes) to images in [-1, 1]: z, in equal parts for every level, and the class."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__()
        sizes = grids(*shape[1:])
        wide = channels(config.width, len(sizes))
        # The first layer gets what is left when every block has had its part.
        self.part = config.latent // len(sizes)
        self.parts = [config.latent - self.part * (len(sizes) - 1), *[self.part] * (len(sizes) - 1)]
        self.latent = config.latent
        self.embedding = nn.Linear(config.classes, config.embedding, bias=False)
        nn.init.normal_(self.embedding.weight)
        self.first = normalised(nn.Linear(self.parts[0], wide[0] * math.prod(sizes[0])))
        self.unflatten = nn.Unflatten(1, (wide[0], *sizes[0]))
        inputs = config.embedding + self.part
        self.blocks = nn.ModuleList(
            GrowingBlock(before, after, inputs, grid)
            for before, after, grid in zip(wide, wide[1:], sizes[1:], strict=False)
        )
        self.to_image = nn.Sequential(
            nn.BatchNorm2d(wide[-1]),
            nn.ReLU(),
            normalised(nn.Conv2d(wide[-1], shape[0], 3, padding=1)),
            nn.Tanh(),
        )

    def forward(self, code: Tensor) -> Tensor:
        first, *rest = code[:, : self.latent].split(self.parts, 1)
        shared = self.embedding(code[:, self.latent :])
        x = self.unflatten(self.first(first))
        for block, part in zip(self.blocks, rest, strict=True):
            x = block(x, torch.cat([shared, part], 1))
        return self.to_image(x)


class ShrinkingBlock(nn.Module):
    """A residual block of the discriminator, which halves the resolution unless it is the last."""

    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = normalised(nn.Conv2d(before, after, 3, padding=1))
        self.second = normalised(nn.Conv2d(after, after, 3, padding=1))
        self.skip = normalised(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(F.relu(x))))
        return halve(y + self.skip(x)) if self.halves else y + self.skip(x)


class Discriminator(nn.Module):
    """Scores (n, 1) of images with their classes: v . h(x) + c + e(y) . h(x), the projection discriminator."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__()
        wide = channels(config.width, len(grids(*shape[1:])))[::-1]
        self.first = normalised(nn.Conv2d(shape[0], wide[0], 3, padding=1))
        self.blocks = nn.Sequential(
            *[ShrinkingBlock(before, after, True) for before, after in zip(wide, wide[1:], strict=False)],
            ShrinkingBlock(wide[-1], wide[-1], False),
        )
        self.score = normalised(nn.Linear(wide[-1], 1))
        self.embedding = normalised(nn.Embedding(config.classes, wide[-1]))

    def features(self, images: Tensor) -> Tensor:
        """h(x): the last block's outputs summed over all pixels, (n, channels)."""
        return F.relu(self.blocks(self.first(images))).sum((2, 3))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        h = self.features(images)
        return self.score(h) + (self.embedding(labels) * h).sum(1, keepdim=True)


def orthogonal_penalty(weight: Tensor) -> Tensor:
    """The squared inner products of all pairs of different rows of a weight (rows, ...), summed.

    The paper's form leaves the diagonal alone: rows are to be orthogonal, and may be of any length.
    """
    rows = weight.flatten(1)
    products = rows @ rows.T
    return products.square().sum() - products.diagonal().square().sum()


class BigGAN(Hinge, adversarial.GAN):
    """x = G(z, y): images of a class, against a discriminator that is told the class."""

    Config = Config
    name = "biggan"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.latent_shape = (self.config.latent + self.config.classes,)

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The defaults suit a thousand small images; the paper's two steps and its rates serve larger data."""
        if spec.size <= 256:
            return Config()
        rates = {"rate": 5e-5, "discriminator_rate": 2e-4}
        return Config(latent=80, embedding=64, critic_steps=2, steps=40_000, average=0.9999, noise=0.0, **rates)

    def generator_network(self) -> nn.Module:
        return Generator(self.image_shape, self.config)

    def discriminator_network(self) -> nn.Module:
        return Discriminator(self.image_shape, self.config)

    def generator_penalty(self) -> Tensor | float:
        """Orthogonal regularisation of all the generator's maps but the class embedding."""
        named = self.generator.named_parameters()
        maps = [weight for name, weight in named if weight.ndim > 1 and not name.startswith("embedding")]
        return self.config.orthogonality * torch.stack([orthogonal_penalty(weight) for weight in maps]).sum()

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
        if labels is None:
            return super().imagine(n, labels)
        return self.generator(self.coded(torch.randn(n, self.config.latent, device=self.device), labels))

    def judge(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        labels = torch.zeros(len(images), dtype=torch.long, device=self.device) if labels is None else labels
        return discriminator(images, labels)

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes: z ~ N(0, I) and the indicator of a class drawn uniformly."""
        return self.coded(torch.randn(n, self.config.latent, device=self.device), self.any_labels(n))

    def truncated_latent(self, n: int, psi: float) -> Tensor:
        """n codes whose z is truncated; all classes stay as likely as they were."""
        code = super().truncated_latent(n, psi)
        return code if psi == math.inf else self.coded(code[:, : self.config.latent], self.any_labels(n))

    def sample_class(self, n: int, label: int) -> Tensor:
        """n images of a class, uint8 (n, C, H, W). Raises InputError where there is no such class."""
        if not 0 <= label < self.config.classes:
            raise InputError(f"the classes are 0..{self.config.classes - 1}, got {label}")
        codes = self.sample_latent(n)
        return self.decode(self.coded(codes[:, : self.config.latent], torch.full((n,), label, device=self.device)))

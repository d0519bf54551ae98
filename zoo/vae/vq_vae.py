"""Vector-quantised autoencoders: a grid of codes under a uniform prior, and the same codes under a PixelCNN.

Lecture topic: vector-quantised autoencoders. The encoder's vectors are replaced by their nearest codes; the gradient is
copied from the decoder's input to the encoder's output. The posterior is a point mass, so that the evidence lower bound
is log p(x|z(x)) + log p(z(x)); the prior may be learned when the codes are.

References: A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural Discrete Representation Learning" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.seeding import scoped
from zoo.nn import Model, require_image, require_levels
from zoo.training import in_batches, minimise, sizes
from zoo.vae.codes import CodePrior, Quantiser, Stage, perplexity
from zoo.vae.observation import observation_model

ITEMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Config:
    """The autoencoder and its training.

    `codes`: entries of the codebook. `size`: numbers of an entry. `halvings`: how often encoder and decoder halve and
    double the image's sides, at least 1. `width`: features within both. `features`: features of every pixel in the
    decoder's last layer but one. `commitment`: weight of the encoder's distance to its codes. `dropout`: chance of
    dropping a feature while training. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step
    and initial rate. `average`: decay of the moving averages that the codes are of the vectors nearest to them; 0 for
    codes that a loss moves.
    """

    codes: int = 64
    size: int = 16
    halvings: int = 2
    width: int = 56
    features: int = 16
    commitment: float = 0.25
    dropout: float = 0.2
    decay: float = 0.05
    steps: int = 1200
    batch: int = 50
    rate: float = 4e-3
    average: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be within [0, 1), got {self}")
        if min(self.size, self.halvings, self.width, self.features, self.steps, self.batch) < 1 or self.codes < 2:
            raise ValueError(f"codes must be at least 2, other sizes, steps and batch positive, got {self}")
        if not 0 <= self.dropout < 1 or min(self.decay, self.commitment) < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay, commitment >= 0 and rate > 0, got {self}")


@dataclass(frozen=True, slots=True)
class PriorConfig(Config):
    """The autoencoder's fields, and the prior's with their training.

    `prior_width`: features of every position. `prior_blocks`: residual blocks. `prior_dropout`, `prior_decay`,
    `prior_steps`, `prior_rate`: as the autoencoder's.
    """

    prior_width: int = 32
    prior_blocks: int = 3
    prior_dropout: float = 0.4
    prior_decay: float = 0.1
    prior_steps: int = 400
    prior_rate: float = 4e-3

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        if min(self.prior_blocks, self.prior_steps) < 1 or self.prior_width < 2 or self.prior_width % 2:
            raise ValueError(f"prior_blocks and prior_steps must be positive, prior_width even, got {self}")
        if not 0 <= self.prior_dropout < 1 or self.prior_decay < 0 or self.prior_rate <= 0:
            raise ValueError(f"the prior's dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class Residual(nn.Module):
    """Features filtered with a 3 x 3 window, mixed, and added to what came in."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *(nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)),
            *(nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(width, width, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class Halve(nn.Sequential):
    """Maps (n, inputs, h, w) to (n, outputs, ceil(h / 2), ceil(w / 2))."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.SiLU())


class Double(nn.Module):
    """Maps (n, inputs, h, w) to features of twice the sides, or one less where the grid wanted has odd sides."""

    def __init__(self, inputs: int, outputs: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, :, : self.grid[0], : self.grid[1]]


def halved_grids(height: int, width: int, halvings: int) -> list[tuple[int, int]]:
    """The sides of an image before and after each halving, which rounds up: halvings + 1 pairs."""
    grids = [(height, width)]
    for _ in range(halvings):
        grids.append((-(-grids[-1][0] // 2), -(-grids[-1][1] // 2)))
    return grids


class Decoder(nn.Module):
    """From a map of vectors (n, inputs, h, w) to the parameters of p(x|z) (n, numbers, C, H, W)."""

    def __init__(
        self, inputs: int, numbers: int, shape: tuple[int, int, int], c: Config, grids: list[tuple[int, int]]
    ) -> None:
        super().__init__()
        channels = shape[0]
        widths = [c.features] + [c.width] * (len(grids) - 1)
        layers: list[nn.Module] = [nn.Conv2d(inputs, c.width, 3, padding=1), Residual(c.width, c.dropout), nn.SiLU()]
        for level in reversed(range(len(grids) - 1)):
            layers += [nn.Dropout(c.dropout), Double(widths[level + 1], widths[level], grids[level])]
            layers += [nn.SiLU()] if level else []
        self.layers = nn.Sequential(*layers)
        # Convolutions do not know where they are, and a digit's pixels depend on it.
        self.position = nn.Parameter(torch.zeros(c.features, *grids[0]))
        self.last = nn.Sequential(
            nn.SiLU(), nn.Conv2d(c.features, numbers * channels, 1), nn.Unflatten(1, (numbers, channels))
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.layers(z) + self.position)


class Autoencoder(nn.Module):
    """Encoder, codebook and decoder."""

    def __init__(self, spec: SampleSpec, numbers: int, c: Config) -> None:
        super().__init__()
        channels, height, width = require_image("vq-vae", spec)
        self.levels = require_levels("vq-vae", spec)
        self.grids = halved_grids(height, width, c.halvings)
        self.encoder = nn.Sequential(
            *(Halve(channels if level == 0 else c.width, c.width) for level in range(c.halvings)),
            *(nn.Dropout(c.dropout), Residual(c.width, c.dropout), nn.Conv2d(c.width, c.size, 1)),
        )
        self.quantiser = Quantiser(c.codes, c.size, c.average)
        self.decoder = Decoder(c.size, numbers, (channels, height, width), c, self.grids)

    def encode(self, x: Tensor) -> Tensor:
        """Levels (n, C, H, W) to the vectors before they are quantised: (n, size, h, w)."""
        return self.encoder(x.float() * (2 / (self.levels - 1)) - 1)


class VQVAE(Model):
    """p(x) = sum_z p(z) p(x|z) over grids of codes z; q(z|x) is the point mass on those nearest to the encoder's."""

    Config = Config
    name = "vq-vae"
    log_prob_kind: Literal["lower_bound"] = "lower_bound"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        require_image(self.name, spec)
        self.observation = observation_model(require_levels(self.name, spec))
        self.autoencoder = Autoencoder(spec, self.observation.numbers, self.config)
        self.grid = self.autoencoder.grids[-1]
        self.positions = math.prod(self.grid)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Minimise -log p(x|z) and the codes' two losses; `loss` is in nats per dimension."""
        c = self.config
        # Fresh weights under a seed of their own: the models that share this stage differ in nothing but the prior.
        with scoped(budget.seed, "vq-vae"):
            self.autoencoder = Autoencoder(self.spec, self.observation.numbers, c).to(self.device)
            stage = Stage(c.steps, c.batch, c.rate, c.decay)
            figures = minimise(self.loss, self.autoencoder, dataset.train, budget, stage)
        return {**figures, "perplexity": perplexity(self.encode(dataset.train), c.codes)}

    def loss(self, x: Tensor) -> Tensor:
        """The mean over items x of the three terms, in nats per dimension."""
        vectors = self.autoencoder.encode(x)
        quantised, codebook_loss, commitment = self.autoencoder.quantiser(vectors)
        distortion = -self.observation.log_prob(self.autoencoder.decoder(quantised), x)
        return (distortion + codebook_loss + self.config.commitment * commitment).mean() / self.spec.size

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes of items (n, C, H, W): int64 (n, h, w)."""

        def codes(part: Tensor) -> Tensor:
            return self.autoencoder.quantiser.nearest(self.autoencoder.encode(part))

        return in_batches(codes, self.accept(x), ITEMS_AT_ONCE)

    def parameters_given(self, codes: Tensor) -> Tensor:
        """The parameters of p(x|z) for codes (n, h, w): (n, numbers, C, H, W)."""
        return self.autoencoder.decoder(self.autoencoder.quantiser.lookup(codes))

    def log_prior(self, codes: Tensor) -> Tensor:
        """log p(z) of codes (n, h, w) in nats: (n,)."""
        return torch.full((len(codes),), -self.positions * math.log(self.config.codes), device=codes.device)

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """The bound log p(x|z(x)) + log p(z(x)) in nats: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            codes = self.encode(part)
            given = self.observation.log_prob(self.parameters_given(codes), part)
            return given.double() + self.log_prior(codes).double()

        return in_batches(bound, self.accept(x), ITEMS_AT_ONCE)

    def sample(self, n: int, /) -> Tensor:
        """n items x ~ p(x|z) of codes of the prior, with the noise of their pixels: uint8 (n, C, H, W)."""
        return torch.cat([self._draw(self.sample_codes(part)) for part in sizes(n, ITEMS_AT_ONCE)])

    def sample_codes(self, n: int) -> Tensor:
        """n grids of codes of the prior: int64 (n, h, w)."""
        return torch.randint(self.config.codes, (n, *self.grid), device=self.device)

    @torch.no_grad()
    def _draw(self, codes: Tensor) -> Tensor:
        return self.observation.sample(self.parameters_given(codes))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """The median of p(x|z) at each item's own codes: uint8 (n, C, H, W)."""

        def median(codes: Tensor) -> Tensor:
            return self.observation.median(self.parameters_given(codes))

        return in_batches(median, self.encode(x), ITEMS_AT_ONCE)


class VQVAEPixelCNN(VQVAE):
    """The autoencoder of VQVAE with an autoregressive prior p(z), trained on the codes when they no longer change."""

    Config = PriorConfig
    name = "vq-vae-pixelcnn"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: PriorConfig | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.prior = CodePrior(c.codes, self.grid, c.prior_width, c.prior_blocks, c.prior_dropout)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Train the autoencoder as VQVAE does, then the prior; `prior_loss` is in nats per position."""
        c = self.config
        figures = super().fit(dataset, budget)
        prior = minimise(
            lambda codes: -self.prior.log_prob(codes).mean() / self.positions,
            self.prior,
            self.encode(dataset.train),
            budget,
            Stage(c.prior_steps, c.batch, c.prior_rate, c.prior_decay),
        )
        return {**figures, "prior_loss": prior["loss"]}

    def log_prior(self, codes: Tensor) -> Tensor:
        return self.prior.log_prob(codes)

    def sample_codes(self, n: int, psi: float = 1.0) -> Tensor:
        return self.prior.sample(n, psi)

    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n items of codes drawn with the prior's logits divided by the temperature psi > 0; 1.0 is no truncation."""
        return torch.cat([self._draw(self.sample_codes(part, psi)) for part in sizes(n, ITEMS_AT_ONCE)])

"""VQ-VAE-2: codes on two levels, and a prior for the fine ones given the coarse ones.

Lecture topic: vector-quantised autoencoders. The top grid says what the image is, the bottom grid, twice as fine and
quantised with the decoded top at hand, adds what the top leaves out; the decoder sees both. Two PixelCNNs make it
generative: one over the top codes, one over the bottom codes given the top.

References: A. Razavi, A. van den Oord and O. Vinyals, "Generating Diverse High-Fidelity Images with VQ-VAE-2" (2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.nn import Model, require_image, require_levels
from zoo.training import in_batches, minimise, sizes
from zoo.vae.codes import CodePrior, Quantiser, Stage, perplexity
from zoo.vae.observation import observation_model
from zoo.vae.vq_vae import Decoder, Double, Halve, PriorConfig, Residual, halved_grids

ITEMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Config(PriorConfig):
    """VQVAEPixelCNN's fields, which here mean the bottom grid (`halvings`, `codes`) and both priors, and the top's.

    `top_codes`: entries of the codebook of the top grid, which is one halving coarser than the bottom.
    """

    top_codes: int = 16

    def __post_init__(self) -> None:
        PriorConfig.__post_init__(self)
        if self.top_codes < 2:
            raise ValueError(f"top_codes must be at least 2, got {self}")


class TwoLevels(nn.Module):
    """Two encoders, two codebooks and the decoder."""

    def __init__(self, spec: SampleSpec, numbers: int, c: Config) -> None:
        super().__init__()
        channels, height, width = require_image("vq-vae-2", spec)
        self.levels = require_levels("vq-vae-2", spec)
        self.grids = halved_grids(height, width, c.halvings + 1)
        self.below = nn.Sequential(
            *(Halve(channels if level == 0 else c.width, c.width) for level in range(c.halvings)),
            *(nn.Dropout(c.dropout), Residual(c.width, c.dropout)),
        )
        self.above = nn.Sequential(Halve(c.width, c.width), nn.Dropout(c.dropout), nn.Conv2d(c.width, c.size, 1))
        self.top = Quantiser(c.top_codes, c.size, c.average)
        self.down = Double(c.size, c.width, self.grids[-2])
        self.join = nn.Sequential(nn.SiLU(), nn.Conv2d(2 * c.width, c.size, 1))
        self.bottom = Quantiser(c.codes, c.size, c.average)
        self.decoder = Decoder(c.width + c.size, numbers, (channels, height, width), c, self.grids[:-1])

    def features(self, x: Tensor) -> Tensor:
        """What both encoders see of levels (n, C, H, W): (n, width, h, w) on the bottom grid."""
        return self.below(x.float() * (2 / (self.levels - 1)) - 1)

    def bottom_vectors(self, features: Tensor, top: Tensor) -> Tensor:
        """The bottom vectors before they are quantised, given the quantised top (n, size, h', w'): (n, size, h, w)."""
        return self.join(torch.cat([features, self.down(top)], dim=1))

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """The parameters of p(x|z) for the quantised vectors of both levels: (n, numbers, C, H, W)."""
        return self.decoder(torch.cat([self.down(top), bottom], dim=1))


class Priors(nn.Module):
    """log p(top) + log p(bottom | top) over pairs of grids of codes; the top's codes are told to the bottom's prior."""

    def __init__(self, top_grid: tuple[int, int], bottom_grid: tuple[int, int], c: Config) -> None:
        super().__init__()
        self.top = CodePrior(c.top_codes, top_grid, c.prior_width, c.prior_blocks, c.prior_dropout)
        self.bottom = CodePrior(c.codes, bottom_grid, c.prior_width, c.prior_blocks, c.prior_dropout, c.prior_width)
        self.spread = nn.Sequential(
            nn.Conv2d(c.top_codes, c.prior_width, 3, padding=1),
            *(nn.SiLU(), nn.Dropout(c.prior_dropout)),
            Double(c.prior_width, c.prior_width, bottom_grid),
        )

    def condition(self, top: Tensor) -> Tensor:
        """Top codes (n, h', w') as a map on the bottom grid: (n, width, h, w)."""
        return self.spread(self.top.one_hot(top))

    def log_prob(self, top: Tensor, bottom: Tensor) -> Tensor:
        """In nats, (n,)."""
        return self.top.log_prob(top) + self.bottom.log_prob(bottom, self.condition(top))

    def sample(self, n: int, psi: float) -> tuple[Tensor, Tensor]:
        """n pairs of grids, every code's logits divided by the temperature psi > 0."""
        top = self.top.sample(n, psi)
        return top, self.bottom.sample(n, psi, self.condition(top))


class VQVAE2(Model):
    """p(x) = sum over z of p(top) p(bottom | top) p(x | top, bottom); q(z|x) is a point mass on the nearest codes."""

    Config = Config
    name = "vq-vae-2"
    log_prob_kind: Literal["lower_bound"] = "lower_bound"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        require_image("vq-vae-2", spec)
        self.observation = observation_model(require_levels("vq-vae-2", spec))
        self.autoencoder = TwoLevels(spec, self.observation.numbers, self.config)
        self.bottom_grid, self.top_grid = self.autoencoder.grids[-2:]
        self.priors = Priors(self.top_grid, self.bottom_grid, self.config)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Train the autoencoder, then both priors; `loss` is in nats per dimension, `prior_loss` in nats per code."""
        c = self.config
        stage = Stage(c.steps, c.batch, c.rate, c.decay)
        figures = minimise(self.loss, self.autoencoder, dataset.train, budget, stage)
        top, bottom = self.encode(dataset.train)
        places = math.prod(self.top_grid)

        def prior_loss(codes: Tensor) -> Tensor:
            first, second = codes[:, :places].unflatten(1, self.top_grid), codes[:, places:]
            log_prob = self.priors.log_prob(first, second.unflatten(1, self.bottom_grid))
            return -log_prob.mean() / codes.shape[1]

        stage = Stage(c.prior_steps, c.batch, c.prior_rate, c.prior_decay)
        both = torch.cat([top.flatten(1), bottom.flatten(1)], dim=1)
        prior = minimise(prior_loss, self.priors, both, budget, stage)
        return {
            **figures,
            "prior_loss": prior["loss"],
            "top_perplexity": perplexity(top, c.top_codes),
            "bottom_perplexity": perplexity(bottom, c.codes),
        }

    def loss(self, x: Tensor) -> Tensor:
        """The mean over items x of -log p(x|z) and both levels' codebook and commitment losses, nats per dimension."""
        model = self.autoencoder
        features = model.features(x)
        top, *top_losses = model.top(model.above(features))
        bottom, *bottom_losses = model.bottom(model.bottom_vectors(features, top))
        distortion = -self.observation.log_prob(model.decode(top, bottom), x)
        codebook_loss, commitment = (sum(pair) for pair in zip(top_losses, bottom_losses, strict=True))
        return (distortion + codebook_loss + self.config.commitment * commitment).mean() / self.spec.size

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The top codes int64 (n, h', w') and bottom codes (n, h, w) of items (n, C, H, W)."""
        model, pairs = self.autoencoder, []
        for part in self.accept(x).split(ITEMS_AT_ONCE):
            features = model.features(part)
            top = model.top.nearest(model.above(features))
            pairs.append((top, model.bottom.nearest(model.bottom_vectors(features, model.top.lookup(top)))))
        tops, bottoms = zip(*pairs, strict=True)
        return torch.cat(tops), torch.cat(bottoms)

    def parameters_given(self, top: Tensor, bottom: Tensor) -> Tensor:
        """The parameters of p(x|z) for the codes of both grids: (n, numbers, C, H, W)."""
        return self.autoencoder.decode(self.autoencoder.top.lookup(top), self.autoencoder.bottom.lookup(bottom))

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """The bound log p(x|z(x)) + log p(top) + log p(bottom|top) in nats: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            top, bottom = self.encode(part)
            given = self.observation.log_prob(self.parameters_given(top, bottom), part)
            return given.double() + self.priors.log_prob(top, bottom).double()

        return in_batches(bound, self.accept(x), ITEMS_AT_ONCE)

    def sample(self, n: int, /) -> Tensor:
        """n items x ~ p(x|z) of codes of the priors, with the noise of their pixels: uint8 (n, C, H, W)."""
        return self.sample_truncated(n, psi=1.0)

    @torch.no_grad()
    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n items of codes drawn with both priors' logits divided by the temperature psi > 0; 1.0 is no truncation."""
        codes = (self.priors.sample(part, psi) for part in sizes(n, ITEMS_AT_ONCE))
        return torch.cat([self.observation.sample(self.parameters_given(*pair)) for pair in codes])

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """The median of p(x|z) at each item's own codes: uint8 (n, C, H, W)."""
        parts = self.accept(x).split(ITEMS_AT_ONCE)
        return torch.cat([self.observation.median(self.parameters_given(*self.encode(part))) for part in parts])

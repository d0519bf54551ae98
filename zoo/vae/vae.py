"""The variational autoencoder.

Lecture topic: variational autoencoders. A decoder p(x|z) with a Gaussian prior over z, and an encoder q(z|x) trained
with it by the reparametrised evidence lower bound.

References: D. Kingma and M. Welling, "Auto-Encoding Variational Bayes" (2014); Y. Burda et al., "Importance Weighted
Autoencoders" (2016), for the bound that `log_prob` reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.likelihood import importance_weighted_bound
from zoo.nn import Model, require_levels
from zoo.training import in_batches, minimise, sizes
from zoo.vae.observation import observation_model

ITEMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Config:
    """The networks and their training.

    `latent`: dimensions of z. `hidden`: units of each of the two hidden layers of encoder and decoder. `features`:
    units per dimension of x in the decoder's last hidden layer. `dropout`: chance of dropping a unit of the others
    while training. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial rate.
    """

    latent: int = 16
    hidden: int = 256
    features: int = 8
    dropout: float = 0.1
    decay: float = 0.01
    steps: int = 2000
    batch: int = 100
    rate: float = 2e-3

    def __post_init__(self) -> None:
        if min(self.latent, self.hidden, self.features, self.steps, self.batch) < 1:
            raise ValueError(f"latent, hidden, features, steps and batch must be positive, got {self}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class VAE(Model):
    """p(x) = E[p(x|z)] over z ~ N(0, I); q(z|x) is a Gaussian with diagonal covariance."""

    Config = Config
    log_prob_kind: Literal["lower_bound"] = "lower_bound"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("vae", spec)
        self.observation = observation_model(self.levels)
        self.importance_samples = 128
        self.latent_shape = (self.config.latent,)
        latent, features = self.config.latent, self.config.features
        self.encoder = self._network(spec.size, 2 * latent)
        # One map from features to parameters serves all dimensions of x: levels mean the same everywhere, and a map of
        # its own for each would learn the few images of a small data set by heart.
        self.decoder = nn.Sequential(
            *(self._network(latent, features * spec.size), nn.SiLU(), nn.Unflatten(1, (features, spec.size))),
            nn.Conv1d(features, self.observation.numbers, kernel_size=1),
        )

    def _network(self, inputs: int, outputs: int) -> nn.Sequential:
        hidden, dropout = self.config.hidden, self.config.dropout
        return nn.Sequential(
            *(nn.Linear(inputs, hidden), nn.SiLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.SiLU(), nn.Dropout(dropout)),
            nn.Linear(hidden, outputs),
        )

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The defaults suit a thousand small images; larger ones come in numbers that bear larger networks."""
        if spec.size <= 256:
            return Config()
        return Config(latent=32, hidden=512, features=4, dropout=0.0, steps=20_000, rate=1e-3)

    def prepare(self, setting: Setting) -> None:
        self.importance_samples = setting.effort.importance_samples

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the ELBO; the loss is its negative in nats per dimension."""
        return minimise(
            lambda x: -self.elbo(x).mean() / self.spec.size,
            self,
            dataset.train,
            budget,
            self.config,
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x), each (n, latent)."""
        centred = x.flatten(1).float() * (2 / (self.levels - 1)) - 1
        mean, log_std = self.encoder(centred).chunk(2, dim=1)
        # No posterior needs to be narrower; without a floor a far-out item could give exp an overflow.
        return mean, log_std.clamp(-7, 3)

    def parameters_given(self, z: Tensor) -> Tensor:
        """The parameters of p(x|z) for codes (n, latent): (n, numbers, *shape)."""
        return self.decoder(z).reshape(len(z), self.observation.numbers, *self.spec.shape)

    def elbo(self, x: Tensor) -> Tensor:
        """E_q[log p(x|z)] - KL(q(z|x) || N(0, I)) with one reparametrised z and the KL in closed form: (n,), nats."""
        mean, log_std = self.encode(x)
        z = mean + log_std.exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std
        return self.observation.log_prob(self.parameters_given(z), x) - divergence.sum(1)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, z) - log q(z|x) for k draws z of q(z|x): (k, n), nats."""
        mean, log_std = self.encode(x)
        noise = torch.randn(k, *mean.shape, device=mean.device)
        z = mean + log_std.exp() * noise
        # The constants of both normal densities cancel.
        log_ratio = (0.5 * noise**2 + log_std - 0.5 * z**2).sum(2)
        repeated = x.repeat(k, *[1] * len(self.spec.shape))
        return self.observation.log_prob(self.parameters_given(z.flatten(0, 1)), repeated).reshape(k, -1) + log_ratio

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """The importance-weighted bound on log p(x) in nats with `importance_samples` draws: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            return importance_weighted_bound(lambda k: self.log_weights(part, k), self.importance_samples)

        return in_batches(bound, self.accept(x), ITEMS_AT_ONCE)

    def sample(self, n: int, /) -> Tensor:
        """n items of the model that `log_prob` bounds: z ~ N(0, I), then x ~ p(x|z), with the noise of its pixels."""
        return self.sample_truncated(n, psi=1.0)

    @torch.no_grad()
    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n items x ~ p(x|z) with z scaled by the temperature psi; 1.0 is no truncation."""
        parts = [psi * self.sample_latent(part) for part in sizes(n, ITEMS_AT_ONCE)]
        return torch.cat([self.observation.sample(self.parameters_given(z)) for z in parts])

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes of the prior: (n, latent)."""
        return torch.randn(n, *self.latent_shape, device=self.device)

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The median of p(x|z): uint8 (n, *shape), without the noise of its pixels."""
        z = z.to(self.device)
        return in_batches(lambda part: self.observation.median(self.parameters_given(part)), z, ITEMS_AT_ONCE)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """Each item decoded from the mean of its q(z|x): uint8 (n, *shape)."""
        means = in_batches(lambda part: self.encode(part)[0], self.accept(x), ITEMS_AT_ONCE)
        return self.decode(means)

"""The autoencoder, made generative by a Gaussian over its codes.

Lecture topic: autoencoders and the step to variational ones. Trained for reconstruction alone, the decoder says nothing
about where codes lie; a Gaussian fitted to the codes of the train split is the simplest answer, and has no likelihood.

References: G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks" (2006); P.
Ghosh et al., "From Variational to Deterministic Autoencoders" (2020), for the density fitted afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.nn import Model, require_levels
from zoo.training import in_batches, minimise, sizes

ITEMS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Config:
    """The networks and their training.

    `latent`: dimensions of a code. `hidden`: units of each of the two hidden layers of encoder and decoder. `penalty`:
    weight of the mean squared code in the loss. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items
    per step and initial learning rate.
    """

    latent: int = 5
    hidden: int = 256
    penalty: float = 1e-3
    decay: float = 0.01
    steps: int = 2000
    batch: int = 100
    rate: float = 2e-3

    def __post_init__(self) -> None:
        if min(self.latent, self.hidden, self.steps, self.batch) < 1:
            raise ValueError(f"latent, hidden, steps and batch must be positive, got {self}")
        if min(self.penalty, self.decay) < 0 or self.rate <= 0:
            raise ValueError(f"penalty and decay must be >= 0 and rate > 0, got {self}")


class Autoencoder(Model):
    """x -> code -> x, both ways deterministic; samples are the decoded draws of a Gaussian with full covariance."""

    Config = Config
    name = "autoencoder"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("autoencoder", spec)
        latent = self.config.latent
        self.latent_shape = (latent,)
        self.encoder = self._network(spec.size, latent)
        self.decoder = self._network(latent, spec.size)
        self.register_buffer("code_mean", torch.zeros(latent))
        self.register_buffer("code_root", torch.eye(latent))

    def _network(self, inputs: int, outputs: int) -> nn.Sequential:
        hidden = self.config.hidden
        return nn.Sequential(
            *(nn.Linear(inputs, hidden), nn.SiLU()),
            *(nn.Linear(hidden, hidden), nn.SiLU()),
            nn.Linear(hidden, outputs),
        )

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Minimise the mean squared error of values in [0, 1] plus the penalty, then fit the Gaussian to the codes."""
        c = self.config

        def loss(x: Tensor) -> Tensor:
            code = self.encoder(self._scaled(x))
            error = self.decoder(code).sigmoid() - x.flatten(1) / (self.levels - 1)
            # Codes kept small lie close together, which leaves a Gaussian fewer holes to fall into.
            return error.square().mean() + c.penalty * code.square().mean()

        figures = minimise(loss, self, dataset.train, budget, c)
        self.fit_gaussian(self.encode(dataset.train))
        return figures

    def fit_gaussian(self, codes: Tensor) -> None:
        """Take the mean and covariance of codes (n, latent), and the covariance's lower root."""
        self.code_mean.copy_(codes.mean(0))
        # The ridge keeps the root defined for dimensions that the encoder leaves unused.
        covariance = codes.double().T.cov() + 1e-6 * torch.eye(codes.shape[1], device=codes.device)
        self.code_root.copy_(torch.linalg.cholesky(covariance))

    def _scaled(self, x: Tensor) -> Tensor:
        return x.flatten(1).float() * (2 / (self.levels - 1)) - 1

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes of items (n, *shape): (n, latent)."""
        return in_batches(lambda part: self.encoder(self._scaled(part)), self.accept(x), ITEMS_AT_ONCE)

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The items of codes (n, latent), rounded to the levels: uint8 (n, *shape)."""

        def items(part: Tensor) -> Tensor:
            levels = (self.decoder(part).sigmoid() * (self.levels - 1)).round().to(torch.uint8)
            return levels.reshape(-1, *self.spec.shape)

        return in_batches(items, z.to(self.device), ITEMS_AT_ONCE)

    def reconstruct(self, x: Tensor, /) -> Tensor:
        """Each item decoded from its own code: uint8 (n, *shape)."""
        return self.decode(self.encode(x))

    def sample(self, n: int, /) -> Tensor:
        """n items decoded from draws of the Gaussian: uint8 (n, *shape)."""
        return self.sample_truncated(n, psi=1.0)

    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n items of codes pulled towards the mean code by the temperature psi; 1.0 is no truncation."""
        parts = (self.sample_latent(part) for part in sizes(n, ITEMS_AT_ONCE))
        return torch.cat([self.decode(self.code_mean + psi * (z - self.code_mean)) for z in parts])

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes of the Gaussian: (n, latent)."""
        return self.code_mean + torch.randn(n, *self.latent_shape, device=self.device) @ self.code_root.T

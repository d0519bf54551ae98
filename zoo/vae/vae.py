"""The variational autoencoder.

Lecture topic: variational autoencoders. A decoder p(x|z) with a Gaussian prior over z, and an encoder q(z|x) trained
with it by the reparametrised evidence lower bound.

References: D. Kingma and M. Welling, "Auto-Encoding Variational Bayes" (2014); Y. Burda et al., "Importance Weighted
Autoencoders" (2016), for the bound that `log_prob` reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.training import Options, minimise, validated
from zoo.vae.latent import GaussianLatentModel


@dataclass(frozen=True, slots=True)
class Config:
    """The networks and their training.

    `latent`: dimensions of z. `hidden`: units of each of the two hidden layers of encoder and decoder, with the
    `activation` "silu" or "tanh". `features`: units per dimension of x in a further hidden layer of the decoder; 0 for
    the plain decoder of the paper, which has none. `dropout`: chance of dropping a unit of the others while training.
    `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial rate. `validation`:
    items of the train split that choose among the weights on the way; 0 takes the last. `lowest`: what the encoder sees
    of the lowest level; of the highest it sees 1.
    """

    latent: int = 16
    hidden: int = 256
    features: int = 8
    dropout: float = 0.1
    decay: float = 0.01
    steps: int = 2000
    batch: int = 100
    rate: float = 2e-3
    activation: str = "silu"
    validation: int = 0
    lowest: float = -1.0

    def __post_init__(self) -> None:
        if min(self.latent, self.hidden, self.steps, self.batch) < 1 or min(self.features, self.validation) < 0:
            raise ValueError(f"latent, hidden, steps, batch must be > 0, features, validation >= 0, got {self}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class VAE(GaussianLatentModel):
    """p(x) = E[p(x|z)] over z ~ N(0, I); q(z|x) is a Gaussian with diagonal covariance."""

    Config = Config
    name = "vae"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.latent_shape = (self.config.latent,)
        self.encoder = self.network(spec.size, 2 * self.config.latent)
        self.decoder = self.decoder_network(self.config.latent)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the ELBO; the loss is its negative in nats per dimension."""
        self.start_without_latents(dataset.train)
        split = validated(dataset, self.config.validation)
        options = Options(score=lambda x: -self.elbo(x).mean())
        return minimise(lambda x: -self.elbo(x).mean() / self.spec.size, self, split, budget, self.config, options)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x), each (n, latent)."""
        mean, log_std = self.encoder(self.encoded_from(x)).chunk(2, dim=1)
        # No posterior needs to be narrower; without a floor a far-out item could give exp an overflow.
        return mean, log_std.clamp(-7, 3)

    def parameters_given(self, z: Tensor) -> Tensor:
        """The parameters of p(x|z) for codes (n, latent): (n, numbers, *shape)."""
        return self.decoded(z)

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

    def posterior_mean(self, x: Tensor) -> Tensor:
        return self.encode(x)[0]

"""The importance-weighted autoencoder, with one stochastic layer or several.

Lecture topic: variational autoencoders, tighter bounds. The log of the mean weight p(x, h) / q(h|x) over k draws of
q(h|x) is a bound on log p(x) that rises with k; training by it, and not by the evidence lower bound, which is k = 1,
asks less of q(h|x): one good draw among k is enough. With several layers h1, ..., hL both ways are chains, q(h1|x)
q(h2|h1) ... upwards and p(hL) ... p(h1|h2) p(x|h1) downwards, each conditional a Gaussian with diagonal covariance.

References: Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders" (2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.likelihood import importance_weighted_bound
from zoo.training import Options, minimise, validated
from zoo.vae.latent import GaussianLatentModel, LogOdds


@dataclass(frozen=True, slots=True)
class Config:
    """The networks and their training.

    `latents`: dimensions of h1, h2, ... from the data upwards. `hidden`: units of each of the two tanh layers between x
    and h1, between h1 and h2, and so on, in either direction. `draws`: k. `decay`: weight decay. `steps`, `batch`,
    `rate`: optimiser steps, items per step and initial rate. `validation`: items of the train split that choose among
    the weights on the way; 0 takes the last. `lowest`: what the first layer sees of the lowest level; of the highest it
    sees 1.
    """

    latents: Sequence[int] = (50,)
    hidden: Sequence[int] = (200,)
    draws: int = 50
    decay: float = 0.0
    steps: int = 4000
    batch: int = 50
    rate: float = 1e-3
    validation: int = 150
    lowest: float = -1.0

    def __post_init__(self) -> None:
        if not self.latents or len(self.latents) != len(self.hidden):
            raise ValueError(f"latents and hidden must be sizes for the same layers, got {self}")
        if min(*self.latents, *self.hidden, self.draws, self.steps, self.batch) < 1:
            raise ValueError(f"latents, hidden, draws, steps and batch must be positive, got {self}")
        if min(self.decay, self.validation) < 0 or self.rate <= 0:
            raise ValueError(f"decay and validation must be >= 0 and rate > 0, got {self}")


class Conditional(nn.Module):
    """A Gaussian with diagonal covariance, whose mean and log standard deviation two tanh layers compute."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.network = perceptron(inputs, hidden, 2 * outputs)

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, each (..., outputs), for what is given, (..., inputs)."""
        mean, log_std = self.network(given).chunk(2, dim=-1)
        # Without bounds a far-out item could give exp an overflow.
        return mean, log_std.clamp(-7, 3)


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two tanh layers and a linear one."""
    layers = (nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs))
    return nn.Sequential(*layers)


def log_normal(h: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(h; mean, std^2 I) without the constant, which cancels in the weights: (...), nats."""
    return (-0.5 * ((h - mean) / log_std.exp()) ** 2 - log_std).sum(-1)


class IWAE(GaussianLatentModel):
    """p(x) = E[p(x|h1)] over the chain of layers, trained by the bound of `draws` draws."""

    Config = Config
    name = "vae-iwae"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        latents, hidden = self.config.latents, self.config.hidden
        self.latent_shape = (sum(latents),)
        below = (spec.size, *latents)
        self.recognition = nn.ModuleList(map(Conditional, below, hidden, latents))
        self.generation = nn.ModuleList(map(Conditional, latents[1:], hidden[1:], latents))
        outputs = spec.size if self.levels == 2 else self.observation.numbers * spec.size
        self.decoder = nn.Sequential(
            perceptron(latents[0], hidden[0], outputs), LogOdds() if self.levels == 2 else nn.Identity()
        )

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the bound of k draws; the loss is its negative in nats per dimension."""

        def bound(x: Tensor) -> Tensor:
            return importance_weighted_bound(lambda k: self.log_weights(x, k), self.config.draws, at_once=10**6)

        self.start_without_latents(dataset.train)
        options = Options(average=0.999, score=lambda x: -bound(x).mean(), at_once=50)
        split = validated(dataset, self.config.validation)
        return minimise(lambda x: -bound(x).mean() / self.spec.size, self, split, budget, self.config, options)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, h) - log q(h|x) for k draws h of q(h|x): (k, n), nats."""
        given = self.encoded_from(x)[None]  # (1, n, size): the first layer is computed once for all draws
        layers, total = [], torch.zeros(k, len(x), device=x.device)
        for conditional in self.recognition:
            mean, log_std = conditional(given)
            noise = torch.randn(k, *mean.shape[1:], device=mean.device)
            given = mean + log_std.exp() * noise
            layers.append(given)
            # log q in terms of the noise itself, which does not blow up where the deviation is small.
            total = total + (0.5 * noise**2 + log_std).sum(-1)
        for conditional, h, above in zip(self.generation, layers, layers[1:], strict=False):
            total = total + log_normal(h, *conditional(above))
        total = total - 0.5 * (layers[-1] ** 2).sum(-1)
        repeated = x.repeat(k, *[1] * len(self.spec.shape))
        given_bottom = self.decoded(layers[0].flatten(0, 1))
        return self.observation.log_prob(given_bottom, repeated).reshape(k, -1) + total

    def bottom(self, noise: Tensor) -> Tensor:
        """h1 (n, latent) for the standardised noise (n, *latent_shape) of all layers, the top one first."""
        parts = noise.split(tuple(self.config.latents)[::-1], dim=1)
        h = parts[0]
        for conditional, part in zip(reversed(self.generation), parts[1:], strict=True):
            mean, log_std = conditional(h)
            h = mean + log_std.exp() * part
        return h

    def parameters_given(self, z: Tensor) -> Tensor:
        """The parameters of p(x|h1) for the noise of all layers (n, *latent_shape): (n, numbers, *shape)."""
        return self.decoded(self.bottom(z))

    def posterior_mean(self, x: Tensor) -> Tensor:
        """The noise that leads to the means of q, layer by layer: (n, *latent_shape)."""
        means, given = [], self.encoded_from(x)
        for conditional in self.recognition:
            given = conditional(given)[0]
            means.append(given)
        noise = [means[-1]]
        for conditional, h, above in zip(reversed(self.generation), means[-2::-1], means[:0:-1], strict=True):
            mean, log_std = conditional(above)
            noise.append((h - mean) / log_std.exp())
        return torch.cat(noise, dim=1)


class IWAE2(IWAE):
    """Two stochastic layers."""

    name = "vae-iwae-2"

"""The deep latent Gaussian model: a stack of Gaussian layers above the data.

Lecture topic: variational autoencoders, several stochastic layers. From the top down, h^L = G^L xi^L and
h^l = T^l(h^(l+1)) + G^l xi^l with xi^l ~ N(0, I), and x ~ p(x | T^0(h^1)); the lecture writes x^l, F^l, W^l and z^l.
All randomness is in the xi, which are independent of one another and of the weights. The recognition model q(xi^l|x)
is a Gaussian whose precision matrix is a diagonal plus one rank, so that the components of a layer may depend on each
other given x, at a cost linear in their number.

References: D. Rezende, S. Mohamed and D. Wierstra, "Stochastic Backpropagation and Approximate Inference in Deep
Generative Models" (2014), the rank-one root from its appendix; Y. Burda et al., "Importance Weighted Autoencoders"
(2016), for the bound that `log_prob` reports; C. Sonderby et al., "Ladder Variational Autoencoders" (2016), for the
slow start of the divergence, without which the upper layers are never used; D. Kingma et al., "Improved Variational
Inference with Inverse Autoregressive Flow" (2016), for the nats that are free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.training import Memory, Options, in_batches, minimise, validated
from zoo.vae.latent import ITEMS_AT_ONCE, GaussianLatentModel


@dataclass(frozen=True, slots=True)
class Config:
    """The layers and their training.

    `layers`: stochastic layers L. `latent`: dimensions of each. `between`: units of the hidden layer of every T^l
    between them. `hidden`: units of each of the two hidden layers of the recognition model and of T^0. `features`:
    units per dimension of x in the last hidden layer of T^0. `dropout`: chance of dropping a hidden unit while
    training. `warmup`: the part of the steps over which the divergence's weight rises from 0 to 1. `decay`: weight
    decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial rate.
    `activation` of the networks: "silu" or "tanh". `features` = 0: a plain decoder with a map of its own for every
    dimension. `validation`: items of the train split that choose among the weights on the way; 0 takes the last.
    `free`: nats that a layer may say of x at no cost while training, as the mean over a minibatch. `lowest`: what the
    recognition model sees of the lowest level; of the highest it sees 1.
    """

    layers: int = 2
    latent: int = 16
    between: int = 64
    hidden: int = 192
    features: int = 8
    dropout: float = 0.1
    warmup: float = 0.2
    decay: float = 0.01
    steps: int = 2000
    batch: int = 100
    rate: float = 2e-3
    activation: str = "silu"
    validation: int = 0
    free: float = 0.0
    lowest: float = -1.0

    def __post_init__(self) -> None:
        if min(self.layers, self.latent, self.between, self.hidden, self.steps, self.batch) < 1:
            raise ValueError(f"numbers of layers, units, steps and items must be positive, got {self}")
        if not 0 <= self.dropout < 1 or not 0 <= self.warmup <= 1 or min(self.decay, self.free) < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be in [0, 1), warmup in [0, 1], decay, free >= 0 and rate > 0, got {self}")


@dataclass(frozen=True, slots=True)
class RankOneGaussian:
    """Gaussians N(mean, C) with inverse covariance diag(exp(log_d)) + u u', each (..., K).

    With D = diag(d), w = u' D^-1 u and eta = 1 / (1 + w): C = D^-1 - eta D^-1 u u' D^-1, with one root
    R = D^-1/2 - (1 - sqrt(eta)) / w D^-1 u u' D^-1/2, and log det C = log eta - log det D.
    """

    mean: Tensor
    log_d: Tensor
    u: Tensor

    @property
    def w(self) -> Tensor:
        return (self.u**2 * (-self.log_d).exp()).sum(-1, keepdim=True)

    def transform(self, noise: Tensor) -> Tensor:
        """mean + R noise, in time linear in K: a draw, for noise ~ N(0, I), that gradients pass through."""
        w, scale = self.w, (-0.5 * self.log_d).exp()
        # (1 - sqrt(eta)) / w, without the division by 0 of a diagonal covariance.
        factor = 1 / (1 + w + (1 + w).sqrt())
        direction = scale * self.u
        return self.mean + scale * (noise - factor * direction * (direction * noise).sum(-1, keepdim=True))

    def log_det(self) -> Tensor:
        """log det C: (...)."""
        return -torch.log1p(self.w)[..., 0] - self.log_d.sum(-1)

    def divergence(self) -> Tensor:
        """KL(N(mean, C) || N(0, I)): (...), nats."""
        inverse = (-self.log_d).exp()
        variances = inverse - (inverse * self.u) ** 2 / (1 + self.w)
        return 0.5 * ((variances + self.mean**2 - 1).sum(-1) - self.log_det())


class DLGM(GaussianLatentModel):
    """p(x) = E[p(x|xi)] over the noise xi ~ N(0, I) of all layers, the top one first."""

    Config = Config
    name = "dlgm"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.latent_shape = (c.layers * c.latent,)
        self.recognition = self.network(spec.size, 3 * c.layers * c.latent)
        # G^L, ..., G^1 and T^(L-1), ..., T^1
        self.mixing = nn.Parameter(torch.eye(c.latent).repeat(c.layers, 1, 1))
        self.transitions = nn.ModuleList(
            nn.Sequential(nn.Linear(c.latent, c.between), nn.SiLU(), nn.Linear(c.between, c.latent))
            for _ in range(c.layers - 1)
        )
        self.decoder = self.decoder_network(c.latent)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the ELBO; the loss is its negative in nats per dimension.

        The figures name the mean divergence of each layer, which is what the layer is told about x: `layer_1` is the
        lowest.
        """
        self.start_without_latents(dataset.train)
        rising = self.config.warmup * (budget.steps or self.config.steps)
        memory = Memory(step=0)

        def loss(x: Tensor) -> Tensor:
            memory.step += 1
            return self.cost(x, min(1.0, memory.step / (rising + 1))) / self.spec.size

        options = Options(memory=memory, score=lambda x: -self.elbo(x).mean())
        figures = minimise(loss, self, validated(dataset, self.config.validation), budget, self.config, options)
        with torch.no_grad():
            nats = in_batches(lambda x: self.encode(x).divergence(), dataset.train.to(self.device), ITEMS_AT_ONCE)
        names = [f"layer_{number}_nats" for number in range(self.config.layers, 0, -1)]
        return figures | dict(zip(names, nats.mean(0).tolist(), strict=True))

    def encode(self, x: Tensor) -> RankOneGaussian:
        """q(xi^l|x) of every layer, the top one first: tensors (n, layers, latent)."""
        outputs = self.recognition(self.encoded_from(x)).reshape(len(x), 3, self.config.layers, self.config.latent)
        mean, log_d, u = outputs.unbind(1)
        # No posterior needs to be narrower; without a floor a far-out item could give exp an overflow.
        return RankOneGaussian(mean, log_d.clamp(-6, 14), u)

    def states(self, xi: Tensor) -> list[Tensor]:
        """h^L, ..., h^1, each (n, latent), for the noise xi (n, layers * latent) of all layers."""
        noise = xi.reshape(len(xi), self.config.layers, self.config.latent).unbind(1)
        h = [noise[0] @ self.mixing[0].T]
        for transition, mixing, part in zip(self.transitions, self.mixing[1:], noise[1:], strict=True):
            h.append(transition(h[-1]) + part @ mixing.T)
        return h

    def parameters_given(self, xi: Tensor) -> Tensor:
        """The parameters of p(x|xi), which are T^0(h^1), for noise (n, layers * latent): (n, numbers, *shape)."""
        return self.decoded(self.states(xi)[-1])

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E_q[log p(x|xi)] (n,) with one draw of xi, and KL(q(xi^l|x) || N(0, I)) of each layer (n, layers), nats."""
        q = self.encode(x)
        xi = q.transform(torch.randn_like(q.mean)).flatten(1)
        return self.observation.log_prob(self.parameters_given(xi), x), q.divergence()

    def cost(self, x: Tensor, weight: float) -> Tensor:
        """What training minimises over a minibatch (n, *shape), with the divergence at a weight: nats per item."""
        given, divergences = self.terms(x)
        return weight * divergences.mean(0).clamp(min=self.config.free).sum() - given.mean()

    def elbo(self, x: Tensor) -> Tensor:
        """The evidence lower bound with one draw of xi and closed divergences: (n,), nats."""
        given, divergences = self.terms(x)
        return given - divergences.sum(1)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, xi) - log q(xi|x) for k draws xi of q(xi|x): (k, n), nats."""
        q = self.encode(x)
        noise = torch.randn(k, *q.mean.shape, device=q.mean.device)
        xi = q.transform(noise)
        # The constants of both normal densities cancel.
        log_ratio = (0.5 * (noise**2 - xi**2).sum(3) + 0.5 * q.log_det()).sum(2)
        repeated = x.repeat(k, *[1] * len(self.spec.shape))
        given = self.parameters_given(xi.flatten(2).flatten(0, 1))
        return self.observation.log_prob(given, repeated).reshape(k, -1) + log_ratio

    def posterior_mean(self, x: Tensor) -> Tensor:
        return self.encode(x).mean.flatten(1)

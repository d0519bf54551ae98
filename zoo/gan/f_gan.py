"""The f-GANs: adversarial training for any f-divergence.

Lecture topic: f-divergences. For a convex f with f(1) = 0, D_f(P, Q) = E_Q[f(p/q)] = sup_T E_P[T(x)] - E_Q[f*(T(x))],
where f*(t) = sup_u u t - f(u) is the conjugate and T = f'(p/q) attains the supremum. The discriminator is
T(x) = g_f(V(x)), where g_f maps scores V without bounds to the domain of f*; it ascends the bound, and so estimates the
divergence that the generator descends. As the paper advises, and as the loss of `gan-nonsaturating` does, the generator
ascends E[g_f(V(G(z)))] rather than descend the second term. Batch norm in the generator and clipped gradients are the
paper's too; beyond it are noise on the images (`Config.noise`) and averaged weights.

References: S. Nowozin, B. Cseke and R. Tomioka, "f-GAN: Training Generative Neural Samplers using Variational
Divergence Minimization" (2016), tables 1 and 2; X. Nguyen, M. Wainwright and M. Jordan, "Estimating divergence
functionals and the likelihood ratio by convex risk minimization" (2010), for the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.contracts import SampleSpec
from zoo.adversarial import presets
from zoo.gan import perceptron

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Divergence:
    """D_f(P, Q) = E_Q[f(p/q)], where P is the data and Q the model; all functions are elementwise.

    `f`: of the ratio u > 0. `activation`: g_f, increasing, of scores v. `conjugate`: f*, of t in the range of g_f.
    `judged`: f*(g_f(v)) in a form that does not overflow before its value does.
    """

    f: Function
    activation: Function
    conjugate: Function
    judged: Function

    def bound(self, real: Tensor, fake: Tensor) -> Tensor:
        """E_P[T] - E_Q[f*(T)] <= D_f(P, Q) of scores V (n, 1) of data and of generated images."""
        return self.activation(real).mean() - self.judged(fake).mean()


DIVERGENCES: Mapping[str, Divergence] = {
    "kullback-leibler": Divergence(
        f=lambda u: u * u.log(),
        activation=lambda v: v,
        conjugate=lambda t: torch.exp(t - 1),
        judged=lambda v: torch.exp(v - 1),
    ),
    "reverse-kullback-leibler": Divergence(
        f=lambda u: -u.log(),
        activation=lambda v: -torch.exp(-v),
        conjugate=lambda t: -1 - torch.log(-t),
        judged=lambda v: v - 1,
    ),
    # The conjugate is that of f over all u, positive or not: for t < -2 the bound is valid, if not the largest.
    "pearson": Divergence(
        f=lambda u: (u - 1).square(),
        activation=lambda v: v,
        conjugate=lambda t: t.square() / 4 + t,
        judged=lambda v: v.square() / 4 + v,
    ),
    "squared-hellinger": Divergence(
        f=lambda u: (u.sqrt() - 1).square(),
        activation=lambda v: 1 - torch.exp(-v),
        conjugate=lambda t: t / (1 - t),
        judged=lambda v: torch.exp(v) - 1,
    ),
    # Of this f the divergence is KL(P, M) + KL(Q, M) with M = (P + Q) / 2: twice the usual mean of the two.
    "jensen-shannon": Divergence(
        f=lambda u: u * u.log() - (u + 1) * torch.log((u + 1) / 2),
        activation=lambda v: math.log(2) - F.softplus(-v),
        conjugate=lambda t: -torch.log(2 - torch.exp(t)),
        judged=lambda v: F.softplus(v) - math.log(2),
    ),
}


@dataclass(frozen=True, slots=True)
class Config(perceptron.Config):
    """See `perceptron.Config`. `divergence`: one of DIVERGENCES, by name."""

    squares: float = 0.99  # forgets a huge gradient after a hundred steps, not a thousand of all but standing still
    norm: bool = True
    dropout: float = 0.0  # exponentials make much of the scores that it throws about
    divergence: str = "kullback-leibler"

    def __post_init__(self) -> None:
        perceptron.Config.__post_init__(self)
        if self.divergence not in DIVERGENCES:
            raise ValueError(f"divergence must be one of {', '.join(DIVERGENCES)}, got {self.divergence!r}")


class FGAN(perceptron.PerceptronGAN):
    """The networks of `gan`; the discriminator ascends the variational bound of a divergence."""

    Config = Config
    name = "f-gan"
    clipped = True  # as in the paper: exponentials of the scores make a few images outweigh all others
    divergence: ClassVar[str] = "kullback-leibler"

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The preset that all divergences share, for that of this class."""
        return Config(**presets.preset(FGAN.name, spec), divergence=cls.divergence)

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The bound on the divergence, in nats where f has logarithms, with its sign changed."""
        return -DIVERGENCES[self.config.divergence].bound(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[g_f(V(G(z)))]."""
        return -DIVERGENCES[self.config.divergence].activation(fake).mean()


class ReverseKullbackLeibler(FGAN):
    """KL(model, data): it costs infinitely much to generate what the data never shows."""

    name, divergence = "f-gan-reverse-kl", "reverse-kullback-leibler"


class Pearson(FGAN):
    """The chi-squared divergence, the squared error of the density ratio."""

    name, divergence = "f-gan-pearson", "pearson"


class SquaredHellinger(FGAN):
    """The squared distance of the roots of the densities, at most 2."""

    name, divergence = "f-gan-hellinger", "squared-hellinger"


class JensenShannon(FGAN):
    """The divergence that the minimax loss of `gan` stands for, at most 2 log 2."""

    name, divergence = "f-gan-js", "jensen-shannon"

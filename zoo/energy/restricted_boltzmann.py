"""The restricted Boltzmann machine.

Lecture topic: energy-based models. Binary visible and hidden units with an energy that couples only units of different
kinds, so that each kind is independent given the other: block Gibbs sampling and contrastive divergence follow.

References: G. Hinton, "Training Products of Experts by Minimizing Contrastive Divergence" (2002); T. Tieleman,
"Training Restricted Boltzmann Machines Using Approximations to the Likelihood Gradient" (2008), for persistent chains;
R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks" (2008), for log Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.likelihood import every_state
from zoo.energy.annealed import AnnealedModel
from zoo.training import Memory, Options, minimise

ENUMERABLE = 20  # hidden units whose 2 ** 20 states are summed in about a second
STATES_AT_ONCE = 2**14


@dataclass(frozen=True, slots=True)
class Config:
    """The machine and its training.

    `hidden`: hidden units. `k`: Gibbs steps of contrastive divergence. `persistent`: whether its chains go on from
    where the last step left them, or start at the minibatch. `renew`: steps after which persistent chains are annealed
    anew (0: never), which shows them modes that they have no way to. `decay`: weight decay. `steps`, `batch`, `rate`:
    optimiser steps, items (and chains) per step and initial learning rate. `gibbs_steps`: Gibbs steps behind every
    sample. `polish`: steps with persistent chains that follow those of `steps`, at `polish_rate`; chains that start at
    the data say nothing of far modes, which these find and take down.
    """

    hidden: int = 200
    k: int = 2
    persistent: bool = True
    renew: int = 0
    decay: float = 0.1
    steps: int = 10000
    batch: int = 100
    rate: float = 5e-3
    gibbs_steps: int = 500
    polish: int = 0
    polish_rate: float = 5e-4

    def __post_init__(self) -> None:
        if min(self.hidden, self.k, self.steps, self.batch, self.gibbs_steps) < 1:
            raise ValueError(f"hidden, k, steps, batch and gibbs_steps must be positive, got {self}")
        if min(self.decay, self.polish, self.renew) < 0 or min(self.rate, self.polish_rate) <= 0:
            raise ValueError(f"decay, polish and renew must be >= 0 and rates > 0, got {self}")


class Chains(NamedTuple):
    """Visible states float (chains, size), and with them the hidden units' log odds (chains, hidden)."""

    v: Tensor
    hidden_input: Tensor


class RestrictedBoltzmann(AnnealedModel):
    """p(v, h) = exp(-E(v, h)) / Z with E(v, h) = -v'Wh - b'v - c'h, v and h binary.

    At inverse temperature beta it is blended with a base distribution of independent pixels that have the train split's
    frequencies: p_beta(v) is proportional to p_0(v) ** (1 - beta) at zero weights, and is the machine itself at 1.
    """

    Config = Config
    name = "rbm"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(self.name, spec, config)
        hidden = self.config.hidden
        self.weight = nn.Parameter(0.01 * torch.randn(spec.size, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(spec.size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.log_prob_kind = "exact" if self.enumerable else "estimate"

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Contrastive divergence; returns its loss, a difference of free energies in nats that should stay near 0."""
        with torch.no_grad():
            self.base.copy_(base_rates(dataset.train))
            # Hinton's practical guide: the biases need not learn the frequencies of the pixels.
            self.visible_bias.copy_(self.base)

        def visible(x: Tensor) -> Tensor:
            return x.flatten(1).float()

        figures = self.learn(dataset.train, budget, visible)
        if not self.config.polish:
            return figures
        stage = replace(self.config, steps=self.config.polish, rate=self.config.polish_rate, persistent=True)
        polished = self.learn(dataset.train, budget, visible, stage)
        return figures | {"polish_divergence": polished["divergence"]}

    def learn(
        self, data: Tensor, budget: Budget, observe: Callable[[Tensor], Tensor], stage: Config | None = None
    ) -> dict[str, float]:
        """Contrastive divergence on the visible states (n, size) that `observe` makes of minibatches of the data."""
        c = stage or self.config
        # Persistent chains that are far from a trained machine would teach it what it knows better.
        memory = Memory(chains=self.draws(c.batch).v if c.persistent else self.base_draws(c.batch), age=0)

        def loss(x: Tensor) -> Tensor:
            v = observe(x)
            memory.age += 1
            if c.persistent and c.renew and memory.age % c.renew == 0:
                memory.chains = self.draws(c.batch).v
            memory.chains = self.gibbs(memory.chains if c.persistent else v, c.k)
            return self.divergence(v, memory.chains)

        figures = minimise(loss, self, data, budget, c, Options(average=0.999, memory=memory))
        self.forget()
        return {"divergence": figures["loss"]}

    def divergence(self, v: Tensor, negative: Tensor) -> Tensor:
        """Mean free energy of the data less that of the chains' ends: its gradient is contrastive divergence's."""
        return self.free_energy(v).mean() - self.free_energy(negative).mean()

    def hidden_input(self, v: Tensor) -> Tensor:
        """Log odds (n, hidden) of the hidden units given visible states float (n, size)."""
        return v @ self.weight + self.hidden_bias

    def visible_input(self, h: Tensor) -> Tensor:
        """Log odds (n, size) of the visible units given hidden states float (n, hidden)."""
        return self.visible_bias + h @ self.weight.T

    def free_energy(self, v: Tensor, beta: float = 1.0) -> Tensor:
        """F(v) = -log sum_h exp(-E(v, h)) of visible states float (n, size): (n,), in nats."""
        return -self.log_unnormalised(self.chains_at(v), beta)

    def gibbs(self, v: Tensor, steps: int = 1, beta: float = 1.0) -> Tensor:
        """Visible states float (n, size) after `steps` block Gibbs steps v -> h -> v, which leave p_beta as it is."""
        with torch.no_grad():
            chains = self.chains_at(v)
            for _ in range(steps):
                chains = self.step(chains, beta)
        return chains.v

    def chains_at(self, v: Tensor) -> Chains:
        """The states of chains whose visible units are v, float (n, size)."""
        return Chains(v, self.hidden_input(v))

    @torch.no_grad()
    def step(self, state: Chains, beta: float) -> Chains:
        """One block Gibbs step, which satisfies detailed balance."""
        bias = beta * self.visible_bias + (1 - beta) * self.base
        h = coin((beta * state.hidden_input).sigmoid())
        return self.chains_at(coin((bias + beta * (h @ self.weight.T)).sigmoid()))

    def log_unnormalised(self, state: Chains, beta: float) -> Tensor:
        """log of the mass of the visible units with the hidden ones summed out: (chains,), in nats."""
        bias = beta * self.visible_bias + (1 - beta) * self.base
        return state.v @ bias + softplus(beta * state.hidden_input).sum(1)

    def start(self, n: int) -> Chains:
        return self.chains_at(self.base_draws(n))

    def base_draws(self, n: int) -> Tensor:
        """n exact draws of the base distribution: float (n, size)."""
        return coin(self.base.sigmoid().expand(n, -1))

    def base_log_z(self) -> float:
        return softplus(self.base.double()).sum().item() + self.config.hidden * math.log(2)

    @property
    def enumerable(self) -> bool:
        return self.config.hidden <= ENUMERABLE

    def enumerated_log_z(self) -> float:
        """log Z as a sum over the hidden states, given which the visible units are independent."""
        weight, visible_bias, hidden_bias = self.weight.double(), self.visible_bias.double(), self.hidden_bias.double()
        total = torch.tensor(-math.inf, dtype=torch.float64, device=self.device)
        for states in every_state(self.config.hidden).split(STATES_AT_ONCE):
            h = states.to(self.device).double()
            log_mass = h @ hidden_bias + softplus(visible_bias + h @ weight.T).sum(1)
            total = torch.logaddexp(total, log_mass.logsumexp(0))
        return total.item()

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """-F(x) - log Z in nats: float64 (n,)."""
        return -self.free_energy(self.accept(x).flatten(1).float()).double() - self.log_z().value

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape), the ends of independent chains that are annealed from the base distribution."""
        return self.draws(n).v.reshape(n, *self.spec.shape).to(torch.uint8)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """Mean field up and down: the likelier level of each pixel given the hidden units' means."""
        h = self.hidden_input(self.accept(x).flatten(1).float()).sigmoid()
        return (self.visible_input(h) > 0).reshape(x.shape).to(torch.uint8)


class ContrastiveDivergence(RestrictedBoltzmann):
    """The same machine trained by CD-k proper: k Gibbs steps from the minibatch, which tell too little of far modes."""

    name = "rbm-cd"


def base_rates(x: Tensor) -> Tensor:
    """Log odds (size,) of each dimension's smoothed frequency in items (n, *shape) of two levels."""
    count, n = x.flatten(1).double().sum(0), len(x)
    # Half a count for each level keeps the odds of pixels that never change finite.
    return ((count + 0.5) / (n - count + 0.5)).log().float()


def coin(p: Tensor) -> Tensor:
    """1.0 with probability p, else 0.0; on the CPU three times as fast as torch.bernoulli."""
    return (torch.rand(p.shape, device=p.device) < p).float()


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)); on the CPU three times as fast as torch's."""
    # The maximum is a constant to the gradient, because the sum does not depend on it.
    largest = x.detach().relu()
    return largest + ((-largest).exp() + (x - largest).exp()).log()

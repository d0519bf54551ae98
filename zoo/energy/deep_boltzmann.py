"""The deep Boltzmann machine with two hidden layers.

Lecture topic: energy-based models. All couplings are undirected, so that what the first layer believes depends on the
pixels below and on the second layer above. The data's side of the gradient comes from mean-field inference, the
model's from persistent Gibbs chains that move the odd and the even layers in turn. Before that each layer is trained
alone, as a restricted Boltzmann machine with one side doubled, because joint training from nothing leaves the upper
layer unused.

References: R. Salakhutdinov and G. Hinton, "Deep Boltzmann Machines" (2009), also for AIS with the visible and second
layers summed out; Y. Burda et al., "Importance Weighted Autoencoders" (2016), for tightening the variational bound.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.likelihood import every_state, importance_weighted_bound
from zoo.energy.annealed import AnnealedModel
from zoo.energy.restricted_boltzmann import ENUMERABLE, STATES_AT_ONCE, base_rates, coin, softplus
from zoo.training import Memory, Options, in_batches, minimise

ITEMS_AT_ONCE = 100
Observe = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Config:
    """The machine and its training.

    `hidden`, `top`: units of the first and second hidden layer. `iterations`: mean-field updates of both layers. `k`:
    Gibbs steps of the persistent chains per optimiser step. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser
    steps, items (and chains) per step and initial learning rate. `gibbs_steps`: Gibbs steps behind every sample.
    `pretraining`: steps of contrastive divergence for each layer before that, at `pretraining_rate`; 0 starts afresh.
    """

    hidden: int = 200
    top: int = 100
    iterations: int = 5
    k: int = 2
    decay: float = 0.1
    steps: int = 4000
    batch: int = 100
    rate: float = 5e-3
    gibbs_steps: int = 500
    pretraining: int = 0
    pretraining_rate: float = 5e-3

    def __post_init__(self) -> None:
        if min(self.hidden, self.top, self.iterations, self.k, self.steps, self.batch, self.gibbs_steps) < 1:
            raise ValueError(f"sizes, iterations, k, steps, batch and gibbs_steps must be positive, got {self}")
        if min(self.decay, self.pretraining) < 0 or min(self.rate, self.pretraining_rate) <= 0:
            raise ValueError(f"decay and pretraining must be >= 0 and rates > 0, got {self}")


class Chains(NamedTuple):
    """First layers (chains, hidden), and with them the log odds (chains, size) and (chains, top) of both neighbours."""

    h1: Tensor
    visible_input: Tensor
    top_input: Tensor


class Layer(nn.Module):
    """A restricted Boltzmann machine of two layers, of which one stands for two copies that share their weights.

    In the machine that it becomes part of, a hidden layer has neighbours on both sides; alone it has one, whose copy
    takes the other's place. So the first layer has two copies of what is below it, the last two of what is above.
    """

    def __init__(self, below: int, above: int, copies: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(below, above))
        self.below_bias, self.above_bias = nn.Parameter(torch.zeros(below)), nn.Parameter(torch.zeros(above))
        self.copies_below, self.copies_above = copies

    def above_input(self, total: Tensor) -> Tensor:
        """Log odds (n, above) given the sum over the copies below, (n, below)."""
        return total @ self.weight + self.above_bias

    def free_energy(self, total: Tensor) -> Tensor:
        """F of the sum over the copies below (n, below), with those above summed out: (n,), in nats."""
        return -total @ self.below_bias - self.copies_above * softplus(self.above_input(total)).sum(1)

    @torch.no_grad()
    def step(self, total: Tensor) -> Tensor:
        """A Gibbs step up and down again: the new sum over the copies below, (n, below)."""
        above = self.draws(self.above_input(total), self.copies_above)
        return self.draws(above @ self.weight.T + self.below_bias, self.copies_below)

    @staticmethod
    def draws(log_odds: Tensor, copies: int) -> Tensor:
        """The sum of independent draws for so many copies: (n, units)."""
        p = log_odds.sigmoid()
        return torch.stack([coin(p) for _ in range(copies)]).sum(0)


class DeepBoltzmann(AnnealedModel):
    """p(v, h1, h2) = exp(-E) / Z with E = -v'W1 h1 - h1'W2 h2 - b'v - c1'h1 - c2'h2, all units binary.

    Its chains hold h1 alone, given which v and h2 are independent and are summed out. At inverse temperature beta all
    couplings and hidden biases are scaled, and the pixels' biases blended with those of the base distribution.
    """

    Config = Config
    name = "dbm"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__("dbm", spec, config)
        hidden, top = self.config.hidden, self.config.top
        self.weight = nn.Parameter(0.01 * torch.randn(spec.size, hidden))
        self.top_weight = nn.Parameter(0.01 * torch.randn(hidden, top))
        self.visible_bias = nn.Parameter(torch.zeros(spec.size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.top_bias = nn.Parameter(torch.zeros(top))
        self.log_prob_kind = "lower_bound" if self.enumerable else "estimate"

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Joint training of all layers, by the gradient of the variational bound, after the greedy one of each.

        Returns its loss, the chains' log mass less the bound of the data in nats, which should stay near 0. A budget's
        steps are for each part.
        """
        c = self.config
        with torch.no_grad():
            self.base.copy_(base_rates(dataset.train))
            self.visible_bias.copy_(self.base)
        if c.pretraining:
            self.pretrain(dataset.train, budget)
        memory = Memory(h1=self.start(c.batch).h1)

        def loss(x: Tensor) -> Tensor:
            v = x.flatten(1).float()
            memory.h1 = self.gibbs(memory.h1, c.k)
            bound = self.variational_bound(v, *self.mean_field(v))
            return self.log_unnormalised(self.chains_at(memory.h1), beta=1.0).mean() - bound.mean()

        figures = minimise(loss, self, dataset.train, budget, c, Options(average=0.999, memory=memory))
        self.forget()
        return {"divergence": figures["loss"]}

    def pretrain(self, data: Tensor, budget: Budget) -> None:
        """Contrastive divergence for the first layer, then for the second on what the first infers from the data."""
        c = self.config
        stage = replace(c, steps=c.pretraining, rate=c.pretraining_rate)
        first = Layer(self.spec.size, c.hidden, copies=(2, 1)).to(self.device)
        with torch.no_grad():
            first.below_bias.copy_(self.base)
        self.contrast(first, data, budget, stage, lambda x: 2 * x.flatten(1).float())
        second = Layer(c.hidden, c.top, copies=(1, 2)).to(self.device)
        self.contrast(
            second, data, budget, stage, lambda x: coin(first.above_input(2 * x.flatten(1).float()).sigmoid())
        )
        with torch.no_grad():
            self.weight.copy_(first.weight)
            self.visible_bias.copy_(first.below_bias)
            self.top_weight.copy_(second.weight)
            self.top_bias.copy_(second.above_bias)
            # Half of what either machine alone says, as with the weights, whose other half the copies held.
            self.hidden_bias.copy_((first.above_bias + second.below_bias) / 2)

    def contrast(self, layer: Layer, data: Tensor, budget: Budget, stage: Config, observe: Observe) -> None:
        """Train a layer by contrastive divergence on the states below it that `observe` makes of minibatches."""

        def loss(x: Tensor) -> Tensor:
            with torch.no_grad():
                start = observe(x)
                end = start
                for _ in range(stage.k):
                    end = layer.step(end)
            return layer.free_energy(start).mean() - layer.free_energy(end).mean()

        minimise(loss, layer, data, budget, stage, Options(average=0.999))

    def energy(self, v: Tensor, h1: Tensor, h2: Tensor) -> Tensor:
        """E of states, or of their means under a factorial distribution: (n,), in nats."""
        pairs = (v @ self.weight * h1).sum(1) + (h1 @ self.top_weight * h2).sum(1)
        return -pairs - v @ self.visible_bias - h1 @ self.hidden_bias - h2 @ self.top_bias

    def visible_input(self, h1: Tensor) -> Tensor:
        """Log odds of v given h1 (..., hidden): (..., size)."""
        return self.visible_bias + h1 @ self.weight.T

    def top_input(self, h1: Tensor) -> Tensor:
        """Log odds of h2 given h1 (..., hidden): (..., top)."""
        return self.top_bias + h1 @ self.top_weight

    def hidden_input(self, v: Tensor, h2: Tensor) -> Tensor:
        """Log odds of h1 given both neighbours: (n, hidden)."""
        return self.hidden_bias + v @ self.weight + h2 @ self.top_weight.T

    @torch.no_grad()
    def mean_field(self, v: Tensor, iterations: int | None = None) -> tuple[Tensor, Tensor]:
        """Means (n, hidden) and (n, top) of the factorial q(h1, h2|v): coordinate ascent on the variational bound."""
        mean2 = self.top_bias.sigmoid().expand(len(v), -1)
        for _ in range(iterations or self.config.iterations):
            mean1 = self.hidden_input(v, mean2).sigmoid()
            mean2 = self.top_input(mean1).sigmoid()
        return mean1, mean2

    def variational_bound(self, v: Tensor, mean1: Tensor, mean2: Tensor) -> Tensor:
        """E_q[-E] + H(q), at most log p(v) + log Z, for a q of these means: (n,), in nats."""
        entropy = sum(torch.special.entr(m).sum(1) + torch.special.entr(1 - m).sum(1) for m in (mean1, mean2))
        return entropy - self.energy(v, mean1, mean2)

    def chains_at(self, h1: Tensor) -> Chains:
        """The states of chains whose first layer is h1, float or double (n, hidden)."""
        return Chains(h1, self.visible_input(h1), self.top_input(h1))

    def log_unnormalised(self, state: Chains, beta: float) -> Tensor:
        """log of the mass of h1 with v and h2 summed out: (chains,), in nats."""
        visible = beta * state.visible_input + (1 - beta) * self.base
        return beta * (state.h1 @ self.hidden_bias) + softplus(visible).sum(1) + softplus(beta * state.top_input).sum(1)

    @torch.no_grad()
    def step(self, state: Chains, beta: float) -> Chains:
        """One block Gibbs step h1 -> (v, h2) -> h1, which satisfies detailed balance."""
        v = coin((beta * state.visible_input + (1 - beta) * self.base).sigmoid())
        h2 = coin((beta * state.top_input).sigmoid())
        return self.chains_at(coin((beta * self.hidden_input(v, h2)).sigmoid()))

    @torch.no_grad()
    def gibbs(self, h1: Tensor, steps: int) -> Tensor:
        """First layers float (n, hidden) after `steps` block Gibbs steps at beta = 1."""
        chains = self.chains_at(h1)
        for _ in range(steps):
            chains = self.step(chains, beta=1.0)
        return chains.h1

    def start(self, n: int) -> Chains:
        """n exact draws of h1 at beta = 0, where hidden units are fair coins."""
        return self.chains_at(coin(torch.full((n, self.config.hidden), 0.5, device=self.device)))

    def base_log_z(self) -> float:
        return softplus(self.base.double()).sum().item() + (self.config.hidden + self.config.top) * math.log(2)

    @property
    def enumerable(self) -> bool:
        return self.config.hidden <= ENUMERABLE

    def enumerated_log_z(self) -> float:
        """log Z as a sum over the first layer's states."""
        precise = copy.deepcopy(self).double()
        total = torch.tensor(-math.inf, dtype=torch.float64, device=self.device)
        for states in every_state(self.config.hidden).split(STATES_AT_ONCE):
            log_mass = precise.log_unnormalised(precise.chains_at(states.to(self.device).double()), beta=1.0)
            total = torch.logaddexp(total, log_mass.logsumexp(0))
        return total.item()

    def log_weights(self, v: Tensor, k: int) -> Tensor:
        """log p*(v, h1) - log q(h1|v) for k draws h1 of the mean field, p* unnormalised: (k, n), in nats.

        h2 is summed out, which makes even one draw better than the variational bound on average.
        """
        inferred = self.hidden_input(v, self.mean_field(v)[1])
        h1 = coin(inferred.sigmoid().expand(k, -1, -1))
        log_posterior = (h1 * inferred - softplus(inferred)).sum(2)
        log_joint = (h1 * (v @ self.weight + self.hidden_bias)).sum(2) + softplus(self.top_input(h1)).sum(2)
        return log_joint + v @ self.visible_bias - log_posterior

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """The importance-weighted bound on log p(x) with `importance_samples` draws of h1: float64 (n,), in nats.

        A bound it is as far as log Z is exact; the estimate of a large machine's log Z is on average too low, and every
        value too high by as much.
        """

        def bound(v: Tensor) -> Tensor:
            return importance_weighted_bound(lambda k: self.log_weights(v, k), self.effort.importance_samples)

        return in_batches(bound, self.accept(x).flatten(1).float(), ITEMS_AT_ONCE) - self.log_z().value

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape): h1 from independent chains annealed from the base distribution, then v given h1."""
        v = coin(self.draws(n).visible_input.sigmoid())
        return v.reshape(n, *self.spec.shape).to(torch.uint8)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """The likelier level of each pixel given the mean field of the first layer."""
        mean1, _ = self.mean_field(self.accept(x).flatten(1).float())
        return (self.visible_input(mean1) > 0).reshape(x.shape).to(torch.uint8)

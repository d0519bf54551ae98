"""The deep belief network.

Lecture topic: energy-based models. Restricted Boltzmann machines stacked greedily: the hidden states that the first one
infers from the data are the visible states of the second, which becomes their prior. Only the top pair stays
undirected; below it lies a directed sigmoid layer.

Greedy training leaves the first layer's weights to two duties, to infer and to generate. The up-down algorithm parts
them and trains all layers together: going up, what is inferred from the data teaches the generative weights; the top
machine learns by contrastive divergence from there; coming down, what its chains generate teaches the inference.

References: G. Hinton, S. Osindero and Y.-W. Teh, "A Fast Learning Algorithm for Deep Belief Nets" (2006), with appendix
B for up-down; R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks" (2008), section 4,
for the bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, Effort, Kind, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import importance_weighted_bound
from zoo.energy.restricted_boltzmann import Config as LayerConfig
from zoo.energy.restricted_boltzmann import RestrictedBoltzmann, base_rates, coin, softplus
from zoo.nn import Model, require_levels
from zoo.training import Options, in_batches, minimise

ITEMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `hidden`, `top`: units of the first and second hidden layer. `k`: Gibbs steps of contrastive divergence.
    `persistent`: whether its chains go on from where the last step left them, or start at the minibatch. `decay`,
    `steps`, `rate`: weight decay, optimiser steps and initial learning rate. All these are of the first layer, those of
    the second are `top_k`, `top_persistent`, `top_decay`, `top_steps` and `top_rate`, and after `top_renew` steps its
    persistent chains are annealed anew (0: never). `batch`: items (and chains) per step. `gibbs_steps`: Gibbs steps of
    the top layers behind every sample. `updown`: steps of the up-down algorithm after that, at `updown_rate`; with 0
    the first layer infers and generates with the same weights.
    """

    hidden: int = 200
    top: int = 200
    k: int = 2
    top_k: int = 2
    persistent: bool = False
    top_persistent: bool = False
    top_renew: int = 0
    decay: float = 0.1
    top_decay: float = 0.1
    steps: int = 10_000
    top_steps: int = 1500
    batch: int = 100
    rate: float = 5e-3
    top_rate: float = 1e-3
    gibbs_steps: int = 500
    updown: int = 0
    updown_rate: float = 3e-4

    def __post_init__(self) -> None:
        counts = (self.hidden, self.top, self.k, self.top_k, self.steps, self.top_steps, self.batch, self.gibbs_steps)
        if min(counts) < 1:
            raise ValueError(f"units, steps of every kind and batch must be positive, got {self}")
        if (
            min(self.decay, self.top_decay, self.top_renew, self.updown) < 0
            or min(self.rate, self.top_rate, self.updown_rate) <= 0
        ):
            raise ValueError(f"decay, top_decay, top_renew and updown must be >= 0 and rates > 0, got {self}")

    @property
    def layers(self) -> tuple[LayerConfig, LayerConfig]:
        """The configurations of both machines."""
        shared = {"batch": self.batch, "gibbs_steps": self.gibbs_steps}
        first = {"hidden": self.hidden, "k": self.k, "persistent": self.persistent}
        top = {"hidden": self.top, "k": self.top_k, "persistent": self.top_persistent, "renew": self.top_renew}
        return (
            LayerConfig(**first, **shared, decay=self.decay, steps=self.steps, rate=self.rate),
            LayerConfig(**top, **shared, decay=self.top_decay, steps=self.top_steps, rate=self.top_rate),
        )


class DeepBelief(Model):
    """p(v, h1) = p(v|h1) p(h1): p(v|h1) is the first machine's conditional, p(h1) the top machine's marginal.

    The first machine's p(h1|v) is factorial and serves as the approximate posterior q(h1|v); up-down training gives q
    weights of its own, which start as the first machine's.
    """

    Config = Config
    name = "dbn"
    log_prob_kind: Kind = "estimate"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if require_levels("dbn", spec) != 2:
            raise ModelError(f"dbn models data of two levels, not of {spec.levels}")
        c = self.config
        first, top = c.layers
        self.first = RestrictedBoltzmann(spec, first)
        self.top = RestrictedBoltzmann(SampleSpec((c.hidden,), 2), top)
        self.recognition = nn.Linear(spec.size, c.hidden) if c.updown else None
        self.log_prob_kind = "lower_bound" if self.top.enumerable else "estimate"
        self.importance_samples = Effort().importance_samples

    def prepare(self, setting: Setting) -> None:
        self.importance_samples = setting.effort.importance_samples
        self.top.prepare(setting)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Train the first machine on the data, then the top one on its hidden states, then both by up-down.

        A budget's steps are for each part. Returns the differences of free energies in nats, which should stay near 0,
        and the loss of the up-down algorithm.
        """
        c = self.config
        steps = tuple(budget.steps or own for own in (c.steps, c.top_steps, c.updown) if own)
        first = self.first.fit(dataset, _part(budget, 0, steps))
        if self.recognition is not None:
            with torch.no_grad():
                self.recognition.weight.copy_(self.first.weight.T)
                self.recognition.bias.copy_(self.first.hidden_bias)
        self.start_top()
        self.top.base.copy_(base_rates(self.infer(dataset.train)))
        top = self.top.learn(dataset.train, _part(budget, 1, steps), self.infer)
        figures = {"first_divergence": first["divergence"], "top_divergence": top["divergence"]}
        if self.recognition is None:
            return figures
        stage = replace(c.layers[0], steps=c.updown, rate=c.updown_rate)
        part = _part(budget, 2, steps)
        loss = minimise(self.updown_loss, self, dataset.train, part, stage, Options(average=0.999))["loss"]
        self.top.forget()
        return figures | {"updown_loss": loss}

    def updown_loss(self, x: Tensor) -> Tensor:
        """A loss whose gradient is that of the up-down algorithm, for each of the three sets of weights its own part.

        The states that go up and come down are draws, through which no gradient flows.
        """
        v = x.flatten(1).float()
        h = self.infer(x)
        dreamt = self.top.gibbs(h, self.config.top_k)
        with torch.no_grad():
            generated = coin(self.first.visible_input(dreamt).sigmoid())
        wake = log_coin(v, self.first.visible_input(h))
        sleep = log_coin(dreamt, self.inferred(generated))
        return self.top.divergence(h, dreamt) - wake.mean() - sleep.mean()

    def inferred(self, v: Tensor) -> Tensor:
        """Log odds (n, hidden) of q(h1|v) for visible states float (n, size)."""
        return self.first.hidden_input(v) if self.recognition is None else self.recognition(v)

    @torch.no_grad()
    def start_top(self) -> None:
        """Turn the first machine upside down and make it the start of the top one, as far as its units go.

        With at least as many top units as pixels p(h1) is then the first machine's own, so that the network starts as
        the first machine itself; top units beyond the pixels start with couplings near 0.
        """
        units = min(self.spec.size, self.config.top)
        self.top.weight[:, :units] = self.first.weight.T[:, :units]
        self.top.hidden_bias[:units] = self.first.visible_bias[:units]
        self.top.visible_bias.copy_(self.first.hidden_bias)

    @torch.no_grad()
    def infer(self, x: Tensor) -> Tensor:
        """A draw of q(h1|v) for each of the items x (n, *shape): float (n, hidden)."""
        return coin(self.inferred(x.flatten(1).float()).sigmoid())

    def log_weights(self, v: Tensor, k: int) -> Tensor:
        """log p(v|h1) + log p*(h1) - log q(h1|v) for k draws h1 of q, p* unnormalised: (k, n), in nats."""
        inferred = self.inferred(v)
        h = coin(inferred.sigmoid().expand(k, -1, -1))
        log_likelihood = log_coin(v, self.first.visible_input(h))
        log_posterior = log_coin(h, inferred)
        return log_likelihood - self.top.free_energy(h.flatten(0, 1)).reshape(k, -1) - log_posterior

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """The importance-weighted bound on log p(x) with `importance_samples` draws of q(h1|x): float64 (n,), in nats.

        One draw is the variational bound of Hinton et al. A bound it is as far as log Z of the top machine is exact;
        the estimate of a large machine's log Z is on average too low, and every value too high by as much.
        """

        def bound(v: Tensor) -> Tensor:
            return importance_weighted_bound(lambda k: self.log_weights(v, k), self.importance_samples)

        return in_batches(bound, self.accept(x).flatten(1).float(), ITEMS_AT_ONCE) - self.top.log_z().value

    @property
    def log_prob_error(self) -> float | None:
        """The standard error of the top machine's log Z in nats, which all values share; None where it is exact."""
        return self.top.log_prob_error

    @property
    def log_prob_interval(self) -> tuple[float, float] | None:
        """The top machine's: how far the bounds may lie off for the sake of log Z; how loose they are is not in it."""
        return self.top.log_prob_interval

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape): h1 from annealed Gibbs chains of the top machine, then v from p(v|h1)."""
        v = coin(self.first.visible_input(self.top.draws(n).v).sigmoid())
        return v.reshape(n, *self.spec.shape).to(torch.uint8)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """Means all the way up and down again: the likelier level of each pixel."""
        h = self.inferred(self.accept(x).flatten(1).float()).sigmoid()
        h = self.top.visible_input(self.top.hidden_input(h).sigmoid()).sigmoid()
        return (self.first.visible_input(h) > 0).reshape(x.shape).to(torch.uint8)


def log_coin(states: Tensor, log_odds: Tensor) -> Tensor:
    """log of the probability of binary states (..., units) of these log odds: (...), in nats."""
    return (states * log_odds - softplus(log_odds)).sum(-1)


def _part(budget: Budget, layer: int, steps: tuple[int, ...]) -> Budget:
    """The budget of one part of the training, whose progress counts the steps of all."""
    tell = budget.progress
    if tell is None:
        return replace(budget, steps=steps[layer])
    before = sum(steps[:layer])
    return replace(
        budget, steps=steps[layer], progress=lambda step, _, figures: tell(before + step, sum(steps), figures)
    )

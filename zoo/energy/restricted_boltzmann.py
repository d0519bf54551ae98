"""The restricted Boltzmann machine.

Lecture topic: energy-based models. Binary visible and hidden units with an energy that couples only units of different
kinds, so that each kind is independent given the other: block Gibbs sampling and contrastive divergence follow.

References: G. Hinton, "Training Products of Experts by Minimizing Contrastive Divergence" (2002); T. Tieleman,
"Training Restricted Boltzmann Machines Using Approximations to the Likelihood Gradient" (2008), for persistent chains;
R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks" (2008), for log Z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, Effort, Kind, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.estimate import Estimate
from genbench.likelihood import annealed_importance_sampling, every_state
from genbench.seeding import scoped
from zoo.nn import Model, require_levels
from zoo.training import minimise

ENUMERABLE = 20  # hidden units whose 2 ** 20 states are summed in about a second
STATES_AT_ONCE = 2**14


@dataclass(frozen=True, slots=True)
class Config:
    """The machine and its training.

    `hidden`: hidden units. `k`: Gibbs steps of contrastive divergence. `persistent`: whether its chains go on from
    where the last step left them, or start at the minibatch. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser
    steps, items (and chains) per step and initial learning rate. `gibbs_steps`: Gibbs steps behind every sample.
    """

    hidden: int = 200
    k: int = 2
    persistent: bool = True
    decay: float = 0.1
    steps: int = 10000
    batch: int = 100
    rate: float = 5e-3
    gibbs_steps: int = 500

    def __post_init__(self) -> None:
        if min(self.hidden, self.k, self.steps, self.batch, self.gibbs_steps) < 1:
            raise ValueError(f"hidden, k, steps, batch and gibbs_steps must be positive, got {self}")
        if self.decay < 0 or self.rate <= 0:
            raise ValueError(f"decay must be >= 0 and rate > 0, got {self}")


class RestrictedBoltzmann(Model):
    """p(v, h) = exp(-E(v, h)) / Z with E(v, h) = -v'Wh - b'v - c'h, v and h binary.

    At inverse temperature beta it is blended with a base distribution of independent pixels that have the train split's
    frequencies: p_beta(v) is proportional to p_0(v) ** (1 - beta) at zero weights, and is the machine itself at 1.
    """

    Config = Config
    log_prob_kind: Kind = "estimate"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if require_levels("rbm", spec) != 2:
            raise ModelError(f"rbm models data of two levels, not of {spec.levels}")
        hidden = self.config.hidden
        self.weight = nn.Parameter(0.01 * torch.randn(spec.size, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(spec.size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("base", torch.zeros(spec.size))
        self.log_prob_kind = "exact" if hidden <= ENUMERABLE else "estimate"
        self.effort = Effort()
        self._log_z: Estimate | None = None

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Persistent chains for small images; for MNIST the CD-25 machine of Salakhutdinov and Murray (2008)."""
        if spec.size <= 256:
            return Config()
        return Config(hidden=500, k=25, persistent=False, decay=0.01, steps=20_000, rate=2e-3)

    def prepare(self, setting: Setting) -> None:
        self.effort, self._log_z = setting.effort, None

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Contrastive divergence; returns its loss, a difference of free energies in nats that should stay near 0."""
        c = self.config
        with torch.no_grad():
            self.base.copy_(base_rates(dataset.train))
            # Hinton's practical guide: the biases need not learn the frequencies of the pixels.
            self.visible_bias.copy_(self.base)
        chains = self.base_draws(c.batch)

        def loss(x: Tensor) -> Tensor:
            nonlocal chains
            x = x.flatten(1).float()
            chains = self.gibbs(chains if c.persistent else x, c.k)
            return self.divergence(x, chains)

        figures = minimise(loss, self, dataset.train, budget, c, average=0.999)
        self._log_z = None
        return {"divergence": figures["loss"]}

    def divergence(self, v: Tensor, negative: Tensor) -> Tensor:
        """Mean free energy of the data less that of the chains' ends: its gradient is contrastive divergence's."""
        return self.free_energy(v).mean() - self.free_energy(negative).mean()

    def free_energy(self, v: Tensor, beta: float = 1.0) -> Tensor:
        """F(v) = -log sum_h exp(-E(v, h)) of visible states float (n, size): (n,), in nats."""
        bias = beta * self.visible_bias + (1 - beta) * self.base
        return -v @ bias - softplus(beta * (v @ self.weight + self.hidden_bias)).sum(1)

    @torch.no_grad()
    def gibbs(self, v: Tensor, steps: int = 1, beta: float = 1.0) -> Tensor:
        """Visible states float (n, size) after `steps` block Gibbs steps v -> h -> v, which leave p_beta as it is."""
        bias = beta * self.visible_bias + (1 - beta) * self.base
        for _ in range(steps):
            h = coin((beta * (v @ self.weight + self.hidden_bias)).sigmoid())
            v = coin((bias + beta * (h @ self.weight.T)).sigmoid())
        return v

    def base_draws(self, n: int) -> Tensor:
        """n exact draws of the base distribution: float (n, size)."""
        return coin(self.base.sigmoid().expand(n, -1))

    @torch.no_grad()
    def log_z(self) -> Estimate:
        """log Z in nats, summed exactly over up to 2 ** 20 hidden states, else estimated by AIS; computed once."""
        if self._log_z is None:
            if self.config.hidden <= ENUMERABLE:
                self._log_z = Estimate(self._enumerated_log_z(), None)
            else:
                with scoped(0, "log-z"):
                    self._log_z = self.annealed_log_z(self.effort.ais_chains, self.effort.ais_temperatures)
        return self._log_z

    @property
    def log_prob_error(self) -> float | None:
        """The standard error of log Z in nats, which all log-probabilities share; None where it is exact."""
        return self.log_z().stderr

    def _enumerated_log_z(self) -> float:
        weight, visible_bias, hidden_bias = self.weight.double(), self.visible_bias.double(), self.hidden_bias.double()
        total = torch.tensor(-math.inf, dtype=torch.float64, device=self.device)
        for states in every_state(self.config.hidden).split(STATES_AT_ONCE):
            h = states.to(self.device).double()
            # Given h the visible units are independent: their sum factorises, as the free energy's over h does.
            log_mass = h @ hidden_bias + softplus(visible_bias + h @ weight.T).sum(1)
            total = torch.logaddexp(total, log_mass.logsumexp(0))
        return total.item()

    @torch.no_grad()
    def annealed_log_z(self, chains: int, temperatures: int) -> Estimate:
        """log Z in nats by annealed importance sampling from the base distribution, with its standard error."""
        base_log_z = softplus(self.base.double()).sum().item() + self.config.hidden * math.log(2)
        return annealed_importance_sampling(
            self.base_draws(chains),
            lambda v, beta: -self.free_energy(v, beta),
            lambda v, beta: self.gibbs(v, beta=beta),
            base_log_z,
            temperatures,
        )

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """-F(x) - log Z in nats: float64 (n,)."""
        return -self.free_energy(x.to(self.device).flatten(1).float()).double() - self.log_z().value

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape) from independent chains: annealed from the base distribution, then run at beta = 1.

        A chain that starts cold stays in the mode nearest to its start; the slow rise of beta lets it choose among the
        modes while the barriers between them are still low.
        """
        v = self.base_draws(n)
        rising = self.config.gibbs_steps // 2
        for step in range(self.config.gibbs_steps):
            v = self.gibbs(v, beta=min(1.0, (step + 1) / (rising + 1)))
        return v.reshape(n, *self.spec.shape).to(torch.uint8)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """Mean field up and down: the likelier level of each pixel given the hidden units' means."""
        v = x.to(self.device).flatten(1).float()
        h = (v @ self.weight + self.hidden_bias).sigmoid()
        return (self.visible_bias + h @ self.weight.T > 0).reshape(x.shape).to(torch.uint8)


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

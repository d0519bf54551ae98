"""The variational autoencoder whose encoder learns from the score function in place of the reparametrised gradient.

Lecture topic: variational autoencoders, gradients of expectations. The gradient of E_q[f(z)] with respect to the
parameters of q is E_q[f(z) grad log q(z)], which needs no derivative of f and so holds for any f and q, discrete ones
too. Its price is variance: it is told one number for each draw, where the reparametrised gradient is told a direction.
A baseline that does not depend on the draw leaves the mean as it is, because E_q[grad log q(z)] = 0, and takes away
most of that variance. Here f is log p(x|z); the divergence from the prior is in closed form for both gradients.

References: J. Paisley, D. Blei and M. Jordan, "Variational Bayesian Inference with Stochastic Search" (2012), and R.
Ranganath, S. Gerrish and D. Blei, "Black Box Variational Inference" (2014), for the gradient and its control variates;
A. Mnih and K. Gregor, "Neural Variational Inference and Learning in Belief Networks" (2014), for the running baseline;
A. Mnih and D. Rezende, "Variational Inference for Monte Carlo Objectives" (2016), for one made of the other draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.training import minimise
from zoo.vae.vae import VAE
from zoo.vae.vae import Config as VAEConfig

Baseline = Literal["none", "running", "leave-one-out"]
FORGETTING = 0.02  # the weight of a minibatch in the running baseline
PROBE_ITEMS = 50


@dataclass(frozen=True, slots=True)
class Config(VAEConfig):
    """The networks and the training of the VAE, and what its other gradient needs.

    `draws`: codes drawn for every item and step. With several, the baseline of each is the mean of log p(x|z) over the
    item's others; a single one is compared with the running mean over all items. `probes`: noise draws from which
    the gradients' variances are estimated after training, at most as many as training steps.
    """

    draws: int = 4
    probes: int = 100

    def __post_init__(self) -> None:
        VAEConfig.__post_init__(self)
        if self.draws < 1 or self.probes < 2:
            raise ValueError(f"draws must be positive and probes at least 2, got {self}")


class ReinforceVAE(VAE):
    """The VAE's networks, samples and bound; only the gradient that trains the encoder differs."""

    Config = Config
    name = "vae-reinforce"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.register_buffer("running", torch.zeros(()))

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the ELBO; the loss is its negative in nats per dimension.

        The figures hold the variances of the encoder's gradient as `variances` measures them on items of the train
        split, at the parameters that training has found.
        """
        c = self.config
        baseline = "leave-one-out" if c.draws > 1 else "running"

        def loss(x: Tensor) -> Tensor:
            elbo = self.score_function_elbo(x, c.draws, baseline)
            return -elbo.mean() / self.spec.size

        self.start_without_latents(dataset.train)
        figures = minimise(loss, self, dataset.train, budget, c)
        items = dataset.train[torch.randperm(len(dataset.train))[:PROBE_ITEMS]]
        return figures | self.variances(items, max(2, min(c.probes, budget.steps or c.steps)))

    def score_function_elbo(self, x: Tensor, draws: int, baseline: Baseline) -> Tensor:
        """The evidence lower bound, (n,) in nats: as `elbo` in value, with `draws` codes, but for its gradient.

        The encoder's is that of the score function: the codes carry none.
        """
        mean, log_std = self.encode(x)
        noise = torch.randn(draws, *mean.shape, device=mean.device)
        z = (mean + log_std.exp() * noise).detach()
        log_q = (-0.5 * ((z - mean) / log_std.exp()) ** 2 - log_std).sum(2)
        repeated = x.repeat(draws, *[1] * len(self.spec.shape))
        f = self.observation.log_prob(self.parameters_given(z.flatten(0, 1)), repeated).reshape(draws, -1)
        if self.training:
            self.running.lerp_(f.detach().mean(), FORGETTING)
        divergence = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std
        return score_function(f, log_q, self.baseline(f.detach(), baseline)).mean(0) - divergence.sum(1)

    def baseline(self, f: Tensor, kind: Baseline) -> Tensor:
        """What is taken off the values f (draws, n) in the gradient; it does not depend on the draw it is taken off."""
        if kind == "none":
            return torch.zeros_like(f)
        return self.running.expand_as(f) if kind == "running" else leave_one_out(f)

    def variances(self, x: Tensor, probes: int) -> dict[str, float]:
        """Total variance of the encoder's gradient of the ELBO of one item for each estimator, at its current state.

        Each is that of a single draw of z: the estimator with `draws` of them is the more exact, and the dearer, by
        just as much. Averaged over the items x, and estimated from `probes` noise draws, without dropout.
        """
        x = x.to(self.device)
        draws = max(2, self.config.draws)
        estimators: dict[str, tuple[int, Callable[[], Tensor]]] = {
            "variance_reparametrised": (1, lambda: self.elbo(x)),
            "variance_score_function": (1, lambda: self.score_function_elbo(x, 1, "none")),
            "variance_score_function_running": (1, lambda: self.score_function_elbo(x, 1, "running")),
            "variance_score_function_baseline": (
                draws,
                lambda: self.score_function_elbo(x, draws, "leave-one-out"),
            ),
        }
        parameters = list(self.encoder.parameters())
        figures = {}
        for name, (cost, elbo) in estimators.items():
            # Items are independent: the variance of their sum is the sum of their variances.
            variance = total_variance(lambda elbo=elbo: torch.autograd.grad(elbo().sum(), parameters), probes)
            figures[name] = variance * cost / len(x)
        return figures


def score_function(f: Tensor, log_q: Tensor, baseline: Tensor) -> Tensor:
    """f in value; in gradient, f's own plus (f - baseline) times that of log q. All are (draws, n) of codes z ~ q.

    f(z) must carry no gradient through z. In expectation the gradient is that of E_q[f(z)], whatever the baseline.
    """
    return f + (f - baseline).detach() * (log_q - log_q.detach())


def leave_one_out(f: Tensor) -> Tensor:
    """The mean of the item's other draws, for each of f (draws, n); at least two draws."""
    return (f.sum(0) - f) / (len(f) - 1)


def total_variance(gradient: Callable[[], Sequence[Tensor]], repeats: int) -> float:
    """The trace of the covariance (N - 1) of a random gradient, given as tensors, over at least two repeats of it."""
    mean, squares = torch.zeros((), dtype=torch.float64), 0.0
    for count in range(1, repeats + 1):
        drawn = torch.cat([part.flatten() for part in gradient()]).double()
        # Welford's recurrence: the mean may be far larger than what varies.
        before = drawn - mean.to(drawn.device)
        mean = mean.to(drawn.device) + before / count
        squares += float(before @ (drawn - mean))
    return squares / (repeats - 1)

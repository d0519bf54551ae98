"""A mixture of Gaussians, fitted by expectation maximisation.

Lecture topic: mixture models and EM. A latent component z with probability pi_z explains each item, and p(v) =
sum_z pi_z N(v; mu_z, Sigma_z). EM alternates the posterior of z under the current parameters (E-step) with the
parameters that maximise the expected log p(v, z) under it (M-step); log p(v) never falls.

Levels fill a cube, most of them near its faces, and Gaussians know no faces. As flows do, the mixture therefore lives
on v = logit(y) of dequantized items y in [0, 1)^D, and the density of y is that of v times |det dv/dy|.

References: A. Dempster, N. Laird and D. Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm" (1977);
C. Bishop, "Pattern Recognition and Machine Learning" (2006), section 9.2; D. Arthur and S. Vassilvitskii, "k-means++:
The Advantages of Careful Seeding" (2007); J. Friedman, "Regularized Discriminant Analysis" (1989), for the shrinkage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.likelihood import dequantize, dequantized_log_prob, from_logits, quantize, to_logits
from zoo.nn import Model, require_levels
from zoo.training import in_batches, report, sizes

BATCH = 1000  # items at a time
SEEDS = 10_000  # items among which the first means are chosen
FLOOR = 1e-4  # added to every variance, so that no component can collapse


@dataclass(frozen=True, slots=True)
class Config:
    """`components`: their number; `covariance`: full matrices, or diagonals where matrices would not fit in memory;
    `shrinkage`: how many items the covariance pooled over all components counts for in each component's own; `alpha`:
    the logit maps [alpha, 1 - alpha], so that it stays finite; `noises`: dequantizations of each item in one iteration;
    `steps`: iterations of EM."""

    components: int = 40
    covariance: Literal["full", "diagonal"] = "full"
    shrinkage: float = 20.0
    alpha: float = 0.005
    noises: int = 4
    steps: int = 40

    def __post_init__(self) -> None:
        if min(self.components, self.noises, self.steps) < 1:
            raise ValueError(f"components, noises and steps must be at least 1, got {self}")
        if self.covariance not in ("full", "diagonal"):
            raise ValueError(f"covariance must be full or diagonal, got {self.covariance!r}")
        if self.shrinkage < 0:
            raise ValueError(f"shrinkage must not be negative, got {self.shrinkage}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must be within (0, 0.5), got {self.alpha}")


class GaussianMixture(Model):
    """p(v) = sum_k pi_k N(v; mu_k, L_k L_k^T) of the logits v of dequantized items, flattened: (n, D).

    `factor` holds the Cholesky factors L_k (K, D, D), or with diagonal covariances the standard deviations (K, D).
    """

    Config = Config
    log_prob_kind: Literal["lower_bound"] = "lower_bound"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("gaussian-mixture", spec)
        self.dequantization_samples = 16
        self.full = self.config.covariance == "full"
        components, size = self.config.components, spec.size
        unit = torch.eye(size) if self.full else torch.ones(size)
        self.register_buffer("log_pi", torch.full((components,), -math.log(components)))
        self.register_buffer("mean", torch.zeros(components, size))
        self.register_buffer("factor", unit.repeat(components, *[1] * unit.dim()))

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Full covariances while those of all components fit in some 100 MB; fewer of them for larger images."""
        if spec.size <= 256:
            return Config()
        if spec.size <= 1024:
            return Config(components=20, noises=1, steps=20)
        return Config(components=50, covariance="diagonal", noises=1)

    def prepare(self, setting: Setting) -> None:
        self.dequantization_samples = setting.effort.dequantization_samples

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """EM from well-spread means on a train split dequantized anew in each iteration; the budget's steps count them.

        The loss is the mean of -log p(v) in nats before each iteration.
        """
        steps = budget.steps or self.config.steps
        self.seed(dataset.train)
        loss = math.nan
        for step in range(1, steps + 1):
            loss = -self.iterate(self.batches(dataset.train))
            report(budget, step, steps, {"loss": loss})
        return {"loss": loss}

    def batches(self, x: Tensor) -> Iterator[Tensor]:
        """The logits (n, D) of the items with fresh noise, batch by batch."""
        for _ in range(self.config.noises):
            for part in x.split(BATCH):
                yield self.open(dequantize(part.to(self.device).flatten(1), self.levels))[0]

    def open(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n, D) in [0, 1) to logits v (n, D), with log |det dv/dy| (n,)."""
        return to_logits(y, self.config.alpha)

    def close(self, v: Tensor) -> Tensor:
        """The inverse of `open`."""
        return from_logits(v, self.config.alpha)

    def seed(self, x: Tensor) -> None:
        """k-means++: each next mean is an item drawn in proportion to its squared distance from the nearest mean."""
        chosen = x[torch.randperm(len(x))[:SEEDS]].to(self.device).flatten(1)
        v = self.open(dequantize(chosen, self.levels))[0]
        means, nearest = v[:1], (v - v[:1]).square().sum(1)
        while len(means) < self.config.components:
            row = torch.multinomial(nearest, 1) if nearest.any() else torch.randint(len(v), (1,), device=v.device)
            means = torch.cat([means, v[row]])
            nearest = torch.minimum(nearest, (v - v[row]).square().sum(1))
        self.mean.copy_(means)
        self.log_pi.fill_(-math.log(len(means)))
        # Spheres about as wide as the items' distance from their nearest mean.
        deviation = math.sqrt(nearest.mean().item() / self.spec.size + FLOOR)
        self.factor.copy_(deviation * (torch.eye(self.spec.size) if self.full else torch.ones(self.spec.size)))

    def iterate(self, batches: Iterable[Tensor]) -> float:
        """One E-step and one M-step over batches (n, D) of logits; returns the mean log p(v) before them, in nats.

        All that the M-step needs are sums over items, so that memory does not grow with their number.
        """
        n, total = 0, 0.0
        weight = torch.zeros_like(self.log_pi, dtype=torch.float64)
        first = torch.zeros_like(self.mean, dtype=torch.float64)
        second = torch.zeros_like(self.factor, dtype=torch.float64)
        for v in batches:
            log_joint = self.log_joint(v)
            log_density = log_joint.logsumexp(1, keepdim=True)
            # E-step: the responsibilities r_nk = p(k | v_n).
            r = (log_joint - log_density).exp().double()
            v = v.double()
            n, total = n + len(v), total + log_density.double().sum().item()
            weight += r.sum(0)
            first += r.T @ v
            second += torch.stack([(v * each[:, None]).T @ v for each in r.T]) if self.full else r.T @ v.square()
        self.maximise(weight, first, second)
        return total / n

    def maximise(self, weight: Tensor, first: Tensor, second: Tensor) -> None:
        """M-step: the parameters from sum_n r_nk (K,), sum_n r_nk v_n (K, D) and sum_n r_nk v_n v_n^T (as `factor`)."""
        per_component = (-1, *[1] * (second.dim() - 1))
        # A component that lost every item must not divide by zero.
        count = weight.clamp(min=1e-10)
        mean = first / count[:, None]
        square = mean[:, :, None] * mean[:, None, :] if self.full else mean.square()
        covariance = second / count.view(per_component) - square
        # A matrix has D (D + 1) / 2 numbers: components of few items borrow from the covariance that all share.
        pooled = (count.view(per_component) * covariance).sum(0) / count.sum()
        own = (count / (count + self.config.noises * self.config.shrinkage)).view(per_component)
        covariance = own * covariance + (1 - own) * pooled
        self.log_pi.copy_((count / count.sum()).log())
        self.mean.copy_(mean)
        if self.full:
            floor = FLOOR * torch.eye(self.spec.size, dtype=covariance.dtype, device=self.device)
            self.factor.copy_(torch.linalg.cholesky(covariance + floor))
        else:
            self.factor.copy_((covariance.clamp(min=0) + FLOOR).sqrt())

    def log_joint(self, v: Tensor) -> Tensor:
        """log pi_k + log N(v; mu_k, Sigma_k) in nats, (n, K), of logits v (n, D)."""
        columns = []
        for mean, factor in zip(self.mean, self.factor, strict=True):
            if self.full:
                white = torch.linalg.solve_triangular(factor, (v - mean).T, upper=False).T
                log_det = factor.diagonal().log().sum()
            else:
                white, log_det = (v - mean) / factor, factor.log().sum()
            columns.append(-0.5 * white.square().sum(1) - log_det)
        return self.log_pi + torch.stack(columns, dim=1) - 0.5 * self.spec.size * math.log(2 * math.pi)

    def log_density(self, y: Tensor, /) -> Tensor:
        """log p(y) in nats (n,), the density of values y (n, *shape) in [0, 1)."""
        v, log_det = self.open(y.flatten(1))
        return self.log_joint(v).logsumexp(1) + log_det

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """A lower bound on log P(x) in nats by uniform dequantization: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            return dequantized_log_prob(self.log_density, part, self.spec, self.dequantization_samples)

        return in_batches(bound, self.accept(x), BATCH)

    def sample(self, n: int, /) -> Tensor:
        """n items, uint8 (n, *shape): a component, a point of its Gaussian, the cell in which that falls."""
        flat = [quantize(self.close(self.draw(size)), self.levels) for size in sizes(n, BATCH)]
        return torch.cat(flat).reshape(n, *self.spec.shape)

    def draw(self, n: int) -> Tensor:
        """n logits (n, D) from the mixture."""
        v = torch.randn(n, self.spec.size, device=self.device)
        component = torch.multinomial(self.log_pi.exp(), n, replacement=True)
        for k in component.unique().tolist():
            rows = component == k
            v[rows] = self.mean[k] + (v[rows] @ self.factor[k].T if self.full else v[rows] * self.factor[k])
        return v

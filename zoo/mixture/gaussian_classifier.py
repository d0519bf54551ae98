"""Gaussian classifiers: a Gaussian for each class, with one covariance for all of them (LDA) or one for each (QDA).

Lecture topic: generative classifiers. Bayes' rule turns p(y) N(x; mu_y, Sigma_y) into a posterior over the classes that
is the softmax of functions of x: linear ones where the classes share their covariance, because its quadratic term
cancels, and quadratic ones where they do not.

References: R. Fisher, "The Use of Multiple Measurements in Taxonomic Problems" (1936); C. Smith, "Some Examples of
Discrimination" (1946); J. Friedman, "Regularized Discriminant Analysis" (1989), for the blend of both covariances;
L. Theis et al., "A note on the evaluation of generative models" (2016), for densities on levelled data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import dequantized_log_prob
from zoo.nn import Model, require_levels
from zoo.training import in_batches

CLASSES = 10
ITEMS_AT_ONCE = 500
NOISE_VARIANCE = 1 / 12  # of the uniform noise that spreads a level over its cell


@dataclass(frozen=True, slots=True)
class Config:
    """`shared`: the weight of the covariance that all classes share, 1 for LDA; the rest is each class's own."""

    shared: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.shared <= 1:
            raise ValueError(f"shared must be within [0, 1], got {self.shared}")


class GaussianClassifier(Model):
    """p(x, y) = p(y) N(x + u; mu_y, Sigma_y), where u ~ U[0, 1) spreads the levels of x over their cells.

    `log_prob` averages the density over draws of u, as all density models here do. To decide for a class,
    `class_log_joint` needs no draws: by Jensen's inequality P(x, y) >= p(y) exp E_u[log N(x + u; mu_y, Sigma_y)], and
    this expectation is known, the Gaussian at the middle of the cell less tr(Sigma_y^-1) / 24. As a bound on the mass
    it is looser, by 6 nats on the binary digits, but it keeps the decision a linear or quadratic function of x.
    """

    Config = Config
    log_prob_kind: Literal["lower_bound"] = "lower_bound"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("a Gaussian classifier", spec)
        self.dequantization_samples = 16
        size = spec.size
        self.register_buffer("log_prior", torch.full((CLASSES,), 1 / CLASSES).log())
        self.register_buffer("mean", torch.full((CLASSES, size), self.levels / 2))
        covariances = 1 if self.config.shared == 1 else CLASSES
        self.register_buffer("root", self.levels * torch.eye(size).repeat(covariances, 1, 1))

    def prepare(self, setting: Setting) -> None:
        self.dequantization_samples = setting.effort.dequantization_samples

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximum likelihood in closed form; the budget does not matter. Raises ModelError for unlabelled data."""
        labels = dataset.train_labels
        if labels is None or int(labels.max()) >= CLASSES:
            raise ModelError(f"a Gaussian classifier needs data labelled with up to {CLASSES} classes")
        x = dataset.train.to(self.device).flatten(1).double() + 0.5
        labels = labels.to(self.device)
        counts = torch.bincount(labels, minlength=CLASSES).double()
        for y in range(CLASSES):
            # A class without items keeps the mean of all and, with one item more, a prior above zero.
            self.mean[y] = x[labels == y].mean(0) if counts[y] else x.mean(0)
        centred = x - self.mean.double()[labels]
        self.log_prior.copy_(((counts + 1) / (counts + 1).sum()).log())
        within = self._covariance(centred)
        for y, root in enumerate(self.root):
            own = within if self.config.shared == 1 else self._covariance(centred[labels == y])
            root.copy_(torch.linalg.cholesky(self.config.shared * within + (1 - self.config.shared) * own))
        return {"nll": -self.log_prob(dataset.train).mean().item()}

    def _covariance(self, centred: Tensor) -> Tensor:
        """Of x + u for the centred x (n, size), which is also what keeps pixels that never change invertible."""
        noise = NOISE_VARIANCE * torch.eye(self.spec.size, dtype=torch.float64, device=self.device)
        return centred.T @ centred / max(len(centred), 1) + noise

    def class_log_joint(self, x: Tensor, /) -> Tensor:
        """Jensen's bound on log P(x, y) in nats for every class: float64 (n, classes)."""
        joint = torch.cat([self._log_joint(part + 0.5) for part in self.accept(x).flatten(1).split(ITEMS_AT_ONCE)])
        # What E_u takes from the Gaussian at the middle of the cell.
        widths = [torch.linalg.inv(root.double()).square().sum() for root in self.root]
        return joint - 0.5 * NOISE_VARIANCE * torch.stack(widths).expand(CLASSES)

    def _log_joint(self, v: Tensor) -> Tensor:
        """log p(y) + log N(v; mu_y, Sigma_y) in nats of values v (n, D) in units of levels: float64 (n, classes)."""
        columns = []
        for y in range(CLASSES):
            root = self.root[y % len(self.root)].double()
            white = torch.linalg.solve_triangular(root, (v.double() - self.mean[y].double()).T, upper=False)
            columns.append(-0.5 * white.square().sum(0) - root.diagonal().log().sum())
        return self.log_prior.double() + torch.stack(columns, 1) - 0.5 * self.spec.size * math.log(2 * math.pi)

    def log_density(self, y: Tensor, /) -> Tensor:
        """log p(y) in nats, float64 (n,), the density of values y (n, *shape) in [0, 1)."""
        return self._log_joint(y.flatten(1) * self.levels).logsumexp(1) + self.spec.size * math.log(self.levels)

    def posterior(self, x: Tensor) -> Tensor:
        """p(y | x), float64 (n, classes): a softmax of functions of x that are linear for LDA, else quadratic."""
        return self.class_log_joint(x).softmax(1)

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """A lower bound on log P(x) in nats by uniform dequantization: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            return dequantized_log_prob(self.log_density, part, self.spec, self.dequantization_samples)

        return in_batches(bound, self.accept(x), ITEMS_AT_ONCE)

    def sample(self, n: int, /) -> Tensor:
        """n items, uint8 (n, *shape): a class for each, then its Gaussian, cut down to whole levels."""
        classes = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        noise = torch.randn(n, self.spec.size, device=self.device)
        x = torch.empty_like(noise)
        for y in classes.unique().tolist():
            rows = classes == y
            x[rows] = self.mean[y] + noise[rows] @ self.root[y % len(self.root)].T
        return x.floor().clamp(0, self.levels - 1).to(torch.uint8).reshape(n, *self.spec.shape)


class LinearDiscriminant(GaussianClassifier):
    """LDA: all classes share one covariance."""


class QuadraticDiscriminant(GaussianClassifier):
    """QDA: every class has its own covariance, steadied by a share of the common one."""

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        return Config(shared=0.2)

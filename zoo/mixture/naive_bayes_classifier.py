"""Naive Bayes with classes: given its class, every dimension of an item on its own.

Lecture topic: generative classifiers. Bayes' rule turns p(y) prod_d p(x_d | y) into a posterior over classes; summed
over them it is a mixture of factorised distributions, which generates and has a likelihood as any mixture does.

References: C. Bishop, "Pattern Recognition and Machine Learning" (2006), sections 4.2.3 and 8.2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.mixture.naive_bayes import Config
from zoo.nn import Model, require_levels
from zoo.training import in_batches

CLASSES = 10
ITEMS_AT_ONCE = 500


class NaiveBayesClassifier(Model):
    """p(x, y) = p(y) prod_d p_d(x_d | y), all of them smoothed frequencies in the train split.

    On two levels the conditionals are Bernoulli, on more they are categorical.
    """

    Config = Config
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("naive-bayes-classifier", spec)
        self.register_buffer("log_prior", torch.full((CLASSES,), 1 / CLASSES).log())
        self.register_buffer("log_p", torch.full((CLASSES, spec.size, self.levels), 1 / self.levels).log())

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Count; the budget's steps do not matter. Raises ModelError for data without labels or of other classes."""
        labels = dataset.train_labels
        if labels is None or int(labels.max()) >= CLASSES:
            raise ModelError(f"naive-bayes-classifier needs data labelled with up to {CLASSES} classes")
        counts = torch.full((CLASSES, self.spec.size, self.levels), self.config.pseudo_count)
        for y in range(CLASSES):
            for part in dataset.train[labels == y].flatten(1).split(ITEMS_AT_ONCE):
                counts[y] += F.one_hot(part.long(), self.levels).sum(0)
        frequencies = torch.bincount(labels, minlength=CLASSES) + self.config.pseudo_count
        self.log_p.copy_((counts / counts.sum(2, keepdim=True)).log())
        self.log_prior.copy_((frequencies / frequencies.sum()).log())
        return {"nll": -self.log_prob(dataset.train).mean().item()}

    def class_log_joint(self, x: Tensor, /) -> Tensor:
        """log p(x, y) in nats for every class: float64 (n, classes)."""

        def joint(part: Tensor) -> Tensor:
            picked = self.log_p.double()[:, torch.arange(self.spec.size), part.long().flatten(1)]
            return picked.sum(2).T + self.log_prior.double()

        return in_batches(joint, self.accept(x), ITEMS_AT_ONCE)

    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) = log sum_y p(x, y) in nats: float64 (n,)."""
        return self.class_log_joint(x).logsumexp(1)

    def sample(self, n: int, /) -> Tensor:
        """n items: a class for each, then each dimension given it."""
        classes = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        x = torch.empty(n, self.spec.size, dtype=torch.uint8, device=self.device)
        for y in classes.unique().tolist():
            rows = (classes == y).nonzero()[:, 0]
            x[rows] = torch.multinomial(self.log_p[y].exp(), len(rows), replacement=True).T.to(torch.uint8)
        return x.reshape(n, *self.spec.shape)

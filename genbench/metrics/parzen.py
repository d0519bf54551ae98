"""The Parzen-window estimate of the held-out likelihood, for models that have none of their own.

References: O. Breuleux et al., "Quickly Generating Representative Samples from an RBM-Derived Process" (2011); I.
Goodfellow et al., "Generative Adversarial Nets" (2014); L. Theis et al., "A note on the evaluation of generative
models" (2016), which shows that such estimates can be far from the likelihood and rank worse models above better ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import Unsupported
from genbench.likelihood.parzen import parzen_bandwidth, parzen_log_prob
from genbench.metrics.log_likelihood import negative_log_likelihood

WARNING = "not comparable with likelihoods, and can rank worse models higher (Theis et al., 2016)"


@dataclass(frozen=True, slots=True)
class Parzen:
    """The column `parzen`: the negative log-density of the held-out split under Gaussians on the samples, in nats.

    Levels are scaled to 0..1, so that it is a density on [0, 1]^D and no mass; real-valued data stay as they are. The
    items of either half of the held-out split, by a fixed random draw, have the bandwidth that fits `validation` items
    of the other half best: items that a model may have memorized would ask for none. The standard error is that over
    the held-out items.
    """

    validation: int = 1000
    name = "parzen"
    columns = (Column("parzen", "Parzen NLL", "lower", digits=2, unit="nats", note=WARNING),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        if evidence.offers("log_prob"):
            raise Unsupported("the model has a likelihood of its own")
        spec, heldout, samples = evidence.dataset.spec, evidence.dataset.heldout.flatten(1), evidence.samples.flatten(1)
        log_prob = torch.empty(len(heldout), dtype=torch.float64)
        sigmas = []
        for fitted, scored in crossed_halves(len(heldout)):
            sigmas.append(parzen_bandwidth(samples, heldout[fitted[: self.validation]]))
            log_prob[scored] = parzen_log_prob(samples, heldout[scored], sigmas[-1])
        nll = negative_log_likelihood(log_prob)
        # Levels are scaled in the results, where no copy of the items is needed for it.
        unit = 1 if spec.levels is None else spec.levels - 1
        # Of no kind: it is no estimate of the likelihood, and must not stand in the column that names those.
        detail = f"{WARNING}; sigma {sigmas[0] / unit:.3g} and {sigmas[1] / unit:.3g}"
        return {"parzen": Score(nll.value - spec.size * math.log(unit), nll.stderr, detail=detail)}


def crossed_halves(n: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The indices of two fixed random halves of n >= 2 items, as (first, second) and as (second, first)."""
    order = torch.randperm(n, generator=seeding.generator("parzen validation", n))
    first, second = order[: n // 2], order[n // 2 :]
    return (first, second), (second, first)

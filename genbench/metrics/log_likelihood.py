"""Held-out log-likelihood, in nats and in bits per dimension, and the distance to the truth where that is known.

References: L. Theis et al., "A note on the evaluation of generative models" (2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genbench.contracts import Column, Evidence, Kind, LogProbs, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_float64

# Read as numbers of the negative log-likelihood, a lower bound on log p is an upper bound.
REMARKS: Mapping[Kind, str] = {"exact": "", "lower_bound": "an upper bound", "estimate": "an estimate"}

# Measured on the digits: 64 and 256 noises, Gaussian classifiers and the mixture.
SLACK = "bounds (<=) are loose: four times as many noises lower those of densities by 0.1 to 0.7 nats on the digits"


def negative_log_likelihood(log_prob: Array, shared_error: float = 0.0) -> Estimate:
    """The mean of -log p over items (n,), in nats, with its standard error over the draw of the items.

    `shared_error` is a standard error in nats that all items have in common, such as that of an estimated log Z.
    """
    values = as_float64("log_prob", log_prob, ndim=1)
    if len(values) < 2:
        raise InputError(f"a standard error needs at least 2 items, got {len(values)}")
    spread = float(values.std(correction=1)) / math.sqrt(len(values))
    return Estimate(-float(values.mean()), math.hypot(spread, shared_error))


def _score(log_prob: LogProbs, nll: Estimate, detail: str, unit: float = 1.0) -> Score:
    """In units of so many nats, between ends where the model says between which its log-probabilities lie."""
    assert nll.stderr is not None
    low = high = None
    if log_prob.interval is not None:
        lower, upper = log_prob.interval
        low, high = (nll - upper) / unit, (nll - lower) / unit
    return Score(nll / unit, nll.stderr / unit, log_prob.kind, detail, low, high, nats=unit)


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """The columns `nll` (nats) and `bpd` (bits per dimension) of the held-out split."""

    name = "likelihood"
    columns = (
        Column("nll", "NLL", "lower", digits=2, unit="nats", note=SLACK),
        Column("bpd", "BPD", "lower", digits=3, unit="bits/dim"),
    )
    reads: ClassVar[tuple[Reads, ...]] = ("log_prob",)
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        log_prob = evidence.log_prob
        nll = negative_log_likelihood(log_prob.values, log_prob.error)
        detail, bits = REMARKS[log_prob.kind], evidence.dataset.spec.size * math.log(2)
        return {"nll": _score(log_prob, nll, detail), "bpd": _score(log_prob, nll, detail, bits)}


@dataclass(frozen=True, slots=True)
class GapToTruth:
    """The column `gap`: the mean over the held-out split of log p_true(x) - log p_model(x), in nats.

    It estimates KL(truth || model) with a smaller error than the two likelihoods' difference, because both see the same
    items.
    """

    name = "gap"
    columns = (Column("gap", "gap to truth", "lower", digits=3, unit="nats"),)
    reads: ClassVar[tuple[Reads, ...]] = ("log_prob",)
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        dataset = evidence.dataset
        if dataset.true_log_prob is None:
            raise Unsupported(f"the true distribution of {dataset.name} is not known")
        log_prob = evidence.log_prob
        gap = negative_log_likelihood(log_prob.values - dataset.true_log_prob(dataset.heldout), log_prob.error)
        detail = f"true entropy {dataset.entropy:.4f} nats" if dataset.entropy is not None else ""
        return {"gap": _score(log_prob, gap, detail)}

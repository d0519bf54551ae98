"""The estimators behind log-likelihoods: importance weighting, dequantization, annealing, exact enumeration."""

from __future__ import annotations

from genbench.likelihood.annealing import (
    Sandwich,
    annealed_importance_sampling,
    reverse_annealed_importance_sampling,
)
from genbench.likelihood.dequantization import dequantize, dequantized_log_prob, from_logits, quantize, to_logits
from genbench.likelihood.enumeration import every_state
from genbench.likelihood.importance import importance_weighted_bound
from genbench.likelihood.parzen import parzen_bandwidth, parzen_log_prob

__all__ = [
    "Sandwich",
    "annealed_importance_sampling",
    "dequantize",
    "dequantized_log_prob",
    "every_state",
    "from_logits",
    "importance_weighted_bound",
    "parzen_bandwidth",
    "parzen_log_prob",
    "quantize",
    "reverse_annealed_importance_sampling",
    "to_logits",
]

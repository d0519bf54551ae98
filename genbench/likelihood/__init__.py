"""The estimators behind log-likelihoods: importance weighting, dequantization, annealing, exact enumeration."""

from __future__ import annotations

from genbench.likelihood.annealing import annealed_importance_sampling
from genbench.likelihood.dequantization import dequantize, dequantized_log_prob, from_logits, quantize, to_logits
from genbench.likelihood.enumeration import every_state
from genbench.likelihood.importance import importance_weighted_bound

__all__ = [
    "annealed_importance_sampling",
    "dequantize",
    "dequantized_log_prob",
    "every_state",
    "from_logits",
    "importance_weighted_bound",
    "quantize",
    "to_logits",
]

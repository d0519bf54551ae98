"""Metrics: pure functions of arrays, real before fake, and the Metric classes that put their numbers into columns."""

from __future__ import annotations

from genbench.metrics.frechet_distance import Moments, frechet_distance, frechet_influence
from genbench.metrics.inception_score import inception_score
from genbench.metrics.log_likelihood import negative_log_likelihood
from genbench.metrics.outliers import auroc
from genbench.metrics.precision_recall import precision_recall

__all__ = [
    "Moments",
    "auroc",
    "frechet_distance",
    "frechet_influence",
    "inception_score",
    "negative_log_likelihood",
    "precision_recall",
]

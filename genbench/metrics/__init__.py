"""Metrics: pure functions of arrays, real before fake, and the Metric classes that put their numbers into columns."""

from __future__ import annotations

from genbench.metrics.frechet_distance import Moments, frechet_distance
from genbench.metrics.inception_score import inception_score
from genbench.metrics.precision_recall import precision_recall
from genbench.registry import Card

__all__ = ["Moments", "catalogue", "frechet_distance", "inception_score", "precision_recall"]


def catalogue() -> list[Card]:
    """The cards of the bundled metrics."""
    return [
        Card("fid", "genbench.metrics.frechet_distance:FrechetDistance", "Fréchet distance of the features"),
        Card("is", "genbench.metrics.inception_score:InceptionScore", "Inception Score of the class probabilities"),
        Card("precision-recall", "genbench.metrics.precision_recall:PrecisionRecall", "k-NN precision and recall"),
        Card("likelihood", "genbench.metrics.log_likelihood:LogLikelihood", "held-out nats and bits per dimension"),
        Card("gap", "genbench.metrics.log_likelihood:GapToTruth", "nats lost against the true distribution"),
        Card("accuracy", "genbench.metrics.accuracy:Accuracy", "held-out accuracy of a generative classifier"),
    ]

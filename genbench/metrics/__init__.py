"""Metrics: pure functions of arrays, real before fake, and the Metric classes that put their numbers into columns."""

from __future__ import annotations

from genbench.metrics.authentic import authenticity
from genbench.metrics.classes import class_coverage
from genbench.metrics.clip_mmd import cmmd
from genbench.metrics.clipped import clipped_density_coverage
from genbench.metrics.data_copying import memorization
from genbench.metrics.feature_likelihood import feature_likelihood_score
from genbench.metrics.frechet import frechet_distance, frechet_influence
from genbench.metrics.inception import inception_score
from genbench.metrics.log_likelihood import negative_log_likelihood
from genbench.metrics.manifolds import manifold_metrics
from genbench.metrics.maximum_mean_discrepancy import kernel_distance, kernel_distance_subsets, kernel_statistics
from genbench.metrics.moment_files import Moments
from genbench.metrics.outliers import auroc
from genbench.metrics.per_class import frechet_distance_per_class
from genbench.metrics.prdc import density_coverage, precision_recall
from genbench.metrics.renyi_entropy import rke
from genbench.metrics.representations import frechet_ratio
from genbench.metrics.sliced_wasserstein import mind
from genbench.metrics.unbiased_fid import fid_infinity
from genbench.metrics.vendi import vendi_score
from genbench.numerics.moments import MomentsBuilder

__all__ = [
    "Moments",
    "MomentsBuilder",
    "auroc",
    "authenticity",
    "class_coverage",
    "clipped_density_coverage",
    "cmmd",
    "density_coverage",
    "feature_likelihood_score",
    "fid_infinity",
    "frechet_distance",
    "frechet_distance_per_class",
    "frechet_influence",
    "frechet_ratio",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "kernel_statistics",
    "manifold_metrics",
    "memorization",
    "mind",
    "negative_log_likelihood",
    "precision_recall",
    "rke",
    "vendi_score",
]

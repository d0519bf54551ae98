"""Precision and recall of samples by k-nearest-neighbour manifolds.

References: T. Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from genbench.contracts import Column, Evidence, Score
from genbench.metrics.manifolds import manifold_metrics
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array


@dataclass(frozen=True, slots=True)
class PrecisionRecallResult:
    """`precision` and `recall`, each within 0..1 with its standard error over the draw of the fake samples."""

    precision: Estimate
    recall: Estimate


def precision_recall(real: Array, fake: Array, k: int = 3) -> PrecisionRecallResult:
    """Precision: the share of fake features (m, D) that lie within the k-NN manifold of the real ones (n, D).
    Recall: the share of real ones within the manifold of the fake.

    A manifold is the union of closed Euclidean balls around its points, each reaching to the k-th nearest other point.
    The standard errors hold the real samples fixed: precision is then a mean of independent indicators; recall's comes
    from random halves of the fake samples (None for fewer than 4 (k + 1) of them). Raises InputError for different
    dimensions, k < 1, or no more samples than k on either side.
    """
    found = manifold_metrics(real, fake, k, None)
    assert found.precision is not None
    assert found.recall is not None
    return PrecisionRecallResult(found.precision, found.recall)


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The columns `precision` and `recall`, between the held-out split's features and the samples'."""

    k: int = 3
    name = "precision-recall"
    columns = (Column("precision", "precision", "higher"), Column("recall", "recall", "higher"))
    reads: ClassVar[Literal["samples"]] = "samples"

    @property
    def min_samples(self) -> int:
        return self.k + 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        result = precision_recall(evidence.real.embeddings, evidence.fake.embeddings, self.k)
        return {
            "precision": Score(result.precision.value, result.precision.stderr),
            "recall": Score(result.recall.value, result.recall.stderr),
        }

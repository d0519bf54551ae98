"""Held-out accuracy of a generative classifier, which decides for the class of the largest joint probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import Unsupported
from genbench.metrics.scores import as_score
from genbench.numerics.intervals import share_of


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The column `accuracy`, within 0..1, with the binomial error over the held-out items and Wilson's interval."""

    name = "accuracy"
    version: ClassVar[int] = 2
    columns = (Column("accuracy", "accuracy", "higher"),)
    reads: ClassVar[tuple[Reads, ...]] = ("classes", "labels")
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        labels = evidence.real_labels
        if labels is None:
            raise Unsupported("the classes of the real items are not known")
        right = evidence.class_log_joint.argmax(1) == labels
        return {"accuracy": as_score(share_of(right), parts=right)}

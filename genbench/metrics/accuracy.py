"""Held-out accuracy of a generative classifier, which decides for the class of the largest joint probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The column `accuracy`, within 0..1, with the binomial standard error over the held-out items."""

    name = "accuracy"
    columns = (Column("accuracy", "accuracy", "higher"),)
    reads: ClassVar[tuple[Reads, ...]] = ("classes", "labels")
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        labels = evidence.real_labels
        if labels is None:
            raise Unsupported("the classes of the real items are not known")
        right = (evidence.class_log_joint.argmax(1) == labels).double()
        return {"accuracy": Score(float(right.mean()), float(right.std(correction=1)) / len(right) ** 0.5)}

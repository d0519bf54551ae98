"""How numbers are computed, as a readable record for each metric: rows of equal records may be ranked together.

A record holds what the metric reads and nothing else, so that the same items through the same features have the same
protocol whichever command compared them, and a change that a metric cannot see leaves its rows as they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from genbench.contracts import Metric, Reads, parts_read
from genbench.errors import GenbenchError
from genbench.storage import results

CONVENTIONS = 2  # raised when what all metrics have in common changes, as how samples are drawn
DRAWN: tuple[Reads, ...] = ("samples", "translation")  # what is read of n items that a model makes
HELD_OUT: tuple[Reads, ...] = ("log_prob", "classes", "outliers", "reconstruction")  # what is read of held-out items

Record = dict[str, object]


@dataclass(frozen=True, eq=False)
class Protocol:
    """What the records of all metrics of one comparison are made of.

    `parts` gives, for each part of the evidence, what the record of a metric that reads it says; `n` counts the items
    that a model makes, `reference` the real ones; `features` is the extractor's name. `fingerprint_of` gives the
    fingerprint of another extractor, for metrics that look through their own.
    """

    parts: Mapping[Reads, Callable[[], Record]]
    n: int
    reference: int
    features: str
    fingerprint_of: Callable[[str], str] | None = None

    def told_classes(self) -> Protocol:
        """The protocol of a generator that chooses the class of each sample, which no extractor has to guess then."""
        told: Record = {"labels of samples": "the classes that they were drawn for, as frequent as the real ones"}
        return dataclasses.replace(self, parts={**self.parts, "conditions": lambda: told})

    def of(self, metric: Metric) -> Record:
        """Everything but the model and the seed that can change a metric's numbers."""
        record: Record = {
            "conventions": CONVENTIONS,
            "metric": metric.name,
            "version": getattr(metric, "version", 1),
            "parameters": parameters(metric),
        }
        for part in parts_read(metric):
            if part in self.parts:
                record |= self.parts[part]()
        if own := extractors_of(metric):
            record["features"] = {name: self._fingerprint_of(name) for name in own}
        return record

    def _fingerprint_of(self, features: str) -> str:
        try:
            return features if self.fingerprint_of is None else self.fingerprint_of(features)
        except GenbenchError:  # an extractor that cannot be made gives no number either
            return features

    def fingerprint(self, metric: Metric) -> str:
        return results.fingerprint(self.of(metric))

    def items(self, metric: Metric) -> int:
        """How many items a metric's numbers are means over: those that a model makes, or the held-out ones."""
        return self.n if any(part in DRAWN for part in parts_read(metric)) else self.reference

    def real_items(self, metric: Metric) -> int:
        """How many real items a metric compares with; 0 for one that reads samples alone."""
        return self.reference if any(part not in ("samples", "train") for part in parts_read(metric)) else 0

    def features_of(self, metric: Metric) -> str:
        """The name of the extractor whose features a metric reads; empty for one that reads none."""
        if own := extractors_of(metric):
            return ", ".join(own)
        return self.features if "samples" in parts_read(metric) else ""


def extractors_of(metric: Metric) -> tuple[str, ...]:
    """The names of the extractors that a metric looks through in place of the evidence's; none for most."""
    own = getattr(metric, "features", ())
    return (own,) if isinstance(own, str) else tuple(own or ())


def parameters(metric: object) -> object:
    """A metric's parameters as they enter its record."""
    if dataclasses.is_dataclass(metric) and not isinstance(metric, type):
        return dataclasses.asdict(metric)
    return repr(metric)


def digest(values: Tensor | None) -> str:
    """A hash of a tensor's values; empty for None."""
    if values is None:
        return ""
    return hashlib.sha256(values.detach().cpu().contiguous().numpy().tobytes()).hexdigest()

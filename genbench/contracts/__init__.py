"""The contracts between the rooms of genbench: data, generators and their capabilities, extractors, metrics.

All log-probabilities are in nats.
"""

from __future__ import annotations

from genbench.contracts.data import Dataset, SampleSpec, Source
from genbench.contracts.generators import (
    CAPABILITIES,
    Budget,
    Effort,
    Generator,
    HasClasses,
    HasClassJoint,
    HasCycle,
    HasLatent,
    HasLogProb,
    HasReconstruction,
    HasTranslation,
    HasTruncation,
    Kind,
    Setting,
    Snapshots,
    Trainable,
    Truncation,
    capabilities,
)
from genbench.contracts.metrics import (
    Better,
    Column,
    Evidence,
    FeatureExtractor,
    Features,
    Holds,
    LogProbs,
    Metric,
    Reads,
    Score,
    held_by,
    parts_read,
)

__all__ = [
    "CAPABILITIES",
    "Better",
    "Budget",
    "Column",
    "Dataset",
    "Effort",
    "Evidence",
    "FeatureExtractor",
    "Features",
    "Generator",
    "HasClassJoint",
    "HasClasses",
    "HasCycle",
    "HasLatent",
    "HasLogProb",
    "HasReconstruction",
    "HasTranslation",
    "HasTruncation",
    "Holds",
    "Kind",
    "LogProbs",
    "Metric",
    "Reads",
    "SampleSpec",
    "Score",
    "Setting",
    "Snapshots",
    "Source",
    "Trainable",
    "Truncation",
    "capabilities",
    "held_by",
    "parts_read",
]

"""Image-to-image translation: how near the translations of held-out sources come to what they should be.

FID and the other metrics of samples, which on such boards are the translations, see whether they look like the target
domain; these see whether each one still belongs to its own source.

References: P. Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017), for judging a
translation by whether a classifier still recognises what it shows; J.-Y. Zhu et al., "Unpaired Image-to-Image
Translation using Cycle-Consistent Adversarial Networks" (2017), for the way there and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genbench.contracts import Column, Dataset, Evidence, Reads, SampleSpec, Score, Source
from genbench.errors import Unsupported
from genbench.metrics.outliers import squared_errors
from genbench.metrics.reconstruction import error_score
from genbench.metrics.scores import as_score
from genbench.numerics.intervals import share_of


def source_of(dataset: Dataset) -> Source:
    """What a dataset's items are translated from. Raises Unsupported where there is nothing."""
    if dataset.source is None:
        raise Unsupported(f"{dataset.name} has no sources to translate")
    return dataset.source


def _distance(x: Tensor, y: Tensor, spec: SampleSpec) -> Score:
    return error_score(squared_errors(x, y, spec.levels))


@dataclass(frozen=True, slots=True)
class PairedError:
    """The column `paired_error`: root mean squared error of translations per dimension, the range counting as 1."""

    name = "paired-error"
    columns = (Column("paired_error", "paired RMSE", "lower"),)
    reads: ClassVar[tuple[Reads, ...]] = ("translation",)
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        dataset = evidence.dataset
        if not source_of(dataset).paired:
            raise Unsupported(f"{dataset.name} has no pairs: no translation is the right one")
        translated = evidence.translated
        return {"paired_error": _distance(translated, dataset.heldout[: len(translated)], dataset.spec)}


@dataclass(frozen=True, slots=True)
class CycleError:
    """The column `cycle_error`: root mean squared error of sources translated there and back, all channels."""

    name = "cycle-error"
    columns = (Column("cycle_error", "cycle RMSE", "lower"),)
    reads: ClassVar[tuple[Reads, ...]] = ("translation",)
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        source = source_of(evidence.dataset)
        cycled = evidence.cycled
        return {"cycle_error": _distance(cycled, source.heldout[: len(cycled)], source.spec)}


@dataclass(frozen=True, slots=True)
class ClassKept:
    """The column `kept_class`: the share of translations that the extractor takes for the class of their source.

    The remark says the same of the held-out targets, whose classes the extractor does not always see either.
    """

    name = "class-kept"
    version: ClassVar[int] = 2
    columns = (Column("kept_class", "class kept", "higher"),)
    reads: ClassVar[tuple[Reads, ...]] = ("translation", "samples", "real", "labels")
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        labels = source_of(evidence.dataset).heldout_labels
        if labels is None:
            raise Unsupported(f"{evidence.dataset.name} has sources without labels")
        # Where the model translates, its samples are the translations.
        count, guesses = len(evidence.translated), evidence.fake_labels
        if guesses is None:
            raise Unsupported("the features know no classes of the data")
        right = guesses == labels[:count]
        real, known = evidence.real.probabilities, evidence.real_labels
        if real is None or known is None:
            return {"kept_class": as_score(share_of(right), parts=right)}
        ceiling = share_of(real.argmax(1) == known)
        return {"kept_class": as_score(share_of(right), f"of real items: {ceiling.value:.3f}", parts=right)}

"""One pass over a set of images: decoded ahead, batch by batch through an extractor, held or summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import FeatureExtractor, Features
from genbench.data import images, sources
from genbench.errors import DataError, ModelError
from genbench.evaluation import processes
from genbench.evaluation.progress import Tell
from genbench.evaluation.summary import PER_DIMENSION, Summary
from genbench.plugins.extractors import Computing

BATCH = 64  # images that an extractor is given at once
ROUND = 128 * BATCH  # images whose features several processes exchange at once


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read and turned into features.

    `n`: at most so many of each set, drawn by `seed` without replacement; None for all. `workers`: threads that decode,
    None for one per processor. `on_bad_file`: "stop" with a list of all files that cannot be read, or "skip" them.
    `tell` is called with (the set's name, images done, images in all).
    """

    computing: Computing = field(default_factory=Computing)
    n: int | None = None
    seed: int = 0
    workers: int | None = None
    on_bad_file: Literal["stop", "skip"] = "stop"
    tell: Tell | None = None


@dataclass(slots=True)
class Pass:
    """One pass over a set of images; what it collects is in the order of the images."""

    source: sources.Images
    chosen: Sequence[int]
    extractor: FeatureExtractor
    reading: Reading
    workers: int
    summed: bool = False
    summary: Summary | None = None
    embeddings: list[Tensor] = field(default_factory=list)
    probabilities: list[Tensor] = field(default_factory=list)
    pixels: sources.PixelDigest = field(default_factory=sources.PixelDigest)

    def run(self) -> dict[str, Tensor]:
        readable: list[int] = []
        remarks: list[int] = []
        shapes: list[tuple[int, ...]] = []
        waiting: list[np.ndarray] = []
        bad = False
        for done, loaded in enumerate(sources.read(self.source, self.chosen, self.workers), 1):
            if self.reading.tell is not None:
                self.reading.tell(self.source.name, done, len(self.chosen))
            if loaded.pixels is None:
                bad = True
                continue
            if bad and self.reading.on_bad_file == "stop":
                readable.append(loaded.index)  # read on for the list of bad files only
                continue
            if shapes and loaded.pixels.shape != shapes[0] and not getattr(self.extractor, "any_size", False):
                raise DataError(self._mixed(readable[0], shapes[0], loaded))
            readable.append(loaded.index)
            remarks.append(loaded.remark)
            shapes.append(loaded.pixels.shape)
            self.pixels.add(loaded.pixels)
            waiting.append(loaded.pixels)
            if len(waiting) == BATCH:
                self._extract(waiting)
                waiting = []
        if bad and self.reading.on_bad_file == "stop":
            raise DataError(list_of_faults(self.source, self.chosen, torch.tensor(readable)))
        if waiting:
            self._extract(waiting)
        return self.held() | {
            "pixels": torch.tensor(list(bytes.fromhex(self.pixels.hexdigest())), dtype=torch.uint8),
            "kept": torch.tensor(readable),
            "remarks": torch.tensor(remarks, dtype=torch.uint8),
            "shapes": torch.tensor(shapes, dtype=torch.int32).reshape(-1, 3),
        }

    def held(self) -> dict[str, Tensor]:
        """The features of all, or what remains of them."""
        if self.summary is not None:
            return self.summary.arrays()
        held = {"embeddings": torch.cat(self.embeddings) if self.embeddings else torch.empty(0, 0)}
        return held | ({"probabilities": torch.cat(self.probabilities)} if self.probabilities else {})

    def _extract(self, batch: Sequence[np.ndarray]) -> None:
        """Features of images of any sizes, those of one size together, in the order of the batch."""
        places: dict[tuple[int, ...], list[int]] = {}
        for place, pixels in enumerate(batch):
            places.setdefault(pixels.shape, []).append(place)
        order = torch.tensor([place for group in places.values() for place in group]).argsort()
        parts = [
            checked(self.extractor, torch.from_numpy(np.stack([batch[place] for place in group])).permute(0, 3, 1, 2))
            for group in places.values()
        ]
        known = [part.probabilities for part in parts if part.probabilities is not None]
        probabilities = torch.cat(known)[order] if len(known) == len(parts) else None
        self.hold(Features(torch.cat([part.embeddings for part in parts])[order], probabilities))

    def hold_batches(self, rest: Features | None, features: Features) -> Features | None:
        """Take features in by whole batches, after those that remained of earlier ones; what remains of these."""
        if rest is not None:
            features = _after(rest, features)
        whole = len(features.embeddings) // BATCH * BATCH
        for start in range(0, whole, BATCH):
            self.hold(_rows(features, slice(start, start + BATCH)))
        return _rows(features, slice(whole, None)) if whole < len(features.embeddings) else None

    def hold(self, features: Features) -> None:
        """Take the features of one batch in, or sum them."""
        embeddings = features.embeddings
        if self.summed and self.summary is None and len(self.chosen) > PER_DIMENSION * embeddings.shape[1]:
            self.summary = Summary(len(self.chosen))
        if self.summary is not None:
            self.summary.add(embeddings)
            return
        self.embeddings.append(embeddings)
        if features.probabilities is not None:
            self.probabilities.append(features.probabilities)

    def _mixed(self, first: int, shape: tuple[int, ...], other: sources.Loaded) -> str:
        assert other.pixels is not None
        names, reads = [self.source.called(index) for index in (first, other.index)], self.extractor.name
        return (
            f"{names[1]} is {images.size_of(other.pixels.shape)} while {names[0]} is {images.size_of(shape)}, and the "
            f"features {reads} read images of one size; resize them, or choose features that resize (inception)"
        )


def shared_pass(whole: Pass) -> dict[str, Tensor]:
    """A pass over a set of images whose processes share each round of them: runs of whole batches, joined in order.

    Every process then has the features of the round, and sums or holds them as one that is alone does. Sums of their
    own, added up by an all-reduce, would have other last digits for every number of processes.
    """
    if processes.size() == 1:
        return whole.run()
    rounds = []
    rest: Features | None = None
    for start in range(0, len(whole.chosen), ROUND):
        part = _shared_round(whole, start, min(start + ROUND, len(whole.chosen)))
        features = Features(part.pop("embeddings"), part.pop("probabilities", None))
        if len(part["kept"]):
            rest = whole.hold_batches(rest, features)
        rounds.append(part)
    if rest is not None:
        whole.hold(rest)
    joined = {name: torch.cat([part[name] for part in rounds]) for name in rounds[0]}
    if len(joined["shapes"].unique(dim=0)) > 1 and not _any_size(whole.extractor):
        raise DataError(
            f"{whole.source.name} holds images of several sizes, and the features {whole.extractor.name} read images "
            f"of one size; resize them, or choose features that resize (inception)"
        )
    pixels = processes.from_first(lambda: whole.source.pixel_digest(joined["kept"].tolist(), whole.workers))
    return whole.held() | joined | {"pixels": torch.tensor(list(bytes.fromhex(pixels)), dtype=torch.uint8)}


def _shared_round(whole: Pass, start: int, stop: int) -> dict[str, Tensor]:
    """What a pass collects of the chosen images from `start` to `stop`, but the digest of their pixels."""
    batches = -(-(stop - start) // BATCH)
    runs = min(processes.size(), batches)
    ends = [start + batches * number // runs * BATCH for number in range(runs)] + [stop]
    tell = whole.reading.tell

    def told(name: str, done: int, total: int) -> None:
        if tell is not None:  # each process is about as far as this one
            tell(name, min(start + done * runs, stop), len(whole.chosen))

    # All files that cannot be read are listed afterwards.
    reading = replace(whole.reading, on_bad_file="skip", tell=told)

    def run(number: int) -> dict[str, Tensor]:
        chosen = whole.chosen[ends[number] : ends[number + 1]]
        return Pass(whole.source, chosen, whole.extractor, reading, whole.workers).run()

    parts = processes.shared(runs, run)
    parts = [part for part in parts if len(part["kept"])] or parts[:1]
    names = [name for name in parts[0] if name != "pixels" and all(name in part for part in parts)]
    return {name: torch.cat([part[name] for part in parts]) for name in names}


def _any_size(extractor: FeatureExtractor) -> bool:
    return getattr(extractor, "any_size", False) is True


def checked(extractor: FeatureExtractor, items: Tensor) -> Features:
    """The features of items (n, *shape). Raises ModelError where an extractor returns no such thing."""
    features = extractor(items)
    embeddings = features.embeddings
    if not isinstance(embeddings, Tensor) or embeddings.ndim != 2 or len(embeddings) != len(items):
        shape = tuple(embeddings.shape) if isinstance(embeddings, Tensor) else type(embeddings).__name__
        raise ModelError(
            f"the features {extractor.name} gave {shape} for {len(items)} items; it must be ({len(items)}, D)"
        )
    if not torch.isfinite(embeddings).all():
        raise ModelError(f"the features {extractor.name} hold values that are not finite")
    probabilities = features.probabilities
    if probabilities is not None and (probabilities.ndim != 2 or len(probabilities) != len(items)):
        raise ModelError(
            f"the features {extractor.name} gave class probabilities of shape {tuple(probabilities.shape)}"
        )
    return features


def list_of_faults(source: sources.Images, chosen: Sequence[int], readable: Tensor) -> str:
    """One line for each image that is not among those kept."""
    bad = sorted(set(chosen) - set(readable.tolist()))
    faults = [loaded.fault for loaded in sources.read(source, bad, 0)]
    count = f"{len(bad)} of the {len(chosen)} images of {source.name} cannot be read"
    lines = "\n".join(f"  {fault}" for fault in faults)
    return f"{count}:\n{lines}\nrepair or remove them, or leave them out with --on-bad-file skip"


def _rows(features: Features, rows: slice) -> Features:
    known = features.probabilities
    return Features(features.embeddings[rows], None if known is None else known[rows])


def _after(first: Features, second: Features) -> Features:
    known = [part.probabilities for part in (first, second) if part.probabilities is not None]
    return Features(torch.cat([first.embeddings, second.embeddings]), torch.cat(known) if len(known) == 2 else None)

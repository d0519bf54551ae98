"""Features of items at hand and of sets of images that are decoded ahead: checked, and cached by their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import PIL
import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import FeatureExtractor, Features, Holds, SampleSpec
from genbench.data import images, sources
from genbench.errors import DataError, ModelError
from genbench.evaluation import processes
from genbench.evaluation.progress import Tell
from genbench.evaluation.summary import MANY, PER_DIMENSION, Summary, of_arrays
from genbench.plugins import extractors
from genbench.plugins.extractors import Computing
from genbench.storage import cache

BLOCK = 1000  # items whose features are asked for at once
BATCH = 64  # images that an extractor is given at once


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


@dataclass(frozen=True, eq=False)
class Extracted:
    """What was seen of a set of images.

    `features` are Features, or what is known of too many images. `chosen` are the images asked for and `readable` (m,)
    those of them that could be read, in the order of the features; `shapes` counts their shapes (H, W, C), `remarks`
    what decoding changed; `content` is a hash of the pixels that were read, the same for the same pictures from files
    or arrays.
    """

    source: sources.Images
    features: Any
    chosen: list[int]
    readable: Tensor
    remarks: Counter[str]
    shapes: Counter[tuple[int, int, int]]
    content: str
    extractor: FeatureExtractor
    computing: Computing

    @property
    def left_out(self) -> int:
        return len(self.chosen) - len(self.readable)

    @property
    def fingerprint(self) -> str:
        """That of the extractor."""
        return self.extractor.fingerprint

    @property
    def labels(self) -> Tensor | None:
        return None if self.source.labels is None else self.source.labels[self.readable]


def choose(source: sources.Images, reading: Reading) -> list[int]:
    """The indices of the images to read, in order: all, or `n` drawn by the seed."""
    if reading.n is None or reading.n >= len(source):
        return list(range(len(source)))
    order = torch.randperm(len(source), generator=seeding.generator("subset", reading.seed, len(source)))
    return sorted(order[: reading.n].tolist())


def extract(
    source: sources.Images,
    features: str | extractors.Custom,
    reading: Reading | None = None,
    holds: Holds = "features",
) -> Extracted:
    """The features of a set of images, from the cache where the same bytes were seen before.

    Where moments are enough, those of more than MANY images are summed as they come, in memory for covariances. Raises
    DataError with every file that cannot be read, unless such files are skipped, and where an extractor for one size is
    given images of several; RegistryError and InputError as `extractors.make` does.
    """
    reading = reading or Reading()
    chosen = choose(source, reading)
    try:
        extractor, known = _known(source, chosen, features, reading, holds)
    finally:
        source.release()
    counts = [(images.REMARKS[code], count) for code, count in _counted(known["remarks"])]
    return Extracted(
        source=source,
        features=Features(known["embeddings"], known.get("probabilities"))
        if "embeddings" in known
        else of_arrays(known),
        chosen=chosen,
        readable=known["kept"],
        remarks=Counter({remark: count for remark, count in counts if remark}),
        shapes=Counter(dict(_counted_rows(known["shapes"]))),
        content=bytes(known["pixels"].tolist()).hex(),
        extractor=extractor,
        computing=reading.computing,
    )


def _known(
    source: sources.Images, chosen: list[int], features: str | extractors.Custom, reading: Reading, holds: Holds
) -> tuple[FeatureExtractor, dict[str, Tensor]]:
    """The extractor for a set of images, and what a pass over them collects, from the cache where that is there."""
    workers = sources.default_workers() if reading.workers is None else reading.workers
    files = source.digest(chosen, max(1, workers))
    first = _first_readable(source, chosen)
    extractor = extractors.make(features, SampleSpec((first.shape[2], *first.shape[:2]), 256), reading.computing)
    key = cache_key(files, extractor) | {"images": len(chosen), "pillow": PIL.__version__}
    # Several processes share out the features, which each then holds.
    alone = processes.size() == 1
    summed = alone and holds == "moments" and len(chosen) > MANY and not cache.path(key).is_file()
    if summed:
        key["holds"] = holds
    known = from_cache(key, lambda: _shared_pass(_Pass(source, chosen, extractor, reading, workers, summed)))
    if len(known["kept"]) < len(chosen) and reading.on_bad_file == "stop":
        processes.from_first(lambda: _refuse(source, chosen, known["kept"]))
    return extractor, known


def of_items(items: Tensor, content: str, extractor: FeatureExtractor) -> Features:
    """The features of items (n, *shape) whose content has that hash, from the cache where they are there."""

    def compute() -> dict[str, Tensor]:
        features = in_blocks(extractor, items)
        rest = {} if features.probabilities is None else {"probabilities": features.probabilities}
        return {"embeddings": features.embeddings, **rest}

    known = from_cache(cache_key(content, extractor), compute)
    return Features(known["embeddings"], known.get("probabilities"))


def in_blocks(extractor: FeatureExtractor, items: Tensor) -> Features:
    """The features of items (n, *shape), of so many at a time, which processes share. Raises as `checked`."""
    blocks = items.split(BLOCK)
    parts = processes.shared(len(blocks), lambda index: checked(extractor, blocks[index]))
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(
        torch.cat([part.embeddings for part in parts]),
        torch.cat(probabilities) if len(probabilities) == len(parts) else None,
    )


def from_cache(key: Mapping[str, object], compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of a key from the cache, where all processes find them, or those that all compute together."""
    if processes.size() == 1:
        return cache.tensors(key, compute)
    known = cache.known(key)
    everywhere = all(processes.gathered(known is not None))
    if known is not None and everywhere:
        return known
    value = compute()
    if processes.rank() == 0:
        cache.keep(key, value)
    return value


def cache_key(content: str, extractor: FeatureExtractor) -> dict[str, object]:
    """Under what features are kept: everything that determines them."""
    return {"features of": content, "extractor": extractor.fingerprint}


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


def deviation(extracted: Extracted, images_looked_at: int = 32) -> str:
    """How far an extractor of reduced precision is from full precision, on the first images; nothing for others."""
    measure = getattr(extracted.extractor, "deviation", None)
    if extracted.computing.precision != "bfloat16" or measure is None or len(extracted.readable) < 2:
        return ""
    pixels = [extracted.source.load(index)[0] for index in extracted.readable[:images_looked_at].tolist()]
    alike = [image for image in pixels if image.shape == pixels[0].shape]
    if len(alike) < 2:
        return ""
    off = measure(torch.from_numpy(np.stack(alike)).permute(0, 3, 1, 2))
    return (
        f"bfloat16 features of {extracted.source.name} deviate from float32 by {off.features:.2g} of their norm, "
        f"and by a Fréchet distance of {off.frechet:.2g}, on {len(alike)} images, at {off.speedup:.1f} times the speed"
    )


def _shared_pass(whole: _Pass) -> dict[str, Tensor]:
    """A pass over a set of images of which every process makes a run of whole batches, joined in order."""
    if processes.size() == 1:
        return whole.run()
    batches = -(-len(whole.chosen) // BATCH)
    runs = min(processes.size(), batches)
    ends = [batches * number // runs * BATCH for number in range(runs + 1)]
    reading = replace(whole.reading, on_bad_file="skip")  # all files that cannot be read are listed afterwards

    def run(number: int) -> dict[str, Tensor]:
        chosen = whole.chosen[ends[number] : ends[number + 1]]
        return _Pass(whole.source, chosen, whole.extractor, reading, whole.workers).run()

    parts = processes.shared(runs, run)
    if len(torch.cat([part["shapes"] for part in parts]).unique(dim=0)) > 1 and not _any_size(whole.extractor):
        raise DataError(
            f"{whole.source.name} holds images of several sizes, and the features {whole.extractor.name} read images "
            f"of one size; resize them, or choose features that resize (inception)"
        )
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if name != "pixels"}
    pixels = processes.from_first(lambda: whole.source.pixel_digest(joined["kept"].tolist(), whole.workers))
    return joined | {"pixels": torch.tensor(list(bytes.fromhex(pixels)), dtype=torch.uint8)}


def _any_size(extractor: FeatureExtractor) -> bool:
    return getattr(extractor, "any_size", False) is True


def _counted(codes: Tensor) -> list[tuple[int, int]]:
    values, counts = codes.unique(return_counts=True)
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _counted_rows(rows: Tensor) -> list[tuple[tuple[int, int, int], int]]:
    values, counts = rows.unique(dim=0, return_counts=True)
    return [(tuple(row), count) for row, count in zip(values.tolist(), counts.tolist(), strict=True)]


def _first_readable(source: sources.Images, chosen: Sequence[int]) -> np.ndarray:
    """The pixels of the first image that can be read. Raises DataError where none can."""
    fault = ""
    for index in chosen:
        try:
            return source.load(index)[0]
        except DataError as error:
            fault = fault or str(error)
    raise DataError(f"none of the {len(chosen)} images of {source.name} can be read; the first: {fault}")


def _refuse(source: sources.Images, chosen: Sequence[int], readable: Tensor) -> None:
    raise DataError(_list_of_faults(source, chosen, readable))


def _list_of_faults(source: sources.Images, chosen: Sequence[int], readable: Tensor) -> str:
    """One line for each image that is not among those kept."""
    bad = sorted(set(chosen) - set(readable.tolist()))
    faults = [loaded.fault for loaded in sources.read(source, bad, 0)]
    count = f"{len(bad)} of the {len(chosen)} images of {source.name} cannot be read"
    lines = "\n".join(f"  {fault}" for fault in faults)
    return f"{count}:\n{lines}\nrepair or remove them, or leave them out with --on-bad-file skip"


@dataclass(slots=True)
class _Pass:
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
            raise DataError(_list_of_faults(self.source, self.chosen, torch.tensor(readable)))
        if waiting:
            self._extract(waiting)
        passed = {"embeddings": torch.cat(self.embeddings)} if self.summary is None else self.summary.arrays()
        passed |= {
            "pixels": torch.tensor(list(bytes.fromhex(self.pixels.hexdigest())), dtype=torch.uint8),
            "kept": torch.tensor(readable),
            "remarks": torch.tensor(remarks, dtype=torch.uint8),
            "shapes": torch.tensor(shapes, dtype=torch.int32),
        }
        return passed | ({"probabilities": torch.cat(self.probabilities)} if self.probabilities else {})

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
        embeddings = torch.cat([part.embeddings for part in parts])[order]
        if self.summed and self.summary is None and len(self.chosen) > PER_DIMENSION * embeddings.shape[1]:
            self.summary = Summary(len(self.chosen))
        if self.summary is not None:
            self.summary.add(embeddings)
            return
        self.embeddings.append(embeddings)
        if all(part.probabilities is not None for part in parts):
            stacked = torch.cat([part.probabilities for part in parts if part.probabilities is not None])
            self.probabilities.append(stacked[order])

    def _mixed(self, first: int, shape: tuple[int, ...], other: sources.Loaded) -> str:
        assert other.pixels is not None
        names, reads = [self.source.called(index) for index in (first, other.index)], self.extractor.name
        return (
            f"{names[1]} is {images.size_of(other.pixels.shape)} while {names[0]} is {images.size_of(shape)}, and the "
            f"features {reads} read images of one size; resize them, or choose features that resize (inception)"
        )

"""Features of items at hand and of sets of images that are decoded ahead: checked, and cached by their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import FeatureExtractor, Features, Holds, SampleSpec
from genbench.data import images, sources
from genbench.errors import DataError
from genbench.evaluation import processes
from genbench.evaluation.image_pass import Pass, Reading, checked, list_of_faults, shared_pass
from genbench.evaluation.summary import MANY, of_arrays
from genbench.plugins import extractors
from genbench.plugins.extractors import Computing
from genbench.storage import cache

BLOCK = 1000  # items whose features are asked for at once


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
    summed = holds == "moments" and len(chosen) > MANY and not all(processes.gathered(cache.path(key).is_file()))
    if summed:
        key["holds"] = holds
    known = from_cache(key, lambda: shared_pass(Pass(source, chosen, extractor, reading, workers, summed)))
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
    raise DataError(list_of_faults(source, chosen, readable))

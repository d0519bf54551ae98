"""Scores of files: two sets of images compared by every metric that reads features, and statistics to keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from torch import Tensor

from genbench.contracts import Features, Holds, Reads, held_by
from genbench.data import sources
from genbench.errors import DataError, InputError, Unsupported
from genbench.evaluation import processes
from genbench.evaluation.driver import Subject, measure
from genbench.evaluation.evidence import Evidence
from genbench.evaluation.extraction import Extracted, choose, deviation, extract
from genbench.evaluation.image_pass import Reading
from genbench.evaluation.protocol import Protocol, Record, digest
from genbench.evaluation.reference import Reference
from genbench.evaluation.summary import KnownAlone
from genbench.metrics import frechet_influence
from genbench.metrics.frechet import moments_of
from genbench.numerics.moments import Moments
from genbench.plugins.extractors import Computing, Custom
from genbench.plugins.metrics import metric_named
from genbench.storage import cache, npz, statistics
from genbench.storage.formatting import listing
from genbench.storage.results import Result, as_table, fingerprint

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("fid", "fid-infinity", "kid", "is", "precision-recall", "density-coverage", "mind", "vendi")
DEFAULT_FEATURES = "inception"
LARGE = 2**30  # bytes of features, of which a note is made
NO_GENERATOR = "needs a generator on a benchmark, which files are not; see genbench run"

ImageSet = Path | str | np.ndarray | Tensor
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: images with their features, or statistics; `seconds` is what extraction took."""

    name: str
    images: Extracted | None = None
    known: statistics.Statistics | None = None
    seconds: float = 0.0

    @classmethod
    def open(cls, source: ImageSet, features: str | Custom, reading: Reading, holds: Holds = "features") -> Side:
        """Images with their features, or statistics. Raises DataError."""
        if isinstance(source, Path | str) and npz.are_statistics(Path(source)):
            return cls(Path(source).name, known=statistics.load(Path(source)))
        start = time.monotonic()
        images = sources.open_images(source)
        return cls(images.name, images=extract(images, features, reading, holds), seconds=time.monotonic() - start)

    @property
    def features(self) -> Any:
        if self.images is not None:
            return self.images.features
        assert self.known is not None
        return KnownAlone({"moments": self.known.moments}, "statistics hold no images; they allow FID alone")

    @property
    def part(self) -> Tensor | Moments:
        """What a Fréchet distance is computed from."""
        features = self.features
        return features.embeddings if isinstance(features, Features) else moments_of(features)

    @property
    def n(self) -> int:
        if self.images is not None:
            return len(self.images.readable)
        return (self.known.moments.n or 0) if self.known is not None else 0

    @property
    def dimensions(self) -> int:
        return self.part.shape[1] if isinstance(self.part, Tensor) else len(self.part.mean)

    @property
    def fingerprint(self) -> str:
        """That of the extractor; empty where it is not known."""
        if self.images is not None:
            return self.images.fingerprint
        return (self.known.features or "") if self.known is not None else ""

    @property
    def content(self) -> str:
        """What identifies the images: statistics that say of which they are count as those images."""
        if self.images is not None:
            return self.images.content
        assert self.known is not None
        moments = self.known.moments
        return self.known.content or cache.checksum({"mu": moments.mean, "sigma": moments.covariance})

    @property
    def classes(self) -> tuple[str, ...]:
        return () if self.images is None else self.images.source.classes

    @property
    def labels(self) -> Tensor | None:
        return None if self.images is None else self.images.labels


@dataclass(frozen=True, eq=False)
class Scores:
    """Every number of one comparison: `results` row by row, the same as a `table`, and `notes` for readers.

    `protocols` are the readable records behind the rows' fingerprints.
    """

    results: tuple[Result, ...]
    protocols: Mapping[str, Record]
    notes: tuple[str, ...] = ()
    real: Side | None = None
    fake: Side | None = None

    def __getitem__(self, column: str) -> float:
        """The value of a column. Raises KeyError where there is none."""
        return {row.column: row.value for row in self.results if row.value is not None}[column]

    def costliest(self, count: int = 10) -> pd.DataFrame:
        """The fake images that cost the most FID, first those without which it would fall the most, to first order.

        Raises InputError where the fake images are known by statistics alone, or are fewer than 2.
        """
        import pandas as pd

        if self.fake is None or self.real is None or self.fake.images is None:
            raise InputError("what an image costs can be told of images only, not of statistics")
        images, features = self.fake.images, self.fake.part
        if isinstance(features, Moments):
            raise InputError("of so many images moments are held, not features; ask for kid beside fid to hold them")
        influence = frechet_influence(self.real.part, features)
        falls = (influence - influence.mean()) / (len(influence) - 1)
        order = falls.argsort(descending=True, stable=True)[:count].tolist()
        names = [images.source.called(int(images.readable[place])) for place in order]
        return pd.DataFrame({"image": names, "fid_change_without": [-float(falls[place]) for place in order]})

    @property
    def failed(self) -> bool:
        return any(row.status == "failed" for row in self.results)

    @property
    def table(self) -> pd.DataFrame:
        """One row per column: value, stderr, kind, status, detail, n, protocol."""
        return as_table(self.results)

    def _repr_html_(self) -> str:
        return str(self.table.to_html())

    def __str__(self) -> str:
        return listing(self.results)


def score(
    real: ImageSet,
    fake: ImageSet,
    features: str | Custom = DEFAULT_FEATURES,
    metrics: Sequence[str] | None = None,
    *,
    train: ImageSet | None = None,
    reading: Reading | None = None,
) -> Scores:
    """Compare images: folders, ``.npz`` files with `arr_0`, ``.npy`` files, uint8 arrays, or statistics (FID alone).

    `features` names an extractor, as ``inception``, ``torchvision:vgg16`` or ``identity``, or is a function of a batch
    of images; `metrics` replace the usual ones; `train`, the images that the generator was trained on, lets the
    memorization test run. Raises GenbenchError where images cannot be read, and where features and statistics do not
    fit each other.
    """
    reading = reading or Reading()
    chosen = None if metrics is None else [metric_named(name) for name in dict.fromkeys(metrics)]
    moments = chosen is not None and all(held_by(metric) == "moments" for metric in chosen)
    holds: Holds = "moments" if moments else "features"
    sides = Side.open(real, features, reading, holds), Side.open(fake, features, reading, holds)
    _require_same_features(*sides)
    trained = None if train is None else extract(sources.open_images(train), features, reading)
    labelled = sides[0].classes == sides[1].classes != ()
    if chosen is None:
        extra: tuple[str, ...] = ("memorization",) if trained else ()
        extra += ("per-class-fid",) if labelled else ()
        chosen = [metric_named(name) for name in (*METRICS, *extra)]
    evidence = of_files(sides, trained, labelled, reading)
    subject = _subject(sides, trained, features, reading)
    rows = [row for metric_rows in measure(chosen, evidence, subject) for row in metric_rows]
    records = {subject.protocol.fingerprint(metric): subject.protocol.of(metric) for metric in chosen}
    return Scores(tuple(rows), records, tuple(_notes(sides, reading)), *sides)


def of_files(sides: tuple[Side, Side], trained: Extracted | None, labelled: bool, reading: Reading) -> Evidence:
    """The evidence of two sets of files; what needs a generator or a benchmark is unsupported."""
    real, fake = sides
    reference = Reference(
        content=real.content,
        size=real.n,
        make_features=lambda: real.features,
        make_train_features=None if trained is None else lambda: trained.features,
        train_content="" if trained is None else trained.content,
        labels=real.labels if labelled else None,
        classes=real.classes if labelled else (),
    )
    makers = {"fake": lambda: fake.features, "fake_labels": lambda: fake.labels if labelled else None}
    evidence = Evidence(reference, makers, {"": NO_GENERATOR}, tell=reading.tell, views=_views(sides, trained, reading))
    evidence.clock.seconds["features"] = fake.seconds
    return evidence


def _views(sides: tuple[Side, Side], trained: Extracted | None, reading: Reading) -> Callable[[str], Evidence]:
    """Gives the same files as another extractor sees them."""

    def view(features: str) -> Evidence:
        plain = replace(reading, computing=Computing(reading.computing.device))

        def again(images: Extracted | None) -> Extracted:
            if images is None:
                raise Unsupported("statistics hold no images, which other features could see")
            return extract(images.source, features, plain)

        real, fake = (Side(side.name, again(side.images)) for side in sides)
        return of_files((real, fake), None if trained is None else again(trained), False, plain)

    return view


def _subject(sides: tuple[Side, Side], trained: Extracted | None, features: str | Custom, reading: Reading) -> Subject:
    """What the rows have in common; their protocol covers all but the images that are judged."""
    real, fake = sides
    extractor = fake.fingerprint or real.fingerprint
    images = fake.images or real.images
    name = str(features) if images is None else images.extractor.name
    # What could not be read makes numbers that are not to be ranked with whole ones.
    left_out: Record = {"left out": fake.images.left_out} if fake.images is not None and fake.images.left_out else {}
    about_real: Record = {"reference": real.content, "reference size": real.n}
    parts: dict[Reads, Callable[[], Record]] = {
        "samples": lambda: {"features": extractor, "n": fake.n, **left_out},
        "real": lambda: about_real,
        "train": lambda: {"train": "" if trained is None else trained.content},
        "labels": lambda: {"labels": digest(real.labels), "labels of samples": "given"},
    }
    return Subject(
        model=fake.name,
        benchmark=real.name,
        seed=reading.seed,
        version=fingerprint({"content": fake.content}),
        device=reading.computing.device,
        protocol=Protocol(parts, fake.n, real.n, name),
        own=name.split(":")[0].startswith("inception"),
    )


def _require_same_features(real: Side, fake: Side) -> None:
    """Raises DataError for statistics of other features than those they are compared with."""
    if real.dimensions != fake.dimensions:
        raise DataError(
            f"{real.name} has {real.dimensions} features and {fake.name} has {fake.dimensions}: they come from "
            f"different networks; name the one that made the statistics with --features"
        )
    if real.fingerprint and fake.fingerprint and real.fingerprint != fake.fingerprint:
        raise DataError(
            f"{real.name} holds features of {real.fingerprint} and {fake.name} of {fake.fingerprint}: no distance "
            f"between them means anything; name the features that made the statistics with --features"
        )


def _notes(sides: tuple[Side, Side], reading: Reading) -> Iterator[str]:
    """What a reader should know about the images behind the numbers."""
    for side in sides:
        if side.images is not None:
            yield from notes_on(side.images)
    real, fake = sides[0].images, sides[1].images
    if real is None or fake is None:
        return
    if real.content == fake.content:
        yield "real and fake are the same images: this is how the metrics look for a perfect copy"
    for side in sides:
        if side.images is not None and isinstance(side.features, Features):
            size = side.features.embeddings.nbytes
            if size > LARGE:
                yield f"features of {side.name} take {size / 1e9:.1f} GB of memory; --metric fid alone holds moments"
    usual = [images.shapes.most_common(1)[0][0] for images in (real, fake)]
    if usual[0][:2] != usual[1][:2]:
        yield (
            f"real images are {usual[0][1]}x{usual[0][0]}, fake ones {usual[1][1]}x{usual[1][0]}; both are resized "
            f"for the network, and the distances see the difference"
        )
    short = [side.source.name for side in (real, fake) if reading.n is not None and len(side.chosen) < reading.n]
    if short:
        yield f"{' and '.join(short)} hold fewer than {reading.n} images; all of them are used"


def notes_on(images: Extracted) -> Iterator[str]:
    """What was left out of a set of images, or changed in it."""
    name = images.source.name
    if remark := deviation(images):
        yield remark
    if images.left_out:
        yield f"{images.left_out} of the {len(images.chosen)} images of {name} could not be read and are left out"
    for remark, count in sorted(images.remarks.items()):
        yield f"{count} images of {name} {remark}"
    if len(images.shapes) > 1:
        sizes = ", ".join(f"{count} of {w}x{h}x{c}" for (h, w, c), count in images.shapes.most_common(4))
        yield f"{name} holds images of {len(images.shapes)} sizes or modes ({sizes}); each is resized on its own"


def save_images(source: ImageSet, path: Path, reading: Reading) -> None:
    """Write the images of a set as they were read, grey ones as RGB among RGB ones, to an ``.npz`` with `arr_0`.

    Raises DataError for images of several sizes, which one array cannot hold.
    """
    images = sources.open_images(source)
    loaded = sources.read(images, choose(images, reading), 1)
    pixels = [image.pixels for image in loaded if image.pixels is not None]
    if len({array.shape[:2] for array in pixels}) > 1:
        raise DataError(f"{images.name} holds images of several sizes, which one array cannot hold; resize them")
    if len({array.shape[2] for array in pixels}) > 1:
        pixels = [array.repeat(3 // array.shape[2], axis=2) for array in pixels]
    npz.write(path, arr_0=np.stack(pixels))


def stats(
    source: ImageSet, path: Path | str, features: str | Custom = DEFAULT_FEATURES, *, reading: Reading | None = None
) -> Extracted:
    """Write the statistics of a set of images to an ``.npz`` with `mu` (D,), `sigma` (D, D) and `n`, for later scores.

    pytorch-fid, guided-diffusion and others read such files. The file also says which features and which images they
    are of. Raises GenbenchError where images cannot be read, where there are fewer than 2, and where the file cannot be
    written.
    """
    images = sources.open_images(source)
    extracted = extract(images, features, reading, "moments")
    if len(extracted.readable) < 2:
        raise InputError(f"{images.name} holds {len(extracted.readable)} image; statistics need at least 2")
    moments = moments_of(extracted.features)
    processes.from_first(lambda: statistics.save(Path(path), moments, extracted.fingerprint, extracted.content))
    return extracted

"""Scores of files: two sets of images compared by every metric that reads features, and statistics to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from genbench.contracts import Column, Features, Metric, Score
from genbench.data import sources
from genbench.errors import DataError, InputError, Unsupported
from genbench.evaluation import benchmarks
from genbench.evaluation.driver import Rows, measure
from genbench.evaluation.extraction import Extracted, Reading, choose, deviation, extract
from genbench.leaderboard.boards import cell_text, heading
from genbench.metrics import Moments, frechet_distance, frechet_influence
from genbench.storage import cache, npz, statistics
from genbench.storage.results import SCHEMA, Result, as_table, fingerprint

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("fid", "fid-infinity", "kid", "is", "precision-recall", "density-coverage", "mind", "vendi")
DEFAULT_FEATURES = "inception"

ImageSet = Path | str | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class Compared:
    """Evidence of two sets of features; what needs a generator or a data set is unsupported."""

    real: Features
    fake: Features
    real_labels: Tensor | None = None
    fake_labels: Tensor | None = None
    train_features: Features | None = None

    @property
    def train(self) -> Features:
        if self.train_features is None:
            raise Unsupported("needs the images that the generator was trained on; name them with --train")
        return self.train_features

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Unsupported("needs a generator on a benchmark, which files are not; see genbench run")


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: a set of images that was seen, or statistics alone."""

    name: str
    seen: Extracted | None = None
    moments: Moments | None = None

    @property
    def part(self) -> Tensor | Moments:
        """What a Fréchet distance is computed from."""
        if self.seen is not None:
            return self.seen.features.embeddings
        assert self.moments is not None
        return self.moments

    @property
    def n(self) -> int:
        if self.seen is not None:
            return len(self.seen.kept)
        return (self.moments.n or 0) if self.moments is not None else 0

    def content(self) -> str:
        if self.seen is not None:
            left_out = sorted(set(self.seen.chosen) - set(self.seen.kept.tolist()))
            return f"{self.seen.content} without {left_out}"
        assert self.moments is not None
        return cache.checksum({"mu": self.moments.mean, "sigma": self.moments.covariance})


@dataclass(frozen=True, eq=False)
class Scores:
    """Every number of one comparison: `results` row by row, the same as a `table`, and `notes` for readers."""

    results: tuple[Result, ...]
    columns: tuple[Column, ...]
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

        if self.fake is None or self.real is None or self.fake.seen is None:
            raise InputError("what an image costs can be told of images only, not of statistics")
        seen = self.fake.seen
        influence = frechet_influence(self.real.part, self.fake.part)
        falls = (influence - influence.mean()) / (len(influence) - 1)
        order = falls.argsort(descending=True, stable=True)[:count].tolist()
        names = [seen.source.called(int(seen.kept[place])) for place in order]
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
        rows = list(self._lines())
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
        return "\n".join(
            f"{title.ljust(widths[0])}  {value.rjust(widths[1])}  {detail}".rstrip() for title, value, detail in rows
        )

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        """Title with its direction, value with its standard error, remark; what has no value comes last."""
        columns = {column.name: column for column in self.columns}
        for row in sorted(self.results, key=lambda row: row.value is None):
            detail = row.detail if row.status == "ok" else f"{row.status}: {row.detail}"
            value = "—" if row.value is None else cell_text(columns[row.column], row)
            yield heading(columns[row.column]), value, detail


def score(
    real: ImageSet,
    fake: ImageSet,
    features: str = DEFAULT_FEATURES,
    metrics: Sequence[str] | None = None,
    *,
    train: ImageSet | None = None,
    reading: Reading | None = None,
) -> Scores:
    """Compare images: folders, ``.npz`` files with `arr_0`, ``.npy`` files, uint8 arrays, or statistics (FID alone).

    `features` names an extractor, as ``inception``, ``torchvision:vgg16`` or ``identity``; `metrics` replace the usual
    ones; `train`, the images that the generator was trained on, lets the memorization test run. Raises GenbenchError
    where images cannot be read, and where features and statistics do not fit each other.
    """
    reading = reading or Reading()
    chosen = None if metrics is None else [benchmarks.metric_named(name) for name in dict.fromkeys(metrics)]
    sides = open_side(real, features, reading), open_side(fake, features, reading)
    trained = None if train is None else extract(sources.open_images(train), features, reading)
    known = _classes(sides[0]) == _classes(sides[1]) != ()
    if chosen is None:
        extra: tuple[str, ...] = ("memorization",) if trained else ()
        extra += ("per-class-fid",) if known else ()
        chosen = [benchmarks.metric_named(name) for name in (*METRICS, *extra)]
    rows = _rows(sides, features, reading, trained)
    if sides[0].moments is not None or sides[1].moments is not None:
        found = list(_of_statistics(sides, chosen, rows))
    else:
        evidence = _evidence(sides, trained, known)
        found = [row for metric in chosen for row in _measured(metric, evidence, rows, reading)]
    columns = tuple(column for metric in chosen for column in metric.columns)
    return Scores(tuple(found), columns, tuple(_notes(sides, reading)), *sides)


def open_side(source: ImageSet, features: str, reading: Reading) -> Side:
    """Images with their features, or statistics. Raises DataError."""
    if isinstance(source, Path | str) and npz.are_statistics(Path(source)):
        return Side(Path(source).name, moments=statistics.load(source).moments)
    found = sources.open_images(source)
    return Side(found.name, seen=extract(found, features, reading))


def _classes(side: Side) -> tuple[str, ...]:
    return () if side.seen is None else side.seen.source.classes


def _evidence(sides: tuple[Side, Side], trained: Extracted | None, known: bool) -> Compared:
    real, fake = sides[0].seen, sides[1].seen
    assert real is not None
    assert fake is not None
    return Compared(
        real=real.features,
        fake=fake.features,
        real_labels=real.labels if known else None,
        fake_labels=fake.labels if known else None,
        train_features=None if trained is None else trained.features,
    )


def _rows(sides: tuple[Side, Side], features: str, reading: Reading, trained: Extracted | None) -> Rows:
    """Rows whose protocol covers all but the images that are judged."""
    real, fake = sides
    seen = fake.seen or real.seen
    common = {
        "schema": SCHEMA,
        "conventions": benchmarks.CONVENTIONS,
        "reference": real.content(),
        "train": "" if trained is None else trained.content,
        "features": features if seen is None else seen.fingerprint,
        "n": fake.n,
        "left out": 0 if fake.seen is None else fake.seen.left_out,
    }

    def protocol(metric: Metric) -> str:
        parameters = benchmarks.parameters(metric)
        return fingerprint(common | {"metric": metric.name, "parameters": parameters})

    version = fingerprint({"content": fake.content()})
    return Rows(fake.name, real.name, reading.seed, version, protocol, lambda metric: fake.n)


def _measured(metric: Metric, evidence: Compared, rows: Rows, reading: Reading) -> list[Result]:
    fewest = min(len(evidence.real.embeddings), len(evidence.fake.embeddings))
    if reading.tell is not None:
        reading.tell(metric.name, 0, 0)
    if metric.reads == "samples" and fewest < metric.min_samples:
        return list(rows.without(metric, "failed", f"needs at least {metric.min_samples} images, got {fewest}"))
    return measure(metric, evidence, rows)


def _of_statistics(sides: tuple[Side, Side], metrics: Sequence[Metric], rows: Rows) -> Iterator[Result]:
    """FID alone, of sides of which one at least is known by its statistics only."""
    parts = [side.part for side in sides]
    sizes = [len(part.mean) if isinstance(part, Moments) else part.shape[1] for part in parts]
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{sides[0].name} has {sizes[0]} features and {sides[1].name} has {sizes[1]}: they come from different "
            f"networks; name the one that made the statistics with --features"
        )
    for metric in metrics:
        if metric.name != "fid":
            yield from rows.without(metric, "unsupported", "statistics hold no images; they allow FID alone")
            continue
        estimate = frechet_distance(parts[0], parts[1])
        yield from rows.with_scores(metric, {"fid": Score(estimate.value, estimate.stderr)})


def _notes(sides: tuple[Side, Side], reading: Reading) -> Iterator[str]:
    """What a reader should know about the images behind the numbers."""
    for side in sides:
        if side.seen is not None:
            yield from notes_on(side.seen)
    real, fake = sides[0].seen, sides[1].seen
    if real is None or fake is None:
        return
    if real.content == fake.content:
        yield "real and fake are the same images: this is how the metrics look for a perfect copy"
    usual = [seen.shapes.most_common(1)[0][0] for seen in (real, fake)]
    if usual[0][:2] != usual[1][:2]:
        yield (
            f"real images are {usual[0][1]}x{usual[0][0]}, fake ones {usual[1][1]}x{usual[1][0]}; both are resized "
            f"for the network, and the distances see the difference"
        )
    short = [seen.source.name for seen in (real, fake) if reading.n is not None and len(seen.chosen) < reading.n]
    if short:
        yield f"{' and '.join(short)} hold fewer than {reading.n} images; all of them are used"


def notes_on(seen: Extracted) -> Iterator[str]:
    """What was left out of a set of images, or changed in it."""
    name = seen.source.name
    if remark := deviation(seen):
        yield remark
    if seen.left_out:
        yield f"{seen.left_out} of the {len(seen.chosen)} images of {name} could not be read and are left out"
    for remark, count in sorted(seen.remarks.items()):
        yield f"{count} images of {name} {remark}"
    if len(seen.shapes) > 1:
        sizes = ", ".join(f"{count} of {w}x{h}x{c}" for (h, w, c), count in seen.shapes.most_common(4))
        yield f"{name} holds images of {len(seen.shapes)} sizes or modes ({sizes}); each is resized on its own"


def save_images(source: ImageSet, path: Path, reading: Reading) -> None:
    """Write the images of a set as they were read, grey ones as RGB among RGB ones, to an ``.npz`` with `arr_0`.

    Raises DataError for images of several sizes, which one array cannot hold.
    """
    found = sources.open_images(source)
    pixels = [one.pixels for one in sources.read(found, choose(found, reading), 1) if one.pixels is not None]
    if len({one.shape[:2] for one in pixels}) > 1:
        raise DataError(f"{found.name} holds images of several sizes, which one array cannot hold; resize them")
    if len({one.shape[2] for one in pixels}) > 1:
        pixels = [one.repeat(3 // one.shape[2], axis=2) for one in pixels]
    npz.write(path, arr_0=np.stack(pixels))


def stats(
    source: ImageSet, path: Path | str, features: str = DEFAULT_FEATURES, *, reading: Reading | None = None
) -> Extracted:
    """Write the statistics of a set of images to an ``.npz`` with `mu` (D,), `sigma` (D, D) and `n`, for later scores.

    pytorch-fid, guided-diffusion and others read such files. Raises GenbenchError where images cannot be read, where
    there are fewer than 2, and where the file cannot be written.
    """
    found = sources.open_images(source)
    seen = extract(found, features, reading)
    if len(seen.kept) < 2:
        raise InputError(f"{found.name} holds {len(seen.kept)} image; statistics need at least 2")
    moments = Moments.of(seen.features.embeddings)
    statistics.save(path, moments, seen.fingerprint)
    return seen

"""How far error bars can be trusted: every column simulated over many redraws of samples and of real items.

`make coverage` runs this, writes leaderboards/coverage.csv and prints the README's table. Features stem from a mixture
of ten classes in D dimensions, and generators of four kinds: equal to it, moderately off, collapsed to three classes,
and with heavy tails (Student's, 5 degrees of freedom). Columns of held-out items have numbers of each item instead.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from stand_in import evidence

from genbench.contracts import Dataset, Evidence, Features, LogProbs, Metric, SampleSpec, Score
from genbench.errors import Unsupported
from genbench.metrics.accuracy import Accuracy
from genbench.metrics.classes import Classes
from genbench.metrics.data_copying import Memorization
from genbench.metrics.frechet import Comparison, FrechetDistance
from genbench.metrics.inception import InceptionScore, inception_score
from genbench.metrics.log_likelihood import LogLikelihood
from genbench.metrics.maximum_mean_discrepancy import KernelDistance, kernel_distance
from genbench.metrics.outliers import OutlierDetection
from genbench.metrics.per_class import PerClassFid
from genbench.metrics.prdc import DensityCoverage, PrecisionRecall
from genbench.metrics.reconstruction import Reconstruction
from genbench.metrics.sliced_wasserstein import Mind
from genbench.metrics.unbiased_fid import FidInfinity
from genbench.metrics.vendi import VendiScore, vendi_score
from genbench.numerics.moments import Moments

Z = 1.959964
CLASSES = 10
LARGE = 100_000  # draws that stand for the population
KINDS = ("equal", "off", "collapsed", "heavy")
SIZES, DIMENSIONS = (300, 1000), (8, 64)
OF_SAMPLES: tuple[Metric, ...] = (
    FrechetDistance(),
    FidInfinity(),
    PerClassFid(),
    KernelDistance(),
    Mind(directions=100),
    InceptionScore(),
    PrecisionRecall(),
    DensityCoverage(),
    Classes(),
    VendiScore(),
    Memorization(cells=3),
)
OF_HELD_OUT: tuple[Metric, ...] = (Accuracy(), OutlierDetection(), LogLikelihood(), Reconstruction())
# Their interval is about samples of this size beside the same real items; that of other columns about the population.
SHARES = ("precision", "recall", "coverage")

# With no reference, their standard error is the total one.
OF_SAMPLES_ALONE = {column.name for metric in OF_SAMPLES if "real" not in metric.reads for column in metric.columns}

Side = tuple[Features, torch.Tensor]


class World:
    """The real distribution of features in D dimensions and, by `kind`, what generators make of it."""

    def __init__(self, dim: int) -> None:
        rng = torch.Generator().manual_seed(dim)
        self.dim = dim
        self.centres = 1.2 * torch.randn(CLASSES, dim, generator=rng)
        self.mix = torch.randn(dim, dim, generator=rng) / dim**0.5

    def draw(self, kind: str, n: int, rng: torch.Generator) -> Side:
        """n items with their classes; a classifier that knows the real distribution sees them."""
        labels = torch.randint(CLASSES, (n,), generator=rng)
        noise = torch.randn(n, self.dim, generator=rng) @ self.mix
        if kind == "equal":
            x = self.centres[labels] + noise
        elif kind == "off":
            x = 1.05 * self.centres[labels] + 1.15 * noise + 0.15
        elif kind == "collapsed":
            labels = labels % 3
            x = self.centres[labels] + 0.5 * noise
        else:
            squares = torch.randn(n, 5, generator=rng).square().mean(1, keepdim=True)
            x = self.centres[labels] + 0.8 * noise / squares.sqrt()
        probabilities = (-torch.cdist(x, self.centres).square() / self.dim).double().softmax(1)
        return Features(x, probabilities), labels


def scores_of_samples(real: Side, train: Features, fake: Side) -> dict[str, Score]:
    """Every column of samples; those that a metric does not define are left out."""
    parts = evidence(real=real[0], train=train, fake=fake[0], real_labels=real[1], fake_labels=fake[1])
    return dict(_columns(OF_SAMPLES, parts))


def scores_of_held_out(kind: str, n: int, rng: torch.Generator) -> dict[str, Score]:
    """Every column of held-out items: numbers of each of n, as models that are more or less good would give them."""
    sharpness = {"equal": 1.0, "off": 2.0, "collapsed": 6.0, "heavy": 0.5}[kind]
    labels = torch.randint(CLASSES, (n,), generator=rng)
    joint = torch.randn(n, CLASSES, generator=rng).double()
    joint[torch.arange(n), labels] += sharpness
    tails = torch.randn(n, 5, generator=rng).square().mean(1).sqrt()
    items = torch.randint(17, (n, 1, 4, 4), generator=rng).to(torch.uint8)
    wrong = (2 * sharpness * torch.randn(n, generator=rng)).round()[:, None, None, None]
    parts = evidence(
        ("log_prob", "reconstruction"),
        dataset=Dataset("items", SampleSpec((1, 4, 4), 17), items, items),
        real_labels=labels,
        class_log_joint=joint,
        log_prob=LogProbs(-60 + 8 * torch.randn(n, generator=rng).double() / tails, "exact"),
        outlier_log_prob=LogProbs(-60 + 8 * torch.randn(n, generator=rng).double() - 8 * sharpness, "exact"),
        outliers=items,
        reconstruct=lambda x, what: (x + wrong).clamp(0, 16).to(torch.uint8),
    )
    return dict(_columns(OF_HELD_OUT, parts))


def _columns(metrics: Sequence[Metric], parts: Evidence) -> Iterator[tuple[str, Score]]:
    for metric in metrics:
        try:
            yield from metric.compute(parts).items()
        except Unsupported:
            continue


def population(world: World, kind: str) -> dict[str, float]:
    """The values of endless samples beside endless real items, of the columns that estimate those."""
    rng = torch.Generator().manual_seed(99)
    real, fake = world.draw("equal", LARGE, rng), world.draw(kind, LARGE, rng)
    shares = torch.bincount(fake[1], minlength=CLASSES).double() / LARGE
    assert fake[0].probabilities is not None
    truth = {
        "is_unsplit": inception_score(fake[0].probabilities, 1).corrected.value,
        "class_entropy": float(-torch.xlogy(shares, shares).sum()),
        "vendi": vendi_score(fake[0].embeddings).value,
    }
    if kind == "equal":
        return truth | dict.fromkeys(("fid", "fid_infinity", "fid_class", "kid"), 0.0)
    if kind != "collapsed":
        within = [_apart(real, fake, label) for label in range(CLASSES)]
        truth["fid_class"] = sum(within) / CLASSES
    truth["kid"] = kernel_distance(real[0].embeddings[:10_000], fake[0].embeddings[:10_000]).value
    return truth | dict.fromkeys(("fid", "fid_infinity"), _apart(real, fake))


def _apart(real: Side, fake: Side, label: int | None = None) -> float:
    sides = [x.embeddings if label is None else x.embeddings[labels == label] for x, labels in (real, fake)]
    return Comparison(*(Moments.of(side) for side in sides)).distance()


@dataclass(frozen=True)
class Line:
    """What redraws say of a column; NaN where it claims nothing.

    Beside fixed real items: `mean` and deviation `sd` of the value, the reported standard error in units of that, and
    how often the 95 percent interval held the mean. With real items redrawn too: the same of the total error, and how
    often the interval for the population held its value, `truth`. Columns of held-out items have the latter alone.
    """

    column: str
    generator: str
    dim: int
    n: int
    redraws: int
    mean: float = math.nan
    sd: float = math.nan
    ratio: float = math.nan
    covers_mean: float = math.nan
    total_sd: float = math.nan
    total_ratio: float = math.nan
    covers_total_mean: float = math.nan
    truth: float = math.nan
    covers_truth: float = math.nan


def simulate(dim: int, n: int, kind: str, redraws: int, seed: int = 0) -> list[Line]:
    """Every column over so many redraws of n samples of one kind, beside n fixed and beside n new real items."""
    world, rng = World(dim), torch.Generator().manual_seed(seed)
    real, train = world.draw("equal", n, rng), world.draw("equal", n, rng)[0]
    fixed, both, held_out = [], [], []
    for _ in range(redraws):
        fixed.append(scores_of_samples(real, train, world.draw(kind, n, rng)))
        both.append(scores_of_samples(world.draw("equal", n, rng), train, world.draw(kind, n, rng)))
        held_out.append(scores_of_held_out(kind, n, rng))
    truths = population(world, kind)
    where = {"generator": kind, "dim": dim, "n": n, "redraws": redraws}
    lines = [
        Line(column, **where, **_beside_fixed(column, fixed), **_of_both(column, both, truths.get(column)))
        for column in dict.fromkeys(column for scores in both for column in scores)
    ]
    for column, score in scores_of_held_out(kind, LARGE, rng).items():
        numbers = [scores[column] for scores in held_out]
        lines.append(Line(column, **where, **_total(numbers), **_population(column, numbers, score.value)))
    return lines


def _beside_fixed(column: str, redraws: Iterable[Mapping[str, Score]]) -> dict[str, float]:
    scores = [score[column] for score in redraws if column in score]
    values, errors = _values(scores), _numbers([score.stderr for score in scores])
    if len(values) < 2:
        return {}
    mean = float(values.mean())
    ends = _ends(scores) if column in SHARES else (values - Z * errors, values + Z * errors)
    return {
        "mean": mean,
        "sd": float(values.std(ddof=1)),
        "ratio": _ratio(errors, values),
        "covers_mean": _share_between(ends, mean),
    }


def _of_both(column: str, redraws: Iterable[Mapping[str, Score]], truth: float | None) -> dict[str, float]:
    scores = [score[column] for score in redraws if column in score]
    if len(scores) < 2:
        return {}
    known = column in OF_SAMPLES_ALONE or any(score.total_stderr is not None for score in scores)
    return (_total(scores) if known else {}) | _population(column, scores, truth)


def _total(scores: Sequence[Score]) -> dict[str, float]:
    values, errors = _values(scores), _total_errors(scores)
    return {
        "total_sd": float(values.std(ddof=1)),
        "total_ratio": _ratio(errors, values),
        "covers_total_mean": _share_between((values - Z * errors, values + Z * errors), float(values.mean())),
    }


def _population(column: str, scores: Sequence[Score], truth: float | None) -> dict[str, float]:
    if truth is None or any(score.biased for score in scores):  # a number that says it is biased claims nothing of it
        return {}
    values, errors = _values(scores), _total_errors(scores)
    ends = _ends(scores)
    if column in SHARES or np.isnan(ends[0]).all():
        ends = values - Z * errors, values + Z * errors
    return {"truth": truth, "covers_truth": _share_between(ends, truth)}


def _values(scores: Sequence[Score]) -> np.ndarray:
    return np.array([score.value for score in scores])


def _numbers(numbers: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if number is None else number for number in numbers])


def _ends(scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
    return _numbers([score.low for score in scores]), _numbers([score.high for score in scores])


def _total_errors(scores: Sequence[Score]) -> np.ndarray:
    """Where no error over both draws is given, the reference has none, or the column claims nothing of it."""
    return _numbers([score.stderr if score.total_stderr is None else score.total_stderr for score in scores])


def _ratio(errors: np.ndarray, values: np.ndarray) -> float:
    deviation = values.std(ddof=1)
    # Of a constant, as the recall of a generator that covers nothing, there is nothing to compare with.
    return float(np.sqrt(np.mean(errors**2)) / deviation) if deviation > 1e-9 * abs(values.mean()) else math.nan


def _share_between(ends: tuple[np.ndarray, np.ndarray], value: float) -> float:
    low, high = ends
    if np.isnan(low).all():
        return math.nan
    slack = 1e-9 * abs(value)  # an interval of no width about a constant
    return float(np.mean((low - slack <= value) & (value <= high + slack)))


def table(lines: Sequence[Line]) -> str:
    """A Markdown table: of each number the median over generators, dimensions and sizes, and its least and greatest."""
    rows = [
        "| column | reported / true error | covers E[value_n] | total / true | covers the population's value |",
        "| --- | --- | --- | --- | --- |",
    ]
    for column in dict.fromkeys(line.column for line in lines):
        own = [line for line in lines if line.column == column]
        cells = [
            _range([line.ratio for line in own], "{:.2f}"),
            _range([line.covers_mean for line in own], "{:.3f}"),
            _range([line.total_ratio for line in own], "{:.2f}"),
            _range([line.covers_truth for line in own], "{:.3f}"),
        ]
        rows.append(f"| `{column}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def short(lines: Sequence[Line], least: float = 0.9) -> dict[str, list[float]]:
    """The columns whose intervals cover less than that in some case, with what they cover in those."""
    covers: dict[str, list[float]] = {}
    for line in lines:
        share = min(_known(line.covers_mean), _known(line.covers_truth))
        if share < least:
            covers.setdefault(line.column, []).append(share)
    return covers


def misses(lines: Sequence[Line], least: float = 0.9) -> str:
    """A sentence on those columns, with the number of cases and the worst."""
    cases = Counter(line.column for line in lines)
    parts = [
        f"`{column}` ({len(shares)} of {cases[column]} cases, worst {min(shares):.3f})"
        for column, shares in short(lines, least).items()
    ]
    return f"Intervals cover less than {least:.0%} in some cases of " + ", ".join(parts) + "."


def _known(share: float) -> float:
    return 1.0 if math.isnan(share) else share


def read(path: Path) -> list[Line]:
    kinds = {field.name: field.type for field in fields(Line)}
    convert = {"str": str, "int": int, "float": lambda text: float(text) if text else math.nan}
    with open(path, newline="", encoding="utf-8") as file:
        return [Line(**{k: convert[str(kinds[k])](v) for k, v in row.items()}) for row in csv.DictReader(file)]


def _range(numbers: Sequence[float], form: str) -> str:
    known = sorted(number for number in numbers if not math.isnan(number))
    if not known:
        return "—"
    median = form.format(float(np.median(known)))
    return f"{median} ({form.format(known[0])} to {form.format(known[-1])})"


def _job(job: tuple[int, int, str, int, int]) -> list[Line]:
    torch.set_num_threads(1)
    return simulate(*job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redraws", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("leaderboards/coverage.csv"))
    parser.add_argument("--show", action="store_true", help="print the table of the file that is there, and end")
    options = parser.parse_args()
    if options.show:
        lines = read(options.out)
        print(f"{table(lines)}\n\n{misses(lines)}")
        return
    start = time.monotonic()
    jobs = [
        (dim, n, kind, options.redraws, options.seed)
        for n in sorted(options.sizes, reverse=True)
        for dim in sorted(options.dimensions, reverse=True)
        for kind in KINDS
    ]
    lines: list[Line] = []
    with ProcessPoolExecutor(options.processes) as pool:
        for number, (job, some) in enumerate(zip(jobs, pool.map(_job, jobs), strict=True), 1):
            lines += some
            print(f"{number}/{len(jobs)} D {job[0]} n {job[1]} {job[2]}", file=sys.stderr, flush=True)
    names = [field.name for field in fields(Line)]
    places = {column: place for place, column in enumerate(dict.fromkeys(line.column for line in lines))}
    lines.sort(key=lambda line: (places[line.column], line.dim, line.n, KINDS.index(line.generator)))
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in asdict(line).items()} for line in lines)
    print(f"{table(lines)}\n\n{misses(lines)}")
    print(f"{time.monotonic() - start:.0f} s, written to {options.out}", file=sys.stderr)


def _text(value: object) -> object:
    return ("" if math.isnan(value) else f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()

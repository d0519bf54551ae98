"""A benchmark: a dataset, a feature extractor, metrics and the protocol that they are computed by."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.contracts import Dataset, FeatureExtractor, Features, Metric, Reads
from genbench.errors import DataError, InputError, RegistryError
from genbench.plugins import extractors, registry
from genbench.storage import cache
from genbench.storage.results import SCHEMA, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

CONVENTIONS = 1  # raised whenever a metric's definition changes, so that old and new numbers never meet

OF_SAMPLES: tuple[Reads, ...] = ("samples", "translation")  # what is read of n items that a model makes


from genbench.plugins.bundled_benchmarks import BENCHMARKS as _B
from genbench.plugins.bundled_benchmarks import PIXEL_METRICS, SEQUENCE_METRICS
from genbench.plugins.cards import Benchmark

BENCHMARKS = {b.name: b for b in _B}


@dataclass(frozen=True, eq=False)
class Task:
    """A benchmark with its data, extractor and metrics at hand, and the number of samples to draw."""

    benchmark: Benchmark
    dataset: Dataset
    extractor: FeatureExtractor
    metrics: tuple[Metric, ...]
    n: int

    @cached_property
    def reference(self) -> Features:
        """The features of the held-out split, from the cache where they are there."""
        return self._features("heldout", self.dataset.heldout)

    @cached_property
    def train_features(self) -> Features:
        """The features of the train split, from the cache where they are there."""
        return self._features("train", self.dataset.train)

    def _features(self, split: str, items: Tensor) -> Features:
        def extract() -> dict[str, Tensor]:
            found = self.extractor(items)
            rest = {} if found.probabilities is None else {"probabilities": found.probabilities}
            return {"embeddings": found.embeddings, **rest}

        key = {"features of": split, "data": self.dataset.sha256, "extractor": self.extractor.fingerprint}
        found = cache.tensors(key, extract)
        return Features(found["embeddings"], found.get("probabilities"))

    @cached_property
    def outliers(self) -> Tensor:
        """Items that have the data's shape and nothing else in common with it."""
        from genbench.data.outliers import outliers

        return outliers(self.dataset)

    def protocol(self, metric: Metric) -> dict[str, object]:
        """Everything but the model that can change a metric's numbers."""
        from genbench.evaluation.generators import CHUNK

        common: dict[str, object] = {
            "schema": SCHEMA,
            "conventions": CONVENTIONS,
            "metric": metric.name,
            "parameters": parameters(metric),
            "data": self.dataset.sha256,
            "reference": len(self.dataset.heldout),
        }
        if metric.reads in OF_SAMPLES:
            if self.dataset.source is not None:
                common["samples"] = "translations of the first n held-out sources"
            return common | {"features": self.extractor.fingerprint, "n": self.n, "chunk": CHUNK}
        if metric.reads == "outliers":
            common["outliers"] = hashlib.sha256(self.outliers.numpy().tobytes()).hexdigest()
        return common | {"effort": dataclasses.asdict(self.benchmark.effort)}

    def fingerprint(self, metric: Metric) -> str:
        return fingerprint(self.protocol(metric))

    def items(self, metric: Metric) -> int:
        """How many items a metric's numbers are means over: samples, drawn or translated, or held-out items."""
        return self.n if metric.reads in OF_SAMPLES else len(self.dataset.heldout)

    def warnings(self) -> list[str]:
        """What a user should know before reading the numbers."""
        dim = self.reference.embeddings.shape[1]
        fewest = min(self.n, len(self.dataset.heldout))
        if any(metric.name == "fid" for metric in self.metrics) and fewest <= dim:
            return [f"FID needs more samples than the {dim} feature dimensions; with {fewest} it is biased upwards"]
        return []


def parameters(metric: object) -> object:
    """A metric's parameters as they enter the protocol."""
    if dataclasses.is_dataclass(metric) and not isinstance(metric, type):
        return dataclasses.asdict(metric)
    return repr(metric)


def find(name: str) -> Benchmark:
    """The benchmark of that name, or one made for the folder or .npz at that path. Raises RegistryError."""
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    path = Path(name)
    if path.exists():
        from genbench.data import files

        stem = path.resolve().name.removesuffix(".npz")
        if stem in BENCHMARKS:
            raise RegistryError(
                f"{name} would be called {stem!r} like the bundled benchmark; rename the folder or file"
            )
        if files.is_audio(path):
            return Benchmark(stem, str(path), "spectrum", SEQUENCE_METRICS, 1000, picture="wave")
        return Benchmark(stem, str(path), "identity", PIXEL_METRICS, 1000)
    if "/" in name or name.endswith(".npz"):
        raise DataError(
            f"{name} does not exist; give a folder of images or WAV files, an .npz, or the name of a benchmark"
        )
    raise RegistryError(registry.unknown("benchmarks", name, BENCHMARKS))


def bundled() -> list[str]:
    """The benchmarks that run anywhere: their data needs no files and no network."""
    return [benchmark.name for benchmark in BENCHMARKS.values() if benchmark.bundled]


def load_dataset(benchmark: Benchmark, data_root: Path | None = None) -> Dataset:
    """The data of a benchmark. Raises DataError where it can neither be found nor downloaded."""
    if benchmark.name in BENCHMARKS:
        return registry.load(registry.find("datasets", benchmark.dataset).target)(data_root)
    from genbench.data.files import load as load_files

    return load_files(Path(benchmark.dataset))


def load(
    name: str,
    *,
    metrics: Sequence[str] | None = None,
    n: int | None = None,
    data_root: Path | None = None,
    features: str | None = None,
) -> Task:
    """A benchmark ready to run; `metrics`, `n` and `features` replace its own.

    Raises RegistryError for unknown names, DataError where the data cannot be had, InputError where n is too small, or
    larger than the number of sources to translate.
    """
    benchmark = find(name)
    if features is not None:
        benchmark = dataclasses.replace(benchmark, features=features)
    chosen = tuple(metric_named(metric) for metric in dict.fromkeys(metrics or benchmark.metrics))
    count = benchmark.n if n is None else n
    for metric in chosen:
        needed = metric.min_samples if metric.reads == "samples" else 1
        if count < needed:
            raise InputError(f"{metric.name} needs at least {needed} samples, n is {count}; raise -n")
    dataset = load_dataset(benchmark, data_root)
    if dataset.source is not None and count > len(dataset.source.heldout):
        raise InputError(f"{name} has {len(dataset.source.heldout)} held-out sources to translate, n is {count}")
    for metric in chosen:
        if metric.reads == "samples" and len(dataset.heldout) < metric.min_samples:
            raise InputError(
                f"{metric.name} needs at least {metric.min_samples} held-out items, {name} has {len(dataset.heldout)}"
            )
    return Task(benchmark, dataset, extractors.make(benchmark.features, dataset.spec), chosen, count)


def metric_named(name: str) -> Metric:
    """A metric by its own name, or by that of one of its columns."""
    cards = registry.cards("metrics")
    if name in cards:
        return registry.load(cards[name].target)()
    columns: dict[str, Any] = {}
    for card in cards.values():
        metric = registry.load(card.target)()
        columns |= {column.name: metric for column in metric.columns}
    if name not in columns:
        raise RegistryError(registry.unknown("metrics", name, {*cards, *columns}))
    return columns[name]

"""A benchmark at hand: its data, extractor and metrics loaded, with the protocol that they make together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from genbench.contracts import Dataset, FeatureExtractor, Features, Metric, Setting, parts_read
from genbench.data import sources
from genbench.errors import DataError, InputError, RegistryError
from genbench.evaluation import extraction
from genbench.evaluation.protocol import Protocol, digest
from genbench.evaluation.reference import Reference
from genbench.plugins import extractors, registry
from genbench.plugins.bundled_benchmarks import PIXEL_METRICS, SEQUENCE_METRICS
from genbench.plugins.cards import FEW, Benchmark, ModelCard
from genbench.plugins.datasets import dataset_named
from genbench.plugins.extractors import Computing
from genbench.plugins.metrics import metric_named

N_OF_FILES = FEW  # samples drawn of each model where a folder or file is the benchmark


@dataclass(frozen=True, eq=False)
class Task:
    """A benchmark with its data, extractor and metrics at hand, and the number of samples to draw.

    `own` says that data and features are the benchmark's own, so that its columns mean what their titles say; `asked`
    that somebody named n, which then holds for every model.
    """

    benchmark: Benchmark
    dataset: Dataset
    extractor: FeatureExtractor
    metrics: tuple[Metric, ...]
    n: int
    computing: Computing = field(default_factory=Computing)
    own: bool = True
    asked: bool = False

    @cached_property
    def reference(self) -> Reference:
        """The held-out split: its features, and those of the train split, from the cache where they are there."""
        data = self.dataset

        def features(split: str) -> Features:
            items = getattr(data, split)
            return extraction.of_items(items, sources.digest_of_items(items, data.spec), self.extractor)

        return Reference(
            content=sources.digest_of_items(data.heldout, data.spec),
            size=len(data.heldout),
            make_features=lambda: features("heldout"),
            make_train_features=lambda: features("train"),
            train_content=sources.digest_of_items(data.train, data.spec),
            labels=data.heldout_labels,
            classes=data.classes,
            dataset=data,
        )

    @cached_property
    def protocol(self) -> Protocol:
        """How its numbers are computed."""
        reference, effort = self.reference, dataclasses.asdict(self.benchmark.effort)
        samples: dict[str, object] = {"features": self.extractor.fingerprint, "n": self.n}
        if self.dataset.source is not None:
            samples["samples"] = f"translations of the first n held-out sources of {self.dataset.sha256}"
        real = {"reference": reference.content, "reference size": reference.size}
        return Protocol(
            parts={
                "samples": lambda: samples,
                "translation": lambda: samples | real,
                "real": lambda: real,
                "train": lambda: {"train": reference.train_content},
                "labels": lambda: {"labels": digest(reference.labels), "labels of samples": "the extractor's guess"},
                "log_prob": lambda: real | {"effort": effort},
                "classes": lambda: real | {"labels": digest(reference.labels), "effort": effort},
                "outliers": lambda: real | {"outliers": digest(reference.outliers), "effort": effort},
                "reconstruction": lambda: real,
            },
            n=self.n,
            reference=reference.size,
            features=self.extractor.name,
            fingerprint_of=lambda features: self.through(features).extractor.fingerprint,
        )

    @cached_property
    def conditional_protocol(self) -> Protocol:
        """How the numbers of a generator that chooses classes are computed."""
        return self.protocol.told_classes()

    def through(self, features: str) -> Task:
        """The same task with the features of another extractor, made once."""
        if features not in self._views:
            extractor = extractors.make(features, self.dataset.spec, Computing(self.computing.device))
            self._views[features] = dataclasses.replace(self, extractor=extractor, own=False)
        return self._views[features]

    @cached_property
    def _views(self) -> dict[str, Task]:
        return {}

    def of(self, card: ModelCard) -> Task:
        """The task as a model is given it: with fewer samples where its card says so and nobody named n."""
        return self._with_few if self.benchmark.few_of(card) and not self.asked else self

    @cached_property
    def _with_few(self) -> Task:
        return self.at_most(FEW)

    def at_most(self, n: int) -> Task:
        """The same task with no more samples than n."""
        if self.n <= n:
            return self
        task = dataclasses.replace(self, n=n)
        task.__dict__["reference"] = self.reference  # what is made of the real items is made once
        return task

    @property
    def variant(self) -> str:
        """In which way this is not the benchmark's own protocol, as a part of a file name; empty where it is."""
        parts = []
        if self.n != self.benchmark.n:
            parts.append(f"n{self.n}")
        if self.extractor.name != self.benchmark.features.partition(":")[0] and not self.own:
            parts.append(self.extractor.name)
        if self.computing.precision != "float32":
            parts.append(self.computing.precision)
        if self.computing.weights is not None:
            parts.append(self.computing.weights.stem)
        return "-".join(parts)

    def setting_of(self, model: str, device: str, trained: bool = True) -> Setting:
        """What a model's factory is told on this benchmark."""
        return setting(self.benchmark, model, self.dataset, device, trained)

    def warnings(self) -> list[str]:
        """What a user should know before reading the numbers."""
        if all(metric.name != "fid" for metric in self.metrics):
            return []
        dim = self.reference.features.embeddings.shape[1]
        fewest = min(self.n, self.reference.size)
        if fewest <= dim:
            return [f"FID needs more samples than the {dim} feature dimensions; with {fewest} it is biased upwards"]
        return []


def find(name: str) -> Benchmark:
    """The benchmark of that name, or one made for the folder or .npz at that path.

    Raises RegistryError for an unknown name, and DataError for a path where nothing is.
    """
    known = registry.cards("benchmarks")
    if registry.is_named("benchmarks", name):
        return registry.find("benchmarks", name)
    path = Path(name)
    if path.exists():
        from genbench.data import files

        stem = path.resolve().name.removesuffix(".npz")
        if stem in known:
            raise RegistryError(
                f"{name} would be called {stem!r} like the bundled benchmark; rename the folder or file"
            )
        if files.is_audio(path):
            return Benchmark(stem, str(path), "spectrum", SEQUENCE_METRICS, N_OF_FILES, picture="wave")
        return Benchmark(stem, str(path), "identity", PIXEL_METRICS, N_OF_FILES)
    if "/" in name or name.endswith(".npz"):
        raise DataError(
            f"{name} does not exist; give a folder of images or WAV files, an .npz, or the name of a benchmark"
        )
    raise RegistryError(registry.unknown("benchmarks", name, known))


def setting(benchmark: Benchmark, model: str, dataset: Dataset, device: str, trained: bool = True) -> Setting:
    """What a model's factory is told on a benchmark."""
    return Setting(model, benchmark.name, dataset, device, trained, benchmark.effort)


def is_registered(benchmark: Benchmark) -> bool:
    """Whether a benchmark has a name of its own, and was not made for a path."""
    return benchmark.name in registry.cards("benchmarks")


def bundled() -> list[str]:
    """The benchmarks that run anywhere: their data needs no files and no network."""
    return [card.name for card in registry.cards("benchmarks").values() if card.bundled]


def columns(benchmark: Benchmark) -> list[str]:
    """The columns of its board, from left to right."""
    return [column.name for metric in benchmark.metrics for column in metric_named(metric).columns]


def load_dataset(benchmark: Benchmark, data_root: Path | None = None) -> Dataset:
    """The data of a benchmark. Raises DataError where it can neither be found nor downloaded."""
    if is_registered(benchmark):
        return dataset_named(benchmark.dataset, data_root)
    from genbench.data.files import load as load_files

    return load_files(Path(benchmark.dataset))


def load(
    name: str,
    *,
    metrics: Sequence[str] | None = None,
    n: int | None = None,
    data_root: Path | None = None,
    features: str | extractors.Custom | None = None,
    computing: Computing | None = None,
) -> Task:
    """A benchmark ready to run; `metrics`, `n` and `features` replace its own.

    Raises RegistryError for unknown names, DataError where the data cannot be had, InputError where n is too small, or
    larger than the number of sources to translate.
    """
    benchmark, computing = find(name), computing or Computing()
    chosen = tuple(metric_named(metric) for metric in dict.fromkeys(metrics or benchmark.metrics))
    count = benchmark.n if n is None else n
    for metric in chosen:
        needed = metric.min_samples if "samples" in parts_read(metric) else 1
        if count < needed:
            raise InputError(f"{metric.name} needs at least {needed} samples, n is {count}; raise -n")
    dataset = load_dataset(benchmark, data_root)
    if dataset.source is not None and count > len(dataset.source.heldout):
        raise InputError(f"{name} has {len(dataset.source.heldout)} held-out sources to translate, n is {count}")
    for metric in chosen:
        if "real" in parts_read(metric) and len(dataset.heldout) < metric.min_samples:
            raise InputError(
                f"{metric.name} needs at least {metric.min_samples} held-out items, {name} has {len(dataset.heldout)}"
            )
    extractor = extractors.make(benchmark.features if features is None else features, dataset.spec, computing)
    # A distance between pixels is no FID, whatever benchmark chose it.
    own = (features is None or features == benchmark.features) and extractor.name != "identity"
    return Task(benchmark, dataset, extractor, chosen, count, computing, own, asked=n is not None)

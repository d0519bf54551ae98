"""What metrics share: one search and one root for all that need it, the same numbers as alone, exactly what is read."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from pathlib import Path

import pytest
import torch
from stand_in import evidence

import genbench.metrics
from genbench.contracts import Evidence, Features, LogProbs, Metric, SampleSpec, parts_read
from genbench.contracts.data import Dataset
from genbench.errors import InputError
from genbench.metrics import data_copying, frechet, maximum_mean_discrepancy, second_order
from genbench.numerics import moments, nearest
from genbench.plugins import bundled, registry

METRICS = {card.name: registry.load(card.target)() for card in bundled.metrics()}
RNG = torch.Generator().manual_seed(0)


def normal(n: int, dim: int = 4) -> torch.Tensor:
    return torch.randn(n, dim, generator=RNG)


def features(n: int) -> Features:
    x = normal(n)
    return Features(x, x.double().softmax(1))


REAL, TRAIN, MODELS = normal(150), normal(160), [normal(140), 1.2 * normal(140), normal(140) + 0.2]


@pytest.fixture
def calls(monkeypatch) -> Counter[str]:
    """How often each of the costly steps is taken."""
    counter: Counter[str] = Counter()

    def count(module: object, name: str) -> None:
        original = getattr(module, name)

        def counting(*args, **kwargs):
            counter[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    count(nearest, "kth_distances")
    count(moments, "root_factor")
    count(moments.Moments, "of")
    count(frechet.Comparison, "__init__")
    count(frechet.Comparison, "influence")
    count(second_order.Alignment, "_by_congruence")
    count(data_copying, "centres_of")
    count(maximum_mean_discrepancy.CubicKernel, "within")
    return counter


def scores(names: tuple[str, ...], real: Features, train: Features, fake: torch.Tensor) -> dict[str, object]:
    labels = {"real_labels": torch.arange(len(REAL)) % 2, "fake_labels": torch.arange(len(fake)) % 2}
    parts = evidence(real=real, train=train, fake=Features(fake), **labels)
    return {column: score for name in names for column, score in METRICS[name].compute(parts).items()}


def test_what_belongs_to_the_reference_is_found_once_and_the_rest_once_per_model(calls):
    names = ("fid", "precision-recall", "density-coverage", "per-class-fid", "memorization", "kid")
    real, train = Features(REAL), Features(TRAIN)
    for fake in MODELS:
        scores(names, real, train, fake)
    # The real items once whole, by each of two classes and in two halves, the samples of three models likewise; halves
    # are compared by a factor that regular covariances share.
    assert calls["of"] == (1 + 3) * (1 + 2 + 2)
    assert calls["root_factor"] == (1 + 3) * (1 + 2)
    assert calls["__init__"] == 3 * (1 + 2)
    assert calls["_by_congruence"] == 3 * (1 + 2 + 2), "one decomposition for the effects of both sides"
    assert calls["influence"] == 3 * (1 + 2)
    # Real radii and the real items' distances to the training items once; the samples' radii and distances per model.
    assert calls["kth_distances"] == 2 + 3 * 2
    assert calls["centres_of"] == 1
    assert calls["within"] == 1 + 3


def test_shared_numbers_are_those_of_each_function_alone():
    names = ("fid", "precision-recall", "density-coverage", "memorization", "kid", "vendi", "mind")
    real, train = Features(REAL), Features(TRAIN)
    for fake in MODELS:
        by_column = scores(names, real, train, fake)
        both = genbench.metrics.precision_recall(REAL, fake), genbench.metrics.density_coverage(REAL, fake)
        expected = {
            "fid": genbench.metrics.frechet_distance(REAL, fake),
            "precision": both[0].precision,
            "recall": both[0].recall,
            "density": both[1].density,
            "coverage": both[1].coverage,
            "memorization": genbench.metrics.memorization(TRAIN, REAL, fake),
            "kid": genbench.metrics.kernel_distance(REAL, fake),
            "vendi": genbench.metrics.vendi_score(fake),
            "mind": genbench.metrics.mind(REAL, fake),
        }
        for column, estimate in expected.items():
            assert (by_column[column].value, by_column[column].stderr) == (estimate.value, estimate.stderr), column


def test_few_samples_leave_out_the_measures_of_more_neighbours_only():
    fake = normal(5)
    both = scores(("precision-recall",), Features(REAL), Features(TRAIN), fake)
    assert both["precision"].value == genbench.metrics.precision_recall(REAL, fake).precision
    with pytest.raises(InputError, match="more than k = 5"):
        genbench.metrics.density_coverage(REAL, fake)


class Recorder:
    """Evidence that notes which of its parts are read."""

    def __init__(self, parts: Evidence) -> None:
        self.parts, self.read = parts, set()

    def __getattr__(self, name: str):
        self.read.add(name)
        return getattr(self.parts, name)


# By what a metric says it reads, the parts of the evidence that this stands for.
PARTS = {
    "samples": {"fake", "samples", "fake_labels"},
    "real": {"real"},
    "train": {"train"},
    "labels": {"real_labels"},
    "conditions": {"conditions"},
    "log_prob": {"log_prob"},
    "classes": {"class_log_joint"},
    "outliers": {"outliers", "outlier_log_prob"},
    "reconstruction": {"reconstruct"},
    "translation": {"translated", "cycled"},
}
# Names, shapes and capabilities change no number, and what is shared was read by somebody.
OPEN = {"through", "dataset", "offers", "once", "classes"}


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"paired-error", "cycle-error", "class-kept"}))
def test_a_metric_reads_what_it_names(name):
    metric: Metric = METRICS[name]
    items = torch.randint(3, (150, 1, 2, 2), generator=RNG).to(torch.uint8)
    log_prob = LogProbs(-normal(150)[:, 0].double().square() - 9, "exact")
    recorder = Recorder(
        evidence(
            () if name == "parzen" else ("log_prob",),
            dataset=Dataset("test", SampleSpec((1, 2, 2), 3), items, items, true_log_prob=lambda x: log_prob.values),
            samples=items,
            real=features(150),
            train=features(150),
            fake=features(150),
            real_labels=torch.arange(150) % 4,
            fake_labels=torch.arange(150) % 4,
            log_prob=log_prob,
            outlier_log_prob=log_prob,
            class_log_joint=normal(150),
            reconstruct=lambda x, what: x,
        )
    )
    assert set(metric.compute(recorder)) == {column.name for column in metric.columns}
    named = set().union(*(PARTS[part] for part in parts_read(metric)))
    assert recorder.read <= named | OPEN
    if getattr(metric, "features", ()):
        assert recorder.read == {"through"}, "it looks through extractors of its own"
        return
    # The held-out items are read by way of the data set where no features of them are needed.
    for part in set(parts_read(metric)) - {"reconstruction"}:
        assert PARTS[part] & recorder.read or (part == "real" and "dataset" in recorder.read), part


def test_public_functions_do_not_hide_their_modules():
    for name in genbench.metrics.__all__:
        home = inspect.getmodule(getattr(genbench.metrics, name))
        assert home.__name__.rpartition(".")[2] != name
        assert importlib.import_module(home.__name__) is home
    folder = {path.stem for path in Path(genbench.metrics.__file__).parent.glob("*.py")}
    assert not folder & set(genbench.metrics.__all__)

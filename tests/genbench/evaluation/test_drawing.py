"""Samples of the classes that are asked for, and in the batches that the memory holds."""

from __future__ import annotations

import json

import plugins
import pytest
import torch
from click.testing import CliRunner

import genbench
from genbench.cli import main
from genbench.contracts import Setting
from genbench.errors import ConformanceError, GenbenchWarning, ModelError, OutOfMemoryError
from genbench.evaluation import generators, isolation
from genbench.evaluation.drawing import Batched, Drawing, labels_for, samples_of
from genbench.plugins.cards import ModelCard
from genbench.plugins.datasets import dataset_named

SPEC = plugins.SPEC


@pytest.fixture(scope="module")
def digits():
    return dataset_named("digits")


def test_labels_are_as_frequent_as_the_held_out_ones(digits):
    labels = labels_for(plugins.Chooses(), digits, 20000, seed=0)
    shares = torch.bincount(labels, minlength=10) / len(labels)
    wanted = torch.bincount(digits.heldout_labels, minlength=10) / len(digits.heldout_labels)
    assert float((shares - wanted).abs().max()) < 5 * (0.1 * 0.9 / 20000) ** 0.5
    assert torch.equal(labels, labels_for(plugins.Chooses(), digits, 20000, seed=0))
    assert not torch.equal(labels, labels_for(plugins.Chooses(), digits, 20000, seed=1))
    assert labels_for(plugins.Grey(), digits, 5, seed=0) is None
    model = plugins.Chooses()
    model.classes = 9
    with pytest.raises(ModelError, match="it chooses from 9 classes, the benchmark has 10"):
        labels_for(model, digits, 5, seed=0)


def test_per_class_numbers_are_by_the_classes_asked_for():
    """A model that draws another class than it is told looks like the data as a whole, and is wrong in each class."""
    metrics = ["fid", "per-class-fid", "classes"]
    sound, swapped, told_none = (
        {row.column: row for row in genbench.evaluate(model, "digits", metrics=metrics, n=1000).results}
        for model in (plugins.Chooses(), plugins.Swaps(), plugins.Grey())
    )
    assert swapped["fid"].value < 3 * sound["fid"].value
    assert swapped["fid_class"].value > 5 * sound["fid_class"].value
    assert sound["fid_class"].protocol != told_none["fid_class"].protocol, "true labels are not ranked with guesses"
    for column in ("fid", "classes", "class_entropy"):
        assert sound[column].protocol == told_none[column].protocol


def test_the_samples_are_of_the_labels_in_any_batch(digits):
    model = plugins.Obeys()
    labels = torch.randint(10, (2300,))
    whole = Drawing(SPEC, 2300, 0, labels=labels).by(model.sample)
    assert [n for n, _ in model.asked] == [1000, 1000, 300]
    model.asked.clear()
    Drawing(SPEC, 2300, 0, labels=labels, batch=400).by(model.sample)
    assert [n for n, _ in model.asked] == [400, 400, 200, 400, 400, 200, 300]
    assert torch.equal(torch.cat([told for _, told in model.asked]), labels)
    assert torch.equal(whole, Drawing(SPEC, 2300, 0, labels=labels).by(model.sample))


def test_no_two_batches_are_alike(digits):
    samples = Drawing(SPEC, 1200, 0, batch=100).by(plugins.Grey().sample)
    assert len(samples.unique(dim=0)) == 1200

    class Noisy(plugins.Grey):
        batch_size = 50

        def log_prob(self, x):
            return super().log_prob(x) - torch.rand(len(x))

    assert len(generators.log_probs(Noisy(), digits.heldout[:200], 0).unique()) == 200


def test_memory_that_runs_out_halves_the_batches(digits):
    model = plugins.Narrow()
    with pytest.warns(GenbenchWarning) as warned:
        samples = samples_of(model, SPEC, 1500, seed=0)
    assert [str(each.message) for each in warned] == [
        f"sample ran out of memory, and is asked for {size} items at once; set batch_size = {size}"
        for size in (500, 250, 125, 62)
    ]
    wide = plugins.Wide()
    assert torch.equal(samples, samples_of(wide, SPEC, 1500, seed=0)), "the numbers are those of the smaller batches"
    assert set(wide.sizes) == {62, 8, 4}, wide.sizes
    with pytest.warns(GenbenchWarning, match="log_prob ran out of memory"):
        log_probs = generators.log_probs(model, digits.heldout, 0)
    assert torch.equal(log_probs, generators.log_probs(plugins.Grey(), digits.heldout, 0))
    model.room = 0
    with pytest.warns(GenbenchWarning), pytest.raises(OutOfMemoryError, match="tried to allocate 1 items"):
        samples_of(model, SPEC, 10, seed=0)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("no"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_all_kinds_of_exhaustion_are_known(error):
    class Full(plugins.Grey):
        def sample(self, n):
            if n > 3:
                raise error
            return super().sample(n)

    with pytest.warns(GenbenchWarning, match="ran out of memory"):
        assert samples_of(Full(), SPEC, 4, seed=0).shape == (4, 1, 8, 8)


def test_memory_runs_out_of_adapted_networks_and_of_evaluations_too():
    """A real allocation that no machine can make, not an exception by name: its size grows with the batch."""

    def greedy(n):
        torch.empty(n if n <= 60 else 2**60, dtype=torch.uint8)
        return torch.rand(n, 1, 8, 8)

    model = genbench.adapt(greedy, shape=(1, 8, 8), levels=17, range=(0, 1), batch_size=100)
    with pytest.warns(GenbenchWarning, match=r"sample ran out of memory, and is asked for 50 items at once"):
        report = genbench.evaluate(model, "digits", metrics=["fid"], n=150)
    assert [row.status for row in report.results if row.column == "fid"] == ["ok"]
    smaller = genbench.adapt(greedy, shape=(1, 8, 8), levels=17, range=(0, 1), batch_size=50)
    assert torch.equal(report.samples, genbench.evaluate(smaller, "digits", metrics=["fid"], n=150).samples)


def test_other_errors_do_not_halve():
    with pytest.raises(ModelError, match="the weights are gone"):
        samples_of(plugins.Raises(), SPEC, 4, seed=0)


def test_a_process_of_its_own_chooses_and_batches_too(digits):
    for factory in ("Chooses", "Wide"):
        card = ModelCard(factory, f"plugins:{factory}")
        model = isolation.isolated(card, Setting(factory, "digits", digits))
        try:
            here = getattr(plugins, factory)()
            assert torch.equal(samples_of(model, SPEC, 130, seed=3), samples_of(here, SPEC, 130, seed=3))
            assert genbench.check(model) == genbench.check(here)
        finally:
            model.close()


def test_the_check_knows_what_choosing_is():
    assert genbench.check(plugins.Chooses()) == ("classes", "log_prob")
    deaf, wrong = plugins.Chooses(), plugins.Chooses()
    deaf.sample = lambda n, labels: plugins.Grey().sample(n)
    with pytest.raises(ConformanceError, match="sample returns the same items whatever the labels"):
        genbench.check(deaf)
    wrong.classes = ("cat", "dog")
    with pytest.raises(ConformanceError, match="classes must be a whole number of at least 1"):
        genbench.check(wrong)


def test_batched_is_the_same_in_all_else():
    model = Batched(plugins.Wide(), 50)
    assert model.batch_size == 50
    assert generators.offered(model) == ("log_prob",)
    samples_of(model, SPEC, 120, seed=0)
    assert model.sizes == [50, 50, 20]


@pytest.mark.filterwarnings("default")
def test_the_command_line_has_a_batch_size(tmp_path):
    arguments = ["run", "digits", "--model", "plugins:Narrow", "--metric", "fid", "-n", "200", "--json"]
    rows = []
    for place, extra in enumerate((["--batch-size", "100"], [])):
        result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / str(place)), *extra])
        assert result.exit_code == 0, result.output
        assert ("ran out of memory" in result.stderr) == (not extra)
        rows.append(json.loads(result.stdout.splitlines()[0]))
    assert rows[0]["value"] == rows[1]["value"]
    assert rows[0]["protocol"] == rows[1]["protocol"]

"""Every model of the catalogue, by walking it: a new model is covered by writing no test."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

import genbench
from genbench import seeding
from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting, Trainable, capabilities
from genbench.errors import InputError, ModelError
from genbench.evaluation import benchmarks, generators
from genbench.plugins import registry

ROOT = Path(__file__).parents[2]
CHECKPOINTS = ROOT / "zoo" / "checkpoints"
CARDS = [card for card in registry.models().values() if card.target.startswith("zoo.")]
BOARDS = benchmarks.bundled()
PAIRS = [(card, board) for card in CARDS for board in BOARDS if card.stands_on(board)]
QUICK = Effort(importance_samples=4, dequantization_samples=2, ais_chains=16, ais_temperatures=20)
SPECS = {
    "8x8": SampleSpec((1, 8, 8), 17),
    "28x28": SampleSpec((1, 28, 28), 256),
    "colour": SampleSpec((3, 32, 32), 256),
    "small colour": SampleSpec((3, 12, 16), 256),
    "binary": SampleSpec((1, 28, 28), 2),
}
GREY, BINARY = "digits", "digits-binary"
TRAINABLE = [card for card in CARDS if "training" in card.capabilities]


def sizes(card: registry.ModelCard) -> tuple[str, ...]:
    """What a model is tried on, by the names of SPECS.

    Two levels are one more case of levels, so only the models that know no others are tried on them. Those that draw
    value after value or hold the covariance of all values are tried on smaller images in colour: of 32 x 32 a single
    one takes 3,072 steps, and a covariance 9 million numbers.
    """
    if GREY in card.benchmarks:
        return "8x8", "28x28", "small colour" if card.family in ("autoregressive", "mixture") else "colour"
    return ("binary",) if BINARY in card.benchmarks else ()


SIZED = [(card, size) for card in TRAINABLE for size in sizes(card)]


def name(value: object) -> str:
    return getattr(value, "name", str(value))


def dataset(spec: SampleSpec) -> Dataset:
    with seeding.scoped("images"):
        # Smooth blobs: something to learn, whatever the size.
        x = torch.nn.functional.avg_pool2d(torch.rand(40, *spec.shape), 3, 1, 1)
    levelled = (x * spec.levels).clamp(max=spec.levels - 1).to(torch.uint8)
    labels = torch.arange(40) % 10
    return Dataset("test", spec, levelled[:30], levelled[30:], labels[:30], labels[30:])


def small(card: registry.ModelCard) -> Dataset:
    """A few items of the kind that a model is for."""
    if GREY in card.benchmarks or card.home == GREY:
        return dataset(SPECS["8x8"])
    whole = benchmarks.load_dataset(benchmarks.find(card.benchmarks[0]))
    labels, source = whole.train_labels, whole.source
    if source is not None:
        source = dataclasses.replace(source, train=source.train[:30], train_labels=None)
    few = dataclasses.replace(
        whole, train=whole.train[:30], train_labels=None if labels is None else labels[:30], source=source
    )
    return dataclasses.replace(few, name="test")


@pytest.mark.parametrize(("card", "board"), PAIRS, ids=name)
def test_shipped_models_pass_the_conformance_check(card, board):
    task_data = benchmarks.load_dataset(benchmarks.find(board))
    model = generators.build(card, Setting(card.name, board, task_data, effort=QUICK))
    assert genbench.check(model, task_data.spec) == card.capabilities
    assert generators.version(model) == generators.version(
        generators.build(card, Setting(card.name, board, task_data, effort=QUICK))
    )


@pytest.mark.parametrize(("card", "board"), PAIRS, ids=name)
def test_checkpoints_record_how_they_were_made(card, board):
    path = CHECKPOINTS / board / f"{card.name}.json"
    if "training" not in card.capabilities:
        assert not path.exists()
        return
    record = json.loads(path.read_text())
    assert record["command"] == f"genbench train {card.name} --benchmark {board} --seed {record['seed']}"
    assert record["data_sha256"] == benchmarks.load_dataset(benchmarks.find(board)).sha256
    assert record["budget"] is None, "shipped models are trained by their own recipe"
    assert record["figures"]
    assert record["seconds"] < 900


def test_checkpoints_stay_small_and_none_is_left_over():
    files = [path for path in CHECKPOINTS.rglob("*") if path.is_file()]
    mnist = [path for path in files if "mnist" in path.parent.name]
    assert sum(path.stat().st_size for path in mnist) < 60 * 2**20
    assert sum(path.stat().st_size for path in set(files) - set(mnist)) < 40 * 2**20
    expected = {f"{board}/{card.name}" for card in TRAINABLE for board in card.benchmarks}
    assert {str(path.relative_to(CHECKPOINTS).with_suffix("")) for path in files} == expected


@pytest.mark.parametrize(("card", "size"), SIZED, ids=name)
def test_models_take_their_sizes_from_the_spec(card, size, tmp_path, monkeypatch):
    """Train a few steps on images of any size, save, load, and hold the result to the contract."""
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    data = dataset(SPECS[size])
    fresh = Setting(card.name, "test", data, trained=False, effort=QUICK)
    with seeding.scoped(0):
        model = generators.build(card, fresh)
    assert isinstance(model, Trainable)
    with seeding.scoped(0):
        figures = model.fit(data, Budget(steps=2))
    assert all(torch.isfinite(torch.tensor(value)) for value in figures.values())
    model.save(fresh, {"figures": dict(figures)})
    loaded = generators.build(card, Setting(card.name, "test", data, effort=QUICK))
    with seeding.scoped(1), torch.no_grad():
        expected = model.sample(3)
    with seeding.scoped(1), torch.no_grad():
        assert torch.equal(loaded.sample(3), expected)
    assert generators.as_samples(expected, data.spec, 3).shape == (3, *data.spec.shape)
    if "log_prob" in card.capabilities:
        assert generators.log_probs(loaded, data.heldout[:2], 0).shape == (2,)
    assert set(capabilities(loaded)) == set(card.capabilities)


class InMemory:
    """Snapshots of a training, of which all but the first `stop` are lost."""

    def __init__(self, stop: int = 10**9) -> None:
        self.stop, self.phases, self.phase, self.kept = stop, [], -1, 0

    def resumed(self) -> InMemory:
        again = InMemory()
        again.phases = self.phases
        return again

    def enter(self) -> dict | None:
        self.phase += 1
        return copy.deepcopy(self.phases[self.phase]) if self.phase < len(self.phases) else None

    def keep(self, state: dict) -> None:
        self.kept += 1
        if self.kept <= self.stop:
            self.phases[self.phase :] = [copy.deepcopy(state)]

    def diverged(self) -> str:
        return ""


@pytest.mark.parametrize("card", TRAINABLE, ids=name)
def test_training_repeats_under_its_seed_and_goes_on_from_a_snapshot_as_if_it_had_not_stopped(card):
    data = small(card)

    def trained(snapshots: InMemory | None) -> dict[str, torch.Tensor]:
        with seeding.scoped(3):
            model = generators.build(card, Setting(card.name, "test", data, trained=False, effort=QUICK))
            model.fit(data, Budget(steps=4, snapshots=snapshots))
        return model.state_dict()

    whole = InMemory(stop=3)
    expected = trained(whole)
    repeated = trained(None)
    assert repeated.keys() == expected.keys()
    assert all(torch.equal(repeated[key], expected[key]) for key in expected)
    if not whole.kept:
        return  # fitted without gradient steps
    assert whole.phases[-1]["step"] == 2, "a state before the first step, and after each"
    resumed = trained(whole.resumed())
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)


@pytest.mark.parametrize("card", [card for card in TRAINABLE if GREY not in card.benchmarks], ids=name)
def test_models_say_which_data_they_are_not_for(card):
    """Whoever stands on no board of grey images models them all the same, or says in one sentence why not."""
    fresh = Setting(card.name, "test", dataset(SPECS["8x8"]), trained=False)
    refusal = ""
    try:
        model = generators.build(card, fresh)
    except ModelError as error:
        refusal = str(error)
    if refusal:
        assert re.search(r"models? .* not ", refusal), refusal
    else:
        assert generators.as_samples(model.sample(1), fresh.spec, 1).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("card", [card for card in TRAINABLE if "log_prob" in card.capabilities], ids=name)
def test_likelihoods_refuse_items_of_another_kind(card):
    data = small(card)
    model = generators.build(card, Setting(card.name, "test", data, trained=False, effort=QUICK))
    with pytest.raises(InputError, match="items have shape"):
        model.log_prob(data.heldout[:2, ..., :-1])
    bad = data.heldout[:2].clone()
    if data.spec.levels is None:
        bad[0] = float("nan")
        with pytest.raises(InputError, match="not finite"):
            model.log_prob(bad)
    elif data.spec.levels < 256:  # no byte is out of the range of 256 levels
        bad.view(-1)[0] = data.spec.levels
        with pytest.raises(InputError, match=f"the levels are 0..{data.spec.levels - 1}"):
            model.log_prob(bad)


def test_a_diverging_training_stops_in_one_sentence():
    from zoo.training import report

    with pytest.raises(ModelError, match="training diverged at step 3 of 10"):
        report(Budget(), 3, 10, {"loss": float("nan")})

"""Models in processes of their own: the same numbers, and an end that harms no other."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plugins
import pytest
import torch

from genbench import seeding
from genbench.contracts import HasLogProb, Setting
from genbench.errors import GenbenchWarning, ModelError, RegistryError
from genbench.evaluation import generators
from genbench.evaluation.generators import build, resolve
from genbench.evaluation.isolation import METHODS, isolated
from genbench.plugins.datasets import dataset_named

SPEC = plugins.SPEC


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting("mine", "digits", dataset_named("digits"))


@pytest.fixture
def apart(setting):
    """Builds models in processes of their own, and ends them."""
    models = []

    def make(name, timeout=None):
        models.append(isolated(resolve(name), dataclasses.replace(setting, model=name), timeout))
        return models[-1]

    yield make
    for model in models:
        model.close()


def test_every_capability_gives_the_numbers_that_it_gives_here(apart, setting):
    model, here = apart("plugins:Everything"), build(resolve("plugins:Everything"), setting)
    items = setting.dataset.heldout[:20]
    assert generators.offered(model) == generators.offered(here)
    assert isinstance(model, HasLogProb), "protocols see it too"
    assert (model.spec, model.source_spec, model.latent_shape) == (SPEC, here.source_spec, (3,))
    assert generators.version(model) == generators.version(here)
    for made in (
        lambda each: generators.samples_of(each, SPEC, 1200, seed=3),
        lambda each: generators.samples_of(each, SPEC, 20, seed=3, psi=0.5),
        lambda each: generators.reconstructions(each, items, SPEC, 3),
        lambda each: generators.class_log_joints(each, items, 10, 3),
    ):
        assert torch.equal(made(model), made(here))
    said, expected = (generators.log_probs_of(each, items, 3) for each in (model, here))
    assert torch.equal(said.values, expected.values)
    assert (said.kind, said.error, said.interval) == (expected.kind, expected.error, expected.interval) != ("", 0, None)
    for name in ("translate", "cycle", "decode"):
        with seeding.scoped(3):
            answer = getattr(model, name)(torch.ones(4, 2))
        with seeding.scoped(3):
            assert torch.equal(answer, getattr(here, name)(torch.ones(4, 2)))


def test_calls_one_after_the_other_draw_on_as_they_do_here(apart):
    model, here = apart("plugins:Everything"), plugins.Everything()

    def drawn(each):
        with seeding.scoped(5):
            first, second = torch.as_tensor(each.sample(3)), torch.as_tensor(each.sample(3))
            return first, second, torch.rand(1), np.random.rand(1), random.random()

    for ours, theirs in zip(drawn(here), drawn(model), strict=True):
        assert ours == theirs if isinstance(ours, float) else (ours == theirs).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plugins:Killed", "the process of plugins:Killed ended with exit code 3 while sampling"),
        ("plugins:Crashes", "the process of plugins:Crashes was ended by SIGSEGV while sampling"),
    ],
)
def test_a_process_that_ends_fails_its_model_alone(apart, name, reason):
    model = apart(name)
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            generators.samples_of(model, SPEC, 5, seed=0)
        assert str(caught.value) == reason
    with pytest.raises(ModelError, match="while sampling"):
        generators.log_probs_of(model, torch.zeros(1, 1, 8, 8, dtype=torch.uint8), 0)


def test_a_model_that_hangs_is_ended_in_time(apart):
    model, start = apart("plugins:Hangs", timeout=1.5), time.monotonic()
    with pytest.raises(ModelError) as caught:
        generators.samples_of(model, SPEC, 5, seed=0)
    assert str(caught.value) == "plugins:Hangs did not answer within 1.5 s while sampling"
    assert time.monotonic() - start >= 1.5
    assert not model._process.is_alive()


def test_what_goes_wrong_while_it_is_built_is_said(apart):
    with pytest.raises(ModelError, match="KilledBeforeItIsMade ended with exit code 4 while being built"):
        apart("plugins:KilledBeforeItIsMade")
    with pytest.raises(RegistryError, match="no attribute 'nothing'"):
        apart("plugins:nothing")
    with pytest.raises(ModelError, match="it makes items of shape"):
        apart("plugins:WrongSpec")


def test_errors_and_broken_attributes_come_through_and_the_process_goes_on(apart):
    model = apart("plugins:Touchy")
    assert generators.offers(model, "log_prob")
    with pytest.raises(ModelError, match="reading log_prob_kind raised GeneratorExit: never"):
        generators.log_probs_of(model, torch.zeros(1, 1, 8, 8, dtype=torch.uint8), 0)
    with pytest.raises(ModelError, match="sample raised TypeError"):
        model.sample("many")
    assert model.sample(2).shape == (2, 1, 8, 8)
    assert not generators.offers(model, "reconstruction")


def test_what_it_changes_there_is_told_here(apart):
    model = apart("plugins:Halves")
    with pytest.warns(GenbenchWarning, match="plugins:Halves: log_prob wrote into what it was given"):
        model.log_prob(torch.ones(1, 1, 8, 8, dtype=torch.uint8))


def test_files_of_samples_are_given_in_order_there_too(apart, tmp_path):
    array = torch.randint(17, (1500, 8, 8)).mul(255 / 16).round().to(torch.uint8).numpy()
    np.save(tmp_path / "samples.npy", array)
    model = apart(str(tmp_path / "samples.npy"))
    here = model.sample(1500)
    assert torch.equal(generators.samples_of(model, SPEC, 1500, seed=0), here)
    assert len(here[1000:].unique(dim=0)) == 500


ENDLESS = """
import sys
sys.path.insert(0, {tests!r})
from genbench.contracts import Setting
from genbench.evaluation import generators, isolation
from genbench.plugins.datasets import dataset_named
if __name__ == "__main__":
    setting = Setting("mine", "digits", dataset_named("digits"))
    model = isolation.isolated(generators.resolve("plugins:Everything"), setting)
    print(model._process.pid, flush=True)
"""


def test_no_process_outlives_the_one_that_asked(tmp_path):
    file = tmp_path / "asks.py"
    file.write_text(ENDLESS.format(tests=str(Path(plugins.__file__).parent)))
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not Path(f"/proc/{done.stdout.strip()}").exists()


def test_everything_that_is_asked_for_has_words():
    members = {member for name, names in generators.MEMBERS.items() if name != "training" for member in names}
    methods = {name for name in members if callable(getattr(plugins.Everything(), name, None))}
    assert methods | {"sample"} == set(METHODS)

"""Trainings that are interrupted or diverge go on from their last good state."""

from __future__ import annotations

import signal

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from genbench.cli.entry import main
from genbench.data.digits import digits
from zoo import training
from zoo.gan.dcgan import DCGAN

STEPS = 40


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))

    def call(model, *options, code=0):
        result = CliRunner().invoke(main, ["train", model, "--budget", str(STEPS), *options])
        assert result.exit_code == code, result.output
        return result

    return call


def weights(tmp_path, model):
    return load_file(tmp_path / "checkpoints" / "digits" / f"{model}.safetensors")


def state(tmp_path, model):
    return tmp_path / "cache" / "training" / "digits" / f"{model}.pt"


def interrupted_at(step, monkeypatch):
    """Press Ctrl-C at the report of one step, once."""
    original, calls = training.report, []

    def report(budget, done, steps, figures, remedy=""):
        if done == step and not calls:
            calls.append(step)
            signal.raise_signal(signal.SIGINT)
        original(budget, done, steps, figures, remedy)

    monkeypatch.setattr(training, "report", report)


# One GAN, one model of `minimise`, and one whose fit has two phases, which is stopped in the second too.
@pytest.mark.parametrize(("model", "step"), [("dcgan", 27), ("vae", 27), ("vq-vae-pixelcnn", 27)])
def test_an_interrupted_training_ends_as_if_it_had_not_been(train, tmp_path, monkeypatch, model, step):
    train(model)
    expected = weights(tmp_path, model)
    assert not state(tmp_path, model).exists(), "nothing is left of a finished training"
    for _ in range(2 if model == "vq-vae-pixelcnn" else 1):
        interrupted_at(step, monkeypatch)
        options = ("--resume",) if state(tmp_path, model).exists() else ()
        assert "the same command with --resume goes on" in train(model, *options, code=130).stderr
        step = 13
        monkeypatch.undo()
        monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
        monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    train(model, "--resume")
    resumed = weights(tmp_path, model)
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())


def test_a_diverging_training_keeps_the_last_good_state_and_goes_on_from_it(train, tmp_path, monkeypatch):
    train("dcgan")
    before = weights(tmp_path, "dcgan")
    original, rates, blow_up_at = DCGAN.generator_objective, [], [31, 50]
    calls = 0

    def explodes(self, discriminator, batch):
        nonlocal calls
        calls += 1
        return original(self, discriminator, batch) * (float("nan") if calls in blow_up_at else 1)

    monkeypatch.setattr(DCGAN, "generator_objective", explodes)
    result = train("dcgan", code=1)
    (line,) = [line for line in result.stderr.splitlines() if "diverged" in line]
    assert "training diverged at step 31 of 40 (" in line
    assert line.endswith("the old checkpoint stays, and --resume goes on from step 30 with half the learning rate")
    assert all(torch.equal(value, before[key]) for key, value in weights(tmp_path, "dcgan").items())

    def step(loss, optimiser, *rest):
        rates.append(optimiser.param_groups[0]["lr"])
        return descend(loss, optimiser, *rest)

    descend = training.descend
    monkeypatch.setattr("zoo.adversarial.game.descend", step)
    blow_up_at[:] = [calls + 1]  # again, from the same state
    assert "goes on from step 30" in train("dcgan", "--resume", code=1).stderr
    assert set(rates) == {DCGAN.recipe(digits().spec).rate / 2}
    rates.clear()
    train("dcgan", "--resume")
    assert set(rates) == {DCGAN.recipe(digits().spec).rate / 4}
    after = weights(tmp_path, "dcgan")
    assert all(torch.isfinite(value).all() for value in after.values())
    assert not all(torch.equal(value, before[key]) for key, value in after.items())
    assert not state(tmp_path, "dcgan").exists()


def test_weights_that_are_no_longer_finite_are_never_kept(train, tmp_path, monkeypatch):
    course_report = training.Course.report

    def poisoned(self, figures, *rest):
        if self.step == 15:  # the losses do not show it
            with torch.no_grad():
                next(self.parts["module"].parameters()).fill_(float("inf"))
        course_report(self, {"loss": 1.0}, *rest)

    monkeypatch.setattr(training.Course, "report", poisoned)
    line = train("vae", code=1).stderr.splitlines()[-1]
    assert "training diverged at step 16 of 40 (loss 1, weights nan)" in line
    assert "goes on from step 14" in line
    phase = torch.load(state(tmp_path, "vae"), weights_only=True)["phases"][0]
    assert phase["step"] == 14
    assert all(torch.isfinite(value).all() for value in phase["parts"]["module"].values())


def test_resume_says_why_it_cannot(train, tmp_path, monkeypatch):
    assert "nothing is kept of a training of vae on digits" in train("vae", "--resume", code=1).stderr
    interrupted_at(27, monkeypatch)
    train("vae", code=130)
    monkeypatch.setattr(training, "report", lambda *_: None)
    assert "had seed 0, this one has 1" in train("vae", "--resume", "--seed", "1", code=1).stderr
    state(tmp_path, "vae").write_bytes(b"half of it")
    assert "is damaged; train it without --resume" in train("vae", "--resume", code=1).stderr
    train("vae")
    assert not state(tmp_path, "vae").exists()


@pytest.mark.filterwarnings("always")
def test_a_cache_that_cannot_be_written_ends_no_training(train, tmp_path):
    (tmp_path / "cache").write_text("a file in the folder's place")
    assert train("vae").stderr.count("warning: this training cannot be resumed") == 1
    assert weights(tmp_path, "vae")

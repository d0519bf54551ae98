"""Training everything: resumable, noted in a log, and one failure never stops the rest."""

from __future__ import annotations

import csv

import plugins
import pytest
import torch
from click.testing import CliRunner

from genbench.cli.entry import main
from genbench.errors import GenbenchWarning, ModelError
from genbench.evaluation import train as training
from genbench.plugins import registry
from genbench.plugins.cards import ModelCard


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    log = tmp_path / "training.csv"

    def call(*options, code=0):
        arguments = ["train", "--all", "--benchmark", "weather", "--budget", "2", "--log", str(log), *options]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return [line.split(":")[0] for line in result.stdout.splitlines()]

    return call


def rows(tmp_path):
    with (tmp_path / "training.csv").open() as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_train_all_notes_what_is_done_and_goes_on_from_there(train, tmp_path):
    expected = [c.name for c in registry.models().values() if c.stands_on("weather") and "training" in c.capabilities]
    assert train() == expected
    assert set(rows(tmp_path)) == set(expected)
    assert all(row["budget"] == "2" and row["version"] for row in rows(tmp_path).values())
    assert train() == []
    lines = (tmp_path / "training.csv").read_text().splitlines(keepends=True)
    (tmp_path / "training.csv").write_text("".join(line for line in lines if ",naive-bayes," not in line))
    assert train() == ["naive-bayes"], "an interrupted run goes on where it stopped"
    (tmp_path / "checkpoints" / "weather" / "hidden-markov.safetensors").unlink()
    assert train() == ["hidden-markov"], "what the log notes and is not there is trained"
    assert train("--seed", "1") == expected
    assert train("--seed", "1", "--fresh") == expected


def test_one_failure_does_not_stop_the_others(train, tmp_path, monkeypatch):
    def fails(card, *arguments, **options):
        if card.name == "markov-chain":
            raise training.ModelError("it broke")
        return original(card, *arguments, **options)

    original = training.train
    monkeypatch.setattr(training, "train", fails)
    trained = train(code=1)
    assert "markov-chain" not in trained
    assert "naive-bayes" in trained
    assert "markov-chain" not in rows(tmp_path)


def test_two_processes_share_a_log(tmp_path):
    first, second = training.Todo(tmp_path / "log.csv"), training.Todo(tmp_path / "log.csv")
    card = registry.find("models", "naive-bayes")
    done = training.Trained("somewhere", {}, 1.5)
    first.note(card, "weather", done)
    second.note(card, "digits", done)
    assert set(training.Todo(tmp_path / "log.csv").done) == {("weather", "naive-bayes"), ("digits", "naive-bayes")}
    assert second.summary() == "2 models are trained, in 0.1 min"


@pytest.mark.parametrize("arguments", [["train"], ["train", "--all", "vae"]])
def test_train_wants_models_or_all(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "name models to train, or give --all" in result.stderr


def test_another_file_is_not_taken_for_a_log(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(training.ModelError, match="is no log of trainings"):
        training.Todo(tmp_path / "other.csv")


def test_run_all_refuses_a_benchmark_beside_it():
    result = CliRunner().invoke(main, ["run", "digits", "--all"])
    assert result.exit_code == 2
    assert "leave digits or --all out" in result.stderr


def test_run_all_runs_what_is_bundled_into_a_folder_each(tmp_path, monkeypatch):
    from genbench.evaluation import benchmarks

    monkeypatch.setattr(benchmarks, "bundled", lambda: ["weather", "digits-binary"])
    arguments = ["run", "--all", "-m", "naive-bayes", "--metric", "nll", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert [path.parent.name for path in sorted(tmp_path.rglob("results.jsonl"))] == ["digits-binary", "weather"]
    assert result.stdout.count("NLL ↓") == 2


def test_a_training_that_diverges_says_so_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    from zoo.vae.vae import VAE

    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    arguments = ["train", "vae", "--benchmark", "digits", "--budget", "3"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    good = {path.name: path.read_bytes() for path in (tmp_path / "digits").iterdir()}
    monkeypatch.setattr(VAE, "elbo", lambda self, x: torch.full((len(x),), float("nan"), requires_grad=True))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: training diverged at step 1 of 3")
    assert len(result.stderr.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "digits").iterdir()} == good


class Trained(plugins.Grey):
    """Trains as a test says."""

    def fit(self, dataset, budget):
        return {"loss": torch.tensor(0.5)}

    def save(self, setting, record):
        return "here"


class Careless(Trained):
    def fit(self, dataset, budget):
        dataset.train.zero_()
        return super().fit(dataset, budget)


class Exits(Trained):
    def fit(self, dataset, budget):
        raise SystemExit(3)


class Says(Trained):
    def fit(self, dataset, budget):
        return {"loss": "low"}


class SaysNothing(Trained):
    def fit(self, dataset, budget):
        return None


class CannotSave(Trained):
    def save(self, setting, record):
        raise OSError("the disk is full")


def trained(kind):
    name = f"{kind.__module__}:{kind.__name__}"
    return training.train(ModelCard(name, name), "digits", training.Plan())


def test_a_stranger_s_training_gets_copies_and_its_figures_are_numbers():
    done = trained(Trained)
    assert (done.figures, done.path) == ({"loss": 0.5}, "here")
    with pytest.warns(GenbenchWarning, match="fit of .*Careless wrote into what it was given"):
        trained(Careless)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Exits, "fit of .* raised SystemExit: 3"),
        (Says, "returned figures that are no numbers: .* raised ValueError"),
        (SaysNothing, "returned NoneType, not figures by their names"),
        (CannotSave, "save of .* raised OSError: the disk is full"),
        (plugins.Grey, "has nothing to train"),
    ],
)
def test_a_training_that_breaks_says_so_in_one_line(kind, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        trained(kind)
    assert "\n" not in str(caught.value)

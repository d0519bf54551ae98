"""How many samples are drawn of a model, and by which seeds: what a run does, and what its board makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from genbench.cli.entry import main
from genbench.evaluation import benchmarks, generators
from genbench.evaluation import run as runner
from genbench.leaderboard import boards


def test_few_samples_are_drawn_where_the_card_says_so_unless_n_is_named(tmp_path):
    many, few = generators.resolve("plugins:Grey"), replace(generators.resolve("plugins:NumpyGrey"), few_on=("digits",))
    task = benchmarks.load("digits", metrics=["fid", "likelihood"])
    models = [many, few, generators.resolve("real")]
    runner.run(task, models, runner.Options(out=tmp_path))
    assert {(row.model, row.n) for row in boards.read(tmp_path) if row.column == "fid"} == {
        ("plugins:Grey", 10_000),
        ("plugins:NumpyGrey", 1000),
        ("real", 1000),
    }
    (board,) = boards.boards([tmp_path])
    assert board.ranks == {("plugins:Grey", 0): (1, 1)}
    assert "1,000 samples of real, plugins:NumpyGrey" in board.notes[0]
    assert board.table.set_index("model")["n"].to_dict() == {
        "real": 1000,
        "plugins:Grey": 10_000,
        "plugins:NumpyGrey": 1000,
    }
    again = runner.run(task, models, runner.Options(out=tmp_path))
    assert again.computed == [], "what is up to date is known by its own n"
    for n in (60, 10_000):
        assert benchmarks.load("digits", n=n).of(few).n == n
    assert benchmarks.load("pose").of(few).n == benchmarks.find("pose").n


def test_seeds_and_trainings_of_a_run_are_one_row_of_the_board(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    call = CliRunner().invoke
    trained = call(main, ["train", "naive-bayes@1", "--benchmark", "digits"])
    assert trained.exit_code == 0, trained.output
    record = json.loads((tmp_path / "checkpoints" / "digits" / "naive-bayes@1.json").read_text())
    assert record["seed"] == 1
    assert "genbench train naive-bayes@1 " in record["command"]
    options = ["-m", "naive-bayes", "-m", "naive-bayes@1", "--metric", "fid", "--metric", "likelihood", "-n", "80"]
    out = tmp_path / "board"
    done = call(main, ["run", "digits", *options, "--seeds", "0,3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = {(row.model, row.seed): row for row in boards.read(out) if row.column == "fid"}
    assert len({row.value for row in rows.values()}) >= 2
    table = boards.leaderboard(out).set_index("model")
    assert list(table.index) == ["naive-bayes"]
    assert table.loc["naive-bayes", ["seed", "seeds", "trainings"]].tolist() == [0, 2, 2]
    assert table.loc["naive-bayes", "fid"] == pytest.approx(sum(row.value for row in rows.values()) / 4)
    likely = [row for row in boards.read(out) if row.column == "nll"]
    assert table.loc["naive-bayes", "nll_within"] == pytest.approx(likely[0].stderr), "the same held-out items"
    shown = call(main, ["leaderboard", str(out)])
    assert "means over seeds 0, 3 and up to 2 trainings" in " ".join(shown.stdout.split())
    assert call(main, ["run", "digits", *options, "--seeds", "0,a"]).exit_code == 2

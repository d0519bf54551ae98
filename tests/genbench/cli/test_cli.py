"""Every command end to end, as a user types it, and every wrong use: one line that says what to do, no traceback."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from genbench.cli.entry import COMMANDS, main
from genbench.evaluation.benchmarks import find
from genbench.plugins.metrics import metric_named
from genbench.storage.results import read

CHECKPOINTS = Path(__file__).parents[3] / "zoo" / "checkpoints"


def call(*arguments: object, code: int = 0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + (repr(result.exception) if result.exception else "")
    return result


def test_run_prints_the_board_and_writes_everything(tmp_path):
    models = ("-m", "naive-bayes", "-m", "noise", "-m", "real")
    result = call("run", "digits", "-n", 200, *models, "--out", tmp_path)
    table = result.stdout.splitlines()
    assert table[0].strip() == "digits: 200 samples against 797 real items, features digits-cnn"
    assert "FID ↓" in result.stdout
    assert "precision ↑" in result.stdout
    assert "±" in result.stdout
    models_shown = [line.split()[-0 if line.startswith("  ") else 1] for line in table if "±" in line]
    assert models_shown == ["real", "naive-bayes", "noise"], "anchors are shown and not ranked"
    rows = read(tmp_path / "results.jsonl")
    assert len(rows) == 3 * sum(len(metric_named(name).columns) for name in find("digits").metrics)
    assert (tmp_path / "leaderboard.csv").read_text().startswith("rank,rank_low,rank_high,model,seed,fid,fid_stderr")
    assert "| real " in (tmp_path / "leaderboard.md").read_text()
    for model in ("real", "noise", "naive-bayes"):
        with Image.open(tmp_path / "samples" / f"{model}.png") as image:
            assert min(image.size) >= 400
    again = call("run", "digits", "-n", 200, *models, "--out", tmp_path)
    assert again.stderr.count("up to date") == 3
    assert again.stdout == result.stdout
    assert read(tmp_path / "results.jsonl") == rows
    shown = call("leaderboard", tmp_path)
    assert shown.stdout == result.stdout
    alone = call("run", "digits", "-n", 200, "-m", "noise", "--metric", "fid", "--out", tmp_path)
    assert alone.stdout == result.stdout, "asking for one metric drops no column from the board"


def test_run_as_json_prints_rows_alone(tmp_path):
    result = call("run", "weather", "-m", "markov-chain", "--metric", "gap", "--out", tmp_path, "--json")
    (row,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (row["model"], row["column"], row["status"]) == ("markov-chain", "gap", "ok")
    assert row["value"] < 3 * row["stderr"] + 0.02


def test_a_failed_model_shows_in_the_exit_code_and_the_note(tmp_path):
    result = call("run", "-n", 70, "-m", "plugins:Raises", "-m", "noise", "--out", tmp_path, code=1)
    assert "failed" in result.stdout
    assert "sample raised RuntimeError: the weights are gone" in result.stdout
    assert "Traceback" not in result.output
    assert {row.status for row in read(tmp_path / "results.jsonl") if row.model == "noise"} == {"ok", "unsupported"}


@pytest.mark.parametrize("form", ["table", "csv", "md", "json", "html"])
def test_leaderboards_come_in_every_format(tmp_path, form):
    call("run", "-n", 70, "-m", "noise", "-m", "naive-bayes", "--out", tmp_path)
    text = call("leaderboard", tmp_path, "--sort", "nll", "--format", form).stdout
    assert text.index("naive-bayes") < re.search(r"\bnoise\b", text).start()
    if form == "json":
        board = json.loads(text)["digits"]
        assert (board["features"], board["n"], board["reference"]) == ("digits-cnn", 70, 797)
        assert board["rows"][0]["model"] == "naive-bayes"


def test_folders_and_npz_files_are_benchmarks(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "pictures" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(path)
    np.savez(tmp_path / "colour.npz", rng.integers(0, 255, (40, 4, 4, 3), dtype=np.uint8))
    for name in ("pictures", "colour.npz"):
        result = call(
            "run", tmp_path / name, "--model", "real", "--model", "noise", "-n", 20, "--out", tmp_path / "out" / name
        )
        assert "real" in result.stdout
        assert "warning: FID needs more samples" in result.stderr
    assert "name yours with --model" in call("run", tmp_path / "pictures", code=2).stderr


def test_train_writes_a_checkpoint_that_run_uses(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "mine"))
    result = call("train", "vae", "--benchmark", "digits", "--budget", 3, "--seed", 4)
    assert str(tmp_path / "mine") in result.stdout
    record = json.loads((tmp_path / "mine" / "digits" / "vae.json").read_text())
    assert (record["seed"], record["budget"], record["levels"]) == (4, 3, 17)
    assert record["command"] == "genbench train vae --benchmark digits --budget 3 --seed 4"
    call("run", "-m", "vae", "--metric", "fid", "-n", 70, "--out", tmp_path / "out")
    first = read(tmp_path / "out" / "results.jsonl")[0]
    call("train", "vae", "--budget", 3, "--seed", 5)
    call("run", "-m", "vae", "--metric", "fid", "-n", 70, "--out", tmp_path / "out")
    second = read(tmp_path / "out" / "results.jsonl")[1]
    assert second.model_version != first.model_version, "a retrained model is a changed model"
    weights = tmp_path / "mine" / "digits" / "vae.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    broken = call("run", "-m", "vae", "--out", tmp_path / "out", code=1)
    assert "is damaged or not the file that its record belongs to" in broken.stdout
    assert "genbench train vae --benchmark digits" in broken.stdout


def test_tradeoff_writes_a_curve_and_a_picture(tmp_path):
    result = call("tradeoff", "dcgan", "--psi", "0.3,1.0", "-n", 200, "--out", tmp_path)
    lines = (tmp_path / "tradeoff-dcgan.csv").read_text().splitlines()
    assert lines[0].startswith("model,psi,fid,fid_stderr,is,is_stderr,is_unsplit,is_unsplit_stderr,precision,")
    expected = [*(["dcgan", psi] for psi in ("0.3", "1.0", "inf")), ["real", ""]]
    assert [line.split(",")[:2] for line in lines[1:]] == expected, "real images are the reference"
    for view in ("precision-recall", "fid-is"):
        assert (tmp_path / f"tradeoff-dcgan-{view}.svg").stat().st_size > 1000
        with Image.open(tmp_path / f"tradeoff-dcgan-{view}.png") as image:
            assert image.size[0] == 1400
    assert "precision" in result.stdout
    refused = call("tradeoff", "real", "noise", "--out", tmp_path / "none", code=1)
    assert "none of real, noise defines a truncation" in refused.stderr
    assert not (tmp_path / "none").exists(), "refused before any work"
    assert "name models to truncate, or give --all" in call("tradeoff", code=2).stderr


def test_a_model_without_truncation_is_a_point_of_the_picture(tmp_path):
    options = ("--psi", "0.5", "-n", 100, "--metric", "fid", "--metric", "precision", "--out", tmp_path)
    call("tradeoff", "dcgan", "real", *options)
    table = pd.read_csv(tmp_path / "tradeoff-dcgan-real.csv")
    assert table["model"].tolist() == ["dcgan", "dcgan", "real"]
    assert table["psi"].isna().tolist() == [False, False, True]
    assert {"fid", "precision", "recall"} <= set(table)
    assert "kid" not in table
    with Image.open(tmp_path / "tradeoff-dcgan-real-precision-recall.png") as image:
        assert image.size[0] == 1400
    assert not (tmp_path / "tradeoff-dcgan-real-fid-is.png").exists(), "no Inception Score was asked for"


def test_no_real_image_is_taken_twice_for_a_curve(tmp_path):
    call("tradeoff", "dcgan", "--psi", "inf", "-n", 1100, "--metric", "recall", "--out", tmp_path)
    table = pd.read_csv(tmp_path / "tradeoff-dcgan.csv").set_index("model")
    assert table["n"].to_dict() == {"dcgan": 1100, "real": 1000}, "there are a thousand of them"
    assert table["recall"]["real"] > 0.5


def test_check_passes_the_zoo_and_lists_faults():
    assert call("check", "dcgan").stdout == "dcgan: ok; sample, truncation, latent, training\n"
    assert call("check", "ganimation").stdout.startswith("ganimation: ok"), "on its own board, where none is named"
    result = call("check", "plugins:Clock", code=1)
    assert result.stdout.count("fault: ") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "digit"), "no benchmark is called 'digit'; did you mean digits"),
        (("run", "-m", "vea"), "no model is called 'vea'; did you mean vae"),
        (("run", "--metric", "recal"), "did you mean"),
        (("run", "-n", "2"), "needs at least 10 samples, n is 2; raise -n"),
        (("run", "--device", "cuda:99"), "--device cuda:99 cannot be used here"),
        (("run", "--features", "inceptoin"), "no feature extractor is called"),
        (("tradeoff", "dcgan", "--psi", "1:0:2"), "psi must read first:last:step"),
        (("train", "noise"), "nothing to train"),
        (
            ("train", "rbm", "--benchmark", "digits"),
            "rbm models data of two levels, not of 17; rbm is trained with --benchmark digits-binary",
        ),
        (("leaderboard", "nowhere"), "holds no results"),
        (("check", "nowhere:make"), "cannot import nowhere"),
        (("list", "things"), "is not one of"),
        (("run", "--data-root", "nowhere"), "does not exist"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(arguments, message, tmp_path):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) <= 4


def test_an_out_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = call("run", "-n", 70, "-m", "noise", "--out", tmp_path / "file" / "x", code=1)
    assert "choose another folder with --out" in result.stderr


def test_an_architecture_that_does_not_fit_its_checkpoint_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    (tmp_path / "digits").mkdir()
    for suffix in (".safetensors", ".json"):
        content = (CHECKPOINTS / "digits" / f"vae{suffix}").read_bytes()
        if suffix == ".json":
            record = json.loads(content)
            record["config"]["hidden"] += 1
            content = json.dumps(record).encode()
        (tmp_path / "digits" / f"vae{suffix}").write_bytes(content)
    result = call("run", "-m", "vae", "--out", tmp_path / "out", code=1)
    assert "is for another architecture" in result.stdout


def test_every_command_has_help_with_an_example():
    for name in COMMANDS:
        text = call(name, "--help").stdout
        assert "Example: genbench " + name in text
    overview = call("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name:<12} {summary}\n" in overview, "whole, on one line"


def test_an_installed_third_party_model_stands_on_the_board(tmp_path):
    """A distribution with an entry point, found as pip would leave it on the path."""
    info = tmp_path / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[genbench.models]\nthird = third_party:cards\n")
    (tmp_path / "third_party.py").write_text(
        textwrap.dedent("""
            import genbench
            def cards():
                target = "third_party_model:make"
                return [genbench.ModelCard("third", target, family="test", benchmarks=("digits",))]
        """)
    )
    (tmp_path / "third_party_model.py").write_text("from plugins import Grey\nmake = Grey\n")

    def genbench(*arguments):
        done = commands.genbench(*arguments, folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)}).wait()
        assert done.returncode == 0, done.stderr
        return done

    assert "third" in genbench("list", "models").stdout
    shown = genbench("run", "digits", "-m", "third", "-n", "70", "--metric", "fid", "--out", str(tmp_path / "out"))
    assert "third" in shown.stdout

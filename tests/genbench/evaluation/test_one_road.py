"""One road for every number, whichever command asked for it, and no stranger harms another's."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import commands
import numpy as np
import pytest
import strangers
import torch
from click.testing import CliRunner

import genbench
from genbench.cli.entry import main
from genbench.data import files
from genbench.errors import GenbenchWarning
from genbench.evaluation import benchmarks, generators
from genbench.evaluation import run as runner
from genbench.storage import results


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + (repr(result.exception) if result.exception else "")
    return result


def rows_of(*models, metrics=("fid", "likelihood"), **options):
    task = benchmarks.load("digits", n=80, metrics=metrics)
    outcome = runner.run(task, [generators.resolve(name) for name in models], runner.Options(**options))
    return {(row.model, row.column): row for row in outcome.rows}


def test_the_same_images_have_one_number_and_one_protocol_through_run_and_through_score(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", rng.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8))
    fakes = rng.integers(0, 200, (40, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "fakes.npz", fakes)
    heldout = files.load(tmp_path / "data.npz").heldout
    np.savez(tmp_path / "heldout.npz", heldout.permute(0, 2, 3, 1).numpy())
    metrics = ["fid", "precision-recall", "kid"]
    options = [part for name in metrics for part in ("--metric", name)]
    call("run", tmp_path / "data.npz", "-m", tmp_path / "fakes.npz", "-n", 40, *options, "--out", tmp_path / "out")
    ran = {row.column: row for row in results.read(tmp_path / "out" / "results.jsonl")}
    scores = genbench.score(tmp_path / "heldout.npz", tmp_path / "fakes.npz", "identity", metrics)
    scored = {row.column: row for row in scores.results}
    assert ran.keys() == scored.keys() == {"fid", "precision", "recall", "kid"}
    for column, row in ran.items():
        assert (row.value, row.stderr, row.protocol) == (
            scored[column].value,
            scored[column].stderr,
            scored[column].protocol,
        )
    assert results.protocols(tmp_path / "out" / "results.jsonl") == scores.protocols
    assert ran["fid"].title == "Fréchet distance (identity)", "a distance between pixels is no FID"


def test_statistics_keep_the_protocol_of_their_images(tmp_path):
    rng = np.random.default_rng(1)
    real, fake = (rng.integers(0, top, (40, 4, 4, 1), dtype=np.uint8) for top in (256, 200))
    np.savez(tmp_path / "real.npz", real)
    from genbench.evaluation.score import stats

    stats(real, tmp_path / "stats.npz", "identity")
    whole = genbench.score(tmp_path / "real.npz", fake, "identity", ["fid"]).results[0]
    known = genbench.score(tmp_path / "stats.npz", fake, "identity", ["fid"]).results[0]
    assert known.value == pytest.approx(whole.value, rel=1e-9)
    assert known.protocol == whole.protocol
    with np.load(tmp_path / "stats.npz") as held:
        np.savez(tmp_path / "other.npz", **{**held, "features": np.array("another network")})
    with pytest.raises(genbench.GenbenchError, match="of another network"):
        genbench.score(tmp_path / "other.npz", fake, "identity", ["fid"])


def test_each_step_has_its_own_seconds(monkeypatch):
    monkeypatch.setattr(time, "monotonic", strangers.Clock())
    rows = rows_of("strangers:Slow", metrics=("fid", "precision-recall"))
    for column in ("fid", "precision"):
        row = rows["strangers:Slow", column]
        assert row.model_seconds >= 3600
        assert row.seconds < 3600, "no metric pays for the sampling"
    assert rows["strangers:Slow", "fid"].features == "digits-cnn"
    assert (rows["strangers:Slow", "fid"].device, rows["strangers:Slow", "fid"].reference) == ("cpu", 797)


def test_a_model_that_writes_into_its_items_changes_no_other_number():
    alone = rows_of("naive-bayes")["naive-bayes", "nll"].value
    with pytest.warns(GenbenchWarning, match="wrote into what it was given"):
        together = rows_of("strangers:WritesIntoItems", "naive-bayes")
    assert together["naive-bayes", "nll"].value == alone


def test_what_is_no_number_is_a_failure_with_a_reason():
    rows = rows_of("strangers:AboveOne", "strangers:EndlessInterval", "strangers:Exits", "strangers:RaisingSpec")
    assert rows["strangers:AboveOne", "nll"].status == "failed"
    assert "above 0" in rows["strangers:AboveOne", "nll"].detail
    assert rows["strangers:AboveOne", "fid"].status == "ok"
    assert rows["strangers:EndlessInterval", "nll"].status == "failed"
    assert "log_prob_interval" in rows["strangers:EndlessInterval", "nll"].detail
    assert rows["strangers:Exits", "fid"].status == "failed"
    assert "SystemExit" in rows["strangers:Exits", "fid"].detail
    assert "no spec today" in rows["strangers:RaisingSpec", "fid"].detail


def test_a_factory_that_changes_global_state_is_told_and_undone():
    with pytest.warns(GenbenchWarning) as told:
        rows_of("strangers:changes_everything")
    assert any("default dtype" in str(warning.message) for warning in told)
    assert any("grad mode" in str(warning.message) for warning in told)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_metrics_and_features_of_strangers_are_named_by_module(tmp_path):
    options = ("--metric", "strangers:Ink", "--metric", "strangers:Divides", "--metric", "fid")
    alone = call("run", "-n", 80, "-m", "noise", "--metric", "fid", "--out", tmp_path / "alone")
    call("run", "-n", 80, "-m", "noise", *options, "--out", tmp_path / "out", code=1)
    rows = {row.column: row for row in results.read(tmp_path / "out" / "results.jsonl")}
    assert rows["ink"].value == pytest.approx(8, abs=0.3)
    assert rows["divides"].status == "failed"
    assert "ZeroDivisionError" in rows["divides"].detail
    (fid,) = results.read(tmp_path / "alone" / "results.jsonl")
    assert rows["fid"].value == fid.value, "what the metric before it wrote was its own copy"
    assert alone.exit_code == 0
    call("run", "-n", 80, "-m", "noise", "--metric", "fid", "--features", "strangers:means", "--out", tmp_path / "own")
    (row,) = results.read(tmp_path / "own" / "results.jsonl")
    assert (row.features, row.title) == ("strangers:means", "Fréchet distance (strangers:means)")


def test_rows_are_safe_before_anything_is_drawn(tmp_path):
    def draw(model, evidence, task):
        assert results.read(tmp_path / "results.jsonl"), "the rows are there already"
        raise OSError("no space left for a picture")

    with pytest.warns(GenbenchWarning, match="no space left"):
        rows = rows_of("noise", "real", out=tmp_path, finished=draw)
    assert {row.status for row in rows.values()} == {"ok", "unsupported"}
    assert {row.model for row in results.read(tmp_path / "results.jsonl")} == {"noise", "real"}


def test_a_failure_never_takes_the_place_of_a_number(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from plugins import Grey\n\n\nclass Mine(Grey):\n    version = '1'\n")
    monkeypatch.chdir(tmp_path)
    command = ("run", "-n", 80, "-m", "mine:Mine", "--metric", "fid", "--out", tmp_path / "out")
    call(*command)
    sys.modules.pop("mine")
    (tmp_path / "mine.py").write_text("raise ImportError('gone')\n")
    call(*command, "--fresh", code=1)
    history = results.read(tmp_path / "out" / "results.jsonl")
    assert [row.status for row in history] == ["ok", "failed"], "history stays"
    assert [row.status for row in results.current(history)] == ["ok"]
    shown = call("leaderboard", tmp_path / "out", "--history", "mine:Mine").stdout.splitlines()
    assert ["failed" in line for line in shown] == [False, False, True], "the heading, the number, the failure"


def test_exploring_leaves_the_board_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("run", "weather", "-m", "noise", "-m", "real", "--metric", "fid")
    before = {path.name: path.read_bytes() for path in Path("leaderboards/weather").iterdir() if path.is_file()}
    explored = call("run", "weather", "-m", "noise", "--metric", "fid", "-n", 100)
    assert "leaderboards/weather-n100/" in explored.stderr
    after = {path.name: path.read_bytes() for path in Path("leaderboards/weather").iterdir() if path.is_file()}
    assert after == before
    assert results.read("leaderboards/weather-n100/results.jsonl")


@pytest.mark.parametrize(("plugin", "reason"), [("ExitsAtOnce", "exit code 3"), ("Hangs", "did not answer within")])
def test_a_model_in_a_process_of_its_own_may_crash_and_hang(plugin, reason):
    rows = rows_of(f"strangers:{plugin}", "strangers:Quick", metrics=("fid",), isolate=True, timeout=20.0)
    failed = rows[f"strangers:{plugin}", "fid"]
    assert failed.status == "failed"
    assert reason in failed.detail
    here = rows_of("strangers:Quick", metrics=("fid",))
    assert rows["strangers:Quick", "fid"].value == here["strangers:Quick", "fid"].value, (
        "the same numbers as in-process"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_in_one_line_with_a_promise(tmp_path, number, code):
    begun = commands.genbench("run", "-n", 80, "-m", "strangers:Hangs", "--out", tmp_path, folder=tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (tmp_path / "protocols.jsonl").exists():
        time.sleep(0.05)
    time.sleep(2)
    os.kill(begun.process.pid, number)
    done = begun.wait()
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("what was finished is kept, and the same command goes on from there")
    assert "Traceback" not in done.stderr

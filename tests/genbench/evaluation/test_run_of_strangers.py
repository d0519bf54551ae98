"""What a stranger brings to a run by itself: an installed data set, features told where and how to compute, metrics
whose definitions change."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import commands
import pytest
import torch
from click.testing import CliRunner

from genbench.cli.entry import main
from genbench.evaluation import benchmarks, devices, generators
from genbench.evaluation import run as runner
from genbench.metrics.frechet import FrechetDistance
from genbench.storage import results

TESTS = Path(__file__).parents[2]


def test_an_installed_data_set_is_a_benchmark_that_runs(tmp_path):
    """A distribution with entry points for both, found as pip would leave it on the path."""
    info = tmp_path / "stripes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes\nVersion: 1.0\n")
    groups = ("[genbench.datasets]\nstripes = stripes:datasets\n", "[genbench.benchmarks]\nstripes = stripes:boards\n")
    (info / "entry_points.txt").write_text("".join(groups))
    (tmp_path / "stripes.py").write_text(
        textwrap.dedent("""
            import genbench

            def datasets():
                return [genbench.Card("stripes", "stripes_data:load", "columns of one level")]

            def boards():
                return [genbench.Benchmark("stripes", "stripes", "identity", ("fid", "likelihood"), 40)]
        """)
    )
    (tmp_path / "stripes_data.py").write_text(
        textwrap.dedent("""
            import torch
            from genbench.contracts import Dataset, SampleSpec

            def load(root):
                columns = torch.randint(4, (80, 1, 1, 6), generator=torch.Generator().manual_seed(0))
                items = columns.expand(80, 1, 5, 6).to(torch.uint8).contiguous()
                return Dataset("stripes", SampleSpec((1, 5, 6), 4), items[:40], items[40:])
        """)
    )

    def genbench(*arguments):
        done = commands.genbench(*arguments, folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)}).wait()
        assert done.returncode == 0, done.stderr
        return done

    assert "stripes" in genbench("list", "benchmarks").stdout
    shown = genbench("run", "stripes", "-m", "noise", "-m", "real", "--out", "out").stdout
    assert "stripes: 40 samples against 40 real items, features identity" in shown
    rows = {(row.model, row.column): row for row in results.read(tmp_path / "out" / "results.jsonl")}
    assert rows["noise", "bpd"].value == 2.0, "four levels, each as likely"
    assert rows["noise", "fid"].value > rows["real", "fid"].value


class Told:
    """An extractor's factory that remembers what it was told."""

    words: dict[str, object]

    def __init__(self, spec, *, device="cpu", precision="float32", weights=None):
        Told.words = {"device": device, "precision": precision, "weights": weights}

    def __call__(self, x):
        return x.flatten(1).float()


def test_device_precision_and_weights_reach_the_features_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "check", lambda device: None)  # there need be no such device
    weights = tmp_path / "weights.pt"
    torch.save({}, weights)
    options = ["--device", "cuda:0", "--precision", "bfloat16", "--weights", str(weights)]
    arguments = ["run", "-n", "80", "-m", "noise", "--metric", "fid", "--features", f"{__name__}:Told", *options]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert Told.words == {"device": "cuda:0", "precision": "bfloat16", "weights": weights}


def test_another_definition_makes_the_rows_of_that_metric_stale_and_no_others(tmp_path, monkeypatch):
    def columns_of(options):
        task = benchmarks.load("digits", n=80, metrics=["fid", "precision-recall", "likelihood"])
        outcome = runner.run(task, [generators.resolve("noise")], options)
        return outcome, [row.column for row in results.read(tmp_path / "results.jsonl")]

    first, before = columns_of(runner.Options(out=tmp_path))
    monkeypatch.setattr(FrechetDistance, "version", FrechetDistance.version + 1)
    second, after = columns_of(runner.Options(out=tmp_path))
    added = after[len(before) :]
    assert set(added) == {column.name for column in FrechetDistance().columns}
    protocols = [{row.column: row.protocol for row in outcome.rows} for outcome in (first, second)]
    assert {column for column in protocols[0] if protocols[0][column] != protocols[1][column]} == set(added)


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("leaderboard", "leaderboards/weather")])
def test_what_needs_no_torch_waits_for_none(arguments):
    code = (
        "import sys, click.testing; from genbench.cli import main;"
        f"r = click.testing.CliRunner().invoke(main, {list(arguments)!r});"
        "assert r.exit_code == 0, r.output;"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib', 'zoo.nn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

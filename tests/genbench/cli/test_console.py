"""What a command leaves of the process that called it, and what is seen of long work where there is no terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genbench.cli import console
from genbench.cli.entry import main

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("arguments", [["list", "models"], ["run", "no-such-board"], ["list", "nothing"]])
def test_a_command_leaves_warnings_and_the_path_as_they_were(arguments):
    before = warnings.showwarning, list(warnings.filters), list(sys.path)
    CliRunner().invoke(main, arguments)
    assert (warnings.showwarning, list(warnings.filters), list(sys.path)) == before


WITHOUT_BOARDS = """
import json, sys
sys.modules |= dict.fromkeys(("matplotlib", "pandas", "sklearn", "sklearn.datasets"))  # as if not installed
from click.testing import CliRunner
from genbench.cli import main
done = [CliRunner().invoke(main, command) for command in json.loads(sys.argv[1])]
print(json.dumps([(each.exit_code, each.output) for each in done]))
"""


def test_what_boards_need_is_asked_for_by_boards_alone(tmp_path):
    for place, name in enumerate(("real", "fake")):
        np.savez(tmp_path / name, arr_0=np.random.default_rng(place).integers(0, 256, (60, 4, 4, 3), dtype=np.uint8))
    way = "; pip install 'genbench[boards]' brings it"
    expected = {
        ("score", "real.npz", "fake.npz", "--features", "identity"): (0, "precision"),
        ("stats", "real.npz", "-o", "stats.npz", "--features", "identity"): (0, "60 images"),
        ("run", "digits", "-m", "noise"): (
            2,
            f"error: cannot import genbench.data.digits: ModuleNotFoundError: {{}}{way}",
        ),
        ("leaderboard", str(TESTS.parent / "leaderboards" / "weather"), "--format", "csv"): (
            1,
            f"error: this needs pandas{way}",
        ),
    }
    command = [sys.executable, "-c", WITHOUT_BOARDS, json.dumps(list(expected))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    for (code, said), (own_code, output) in zip(expected.values(), json.loads(done.stdout), strict=True):
        assert own_code == code, output
        for part in said.split("{}"):
            assert part in output


def lines_of(*arguments, monkeypatch, seconds):
    monkeypatch.setattr(console, "PLAIN_SECONDS", seconds)
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output, "no control sequences where there is no terminal"
    assert "\r" not in result.output
    return result.stderr.splitlines()


def test_a_run_reports_in_plain_lines(tmp_path, monkeypatch):
    command = ("run", "-n", 80, "-m", "noise", "-m", "real", "--metric", "fid")
    lines = lines_of(*command, "--out", tmp_path / "a", monkeypatch=monkeypatch, seconds=0.0)
    assert [line for line in lines if line.startswith("1/2 models  noise  ") and line.endswith(" s")]
    assert [line for line in lines if line.startswith("2/2 models  real  ") and line.endswith(" s")]
    few = lines_of(*command, "--out", tmp_path / "b", monkeypatch=monkeypatch, seconds=1e6)
    assert not [line for line in few if "/2 models" in line], "and says nothing where there is nothing to wait for"
    assert [line.split()[0] for line in few if line.endswith(" s")] == ["noise", "real"]


def test_a_training_reports_its_steps_in_plain_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    lines = lines_of("train", "vae", "--budget", 3, monkeypatch=monkeypatch, seconds=0.0)
    assert [line for line in lines if "vae  training" in line and "/3" in line and "loss" in line]


LIMITED = """
import resource, sys
from genbench.cli.entry import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[1:] = sys.argv[2:]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX's")
@pytest.mark.parametrize(
    ("limit", "arguments", "code", "said"),
    [
        (512, ("run", "-n", "80", "-m", "noise", "--metric", "fid", "--out", "out"), 1, "error: cannot write"),
        (4096, ("run", "-n", "80", "-m", "noise", "--metric", "fid", "--out", "out"), 0, "noise.png: File too large"),
        (4096, ("train", "vae", "--budget", "3"), 1, "error: cannot write"),
        (512, ("tradeoff", "vae", "-n", "80", "--metric", "fid", "--out", "out"), 1, "error: cannot write"),
        (512, ("score", "real.npz", "fake.npz", "--features", "identity", "--metric", "fid"), 0, "FID|Fréchet"),
        (512, ("stats", "real.npz", "-o", "out/stats.npz", "--features", "identity"), 1, "error: cannot write"),
    ],
    ids=["rows", "pictures", "training", "curves", "cache", "statistics"],
)
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_no_parts(tmp_path, limit, arguments, code, said):
    """A limit on the size of files stands in for a full disk: every write that matters fails half-way."""
    for name in ("real", "fake"):
        np.savez(tmp_path / f"{name}.npz", np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8))
    own = {"GENBENCH_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    if arguments[0] == "train":
        own["GENBENCH_CHECKPOINTS"] = str(tmp_path / "checkpoints")
    command = [sys.executable, "-c", LIMITED, str(limit), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    shown = [line for line in (done.stdout + done.stderr).splitlines() if any(part in line for part in said.split("|"))]
    assert shown
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == (1 if code else 0)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]

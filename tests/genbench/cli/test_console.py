"""What a command leaves of the process that called it, and what is seen of long work where there is no terminal."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import warnings
from contextlib import contextmanager
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


@contextmanager
def files_limited_to(size):
    """A write beyond so many bytes of a file fails half-way."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


warns = pytest.mark.filterwarnings("default::genbench.errors.GenbenchWarning")  # as outside of tests


@warns
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
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_no_parts(tmp_path, monkeypatch, limit, arguments, code, said):
    """A limit on the size of files stands in for a full disk: every write that matters fails half-way."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    if arguments[0] == "train":
        monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    for name in ("real", "fake"):
        np.savez(tmp_path / f"{name}.npz", np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8))
    with files_limited_to(limit):
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    assert not code or isinstance(result.exception, SystemExit), "an error that is foreseen, and no traceback"
    assert [line for line in result.output.splitlines() if any(part in line for part in said.split("|"))]
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == (1 if code else 0)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]


@warns
def test_a_training_names_the_folder_that_is_full_and_what_sets_it(tmp_path, monkeypatch):
    """Files below the full folder are written and cannot be put in their place for want of room."""
    move, full = os.replace, ""

    def replace(part, target):
        if full and Path(target).is_relative_to(full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        move(part, target)

    def train(folder, *options):
        monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(folder))
        result = CliRunner().invoke(main, ["train", "fvbn", "--budget", "20", *options])
        assert "--out" not in result.output, "train has no such option"
        return result.exit_code, [line for line in result.stderr.splitlines() if "is full" in line]

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    full = tmp_path / "cache"
    code, (told,) = train(tmp_path / "roomy")
    assert code == 0, "what cannot be kept on the way costs no training"
    assert f"the disk that holds {full / 'training' / 'digits-binary'} is full; free some of it" in told
    assert "cannot be resumed" in told
    assert told.endswith("with GENBENCH_CACHE")
    full = tmp_path / "small"
    code, (told,) = train(full)
    assert code == 1
    assert f"the disk that holds {full / 'digits-binary'} is full" in told
    assert told.endswith("with GENBENCH_CHECKPOINTS; then --resume goes on from step 20")
    code, told = train(tmp_path / "other", "--resume")
    assert (code, told) == (0, [])
    roomy, other = (tmp_path / name / "digits-binary" / "fvbn.safetensors" for name in ("roomy", "other"))
    assert roomy.read_bytes() == other.read_bytes(), "the training itself was done"

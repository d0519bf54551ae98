"""What `make demo` runs, on two models: it leaves the checkout clean and says how the board compares with the committed
one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli.entry import main

ROOT = Path(__file__).parents[1]
COMMITTED = Path("leaderboards/digits")
FEWER = ["--model", "noise", "--model", "real", "--metric", "fid"]


def commands(target: str) -> list[list[str]]:
    """What a target of the Makefile tells genbench to do."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    tool, lines = "$(BIN)/genbench ", recipe[1].replace("\t", "").splitlines()
    assert all(line.startswith(tool) for line in lines)
    return [shlex.split(line.removeprefix(tool)) for line in lines]


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A checkout, the working directory, whose committed board holds FEWER alone."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copy(ROOT / ".gitignore", tmp_path)
    (tmp_path / COMMITTED).mkdir(parents=True)
    shutil.copy(ROOT / COMMITTED / "protocols.jsonl", tmp_path / COMMITTED)
    lines = (ROOT / COMMITTED / "results.jsonl").read_text().splitlines(keepends=True)
    rows = [(json.loads(line), line) for line in lines]
    text = "".join(line for row, line in rows if row["model"] in FEWER and row["column"] in FEWER)
    (tmp_path / COMMITTED / "results.jsonl").write_text(text)
    monkeypatch.chdir(tmp_path)
    for arguments in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *arguments], check=True)
    return tmp_path


def changed() -> list[str]:
    """The files that git does not ignore and that are not as they were added."""
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if not line.startswith("A  ")]


def test_the_demo_leaves_the_checkout_clean_and_compares_with_the_committed_board(checkout):
    run, diff = commands("demo")
    ran = CliRunner().invoke(main, [*run, *FEWER])
    assert ran.exit_code == 0, ran.output
    out = checkout / run[run.index("--out") + 1]
    assert (out / "leaderboard.md").is_file()
    compared = CliRunner().invoke(main, diff)
    assert compared.exit_code == 0, compared.output
    # On another processor a difference may be of the size of rounding errors, which is noise.
    assert re.fullmatch(r"2 numbers: (\d (same|noise)(, )?)+\n", compared.output)
    assert changed() == []
    shutil.move(out, checkout / "board")
    assert changed(), "what is not ignored is seen"

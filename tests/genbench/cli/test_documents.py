"""The README is true: its tables are what the commands print, its example runs, its links lead somewhere."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from genbench.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def test_the_board_is_the_first_part_of_the_committed_one():
    assert (ROOT / "leaderboards" / "digits" / "leaderboard.md").read_text().split("\n\n")[0] in README


def test_the_model_table_is_the_catalogue():
    shown = CliRunner().invoke(main, ["list", "models", "--format", "md"]).stdout.strip()
    own = [line for line in shown.splitlines() if "third" not in line]
    assert "\n".join(own) in README


def test_the_figures_of_the_machine_on_mnist_are_the_committed_ones():
    with (ROOT / "leaderboards" / "mnist-binary" / "leaderboard.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["model"] == "rbm")
    value, low, high = (f"{float(row[column]):.2f}" for column in ("nll", "nll_low", "nll_high"))
    assert f"at {value} nats within [{low}, {high}]" in README


def test_links_and_pictures_are_there():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_example_passes_the_check_and_stands_on_the_board(tmp_path):
    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class Mine" in block)
    assert len(example.strip().splitlines()) <= 10
    (tmp_path / "mine.py").write_text(example)
    for line in ("check mine:Mine", "run digits --model mine:Mine --metric fid"):
        assert f"genbench {line.split(' --metric')[0]}" in README
        command = [sys.executable, "-m", "genbench", *line.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "mine:Mine" in done.stdout


def test_documents_name_every_command():
    for name in COMMANDS:
        assert f"genbench {name}" in README

"""The README is true: its tables are what the commands print, its example runs, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import commands

from genbench.cli.entry import COMMANDS

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def test_it_holds_what_its_commands_print(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import readme

    assert readme.BLOCK.findall(README), "it shows what commands print"
    assert readme.MACHINE.search(README)
    assert readme.COUNT.search(README)
    assert readme.renewed(README) == README, "write what commands print now into it: make readme"


def test_it_is_short():
    assert len(README.splitlines()) <= 250


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
        done = commands.genbench(*line.split(), folder=tmp_path).wait()
        assert done.returncode == 0, done.stderr
        assert "mine:Mine" in done.stdout


def test_documents_name_every_command():
    for name in COMMANDS:
        assert f"genbench {name}" in README

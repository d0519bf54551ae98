"""The documentation builds without a warning, and names everything of the catalogue."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import genbench
from genbench.cli import main
from genbench.cli.entry import COMMANDS
from genbench.plugins import registry

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Every page as HTML."""
    pytest.importorskip("furo", reason="the documentation's tools are not installed: pip install -e .[docs]")
    target = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", ROOT / "docs", target]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return {path.stem: path.read_text() for path in target.rglob("*.html")}


def test_tables_name_all_that_can_be_named(built):
    cards = registry.models().values()
    assert not [card.name for card in cards if f'<span class="pre">{card.name}</span>' not in built["models"]]
    there = _text(built["models"])
    assert not [card.name for card in cards for part in card.deviations if _plain(part) not in there]
    for group in ("benchmarks", "metrics", "features"):
        missing = [name for name in registry.cards(group) if f'<span class="pre">{name}</span>' not in built["boards"]]
        assert not missing


def _text(page):
    """The letters and digits of a page: tags, spaces and typographic signs come and go."""
    return _plain(html.unescape(re.sub(r"<[^>]+>", "", page)))


def _plain(text):
    return re.sub(r"[^a-zA-Z0-9]", "", text)


def test_every_command_and_every_public_name_is_there(built):
    assert all(f"genbench {name}<" in built["commands"] for name in COMMANDS)
    assert "GENBENCHCOMPLETEzshsource" in _text(built["commands"])
    modules = {"adapters", "metrics", "likelihood", "linalg"}
    public = [*(name for name in genbench.__all__ if name not in modules), *genbench.metrics.__all__]
    assert not [name for name in public if name not in built["api"]]


def test_commands_in_the_tutorials_are_real(built):
    for page in ("researcher", "lecture", "nightly"):
        text = html.unescape(re.sub(r"<[^>]+>", "", "\n".join(re.findall(r"<pre>(.*?)</pre>", built[page], re.DOTALL))))
        lines = [line.split("#")[0] for line in text.splitlines() if re.match(r"\s*(\w+=\w+ )?genbench ", line)]
        assert lines
        for line in lines:
            words = line[line.index("genbench") :].split()
            command = words[1]
            assert command in COMMANDS, line
            help_text = CliRunner().invoke(main, [command, "--help"]).output
            for option in (word for word in words if word.startswith("-")):
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text), f"{line}: no {option}"


def test_completion_answers():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_GENBENCH_COMPLETE": "bash_complete"}
    asked = {"COMP_WORDS": "genbench sam", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['genbench']; from genbench.cli import main; main(prog_name='genbench')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**environment, **asked}, check=False
    )
    assert done.stdout.strip() == "plain,samples"

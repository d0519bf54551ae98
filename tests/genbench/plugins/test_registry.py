"""Plug-ins: listing imports nothing, a broken one warns, a clash names both, a typo gets a suggestion."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from genbench.errors import GenbenchWarning, RegistryError
from genbench.plugins import registry
from genbench.plugins.cards import ModelCard


@dataclass
class Distribution:
    name: str


class EntryPoint:
    def __init__(self, provider, cards):
        self.dist, self.value, self.cards = Distribution(provider), f"{provider}:cards", cards

    def load(self):
        if isinstance(self.cards, Exception):
            raise self.cards
        return lambda: self.cards


@pytest.fixture
def providers(monkeypatch) -> Iterator[list[EntryPoint]]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.refresh()
    yield points
    registry.refresh()


def test_a_broken_provider_warns_and_never_blocks_the_others(providers):
    providers += [
        EntryPoint("broken", ImportError("no such thing")),
        EntryPoint("sound", [ModelCard("a", "m:f")]),
    ]
    with pytest.warns(GenbenchWarning, match=r"broken .* left out: it raised ImportError: no such thing"):
        assert list(registry.models()) == ["a"]


def test_a_clash_is_an_error_that_names_both_when_the_name_is_used(providers):
    providers += [
        EntryPoint("one", [ModelCard("a", "m:f"), ModelCard("b", "m:f")]),
        EntryPoint("two", [ModelCard("a", "n:g")]),
    ]
    with pytest.warns(GenbenchWarning, match="model 'a' is claimed by one"):
        assert registry.find("models", "b").target == "m:f"
    assert list(registry.models()) == ["b"], "a clash hurts that name alone"
    with pytest.raises(RegistryError, match=r"one \(one:cards\) and two \(two:cards\)"):
        registry.find("models", "a")


def test_a_provider_found_twice_is_no_clash(providers):
    providers += [EntryPoint("one", [ModelCard("a", "m:f")])] * 2
    assert registry.find("models", "a").target == "m:f"


def test_a_typo_gets_the_closest_names():
    with pytest.raises(RegistryError, match="did you mean pixel-cnn"):
        registry.find("models", "pixelcn")
    with pytest.raises(RegistryError, match=r"known: .*\bfid\b.*\bvendi\b"):
        registry.find("metrics", "zzzzz")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_colon", "module:factory"),
        ("no_such_module:f", "cannot import no_such_module: ModuleNotFoundError"),
        ("plugins:Gray", "did you mean Grey"),
        ("plugins:Grey.nothing", "no attribute"),
    ],
)
def test_targets_that_cannot_be_loaded_say_why(target, message):
    with pytest.raises(RegistryError, match=message):
        registry.load(target)


def test_listing_and_help_import_no_torch():
    code = (
        "import sys, click.testing, genbench.cli.main as c; r = click.testing.CliRunner();"
        "lists = [r.invoke(c.main, ['list', what]) for what in ('models', 'benchmarks', 'metrics', 'features')];"
        "assert all(x.exit_code == 0 for x in lists), lists;"
        "assert r.invoke(c.main, ['--help']).exit_code == 0;"
        "print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_public_names_are_all_there_and_functions():
    code = (
        "import genbench, genbench.leaderboard.boards, genbench.evaluation.truncation, genbench.metrics.frechet;"
        "[getattr(genbench, name) for name in genbench.__all__];"
        "assert callable(genbench.leaderboard) and callable(genbench.tradeoff) and callable(genbench.check);"
        "assert callable(genbench.metrics.inception_score) and callable(genbench.metrics.precision_recall);"
        "assert callable(genbench.numerics.linalg.sqrtm)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

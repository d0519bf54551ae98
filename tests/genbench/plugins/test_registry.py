"""Plug-ins: listing imports nothing, a broken one or a clash blocks nothing but itself, a typo gets a suggestion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from genbench.errors import GenbenchWarning, RegistryError
from genbench.plugins import registry
from genbench.plugins.cards import Benchmark, Card, ModelCard


@dataclass
class Distribution:
    name: str

    def locate_file(self, path):
        return "/nowhere"

    def read_text(self, name):
        return None


class EntryPoint:
    """An installed provider whose function returns `cards`, or raises them."""

    def __init__(self, provider, cards):
        self.dist, self.value, self.cards = Distribution(provider), f"{provider}:cards", cards

    def load(self):
        if isinstance(self.cards, BaseException):
            raise self.cards
        return lambda: self.cards


@pytest.fixture
def providers(monkeypatch) -> Iterator[list[EntryPoint]]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.refresh()
    yield points
    registry.refresh()


@pytest.mark.parametrize(
    ("handed_in", "reason"),
    [
        (ImportError("no such thing"), "left out: it raised ImportError: no such thing"),
        (SystemExit(3), "left out: it raised SystemExit: 3"),
        (GeneratorExit(), "left out: it raised GeneratorExit"),
        (None, "left out: it raised TypeError"),
        (["a"], "is a str, not a ModelCard, and is left out"),
        ([Card("a", "m:f")], "is a Card, not a ModelCard, and is left out"),
    ],
)
def test_a_broken_provider_warns_once_and_never_blocks_the_others(providers, handed_in, reason):
    providers += [EntryPoint("broken", handed_in), EntryPoint("sound", [ModelCard("b", "m:f")])]
    with pytest.warns(GenbenchWarning, match=f"plug-in broken .*{reason}"):
        assert list(registry.models()) == ["b"]
    assert list(registry.models()) == ["b"], "a second warning would be an error here"
    with pytest.raises(RegistryError, match=f"no model is called 'c'.*{reason}"):
        registry.find("models", "c")


@pytest.mark.parametrize("group", ["models", "benchmarks"])
def test_a_clash_blocks_that_name_alone_and_names_both(providers, group):
    def card(name, module):
        return ModelCard(name, module) if group == "models" else Benchmark(name, module, "identity", ("fid",), 10)

    providers += [
        EntryPoint("one", [card("a", "m:f"), card("b", "m:f")]),
        EntryPoint("two", [card("a", "n:g")]),
    ]
    with pytest.warns(GenbenchWarning, match="'a' is claimed by one"):
        assert list(registry.cards(group)) == ["b"]
    assert registry.find(group, "b") == card("b", "m:f")
    with pytest.raises(RegistryError, match=r"claimed by one \(one:cards\) and two \(two:cards\); uninstall one"):
        registry.find(group, "a")


def test_a_provider_found_twice_is_no_clash(providers):
    providers += [EntryPoint("one", [ModelCard("a", "m:f")])] * 2
    assert registry.find("models", "a").target == "m:f"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ModelCard(3, "m:f"),
        lambda: ModelCard("", "m:f"),
        lambda: ModelCard("a\nb", "m:f"),
        lambda: ModelCard("a", "m"),
        lambda: ModelCard("a", "m:f", benchmarks=["digits"]),
        lambda: Benchmark("a", "digits", "identity", (), 10),
        lambda: Benchmark("a", "digits", "identity", ("fid",), 0),
        lambda: Benchmark("a", "digits", "identity", ("fid",), 10, picture="oil"),
    ],
)
def test_cards_refuse_rubbish_where_they_are_made(make):
    with pytest.raises(ValueError, match="must"):
        make()


def test_a_typo_gets_the_closest_names():
    with pytest.raises(RegistryError, match="did you mean pixel-cnn"):
        registry.find("models", "pixelcn")
    with pytest.raises(RegistryError, match=r"known: .*\bfid\b.*\bvendi\b"):
        registry.find("metrics", "zzzzz")
    with pytest.raises(RegistryError, match=r"did you mean inception.*no module inceptoin can be imported"):
        registry.card_of("features", "inceptoin:768")


def test_a_registered_name_wins_over_a_module():
    assert registry.card_of("features", "inception:768") == registry.find("features", "inception")
    assert registry.card_of("features", "torchvision:vgg16:features") == registry.find("features", "torchvision")
    assert registry.card_of("features", "plugins:channel_means").target == "plugins:channel_means"
    assert registry.card_of("metrics", "plugins:Brightness:x").target == "plugins:Brightness"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_colon", "module:factory"),
        ("no_such_module:f", "cannot import no_such_module: ModuleNotFoundError"),
        ("plugins.py:Grey", "a module is named as it is imported: plugins"),
        ("plugins:Gray", r"plugins \(.*plugins.py\) has no attribute 'Gray'; did you mean Grey"),
        ("plugins:Grey.nothing", "no attribute"),
    ],
)
def test_targets_that_cannot_be_loaded_say_why(target, message):
    with pytest.raises(RegistryError, match=message):
        registry.load(target)


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "raise KeyboardInterrupt", "raise GeneratorExit", "1/0"])
def test_a_module_that_raises_anything_is_an_error_in_one_line(tmp_path, monkeypatch, statement):
    (tmp_path / "breaks_on_import.py").write_text(statement)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError) as caught:
        registry.load("breaks_on_import:make")
    assert "breaks_on_import" in str(caught.value)
    assert "\n" not in str(caught.value)


LATE = """
class Model:
    def sample(self, n):
        import its_neighbour
        return its_neighbour.VALUE
"""


def test_the_working_directory_is_on_the_path_while_its_modules_run_and_never_else(tmp_path, monkeypatch):
    from genbench.plugins.guard import guarded

    (tmp_path / "imports_late.py").write_text(LATE)
    (tmp_path / "its_neighbour.py").write_text("VALUE = 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", os.getcwd())])
    before = list(sys.path)
    model = registry.load("imports_late:Model")()
    assert sys.path == before
    monkeypatch.chdir("/")
    assert guarded("sample", model.sample, 1) == 3
    assert sys.path == before


def run(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


def test_a_folder_in_the_place_of_a_provider_is_an_error_that_names_it(tmp_path):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").touch()
    shown = run(
        "from genbench.plugins import registry; from genbench.errors import RegistryError\n"
        "import warnings; warnings.simplefilter('error')\n"
        "assert 'fid' in registry.cards('metrics')\n"
        "for ask in (registry.models, lambda: registry.find('models', 'vae')):\n"
        "    try: print(list(ask()))\n"
        "    except RegistryError as error: print(error)\n",
        cwd=tmp_path,
    )
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) == 2
    assert all(f"{tmp_path / 'zoo'} in the working directory was imported in place of the models" in x for x in lines)


def test_listing_and_help_import_no_torch():
    code = (
        "import sys, click.testing; from genbench.cli import main; r = click.testing.CliRunner();"
        "lists = [r.invoke(main, ['list', what]) for what in ('models', 'benchmarks', 'metrics', 'features')];"
        "assert all(x.exit_code == 0 for x in lists), lists;"
        "assert r.invoke(main, ['--help']).exit_code == 0;"
        "print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    assert run(code, check=True).stdout.strip() == "[]"


def test_public_names_are_all_there_and_functions():
    code = (
        "import genbench, genbench.leaderboard.boards, genbench.evaluation.truncation, genbench.metrics;"
        "[getattr(genbench, name) for name in genbench.__all__];"
        "functions = 'check evaluate leaderboard score stats tradeoff'.split();"
        "assert all(callable(getattr(genbench, name)) for name in functions);"
        "assert callable(genbench.metrics.inception_score) and callable(genbench.metrics.precision_recall);"
        "assert callable(genbench.numerics.linalg.sqrtm)"
    )
    run(code, check=True)


def test_records_of_trainings_come_from_the_provider_and_broken_curves_are_left_out(monkeypatch):
    record = {"curve": [{"step": [1, 2], "loss": [1.0, None]}, {"step": [1], "loss": []}, "none", {"loss": [2.0]}]}
    monkeypatch.setattr(registry, "load", lambda target: lambda name: {"digits": {"seconds": 3.0, **record}})
    card = ModelCard("m", "module:make", records="module:records")
    assert registry.records(card) == {"digits": {"seconds": 3.0, "curve": [{"step": [1, 2], "loss": [1.0, None]}]}}
    assert registry.records(ModelCard("m", "module:make")) == {}
    monkeypatch.setattr(registry, "load", lambda target: lambda name: [name])
    with pytest.raises(RegistryError, match="no mapping from benchmarks"):
        registry.records(card)
